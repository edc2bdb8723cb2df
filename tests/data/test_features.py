"""Files of features, and runs on them: scaling, classes, labels, growth, and what people are shown."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from al_lightning.data import Arrays, Datasets, Features
from al_lightning.data.features_file import FeaturesFile, Part, read_features, write_features
from al_lightning.data.growth import file_digest
from al_lightning.data.npz import read_npz
from al_lightning.errors import InputError
from tests.data.test_arrange import begun_by
from tests.data.test_images import save_digits

ROWS, LABELS = load_digits(return_X_y=True)
ROWS = ROWS.astype(np.float32)
NAMES = tuple(f"digit {i}" for i in range(10))


def photos(folder: Path, num: int = 30, unknown: int = 0) -> Path:
    """Images of digits in a folder for each class, and features of them: the pixels."""
    root = folder / "photos"
    root.mkdir(exist_ok=True)
    save_digits(root, num, classes=tuple(range(10)))
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    return write(folder / "photos.npz", root, files, unknown)


def write(path: Path, root: Path, files: list[str], unknown: int = 0, **made_with: str) -> Path:
    from PIL import Image

    rows = np.stack([np.asarray(Image.open(root / file).convert("L"), np.float32).ravel() for file in files])
    classes = tuple(sorted({Path(file).parts[0] for file in files}))
    targets = np.array([classes.index(Path(file).parts[0]) for file in files])
    targets[:unknown] = -1
    part = Part(rows, targets, files, checksums=[file_digest(root / file) for file in files])
    said = {"root": root.name, "model": "pixels", **made_with}
    write_features(path, FeaturesFile(part, classes=classes, made_with=said))
    return path


def rows_file(path: Path, num: int = 200, test: int = 0, **kwargs) -> Path:
    of_test = Part(ROWS[-test:], LABELS[-test:]) if test else None
    write_features(path, FeaturesFile(Part(ROWS[:num], LABELS[:num], **kwargs), of_test, NAMES, {"model": "pixels"}))
    return path


# ------------------------------------------------------------------------------------------------------------ the file


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_file_gives_back_what_was_written(tmp_path: Path, dtype: type) -> None:
    texts = ["", 'Ä\n"quoted", text', "\u4e16\u754c " * 9, "x" * 300, "\ud800 half"]
    part = Part(
        ROWS[:5].astype(dtype), LABELS[:5], [f"ü/{i}.png" for i in range(5)], texts, [f"{i:064x}" for i in range(5)]
    )
    test = Part(ROWS[5:8].astype(dtype), LABELS[5:8])
    write_features(tmp_path / "a.npz", FeaturesFile(part, test, NAMES, {"model": "ü", "seed": 3}))
    found = read_features(tmp_path / "a.npz")
    for one, other in ((found.train, part), (found.test, test)):
        assert one is not None
        assert one.features.dtype == dtype
        np.testing.assert_array_equal(one.features, other.features)
        assert one.targets.tolist() == other.targets.tolist()
        assert [one.files, one.texts, one.checksums] == [list(other.files), list(other.texts), list(other.checksums)]
    assert found.classes == NAMES
    assert found.made_with["model"] == "ü"
    assert found.made_with["seed"] == 3


def test_numpy_reads_a_file_and_its_rows_are_mapped_at_aligned_places(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "a.npz", files=[f"{'x' * (i % 7)}{i}.png" for i in range(200)])
    features = read_features(path).train.features
    assert isinstance(features, np.memmap)
    assert features.offset % 64 == 0
    with np.load(path) as archive:
        np.testing.assert_array_equal(archive["features"], ROWS[:200])
        assert archive["files"][3] == "xxx3.png"


def test_a_compressed_file_is_read_too(tmp_path: Path) -> None:
    path = rows_file(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "b.npz", **read_npz(path, "x"))
    np.testing.assert_array_equal(read_features(tmp_path / "b.npz").train.features, ROWS[:200])


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    one, other = (rows_file(tmp_path / name).read_bytes() for name in ("a.npz", "b.npz"))
    assert one == other


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "to be a file, but there is no"),
        (b"hello", "an archive of arrays .*, but got something else"),
        ("torn", "archive of arrays .*, but got a torn one"),
        ("flipped", "to be whole, but features.npy in it is torn"),
        ("arrays", "a file of `al-lightning features`, but it holds x, y; .*NumpyFiles"),
        ("other", "but got something else in `made_with`"),
        ("newer", "but got version 2 of the format, not 1"),
        ("shape", "but got features of float64"),
        ("targets", "targets that do not go with 4 features"),
        ("files", "files that do not go with 4 features"),
        ("class", "a target of 7 with 2 classes"),
        ("pickled", "an archive of arrays .*but got: Object arrays cannot be loaded"),
    ],
)
def test_torn_and_foreign_files_are_refused_in_one_sentence(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "a.npz"
    made_with = np.array(json.dumps({"format": "al-lightning features", "version": 1}))
    fine = {"features": np.zeros((4, 2), np.float32), "targets": np.arange(4), "made_with": made_with}
    arrays = {
        "arrays": {"x": np.zeros(3), "y": np.zeros(3)},
        "other": fine | {"made_with": np.array("{}")},
        "newer": fine | {"made_with": np.array(str(made_with).replace("1", "2"))},
        "shape": fine | {"features": np.zeros((4, 2))},
        "targets": fine | {"targets": np.arange(3)},
        "files": fine | {"files": np.array(["a"])},
        "class": fine | {"classes": np.array(["a", "b"]), "targets": np.full(4, 7)},
        "pickled": fine | {"features": np.array([{}])},
    }
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content in arrays:
        np.savez(path, **arrays[content])
    elif content is not None:
        whole = bytearray(rows_file(path).read_bytes())
        whole[5000] ^= content == "flipped"
        path.write_bytes(whole if content == "flipped" else whole[:-3000])
    with pytest.raises(InputError, match=words) as error:
        Features(str(path)).setup()
    assert "\n" not in str(error.value)


def test_features_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    rows = ROWS[:4].copy()
    rows[2, 5] = np.inf
    with pytest.raises(InputError, match="finite features, but those of c.png have NaN or infinity"):
        write_features(tmp_path / "a.npz", FeaturesFile(Part(rows, LABELS[:4], ["a", "b", "c.png", "d"])))
    assert not any(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------------------ the data


def test_center_takes_off_the_mean_and_keeps_the_geometry(tmp_path: Path) -> None:
    data = Features(str(rows_file(tmp_path / "a.npz", test=50)))
    inputs, exact = data.source.rows().blocks(), ROWS[:200].astype(float)
    (block,) = inputs
    mean = exact.mean(axis=0)
    size = np.sqrt(((exact - mean) ** 2).sum(axis=1).mean() / 64)
    np.testing.assert_allclose(block.numpy(), (exact - mean) / size, atol=1e-5)
    assert float((block.double() ** 2).sum(dim=1).mean()) == pytest.approx(64, rel=1e-5)
    (tested,) = data.test_blocks()
    np.testing.assert_allclose(tested.numpy(), (ROWS[-50:] - mean) / size, atol=1e-5)


def test_unit_and_none(tmp_path: Path) -> None:
    path = str(rows_file(tmp_path / "a.npz", test=50))
    (raw,) = Features(path, scaling="none").train_blocks()
    (unit,) = Features(path, scaling="unit").train_blocks()
    np.testing.assert_array_equal(raw.numpy(), ROWS[:200])
    np.testing.assert_allclose(unit.numpy(), ROWS[:200] / np.linalg.norm(ROWS[:200], axis=1)[:, None], rtol=1e-6)
    with pytest.raises(InputError, match="data.scaling` to be center or none or unit, but got standard"):
        Features(path, scaling="standard")  # type: ignore[arg-type]


def test_rows_without_any_difference_and_rows_of_zeros_stay_finite(tmp_path: Path) -> None:
    part = Part(np.zeros((6, 3), np.float32), np.array([0, 1] * 3))
    write_features(tmp_path / "a.npz", FeaturesFile(part))
    for scaling in ("center", "unit", "none"):
        (block,) = Features(str(tmp_path / "a.npz"), scaling=scaling, test_fraction=0.0).train_blocks()
        assert block.equal(torch.zeros(6, 3))


@pytest.mark.parametrize("scaling", ["center", "unit", "none"])
@pytest.mark.parametrize("test", [0, 40])
def test_features_on_disk_are_those_in_memory(tmp_path: Path, scaling: str, test: int) -> None:
    path = str(rows_file(tmp_path / "a.npz", test=test))
    memory, disk = (
        Features(path, scaling=scaling, max_memory=size, num_workers=0)  # type: ignore[arg-type]
        for size in (8.0, 0.0)
    )
    assert isinstance(memory.source, Arrays)
    assert isinstance(disk.source, Datasets)
    for name in ("train_blocks", "test_blocks"):
        assert torch.cat(list(getattr(memory, name)())).equal(torch.cat(list(getattr(disk, name)())))
    assert memory.fingerprint() == disk.fingerprint()
    assert memory.content() == disk.content()


def test_images_keep_their_files_and_the_folder_may_move(tmp_path: Path) -> None:
    path = photos(tmp_path)
    data = Features(str(path), test_fraction=0.2)
    assert len(data.test_files()) == len(data.test_targets) == 6
    files = [data.file_of(index) for index in range(len(data.train_targets))]
    assert all(Path(file).is_file() for file in files)
    assert not set(files) & set(data.test_files())
    assert [data.list_class_names()[t] for t in data.train_targets.tolist()] == [Path(f).parent.name for f in files]
    assert data.name_of(0) == Path(files[0]).relative_to(tmp_path / "photos").as_posix()
    assert data.picture_of(0) == Path(files[0])
    (tmp_path / "photos").rename(tmp_path / "moved")
    moved = Features(str(path), root=str(tmp_path / "moved"))
    assert Path(moved.file_of(0)).is_file()
    assert moved.fingerprint() == data.fingerprint()
    with pytest.raises(InputError, match="`data.root` to be a folder of images, but there is no"):
        Features(str(path), root=str(tmp_path / "photos"))


def test_rows_without_files_are_named_by_their_place(tmp_path: Path) -> None:
    data = Features(str(rows_file(tmp_path / "a.npz")))
    data.setup()
    assert data._test_rows is not None
    row = next(row for row in range(200) if row not in data._test_rows.tolist())
    assert data.file_of(0) == f"{tmp_path / 'a.npz'}:{row}"
    assert data.name_of(0) == f"a.npz:{row}"
    assert data.known_files() == data.test_files() == []
    assert data.picture_of(0) is None


def test_texts_are_shown(tmp_path: Path) -> None:
    data = Features(str(rows_file(tmp_path / "a.npz", 20, texts=[f"text {i}" for i in range(20)])), test_fraction=0.0)
    assert data.shows_texts
    assert data.text_of(7) == "text 7"
    assert data.name_of(7) == "a.npz:7"


def test_classes_by_option_and_of_the_file(tmp_path: Path) -> None:
    path = str(rows_file(tmp_path / "a.npz", test=30))
    backwards = Features(path, classes=[*reversed(NAMES), "another"])
    assert backwards.train_targets.tolist() == (9 - LABELS[:200]).tolist()
    assert backwards.test_targets.tolist() == (9 - LABELS[-30:]).tolist()
    assert backwards.count_classes() == 11
    with pytest.raises(InputError, match="name all classes of .*, but `digit 9` is missing; did you mean digit 8"):
        Features(path, classes=list(NAMES[:9])).setup()


def test_folders_of_images_that_are_no_classes_are_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"but `\w+` is missing; images without a class may be in a folder `unlab"):
        Features(str(photos(tmp_path)), classes=["circus", "quagmire"]).setup()


def test_a_row_that_became_not_finite_is_named_by_its_number(tmp_path: Path) -> None:
    arrays = {name: np.array(array) for name, array in read_npz(rows_file(tmp_path / "a.npz"), "data.path").items()}
    for value in (np.nan, np.inf):
        arrays["features"][123, 5] = value
        np.savez(tmp_path / "edited.npz", **arrays)
        with pytest.raises(InputError, match="those of row 123 have NaN or infinity"):
            Features(str(tmp_path / "edited.npz")).setup()


def test_without_any_class_the_names_are_needed(tmp_path: Path) -> None:
    write_features(tmp_path / "a.npz", FeaturesFile(Part(ROWS[:20], np.full(20, -1))))
    with pytest.raises(InputError, match="`data.classes` to name the classes, since .* has no labels"):
        Features(str(tmp_path / "a.npz")).setup()
    data = Features(str(tmp_path / "a.npz"), classes=["a", "b"])
    assert data.train_targets.tolist() == [-1] * 20
    assert len(data.test_targets) == 0


def test_labels_of_a_table_decide_on_the_test_set(tmp_path: Path) -> None:
    path = photos(tmp_path, unknown=30)
    files = read_features(path).train.files
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n" + "".join(f"{Path(file).name},{Path(file).parent}\n" for file in files[:20]))
    data = Features(str(path), labels=str(table))
    assert len(data.test_targets) == 4
    assert int((data.train_targets >= 0).sum()) == 16
    for index, target in enumerate(data.train_targets.tolist()):
        assert target < 0 or data.list_class_names()[target] == Path(data.file_of(index)).parent.name


def test_labels_of_rows(tmp_path: Path) -> None:
    write_features(tmp_path / "a.npz", FeaturesFile(Part(ROWS[:20], np.full(20, -1))))
    (tmp_path / "labels.csv").write_text("file,label\na.npz:3,cat\na.npz:7,dog\n")
    data = Features(str(tmp_path / "a.npz"), labels=str(tmp_path / "labels.csv"), test_fraction=0.0)
    assert data.list_class_names() == ["cat", "dog"]
    assert data.train_targets[[3, 7]].tolist() == [0, 1]


# ------------------------------------------------------------------------------------------- a file that is made again


def test_new_images_come_last_and_do_not_change_the_others(tmp_path: Path) -> None:
    before = Features(str(photos(tmp_path)))
    first = [before.name_of(index) for index in range(len(before.train_targets))]
    save_digits(tmp_path / "photos", 20, 30, tuple(range(10)))
    path = write(
        tmp_path / "more.npz",
        tmp_path / "photos",
        sorted(p.relative_to(tmp_path / "photos").as_posix() for p in (tmp_path / "photos").rglob("*.png")),
    )
    after = Features(str(path))
    after.arrange(begun_by(before))
    num = len(first)
    assert [after.name_of(index) for index in range(num)] == first
    assert list(after.growth().new) == list(range(num, num + 20))
    assert after.inputs_at(torch.arange(num)).equal(before.inputs_at(torch.arange(num)))
    assert after.train_targets[:num].equal(before.train_targets)
    assert after.test_files() == before.test_files()
    assert after.fingerprint() == before.fingerprint()
    assert after.content() == before.content()
    known = after.known_indices()
    assert known is not None
    assert known.tolist() == list(range(num))
    after.accept_growth()
    assert not after.growth()


def test_a_renamed_image_keeps_its_index_and_a_lost_one_leaves(tmp_path: Path) -> None:
    path = photos(tmp_path)
    before = Features(str(path))
    begun, gone, moved = begun_by(before), before.name_of(2), before.name_of(5)
    root = tmp_path / "photos"
    (root / gone).rename(tmp_path / "gone.png")
    shutil.move(root / moved, (root / moved).with_name("renamed.png"))
    write(path, root, sorted(p.relative_to(root).as_posix() for p in root.rglob("*.png")))
    after = Features(str(path))
    after.arrange(begun)
    assert after.growth().left == [2]
    assert after.growth().renamed == {5: moved}
    assert Path(after.file_of(5)).name == "renamed.png"
    others = [index for index in range(len(before.train_targets)) if index != 2]
    assert after.indices_there.tolist() == others
    assert after.known_indices() is None
    after.accept_growth()
    (tmp_path / "gone.png").rename(root / gone)
    write(path, root, sorted(p.relative_to(root).as_posix() for p in root.rglob("*.png")))
    again = Features(str(path))
    again.arrange(after.begun)
    assert list(again.growth().new) == [2]
    assert again.known_indices() is None  # its return changes the mean of all


def test_another_network_is_not_the_same_content(tmp_path: Path) -> None:
    path = photos(tmp_path)
    before = Features(str(path))
    begun = begun_by(before)
    files = list(read_features(path).train.files)
    after = Features(str(write(tmp_path / "other.npz", tmp_path / "photos", files, weights="others")))
    after.arrange(begun)
    assert after.content() != before.content()


def test_rows_without_names_may_be_followed_by_new_ones(tmp_path: Path) -> None:
    before = Features(str(rows_file(tmp_path / "a.npz", 100)))
    after = Features(str(rows_file(tmp_path / "b.npz", 130)))
    after.arrange(begun_by(before))
    num = len(before.train_targets)
    assert list(after.growth().new) == list(range(num, num + 30))
    assert after.inputs_at(torch.arange(num)).equal(before.inputs_at(torch.arange(num)))
    assert after.test_targets.equal(before.test_targets)
    assert after.fingerprint() == before.fingerprint()


def test_new_samples_are_scaled_as_those_of_the_run(tmp_path: Path) -> None:
    data = Features(str(rows_file(tmp_path / "a.npz", test=30)))
    other = Part(ROWS[300:310], np.full(10, -1), [f"{i}.png" for i in range(10)])
    said = {"model": "pixels", "root": "elsewhere"}
    write_features(tmp_path / "b.npz", FeaturesFile(other, made_with=said))
    (block,) = data.new_samples(tmp_path / "b.npz")
    assert block.names[3] == str(tmp_path / "elsewhere" / "3.png")
    scaler = data._scaler
    assert scaler is not None
    assert block.inputs.equal(scaler(ROWS[300:310]))
    write_features(tmp_path / "c.npz", FeaturesFile(other, made_with={"model": "another"}))
    with pytest.raises(InputError, match="c.npz to be made as .*a.npz was, but it was made with other model"):
        data.new_samples(tmp_path / "c.npz")
    write_features(tmp_path / "d.npz", FeaturesFile(replace(other, features=ROWS[:10, :8]), made_with=said))
    with pytest.raises(InputError, match="to hold 64 features of each sample, like .*, but got 8"):
        data.new_samples(tmp_path / "d.npz")
    with pytest.raises(InputError, match="a file of features, .* is a folder"):
        data.new_samples(tmp_path)
