"""Which images of a folder a trained run would ask for."""

import codecs
import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from al_lightning.cli import main
from al_lightning.inference import precision as precision_module
from al_lightning.run_folder.files import sha256_of
from tests.data.test_images import save_digits

CLASSES = tuple(range(10))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 120 digits as images, and 50 others in a folder."""
    folder = tmp_path_factory.mktemp("suggest")
    save_digits(folder / "photos", 150, classes=CLASSES)
    save_digits(folder / "new", 50, start=200, classes=CLASSES)
    main(
        [
            *["fit", "--data", "ImageFolder", "--data.root", str(folder / "photos"), "--data.image_size", "8"],
            *["--data.channels", "1", "--data.num_initial", "40", "--data.num_workers", "0"],
            *["--model.optimizer.lr", "0.01", "--loop.strategy", "Margin", "--loop.query_size", "5"],
            *["--loop.num_rounds", "1", "--loop.run_dir", str(folder / "run"), "--trainer.max_epochs", "10"],
            *["--trainer.enable_progress_bar", "false"],
        ]
    )
    return folder


def suggest(trained: Path, out: Path, *words: str) -> None:
    main(["suggest", str(trained / "run"), str(trained / "new"), "--out", str(out), *words])


def rows(path: Path) -> list[dict[str, str]]:
    assert path.read_bytes().startswith(codecs.BOM_UTF8)  # without it, Excel tears umlauts
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_all_images_are_ranked_by_the_strategy(trained: Path, tmp_path: Path) -> None:
    suggest(trained, tmp_path / "all.csv", "--num", "50")
    found = rows(tmp_path / "all.csv")
    assert {Path(row["file"]) for row in found} == set((trained / "new").rglob("*.png"))
    assert [int(row["rank"]) for row in found] == list(range(1, 51))
    scores = [float(row["score"]) for row in found]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 40
    right = sum(row["predicted"] == Path(row["file"]).parent.name for row in found)
    assert right > 25  # of a model that learned something


def test_the_query_size_of_the_run_is_suggested_and_is_where_the_ranking_begins(trained: Path, tmp_path: Path) -> None:
    suggest(trained, tmp_path / "all.csv", "--num", "50")
    suggest(trained, tmp_path / "few.csv")
    assert rows(tmp_path / "few.csv") == rows(tmp_path / "all.csv")[:5]


def with_precision(trained: Path, folder: Path, precision: str | None) -> Path:
    """A copy of the run with another precision of scoring in its files; with none, as an earlier version wrote them."""
    run = shutil.copytree(trained / "run", folder / f"run_{precision}")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["loop"].pop("scoring_precision") == "auto"
    if precision is not None:
        config["loop"]["scoring_precision"] = precision
    state = json.loads((run / "commit.json").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    state["sha256"]["config.yaml"] = sha256_of((run / "config.yaml").read_bytes())
    (run / "commit.json").write_text(json.dumps(state))
    return run


def test_images_are_scored_in_the_precision_of_the_run(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where `auto` is bf16-mixed: a run that was begun without the setting has the trainer's precision."""
    monkeypatch.setattr(precision_module, "settled", lambda name, trainer: "bf16-mixed" if name == "auto" else name)
    found = {}
    for precision in (None, "trainer", "auto", "bf16-mixed"):
        out = tmp_path / f"{precision}.csv"
        run = with_precision(trained, tmp_path, precision)
        main(["suggest", str(run), str(trained / "new"), "--num", "50", "--out", str(out)])
        found[precision] = {row["file"]: row for row in rows(out)}
    assert found[None] == found["trainer"] != found["auto"] == found["bf16-mixed"]
    for file, row in found["auto"].items():
        assert row["predicted"] == found[None][file]["predicted"]  # for people, in the precision of the fit
        assert row["confidence"] == found[None][file]["confidence"]
        assert abs(float(row["score"]) - float(found[None][file]["score"])) < 0.05


def test_suggestions_may_be_tasks_of_label_studio(trained: Path, tmp_path: Path) -> None:
    suggest(trained, tmp_path / "a.json")
    suggest(trained, tmp_path / "a.csv")
    tasks = json.loads((tmp_path / "a.json").read_text())
    assert [task["data"]["file"] for task in tasks] == [row["file"] for row in rows(tmp_path / "a.csv")]
    choices = [task["predictions"][0]["result"][0]["value"]["choices"] for task in tasks]
    assert choices == [[row["predicted"]] for row in rows(tmp_path / "a.csv")]


def test_images_that_the_run_asked_for_or_is_tested_on_are_left_out(trained: Path, tmp_path: Path) -> None:
    photos = list((trained / "photos").rglob("*.png"))
    assert len(photos) == 150  # 30 to test on, 45 labeled
    run, folder = str(trained / "run"), str(trained / "photos")
    main(["suggest", run, folder, "--num", "75", "--out", str(tmp_path / "a.csv")])
    with pytest.raises(SystemExit):
        main(["suggest", run, folder, "--num", "76", "--out", str(tmp_path / "b.csv")])


def test_other_data_than_those_of_the_run_are_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    new = trained / "photos" / "digit0" / "a.png"
    Image.new("L", (8, 8)).save(new)
    assert "samples were added, removed or renamed" in refused(capsys, str(trained / "run"), str(trained / "new"))
    new.unlink()


def test_images_that_cannot_be_read_are_named_and_left_out(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "broken.png").write_text("x")
    Image.new("L", (20, 10)).save(folder / "good.png")
    with pytest.warns(UserWarning, match=r"Left out 1 image that cannot be read: .*broken.png"):
        main(["suggest", str(trained / "run"), str(folder), "--out", str(tmp_path / "a.csv")])
    assert [Path(row["file"]).name for row in rows(tmp_path / "a.csv")] == ["good.png"]


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    with pytest.raises(SystemExit) as error:
        main(["suggest", *words])
    assert error.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_bad_input_gets_one_sentence(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run, new = str(trained / "run"), str(trained / "new")
    assert "has no config.yaml" in refused(capsys, str(tmp_path), new)
    assert "there is no" in refused(capsys, run, str(tmp_path / "none"))
    assert "Expected images to choose from" in refused(capsys, run, str(tmp_path))
    assert "`--num` to be from 1 to 50, the images in" in refused(capsys, run, new, "--num", "51")
    assert "but got 0" in refused(capsys, run, new, "--num", "0")
    assert "to be a .csv or .json file" in refused(capsys, run, new, "--out", "a.txt")
    assert "Expected `al-lightning suggest RUN FOLDER --out FILE`" in refused(capsys, run)
    main(["fit", "--config", "configs/digits.yaml", "--loop.num_rounds", "0", "--loop.run_dir", str(tmp_path / "d")])
    capsys.readouterr()
    assert "Expected a run on images" in refused(capsys, str(tmp_path / "d"), new)
