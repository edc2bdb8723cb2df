"""Parts of a data set number their classes in the same way, or are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import ToTensor

from al_lightning.data import DatasetPool
from al_lightning.errors import InputError


class Named(Dataset):
    def __init__(self, classes: Any = None, **attributes: Any) -> None:
        self.classes = classes
        self.__dict__ |= attributes

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((2,), float(index)), index % 3


def test_folders_of_torchvision_that_lack_a_class_number_the_others_otherwise(tmp_path: Path) -> None:
    from PIL import Image

    for part, names in (("train", ["bird", "cat", "dog"]), ("test", ["cat", "dog"])):
        for name in names:
            (tmp_path / part / name).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(tmp_path / part / name / "1.png")
    train, test = (ImageFolder(str(tmp_path / part), ToTensor()) for part in ("train", "test"))
    with pytest.raises(InputError, match="class 0 is `bird` in ImageFolder of the training part and `cat` in I"):
        DatasetPool(train, test, num_initial=1).setup()


@pytest.mark.parametrize(
    "test",
    [
        Named(["b", "a", "c"]),
        Subset(Named(["b", "a", "c"]), range(6)),
        ConcatDataset([Named(["a", "b", "c"]), Named(["a", "c", "b"])]),
        Named(class_to_idx={"b": 0, "a": 1, "c": 2}),
    ],
)
def test_lists_in_another_order_are_refused(test: Dataset) -> None:
    with pytest.raises(InputError, match="number their classes alike"):
        DatasetPool(Named(["a", "b", "c"]), test, num_initial=1).setup()


@pytest.mark.parametrize(
    "test",
    [
        Named(["a", "b", "c"]),
        Named(["a", "b"]),
        Named([3, 4, 5]),
        Named(class_to_idx={"c": 2, "a": 0, "b": 1}),
        Named("abc"),
        TensorDataset(torch.zeros(4, 2), torch.tensor([0, 1, 2, 0])),
        Named(["x", "y", "z"], targets=[1] * 12),  # items say something else than the attribute that the names are of
    ],
)
def test_other_lists_say_nothing_else(test: Dataset) -> None:
    data = DatasetPool(Named(["a", "b", "c"]), test, num_initial=1)
    data.setup()
    assert data.test_targets.tolist() == [int(test[i][1]) for i in range(len(test))]  # type: ignore[arg-type]
