"""``al-lightning features``: networks and data of all kinds, interruptions, files that are there, and bad input."""

import csv
import errno
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from al_lightning.cli import main
from al_lightning.data import Digits, Features, ImageFolder
from al_lightning.data.features_file import FeaturesFile, read_features
from al_lightning.data.partial_rows import PartialRows
from al_lightning.errors import Interrupted
from al_lightning.models import Backbone
from tests.data.test_images import save_digits

IMAGES = ["--data", "ImageFolder", "--data.image_size", "16", "--data.num_workers", "0"]
SMALL = ["--model", "Backbone", "--model.name", "small_cnn"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save_digits(tmp_path / "photos", 40)
    return tmp_path / "photos"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of a small network, as `pretrain` writes them."""
    torch.manual_seed(3)
    torch.save(Backbone("small_cnn").body.state_dict(), tmp_path / "net.pt")
    return tmp_path / "net.pt"


def features(*words: str, out: str = "photos.npz") -> FeaturesFile:
    main(["features", *words, "--num_threads", "1", "--out", out])
    return read_features(Path(out))


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["features", *words])
    assert stop.value.code == 2
    return capsys.readouterr().err


class Pixels(nn.Module):
    """Sums of columns, and a last layer."""

    num_calls = 0
    stops_at: int | None = None
    stops_by: BaseException = Interrupted(signal.SIGTERM)

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.last = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        Pixels.num_calls += 1
        if Pixels.num_calls == Pixels.stops_at:
            raise Pixels.stops_by
        return self.last(x.float().flatten(1).view(len(x), 8, -1).sum(dim=2))


OWN = ["--model", "Classifier", "--model.network", f"{__name__}.Pixels", "--data", "Digits", "--block_size", "100"]


@pytest.fixture
def pixels(monkeypatch: pytest.MonkeyPatch) -> type[Pixels]:
    monkeypatch.setattr(Pixels, "num_calls", 0)
    monkeypatch.setattr(Pixels, "stops_at", None)
    return Pixels


# -------------------------------------------------------------------------------------------------- data and networks


def test_images_and_a_network_with_weights(photos: Path, weights: Path, capsys: pytest.CaptureFixture) -> None:
    found = features(*IMAGES, "--data.root", "photos", *SMALL, "--model.weights", str(weights), "--block_size", "7")
    said = capsys.readouterr()
    assert "Wrote the features of" in said.out
    assert "drawn at random" not in said.err
    data = ImageFolder("photos", image_size=16, test_fraction=0.0, num_workers=0)
    data.setup()
    assert [str(photos / file) for file in found.train.files] == [
        str(Path(data.file_of(i)).resolve()) for i in range(len(data.train_targets))
    ]
    assert found.train.targets.tolist() == data.train_targets.tolist()
    assert found.classes == ("digit0", "digit1", "digit2")
    assert found.test is None
    model = Backbone("small_cnn", weights=str(weights)).eval()
    with torch.no_grad():
        one_by_one = [model.embed(row[None])[0].numpy() for block in data.train_blocks() for row in block]
    np.testing.assert_allclose(found.train.features, one_by_one, atol=1e-5)
    assert found.made_with["root"] == "photos"
    assert found.made_with["inputs"] == {"image_size": 16, "channels": 3}
    assert str(photos.parent) not in json.dumps(dict(found.made_with))
    assert [path.name for path in Path().glob("photos.npz*")] == ["photos.npz"]


def test_images_of_no_known_class_need_no_names_of_classes(photos: Path) -> None:
    flat = photos.parent / "flat"
    flat.mkdir()
    for path in photos.rglob("*.png"):
        path.rename(flat / path.name)
    found = features(*IMAGES, "--data.root", "flat", *SMALL)
    assert set(found.train.targets.tolist()) == {-1}
    assert found.classes == ()
    data = Features("photos.npz", classes=["odd", "even"])
    assert len(data.train_targets) == len(list(flat.iterdir()))
    assert Path(data.file_of(3)).is_file()


def test_a_test_set_of_the_data_is_kept(photos: Path) -> None:
    for number, path in enumerate(sorted(photos.glob("digit*/*.png"))):
        to = photos / ("train" if number % 3 else "test") / path.relative_to(photos)
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
    for folder in photos.glob("digit*"):
        folder.rmdir()
    found = features(*IMAGES, "--data.root", "photos", *SMALL)
    assert found.test is not None
    assert {file.split("/")[0] for file in found.train.files} == {"train"}
    assert {file.split("/")[0] for file in found.test.files} == {"test"}
    data = Features("photos.npz")
    assert [Path(file).is_file() for file in data.test_files()] == [True] * len(found.test)


def test_rows_without_files_and_a_network_of_ones_own(pixels: type[Pixels]) -> None:
    found = features(*OWN)
    data = Digits()
    (inputs,) = data.train_blocks()
    exact = inputs.flatten(1).view(len(inputs), 8, -1).sum(dim=2).numpy()
    np.testing.assert_array_equal(found.train.features, exact)
    assert found.test is not None
    assert found.test.targets.tolist() == data.test_targets.tolist()
    assert found.train.files == []
    assert len(set(found.train.checksums)) > 1390
    assert found.made_with["model"] == f"{__name__}.Pixels"


def test_half_precision_in_the_file_and_in_the_network(photos: Path) -> None:
    words = (*IMAGES, "--data.root", "photos", *SMALL)
    full = features(*words, out="a.npz").train.features
    half = features(*words, "--dtype", "float16", out="b.npz").train.features
    mixed = features(*words, "--trainer.precision", "bf16-mixed", out="c.npz").train.features
    assert (half.dtype, mixed.dtype) == (np.float16, np.float32)
    np.testing.assert_array_equal(half, full.astype(np.float16))
    assert 0 < np.abs(mixed - full).max() < 0.05 * np.abs(full).max()


def test_a_run_on_the_features(photos: Path, capsys: pytest.CaptureFixture) -> None:
    features(*IMAGES, "--data.root", "photos", *SMALL)
    words = "--data Features --data.path photos.npz --data.num_initial 5 --loop.query_size 2 --loop.num_rounds 1"
    main(["fit", *words.split(), "--trainer.max_epochs", "2", "--loop.run_dir", "run"])
    assert Path("run/rounds.csv").read_text().count("\n") == 3
    features(*IMAGES, "--data.root", "photos/digit0", "--data.classes", "[a, b]", *SMALL, out="more.npz")
    main(["predict", "run", "more.npz", "--out", "p.csv"])
    assert "photos/digit0/0.png" in Path("p.csv").read_text()


def test_people_label_photos_and_new_photos_join(photos: Path, capsys: pytest.CaptureFixture) -> None:
    flat = photos.parent / "flat"
    flat.mkdir()
    for path in photos.rglob("*.png"):
        path.rename(flat / f"{path.parent.name}_{path.name}")
    making = (*IMAGES, "--data.root", "flat", *SMALL)
    features(*making)
    words = "--data Features --data.path photos.npz --data.num_initial 6 --loop.query_size 3 --loop.oracle FileOracle"
    names = "[digit0, digit1, digit2]"
    main(["fit", *words.split(), "--data.classes", names, "--trainer.max_epochs", "2"])
    with Path("runs/photos/query.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert all(Path(row["file"]).is_file() for row in rows)
    tasks = json.loads(Path("runs/photos/query.json").read_text())
    assert [task["data"]["image"].endswith(row["file"]) for task, row in zip(tasks, rows, strict=True)] == [True] * 6
    for row in rows:
        row["label"] = Path(row["file"]).name.split("_")[0]
    with Path("runs/photos/query.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    new = save_digits(photos, 20, start=40)
    for path in photos.rglob("*.png"):
        path.rename(flat / f"a_{path.parent.name}_{path.name}")  # before all others
    features(*making, "--overwrite")
    capsys.readouterr()
    main(["fit", "runs/photos"])
    said = capsys.readouterr().out
    assert f"{new} new samples joined the pool" in said
    assert "round 0: 6 labels" in said
    main(["fit", "runs/photos"])  # mean and size are still those of the first photos
    assert "waits for 3 labels" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------------- interruptions


@pytest.mark.parametrize("stops_by", [Interrupted(signal.SIGTERM), OSError(errno.ENOSPC, "No space")])
def test_a_command_that_was_stopped_goes_on_to_the_same_bits(pixels: Any, stops_by: BaseException) -> None:
    whole = features(*OWN, out="whole.npz")
    num_blocks = pixels.num_calls
    pixels.num_calls, pixels.stops_at, pixels.stops_by = 0, 5, stops_by
    with pytest.raises(SystemExit):
        features(*OWN)
    assert not Path("photos.npz").exists()
    pixels.num_calls, pixels.stops_at = 0, None
    found = features(*OWN)
    assert pixels.num_calls == num_blocks - 3
    for one, other in ((found.train, whole.train), (found.test, whole.test)):
        assert one is not None
        assert other is not None
        assert one.features.tobytes() == other.features.tobytes()
        assert one.checksums == other.checksums
    assert [path.name for path in Path().glob("photos.npz*")] == ["photos.npz"]


def test_another_network_does_not_go_on(pixels: Any, capsys: pytest.CaptureFixture) -> None:
    pixels.stops_at = 5
    with pytest.raises(SystemExit):
        features(*OWN)
    pixels.stops_at = None
    said = refused(capsys, *OWN, "--seed_everything", "1", "--out", "photos.npz")
    assert "Expected the rows in photos.npz.part to be of the same job, but they are of other weights" in said


def test_a_full_disk_is_one_sentence(
    pixels: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(self: PartialRows, rows: np.ndarray) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "photos.npz.part")

    monkeypatch.setattr(PartialRows, "append", full)
    assert "error: No space left on device: photos.npz.part" in refused(capsys, *OWN, "--out", "photos.npz")


# ------------------------------------------------------------------------------------------------ a file that is there


def test_the_same_features_are_not_made_again(pixels: Any, capsys: pytest.CaptureFixture) -> None:
    features(*OWN)
    before, pixels.num_calls = Path("photos.npz").read_bytes(), 0
    features(*OWN)
    assert "photos.npz has the features of all 1797 samples already." in capsys.readouterr().out
    assert pixels.num_calls == 0
    assert Path("photos.npz").read_bytes() == before


def test_another_file_is_refused_or_replaced(pixels: Any, capsys: pytest.CaptureFixture) -> None:
    first = features(*OWN)
    said = refused(capsys, *OWN, "--seed_everything", "1", "--dtype", "float16", "--out", "photos.npz")
    assert "photos.npz has features of other weights and dtype; --overwrite" in said
    second = features(*OWN, "--dtype", "float16", "--overwrite")
    assert (first.train.features.dtype, second.train.features.dtype) == (np.float32, np.float16)
    Path("photos.npz").write_text("no archive")
    assert "an archive of arrays (.npz), but got something else" in refused(capsys, *OWN, "--out", "photos.npz")
    assert len(features(*OWN, "--overwrite").train) == 1400


def test_rows_of_known_images_are_taken_from_the_file(photos: Path, capsys: pytest.CaptureFixture) -> None:
    words = (*IMAGES, "--data.root", "photos", *SMALL, "--block_size", "8")
    first = features(*words)
    before = {file: row.tobytes() for file, row in zip(first.train.files, first.train.features, strict=True)}
    old, moved = Path(first.train.files[0]), Path("digit0/moved.png")
    (photos / old).rename(photos / moved)
    num = save_digits(photos, 20, start=40)
    capsys.readouterr()
    second = features(*words, "--overwrite")
    num_known = len(before)
    assert f"{num_known + num} samples to photos.npz, {num_known} of them from the file" in capsys.readouterr().out
    after = {file: row.tobytes() for file, row in zip(second.train.files, second.train.features, strict=True)}
    assert after.pop(str(moved)) == before.pop(str(old))
    assert before.items() <= after.items()
    exact = features(*words, out="anew.npz").train
    assert exact.files == second.train.files
    np.testing.assert_allclose(second.train.features, exact.features, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Expected `--data`, as in --data ImageFolder --data.root photos, but got none."),
        (["--data", "Digits"], "Expected `--model`, the network that makes the features, as in --model Backbone"),
        (["--data", "Digits", "--model", "Backbone"], "Expected `--model.name`, the name of a network, as in"),
        (["--data", "Digits", *SMALL], "Expected `--out`, the file of the features, as in --out photos.npz"),
        (["--data", "Digits", *SMALL, "--out", "x"], "Expected `--out` to be a .npz file, but got x."),
        (["--data", "Digits", *SMALL, "--out", "no/x.npz"], "`--out` to be in a folder that is there, but got no/x"),
        (["--data", "Digits", *SMALL, "--out", "x.npz", "--block_size", "0"], "`--block_size` to be at least 1, but"),
        (["--data", "Digits", *SMALL, "--out", "x.npz", "--dtype", "int8"], "Expected `dtype` to be one of 'float32'"),
        (["--data", "ImageFolder", *SMALL, "--out", "x.npz"], "Expected `data.root` to be given, the folder"),
        (["--data", "Digits", *SMALL, "--out", "x.npz", "--loop.seed", "3"], "Expected an option of this command"),
        (
            ["--data", "Digits", "--model", "Backbone", "--model.name", "smal_cnn", "--out", "x.npz"],
            "but got `smal_cnn`; did you mean small_cnn?",
        ),
        (
            ["--data", "Digits", "--model", "Backbone", "--model.name", "alexnet", "--out", "x.npz"],
            "Expected inputs that the network takes, but Backbone fails with: ",
        ),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], says: str, capsys: pytest.CaptureFixture) -> None:
    said = refused(capsys, *words)
    assert says in said
    assert said.strip().splitlines()[-1].startswith("al-lightning: error: ")
