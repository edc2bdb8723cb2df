"""What the README and the documents show works as shown."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from al_lightning.cli import main

README = Path("README.md").read_text()
DOCUMENTS = README + "".join(path.read_text() for path in sorted(Path("docs").glob("*.md")))
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", DOCUMENTS, flags=re.DOTALL)
LINES = [line for language, block in BLOCKS if language == "bash" for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = [line for line in LINES if "al-lightning fit" in line]
SWEEPS = [line for line in LINES if "al-lightning sweep" in line]


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "FashionMNIST()" in block]
    root = str(Path("data").resolve())
    monkeypatch.chdir(tmp_path)
    code = code.replace("FashionMNIST()", f"FashionMNIST(root={root!r})")
    tiny = code.replace("num_rounds=100", "num_rounds=1").replace("max_epochs=200", "max_epochs=2")
    assert tiny.count("=1)") + tiny.count("=1,") >= 1
    exec(compile(tiny, "README.md", "exec"), {})
    assert (tmp_path / "runs/badge/seed0/rounds.csv").read_text().count("\n") == 3


def test_the_strategy_example_is_a_strategy() -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "ScoreStrategy)" in block]
    namespace: dict = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert any(hasattr(value, "score") for value in namespace.values())


def test_the_loop_of_ones_own_labels_what_it_asks_for() -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "PoolPredictor(" in block]
    assert len([line for line in code.splitlines() if line]) <= 15
    torch.manual_seed(0)
    namespace: dict = {}
    exec(compile(code, "your_own.md", "exec"), namespace)
    labeled, model, query = namespace["labeled"], namespace["model"], namespace["query"]
    assert labeled[:20].all()
    assert int(labeled.sum()) == 70
    assert len(set(query.tolist())) == 10
    arrays = namespace["Digits"]().load()
    with torch.no_grad():
        accuracy = (model(arrays.test_inputs).argmax(dim=1) == arrays.test_targets).float().mean()
    assert accuracy > 0.7


def test_the_data_example_is_data() -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "load_wine" in block]
    namespace: dict = {}
    exec(compile(code, "your_own.md", "exec"), namespace)
    assert namespace["data"].count_classes() == 3
    assert namespace["data"].draw_initial(None).shape == (30,)


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
def test_the_text_example_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python" and "pad_sequence" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "your_own.md", "exec"), {})
    last = (tmp_path / "runs/words/rounds.csv").read_text().splitlines()[-1].split(",")
    assert last[1] == "20"
    assert float(last[2]) > 0.8


@pytest.mark.parametrize("command", COMMANDS)
def test_the_flags_of_a_command_are_known(command: str, capsys: pytest.CaptureFixture) -> None:
    words = shlex.split(command.replace("$seed", "0"), comments=True)
    words = words[words.index("fit") :]
    if "my_" in command or "RUN" in command:
        pytest.skip("needs the reader's own files")
    with pytest.raises(SystemExit) as stop:
        main([*words, "--print_config"])
    assert stop.value.code == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", SWEEPS)
def test_a_sweep_is_known(command: str, capsys: pytest.CaptureFixture) -> None:
    words = shlex.split(command, comments=True)
    main([*words[words.index("sweep") :], "--dry_run"])
    assert "al-lightning fit " in capsys.readouterr().out


def test_nothing_is_left_to_be_filled_in() -> None:
    assert "@" not in DOCUMENTS
    assert "TODO" not in DOCUMENTS


def test_every_file_that_is_named_exists() -> None:
    for name in re.findall(r"\]\(([\w./]+)\)", README) + re.findall(
        r"`((?:configs|scripts|al_lightning)/[\w./]+)`", DOCUMENTS
    ):
        assert Path(name).exists(), name
