"""Rows of an array on disk are read in blocks, to the bits that single rows have."""

from pathlib import Path

import numpy as np
import pytest
import torch

from al_lightning.data.datasets import DatasetBlocks, DatasetRows
from al_lightning.data.disk_rows import BLOCK_VALUES, DiskRows
from al_lightning.data.feature_scaling import FeatureScaler
from al_lightning.data.memory import in_memory
from al_lightning.data.standardize import Standardizer
from tests.helpers import generator

ROWS = torch.tensor([3, 4, 5, 9, 8, 2, 3])  # a slice, a backward step, a row twice


def on_disk(path: Path, array: np.ndarray) -> np.ndarray:
    np.save(path / "x.npy", array)
    return np.load(path / "x.npy", mmap_mode="r")


def floats(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", ">f4"])
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("scaling", ["none", "standard", "wide", "center", "unit"])
def test_a_block_has_the_bits_of_its_rows(tmp_path: Path, dtype: str, layout: str, scaling: str) -> None:
    drawn = np.random.default_rng(0).integers(0, 200, (12, 37)) / (1 if "int" in dtype else 7)
    drawn = drawn + (1e9 if scaling == "wide" and dtype in ("int64", "float64") else 0)
    array = on_disk(tmp_path, np.array(drawn.astype(dtype), order=layout))
    make = {
        "none": floats,
        "standard": Standardizer(array),
        "wide": Standardizer(array),
        "center": FeatureScaler("center", array, np.arange(12)),
        "unit": FeatureScaler("unit", array, np.arange(12)),
    }[scaling]
    expected = torch.stack([make(array[row]) for row in ROWS.tolist()])
    data = DiskRows(array, make, ROWS)
    assert len(data) == 7
    assert in_memory(data).equal(expected)
    assert torch.stack([data[i] for i in range(7)]).equal(expected)
    for block_size in (1, 2, 7):
        blocks = list(DatasetBlocks(data, block_size=block_size))
        assert torch.cat(blocks).equal(expected)
        assert all(block.is_contiguous() for block in blocks)  # a model computes other bits of other layouts
    assert data.take(torch.tensor([6, 0, 3])).equal(expected[[6, 0, 3]])
    assert DiskRows(array, make).take(torch.tensor([], dtype=torch.int64)).shape == (0, 37)


def test_memory_takes_all_blocks(tmp_path: Path) -> None:
    size = BLOCK_VALUES // 3
    array = on_disk(tmp_path, np.arange(3 * size, dtype=np.int32).reshape(3, size) % 251)
    assert in_memory(DiskRows(array, floats, torch.tensor([2, 0, 1, 0]))).equal(floats(array[[2, 0, 1, 0]]))
    assert in_memory(DiskRows(array, floats, torch.tensor([], dtype=torch.int64))).shape == (0, size)


def test_batches_to_train_on_draw_the_seeds_of_other_datasets(tmp_path: Path) -> None:
    array = on_disk(tmp_path, np.arange(24, dtype=np.float32).reshape(12, 2))
    data, targets = DiskRows(array, floats, ROWS), torch.tensor([1, 0])
    plain = [floats(array[row]) for row in ROWS.tolist()]
    drawn = [generator(5), generator(5)]
    batches = [
        torch.cat(list(DatasetRows(part, part).batches(iter([torch.tensor([4, 1])]), stream)))  # type: ignore[arg-type]
        for part, stream in zip((data, plain), drawn, strict=True)
    ]
    assert batches[0].equal(batches[1])
    assert drawn[0].get_state().equal(drawn[1].get_state())
    ((inputs, classes),) = DatasetRows(data, data).whole_batches(iter([(torch.tensor([4, 1]), targets)]))
    assert inputs.equal(floats(array[[8, 4]]))
    assert classes is targets


def test_blocks_leave_the_file_as_it_is(tmp_path: Path) -> None:
    array = on_disk(tmp_path, np.ones((4, 2), np.float32))
    DiskRows(array, floats).take(torch.tensor([0, 1])).zero_()
    assert (array == 1).all()
