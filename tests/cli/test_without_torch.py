"""Refusals that need no torch come at once: torch cannot even be imported here."""

import subprocess
import sys

import pytest

CODE = """
import sys
sys.modules["torch"] = sys.modules["lightning"] = None
from al_lightning.cli import main
main(sys.argv[1:])
"""


def refusal(*words: str) -> str:
    """What a command says, in a process without torch."""
    result = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=False)
    assert result.returncode == 2, result.stderr
    return result.stderr.removeprefix("al-lightning: error: ").strip()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("label", "the following arguments are required: RUN"),
        ("label nowhere", "Expected a run folder, but there is no nowhere/commit.json."),
        ("label nowhere --imprt a.csv", "unrecognized arguments: --imprt a.csv"),
        ("sweep --nothing", "Expected an option of sweep or of fit, but got `--nothing`."),
        ("configs bagde", "did you mean badge?"),
        ("fit nowhere", "Expected `RUN` to be the folder of a run, but there is no nowhere."),
        ("test nowhere", "Expected `RUN` to be the folder of a run, but there is no nowhere."),
        ("predict nowhere --ckpt_path a", "Expected `RUN` to be the folder of a run, but there is no nowhere."),
        ("fit --config nowhere.yaml", "Expected `config` to be a file, but there is no nowhere.yaml"),
        ("fit --data ImageFolder", "Expected `data.root` to be given, the folder of the images, but it is missing."),
        (
            "fit --data ImageFolder --data.root nowhere",
            "`data.root` to be a folder of images, but there is no nowhere.",
        ),
        ("fit --data.classes names.txt", "there is no names.txt."),
        ("fit --data.classes a,b,a", "but got `a` twice."),
        ("suggest nowhere . --nm 3", "unrecognized arguments: --nm 3"),
        ("suggest nowhere .", "Expected `RUN` to be the folder of a run, but there is no nowhere."),
        ("suggest nowhere nothing", "Expected `FOLDER` to be a folder of images, but there is no nothing."),
        ("report nowhere --ot x", "unrecognized arguments: --ot x"),
    ],
)
def test_a_refusal_needs_no_torch(words: str, sentence: str) -> None:
    assert sentence in refusal(*words.split())
