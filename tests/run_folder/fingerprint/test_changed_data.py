"""Images of a run: training or test images that are removed, renamed or replaced are refused and named."""

import csv
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from al_lightning.cli import main
from tests.data.test_images import save_digits

ROUNDS = "rounds.csv"


def words(root: Path, run: Path, rounds: int, *more: str) -> list[str]:
    return [
        *["fit", "--data", "ImageFolder", "--data.root", str(root), "--data.image_size", "8", "--data.channels", "1"],
        *["--data.num_initial", "20", "--data.num_workers", "0", "--model.input_dim", "64", "--loop.query_size", "5"],
        *["--loop.num_rounds", str(rounds), "--loop.run_dir", str(run), "--trainer.max_epochs", "1", *more],
    ]


@pytest.fixture(scope="module", params=["in memory", "on disk"])
def begun(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with photos/train, photos/test, and a run with a round."""
    folder = tmp_path_factory.mktemp("begun")
    save_digits(folder / "photos" / "train", 200, classes=(0, 1, 2))
    save_digits(folder / "photos" / "test", 60, start=300, classes=(0, 1, 2))
    more = ["--data.max_memory", "0"] if request.param == "on disk" else []
    main(words(folder / "photos", folder / "run", 0, *more))
    return folder, more


@pytest.fixture
def there(begun: tuple[Path, list[str]], tmp_path: Path) -> Path:
    shutil.copytree(begun[0], tmp_path / "copy")
    return tmp_path / "copy"


def images(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def remove(photos: Path) -> None:
    images(photos / "test")[3].unlink()


def add(photos: Path) -> None:
    first = images(photos / "test")[0]
    shutil.copy(first, first.with_name("another.png"))


def rename(photos: Path) -> None:
    first = images(photos / "test")[0]
    first.rename(first.with_name("renamed.png"))


def replace(part: str, position: int) -> Callable[[Path], None]:
    def replaced(photos: Path) -> None:
        path = images(photos / part)[position]
        grey = np.random.default_rng(0).integers(0, 256, np.asarray(Image.open(path)).shape, np.uint8)
        Image.fromarray(grey).save(path)

    return replaced


def move(photos: Path) -> None:
    first = images(photos / "test")[0]
    classes = sorted(path for path in (photos / "test").iterdir())
    first.rename(next(path for path in classes if path != first.parent) / first.name)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (remove, r"test set of the run in .*, but of its files test/digit\d/\w+.png went; put back what it was"),
        (add, r"test set .* of its files test/digit\d/another.png came"),
        (rename, r"test set .* of its files test/digit\d/\w+.png went and test/digit\d/renamed.png came"),
        (move, r"test set .* of its files"),
        (replace("test", 7), r"test set .* of its inputs the values changed"),
        (replace("train", 11), r"training inputs .* the values changed"),
    ],
)
def test_changes_are_refused_by_name(
    begun: tuple[Path, list[str]],
    there: Path,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    sentence: str,
) -> None:
    change(there / "photos")
    before = {path.name: path.read_bytes() for path in (there / "run").iterdir() if path.is_file()}
    with pytest.raises(SystemExit) as exit:
        main(words(there / "photos", there / "run", 1, *begun[1]))
    assert exit.value.code == 2
    told = capfd.readouterr().err
    assert len(told.strip().splitlines()) == 1
    assert re.search(sentence, told), told
    assert {path.name: path.read_bytes() for path in (there / "run").iterdir() if path.is_file()} == before


def test_photos_that_moved_and_were_touched_are_the_same(begun: tuple[Path, list[str]], there: Path) -> None:
    (there / "photos").rename(there / "pictures")
    for path in images(there / "pictures"):
        path.touch()
    one = images(there / "pictures" / "test")[0]
    pixels = Image.open(one).copy()
    pixels.save(one, optimize=True, compress_level=1)  # other bytes, the same image
    main(words(there / "pictures", there / "run", 1, *begun[1]))
    with (there / "run" / ROUNDS).open() as file:
        assert [row["num_labeled"] for row in csv.DictReader(file)] == ["20", "25"]


def test_a_checkpoint_is_tested_on_other_images_with_a_note(
    begun: tuple[Path, list[str]], there: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = ["--config", str(there / "run" / "config.yaml"), "--ckpt_path", str(there / "run" / "model.ckpt")]
    root = ["--data.root", str(there / "photos")]
    main(["test", *checkpoint, *root])
    assert "Note" not in capfd.readouterr().err
    remove(there / "photos")
    main(["test", *checkpoint, *root])
    told = capfd.readouterr()
    assert "Note: The test set is not that of the run in" in told.err
    assert "test_acc" in told.out
    main(["predict", *checkpoint, *root])
    assert f"Wrote {len(images(there / 'photos' / 'test'))} predictions" in capfd.readouterr().out
    for part in ("train", "test"):
        (there / "photos" / part / "digit0").rename(there / "photos" / part / "digit9")
    with pytest.raises(SystemExit):
        main(["predict", *checkpoint, *root])
    assert "Expected the classes of the run in" in capfd.readouterr().err


def test_suggestions_do_not_need_the_test_set_but_the_training_images(
    begun: tuple[Path, list[str]], there: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_digits(tmp_path / "new", 30, start=400, classes=(0, 1, 2))
    config = there / "run" / "config.yaml"
    text = config.read_text().replace(str(begun[0] / "photos"), str(there / "photos"))
    commit = there / "run" / "commit.json"
    old = hashlib.sha256(config.read_bytes()).hexdigest()
    config.write_text(text)
    commit.write_text(commit.read_text().replace(old, hashlib.sha256(text.encode()).hexdigest()))
    asked = ["suggest", str(there / "run"), str(tmp_path / "new"), "--num", "3", "--out", str(tmp_path / "s.csv")]
    remove(there / "photos")
    main(asked)
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 4
    replace("train", 0)(there / "photos")
    with pytest.raises(SystemExit):
        main(asked)
    assert "Expected the training inputs of the run" in capfd.readouterr().err


def test_arrays_in_files_count(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    drawn = np.random.default_rng(0)
    arrays = {
        "x_train": drawn.normal(size=(60, 4)),
        "y_train": np.arange(60) % 3,
        "x_test": drawn.normal(size=(20, 4)),
        "y_test": np.arange(20) % 3,
    }

    def run(rounds: int, **changed: np.ndarray) -> int:
        np.savez(tmp_path / "data.npz", **{**arrays, **changed})
        given = ["fit", "--data", "NumpyFiles", "--data.path", str(tmp_path / "data.npz"), "--data.num_initial", "10"]
        given += ["--model.input_dim", "4", "--model.num_classes", "3", "--loop.query_size", "5"]
        given += ["--loop.num_rounds", str(rounds), "--loop.run_dir", str(tmp_path / "run")]
        try:
            main([*given, "--trainer.max_epochs", "1"])
        except SystemExit as exit:
            return int(exit.code or 0)
        return 0

    assert run(0) == 0
    assert run(1) == 0
    other = arrays["x_test"].copy()
    other[13, 2] += 0.5
    assert run(2, x_test=other) == 2
    assert run(2, y_test=(np.arange(20) + (np.arange(20) == 7)) % 3) == 2
    assert run(2, x_test=arrays["x_test"][:-1], y_test=arrays["y_test"][:-1]) == 2
    scaled = arrays["x_train"].copy()
    scaled[5] *= 3
    assert run(2, x_train=scaled) == 2
    assert capfd.readouterr().err.count("al-lightning: error: Expected") == 4
    assert run(2) == 0
