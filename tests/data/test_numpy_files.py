"""Arrays in files: images, tables, names of classes, and files of other formats."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_wine

from al_lightning.data import Arrays, Datasets, NumpyFiles
from al_lightning.errors import InputError

INPUTS, TARGETS = load_wine(return_X_y=True)  # 178 rows of 13 features, 3 classes


def npz(tmp_path: Path, **arrays: np.ndarray) -> str:
    np.savez(tmp_path / "data.npz", **arrays)
    return str(tmp_path / "data.npz")


def npy(tmp_path: Path, **arrays: np.ndarray) -> dict[str, str]:
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return {name: str(tmp_path / f"{name}.npy") for name in arrays}


@pytest.mark.parametrize(
    "names",
    [
        ("train_inputs", "train_targets", "test_inputs", "test_targets"),
        ("x_train", "y_train", "x_test", "y_test"),
    ],
)
def test_a_file_with_a_test_set(tmp_path: Path, names: tuple[str, ...]) -> None:
    parts = dict(zip(names, (INPUTS[50:], TARGETS[50:], INPUTS[:50], TARGETS[:50]), strict=True))
    data = NumpyFiles(npz(tmp_path, **parts))
    assert isinstance(data.source, Arrays)
    assert data.train_targets.tolist() == TARGETS[50:].tolist()
    assert data.test_targets.tolist() == TARGETS[:50].tolist()
    expected = (INPUTS - INPUTS[50:].mean(axis=0)) / INPUTS[50:].std(axis=0)
    np.testing.assert_allclose(data.source.train_inputs.numpy(), expected[50:], atol=1e-4)
    np.testing.assert_allclose(data.source.test_inputs.numpy(), expected[:50], atol=1e-4)
    assert data.count_classes() == 3


@pytest.mark.parametrize("names", [("inputs", "targets"), ("x", "y"), ("X", "y")])
def test_a_test_set_is_drawn_if_there_is_none(tmp_path: Path, names: tuple[str, str]) -> None:
    data = NumpyFiles(npz(tmp_path, **dict(zip(names, (INPUTS, TARGETS), strict=True))), standardize=False)
    assert (len(data.train_targets), len(data.test_targets)) == (142, 36)
    rows = torch.cat([data.source.train_inputs, data.source.test_inputs]).numpy()
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, INPUTS.astype(np.float32).tolist()))


def test_images_are_standardised_as_a_whole(tmp_path: Path) -> None:
    images = load_digits().images.astype(np.uint8)
    data = NumpyFiles(npz(tmp_path, x=images, y=load_digits().target), test_fraction=0.0)
    assert data.sample_inputs(3).shape == (3, 8, 8)
    assert float(data.source.train_inputs.mean()) == pytest.approx(0, abs=1e-4)
    assert float(data.source.train_inputs.std()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_arrays_that_stay_on_disk_are_those_in_memory(tmp_path: Path, num_workers: int, drawn: bool) -> None:
    parts = npy(tmp_path, train_inputs=INPUTS, train_targets=TARGETS)
    if not drawn:
        parts |= npy(tmp_path, test_inputs=INPUTS[:20] + 1, test_targets=TARGETS[:20])
    memory, disk = NumpyFiles(**parts), NumpyFiles(**parts, max_memory=0, num_workers=num_workers)
    assert isinstance(disk.source, Datasets)
    for name in ("pool_blocks", "test_blocks"):
        assert torch.cat(list(getattr(memory, name)())).equal(torch.cat(list(getattr(disk, name)())))
    assert memory.train_targets.equal(disk.train_targets)
    assert memory.fingerprint() == disk.fingerprint()


def test_classes_by_name_and_unknown_ones(tmp_path: Path) -> None:
    names = np.array(["barolo", "grignolino", "barbera"])[TARGETS]
    names[:10] = ""
    data = NumpyFiles(npz(tmp_path, x=INPUTS, y=names), test_fraction=0.0)
    data.setup()
    assert data.class_names == ("barbera", "barolo", "grignolino")
    assert data.train_targets.tolist() == [-1] * 10 + [[1, 2, 0][t] for t in TARGETS[10:]]
    ordered = NumpyFiles(
        npz(tmp_path, x=INPUTS, y=names), test_fraction=0.0, classes=["barolo", "grignolino", "barbera"]
    )
    assert ordered.train_targets.tolist() == [-1] * 10 + TARGETS[10:].tolist()


def test_a_file_without_targets_has_unknown_classes_if_these_are_named(tmp_path: Path) -> None:
    names = ["barbera", "barolo", "grignolino"]
    for data in (
        NumpyFiles(npz(tmp_path, x=INPUTS), classes=names),
        NumpyFiles(train_inputs=npy(tmp_path, x=INPUTS)["x"], classes=names),
    ):
        data.setup()
        assert data.train_targets.tolist() == [-1] * 178
        assert data.class_names == tuple(names)
    for tested, known in ((TARGETS, TARGETS), (np.array(names)[TARGETS], TARGETS)):
        file = npz(tmp_path, x_train=INPUTS, x_test=INPUTS, y_test=tested)
        data = NumpyFiles(file, classes=names)
        data.setup()
        assert data.train_targets.tolist() == [-1] * 178
        assert data.test_targets.tolist() == known.tolist()


def test_a_name_of_a_class_may_be_composed_in_two_ways(tmp_path: Path) -> None:
    names = np.array(["caf\u00e9", "cafe\u0301", "tea"])[TARGETS]
    path = npz(tmp_path, x=INPUTS, y=names)
    data = NumpyFiles(path, test_fraction=0.0)
    assert data.train_targets.tolist() == [[0, 0, 1][t] for t in TARGETS]
    assert data.count_classes() == 2
    given = NumpyFiles(path, test_fraction=0.0, classes=["tea", "caf\u00e9"])
    assert given.train_targets.tolist() == [[1, 1, 0][t] for t in TARGETS]
    assert given.class_names == ("tea", "caf\u00e9")
    with pytest.raises(InputError, match="Expected distinct names of classes"):
        NumpyFiles(path, classes=["tea", "caf\u00e9", "cafe\u0301"]).setup()


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y[:, None],
        lambda y: y.astype(float),
        lambda y: y.astype(np.float32)[:, None],
        lambda y: y.astype(np.uint8),
        lambda y: np.eye(3)[y],
        lambda y: np.eye(3, dtype=bool)[y],
    ],
)
@pytest.mark.parametrize("classes", [None, ["a", "b", "c"]])
def test_classes_may_be_columns_whole_numbers_or_rows_with_a_single_one(tmp_path: Path, change, classes) -> None:
    data = NumpyFiles(npz(tmp_path, x=INPUTS, y=change(TARGETS)), test_fraction=0.0, classes=classes)
    assert data.train_targets.tolist() == TARGETS.tolist()
    assert data.count_classes() == 3


def test_rows_with_a_single_one_count_the_classes_that_no_sample_has(tmp_path: Path) -> None:
    data = NumpyFiles(npz(tmp_path, x=INPUTS, y=np.eye(5)[TARGETS]), test_fraction=0.0)
    assert data.count_classes() == 5


def test_a_column_of_names(tmp_path: Path) -> None:
    names = np.array(["b", "a", "c"])[TARGETS][:, None]
    data = NumpyFiles(npz(tmp_path, x=INPUTS, y=names), test_fraction=0.0)
    assert [data.list_class_names()[t] for t in data.train_targets.tolist()] == names[:, 0].tolist()


def test_numbers_from_1_are_the_classes_in_their_order(tmp_path: Path) -> None:
    data = NumpyFiles(npz(tmp_path, x=INPUTS, y=TARGETS + 1), test_fraction=0.0, classes=["a", "b", "c"])
    assert data.train_targets.tolist() == TARGETS.tolist()


def test_unknown_samples_are_not_tested_on(tmp_path: Path) -> None:
    targets = TARGETS.copy()
    targets[::2] = -1
    data = NumpyFiles(npz(tmp_path, x=INPUTS, y=targets), test_fraction=0.5)
    assert (data.test_targets >= 0).all()
    assert len(data.test_targets) == round((targets >= 0).sum() / 2)
    assert (data.train_targets < 0).sum() == (targets < 0).sum()


def test_features_of_large_numbers_are_learned(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 400)
    seconds = 1_700_000_000 + 40 * targets + rng.integers(0, 30, 400)  # within what float32 takes for one number
    inputs = np.stack([seconds, rng.integers(0, 9, 400)], axis=1)
    data = NumpyFiles(npz(tmp_path, x=inputs, y=targets))
    file_rows = [int(str(data.file_of(i)).rpartition(":")[2]) for i in range(len(data.train_targets))]
    known = seconds[file_rows].astype(object)
    mean = sum(known) / len(known)
    expected = (seconds[file_rows] - mean) / np.std(seconds[file_rows] - 1_700_000_000)
    source = data.source
    assert isinstance(source, Arrays)
    np.testing.assert_allclose(source.train_inputs[:, 0].numpy(), expected, atol=1e-5)
    threshold = (1_700_000_035 - mean) / np.std(seconds[file_rows] - 1_700_000_000)
    assert ((source.test_inputs[:, 0] > threshold).long() == data.test_targets).all()
    assert source.train_inputs.dtype == torch.float32
    assert f", {inputs[file_rows[3], 1]}" in data.text_of(3)
    assert data.text_of(3).startswith(str(seconds[file_rows[3]]))


def test_a_run_on_rounded_features_is_not_that_on_whole_ones(tmp_path: Path) -> None:
    small, large = npy(tmp_path, train_inputs=INPUTS, train_targets=TARGETS), {"train_inputs": str(tmp_path / "l.npy")}
    np.save(large["train_inputs"], INPUTS + 1e9)

    def content(parts: dict[str, str]) -> str:
        return hashlib.sha256(
            b"".join(Path(parts[name]).read_bytes() for name in ("train_inputs", "train_targets"))
        ).hexdigest()

    assert NumpyFiles(**small).fingerprint() == content(small)  # as it always was
    assert NumpyFiles(**{**small, **large}).fingerprint() != content({**small, **large})


def test_test_values_that_are_far_outside_are_cut_and_named(tmp_path: Path) -> None:
    odd = INPUTS[:20].copy()
    odd[3, 5] = 1e30
    data = NumpyFiles(npz(tmp_path, x_train=INPUTS, y_train=TARGETS, x_test=odd, y_test=TARGETS[:20]))
    with pytest.warns(UserWarning, match="Some test values of feature 5 are far outside"):
        data.setup()
    assert isinstance(data.source, Arrays)
    assert data.source.test_inputs.abs().max() < 100


def test_large_numbers_without_standardisation_are_warned_of(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.c_[INPUTS, 1e12 + TARGETS], y=TARGETS)
    with pytest.warns(UserWarning, match="`data.standardize` = False, but it rounds feature 13 of"):
        NumpyFiles(path, standardize=False).setup()


def test_another_content_changes_the_fingerprint(tmp_path: Path) -> None:
    before = NumpyFiles(npz(tmp_path, x=INPUTS, y=TARGETS)).fingerprint()
    assert NumpyFiles(npz(tmp_path, x=INPUTS + 1, y=TARGETS)).fingerprint() != before


BAD_FILES = {
    "objects": ({"x": np.array([None, {}]), "y": TARGETS[:2]}, "to be an array that can be read"),
    "one dimension": ({"x": INPUTS[:, 0], "y": TARGETS}, r"to be numbers of shape \(N, ...\), but got float64"),
    "words": ({"x": INPUTS.astype(str), "y": TARGETS}, "to be numbers"),
    "beyond float32": ({"x": INPUTS * 1e39, "y": TARGETS}, "finite numbers of the range of float32"),
    "no features": ({"x": INPUTS[:, :0], "y": TARGETS}, "to be numbers"),
    "numbers of samples": ({"x": INPUTS, "y": TARGETS + 2**31 - 5}, "from 0 to 99999, or -1"),
    "unsigned": ({"x": INPUTS, "y": np.full(178, 2**64 - 1, np.uint64)}, "but got 18446744073709551615"),
    "odd bytes": ({"x": INPUTS, "y": np.array([b"\xff"] * 178)}, "of bytes to be names in ASCII|in ASCII where"),
    "untested classes": (
        {"x": INPUTS, "y": TARGETS, "x_test": INPUTS, "y_test": TARGETS - 1},
        "classes of all 178 test samples, but 59 have none",
    ),
    "not finite": (
        {"x": np.where(INPUTS > 1000, np.nan, INPUTS), "y": TARGETS},
        "finite numbers of the range of float32 in `x`",
    ),
    "no targets": ({"x": INPUTS}, "y_train, targets, y, but it holds x; .* by `data.classes`"),
    "fractions": ({"x": INPUTS, "y": TARGETS / 2}, "to be class indices, .*but got 0.5"),
    "times": ({"x": INPUTS, "y": np.full(178, "2024-01-01", "datetime64[D]")}, "to be class indices or names"),
    "several labels": ({"x": INPUTS, "y": np.ones((178, 3), int)}, "rows with several ones or none"),
    "three columns of names": ({"x": INPUTS, "y": np.full((178, 3), "a")}, "class indices or names of shape"),
    "numbers and names": (
        {"x": INPUTS, "y": TARGETS, "x_test": INPUTS, "y_test": TARGETS.astype(str)},
        "all numbers or all names",
    ),
    "too few targets": ({"x": INPUTS, "y": TARGETS[:5]}, "as many train_targets as train_inputs, 178, but got 5"),
    "negative": ({"x": INPUTS, "y": TARGETS - 2}, "class indices from 0 to 99999, or -1, but got -2"),
    "half a test set": ({"x": INPUTS, "y": TARGETS, "x_test": INPUTS}, "or neither, but it holds one"),
    "other features": (
        {"x": INPUTS, "y": TARGETS, "x_test": INPUTS[:, 1:], "y_test": TARGETS},
        r"test_inputs of shape \(N, \(13,\)\), but got \(178, 12\)",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_hold_something_else_are_refused(tmp_path: Path, case: str) -> None:
    arrays, words = BAD_FILES[case]
    with pytest.raises(InputError, match=words):
        NumpyFiles(npz(tmp_path, **arrays)).setup()


def test_classes_that_do_not_go_with_the_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="from 0 to 1, or -1, but got 2"):
        NumpyFiles(npz(tmp_path, x=INPUTS, y=TARGETS), classes=["a", "b"]).setup()
    with pytest.raises(InputError, match="among `data.classes`, but got `2`"):
        NumpyFiles(npz(tmp_path, x=INPUTS, y=TARGETS.astype(str)), classes=["0", "1"]).setup()


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("x")
    torn = Path(npz(tmp_path, x=INPUTS, y=TARGETS))
    torn.write_bytes(torn.read_bytes()[:1000])
    for path, words in (
        (tmp_path / "none.npz", "there is no"),
        (tmp_path / "text.npz", "NumPy arrays"),
        (torn, "NumPy"),
    ):
        with pytest.raises(InputError, match=words) as error:
            NumpyFiles(str(path)).setup()
        assert str(path) in str(error.value)
        assert str(error.value).count("Expected") == 1
    with pytest.raises(InputError, match=r"to be a .npz file"):
        NumpyFiles(npy(tmp_path, x=INPUTS)["x"]).setup()
    file = npz(tmp_path, x=INPUTS, y=TARGETS)
    with pytest.raises(InputError, match=r"to be a .npy file"):
        NumpyFiles(train_inputs=file, train_targets=file).setup()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "but got none"),
        ({"train_inputs": "a.npy"}, "but got `data.train_inputs`"),
        ({"path": "a.npz", "train_inputs": "a.npy"}, "but got both"),
        ({"train_inputs": "a.npy", "train_targets": "b.npy", "test_inputs": "c.npy"}, "but got one of them"),
        ({"path": "a.npz", "num_workers": -1}, "`data.num_workers`"),
    ],
)
def test_files_that_do_not_make_a_data_set_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        NumpyFiles(**arguments)


@pytest.mark.parametrize("drawn", [False, True])
def test_a_sample_knows_its_row_and_its_values(tmp_path: Path, drawn: bool) -> None:
    more = {} if drawn else {"x_test": INPUTS[:9], "y_test": TARGETS[:9]}
    path = npz(tmp_path, x=INPUTS, y=TARGETS, **more)
    data = NumpyFiles(path, standardize=False)
    for index in (0, 57, 140):
        file, _, row = data.file_of(index).rpartition(":")
        assert file == path
        assert drawn or row == str(index)
        assert data.train_targets[index] == TARGETS[int(row)]
        np.testing.assert_allclose(data.inputs_at(torch.tensor([index]))[0].numpy(), INPUTS[int(row)], rtol=1e-5)
        assert [float(value) for value in data.text_of(index).split(", ")] == pytest.approx(INPUTS[int(row)].tolist())
