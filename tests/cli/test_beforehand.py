"""What stands in a command line for something else, and the whole command of people."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from al_lightning.cli import main
from al_lightning.cli.beforehand import in_full


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "given",
    [["--data.classes", "Müll, hot dog"], ["--data.classes=Müll, hot dog"], ["--data.classes", "names.txt"]],
)
def test_classes_become_a_list(tmp_path: Path, given: list[str]) -> None:
    (tmp_path / "names.txt").write_text("Müll\nhot dog\n", encoding="utf-8")
    words, note = in_full("fit", [*given, "--data.root", "a, b"])
    assert note == ""
    assert "=".join(words[:-2]) == '--data.classes=["Müll", "hot dog"]'
    assert words[-2:] == ["--data.root", "a, b"]


def test_words_that_are_full_stay() -> None:
    words = ["--data.classes", '["a", "b"]', "--model.num_classes", "2"]
    assert in_full("fit", words) == (words, "")


def test_help_needs_no_data() -> None:
    assert in_full("fit", ["--data", "ImageFolder", "--help"]) == (["--data", "ImageFolder", "--help"], "")
    words = ["--data.help", "ImageFolder"]
    assert in_full("fit", words) == (words, "")


def answer_all(run: Path) -> None:
    """Answers `a` and `b` in turn."""
    with (run / "query.csv").open() as file:
        rows = [{**row, "label": "ab"[i % 2]} for i, row in enumerate(csv.DictReader(file))]
    with open("answers.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    main(["label", str(run), "--import", "answers.csv"])


def test_one_command_begins_and_a_run_folder_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """24 images: 10 for each of two classes are asked for first, then the 4 that are left, and that is the end."""
    (tmp_path / "photos").mkdir()
    for i in range(24):
        Image.new("RGB", (32, 32), (10 * i, 0, 0)).save(tmp_path / "photos" / f"{i}.png")
    data = ["--data", "ImageFolder", "--data.root", "photos", "--data.classes", "a, b"]
    whole = ["fit", *data, "--loop.oracle", "FileOracle"]
    short = ["--trainer.max_epochs", "1", "--data.image_size", "32", "--data.num_workers", "0"]
    main([*whole, *short])
    out = capsys.readouterr().out
    assert out.startswith("Chosen, because nothing else was given: --model Backbone --loop.strategy Margin ")
    assert "runs/photos waits for 20 labels" in out
    assert "al-lightning fit runs/photos" in out
    answer_all(Path("runs/photos"))
    main(whole)
    out = capsys.readouterr().out
    assert "Chosen" not in out
    assert "\nround 0: 20 labels, test acc -, 1 epochs" in out
    assert "waits for 4 labels" in out
    answer_all(Path("runs/photos"))
    main(["fit", "runs/photos", "--data.num_workers", "0"])
    assert "Finished: 2 rounds done, 24 labels, in runs/photos; the pool is used up." in capsys.readouterr().out
    assert sorted(path.name for path in Path("runs").iterdir()) == ["photos"]
    with pytest.raises(SystemExit):
        main(["test", "runs/photos"])
    assert "Expected test samples for `test`, but the data have none." in capsys.readouterr().err
