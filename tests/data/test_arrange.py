"""Data in the order of a run that goes on: new samples come last, and samples that left keep their index."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from al_lightning.data import Arrays, ImageFolder, NumpyFiles, PoolDataModule
from al_lightning.data.growth import Begun
from tests.data.test_images import make, save_digits
from tests.helpers import generator


def begun_by(data: PoolDataModule) -> Begun:
    """What a run on these data would know."""
    num = len(data.indices_there)
    return Begun(
        data.fingerprint(), num, num, len(data.test_targets), 0, True, data.content(), tuple(data.known_files())
    )


def names(data: ImageFolder) -> list[str]:
    return [data.name_of(index) for index in range(len(data.train_targets))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_digits(tmp_path, 30)
    return tmp_path


def test_new_images_come_last_and_the_test_set_stays(folder: Path) -> None:
    before = make(folder)
    first, inputs = names(before), before.inputs_at(torch.arange(len(before.train_targets)))
    save_digits(folder, 20, start=30)
    after = make(folder)
    after.arrange(begun_by(before))
    assert names(after)[: len(first)] == first
    assert after.inputs_at(torch.arange(len(first))).equal(inputs)
    assert after.train_targets[: len(first)].equal(before.train_targets)
    assert after.test_files() == before.test_files()
    assert after.test_targets.equal(before.test_targets)
    new = list(range(len(first), len(after.train_targets)))
    assert (list(after.growth().new), after.growth().left) == (new, [])
    assert sorted(names(after)[len(first) :]) == names(after)[len(first) :]
    assert after.fingerprint() == before.fingerprint()
    known = after.known_indices()
    assert known is not None
    assert known.tolist() == list(range(len(first)))


def test_copies_of_images_of_a_drawn_test_set_join_the_pool(folder: Path) -> None:
    before = make(folder)
    known, tested = begun_by(before), before.test_files()
    (folder / "unlabeled").mkdir()
    for number, path in enumerate(tested[:2]):
        shutil.copy(path, folder / "unlabeled" / f"copy{number}.png")
    after = make(folder)
    after.arrange(known)
    assert [after.name_of(index) for index in after.growth().new] == ["unlabeled/copy0.png", "unlabeled/copy1.png"]
    assert after.test_files() == tested
    assert not after.growth().renamed


def test_a_sample_that_left_is_in_no_pool_and_keeps_its_index(folder: Path) -> None:
    before = make(folder)
    inputs, known, gone = before.inputs_at(torch.arange(7)), begun_by(before), 3
    Path(before.file_of(gone) or "").unlink()
    after = make(folder)
    after.arrange(known)
    assert names(after) == names(before)
    assert after.growth().left == [gone]
    assert after.known_indices() is None
    others = [index for index in range(len(before.train_targets)) if index != gone]
    assert after.unlabeled_indices.tolist() == after.indices_there.tolist() == others
    assert after.inputs_at(torch.tensor(others)).equal(inputs[others])
    assert int(after.train_targets[gone]) == -1
    after.num_initial = len(others)
    assert sorted(after.draw_initial(generator()).tolist()) == others
    after.accept_growth()
    assert not after.growth()
    assert after.begun == replace(begun_by(after), num_first=7)


def test_a_sample_of_the_inputs_is_there(folder: Path) -> None:
    """A sample of the inputs never asks for a sample that left."""
    before = make(folder)
    known = begun_by(before)
    Path(before.file_of(0) or "").unlink()
    after = make(folder)
    after.arrange(known)
    assert after.sample_inputs(2).equal(before.inputs_at(torch.tensor([1, 2])))


def test_data_can_be_arranged_for_another_run(folder: Path) -> None:
    data = make(folder)
    order = names(data)
    known = begun_by(data)
    save_digits(folder, 20, start=30)
    data.arrange(known)
    assert names(data)[: len(order)] == order
    data.arrange(None)
    assert names(data) == names(make(folder))
    assert not data.growth()


def save(path: Path, num: int, scale: float = 1.0) -> str:
    rng = np.random.RandomState(0)
    inputs, targets = rng.randn(60, 4)[:num], rng.randint(0, 2, 60)[:num]
    inputs[40:] *= scale
    np.savez(path, inputs=inputs, targets=targets)
    return str(path)


def test_new_rows_of_a_new_file_leave_the_old_ones_as_they_were(tmp_path: Path) -> None:
    before = NumpyFiles(save(tmp_path / "a.npz", 40))
    after = NumpyFiles(save(tmp_path / "b.npz", 60, scale=100))
    alone = NumpyFiles(save(tmp_path / "b.npz", 60, scale=100))
    after.arrange(begun_by(before))
    num = len(before.train_targets)
    old = torch.arange(num)
    assert after.inputs_at(old).equal(before.inputs_at(old))
    assert not alone.inputs_at(old).equal(before.inputs_at(old))  # its mean and its draw of the test set are others
    assert after.source.test_blocks()._inputs.equal(before.source.test_blocks()._inputs)  # type: ignore[attr-defined]
    assert list(after.growth().new) == list(range(num, num + 20))
    assert after.fingerprint() == before.fingerprint()
    assert [after.name_of(i) for i in (num, num + 19)] == ["b.npz:40", "b.npz:59"]
    after.accept_growth()
    assert after.fingerprint() == alone.fingerprint()
    again = NumpyFiles(save(tmp_path / "c.npz", 60, scale=100))
    again.arrange(after.begun)
    assert again.inputs_at(old).equal(before.inputs_at(old))
    assert not again.growth()


@pytest.mark.parametrize("row", [0, 39])
def test_rows_that_changed_are_seen(tmp_path: Path, row: int) -> None:
    before = NumpyFiles(save(tmp_path / "a.npz", 40))
    with np.load(save(tmp_path / "b.npz", 60)) as file:
        inputs, targets = file["inputs"], file["targets"]
    inputs[row, 0] = np.nextafter(inputs[row, 0], 10)
    np.savez(tmp_path / "b.npz", inputs=inputs, targets=targets)
    after = NumpyFiles(str(tmp_path / "b.npz"))
    after.arrange(begun_by(before))
    assert after.fingerprint() != before.fingerprint()


class Own(PoolDataModule):
    """Rows of one's own, of which there may be more later."""

    class_names = ("a", "b")

    def __init__(self, size: int) -> None:
        super().__init__(num_initial=4)
        self.size = size

    def load(self) -> Arrays:
        targets = torch.arange(self.size) % 2
        return Arrays(torch.arange(self.size)[:, None].float(), targets, torch.zeros(1, 1), torch.zeros(1).long())


def test_data_of_ones_own_may_append_rows() -> None:
    before, after = Own(10), Own(13)
    after.arrange(begun_by(before))
    assert after.fingerprint() == before.fingerprint()
    assert list(after.growth().new) == [10, 11, 12]
    fewer = Own(8)
    fewer.arrange(begun_by(before))
    assert fewer.fingerprint() != before.fingerprint()
