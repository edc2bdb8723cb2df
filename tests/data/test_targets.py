"""Classes of samples: the items are right, even if an attribute differs."""

import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from al_lightning.data.targets import Labels, targets_of
from al_lightning.errors import InputError

NUM = 75
CLASSES = [i * 7 % 4 for i in range(NUM)]


class Listed(Dataset):
    """Has its targets in an attribute, or not at all."""

    def __init__(self, targets: list, attribute: str | None = None) -> None:
        self._given = targets
        self.num_reads = 0
        if attribute is not None:
            setattr(self, attribute, targets)

    def __len__(self) -> int:
        return len(self._given)

    def __getitem__(self, index: int):
        self.num_reads += 1
        return torch.zeros(2), self._given[index]


class Coarse(Listed):
    def __getitem__(self, index: int):
        x, y = super().__getitem__(index)
        return x, y // 2


class Transformed(Listed):
    target_transform = staticmethod(lambda y: 3 - y)

    def __getitem__(self, index: int):
        x, y = super().__getitem__(index)
        return x, self.target_transform(y)


class Wrapper(Dataset):
    """A wrapper that takes missing attributes from another dataset, like wrappers that add noise."""

    def __init__(self, dataset: Dataset, change) -> None:
        self.dataset = dataset
        self.change = change

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int):
        x, y = self.dataset[index]
        return x, self.change(index, y)

    def __getattr__(self, name: str):
        return getattr(self.__dict__["dataset"], name)


class Relabelled(TensorDataset):
    def __getitem__(self, index: int):
        x, y = super().__getitem__(index)
        return x, (y + 1) % 4


class Remapped(Subset):
    def __getitem__(self, index: int):
        x, y = super().__getitem__(index)
        return x, 3 - y

    def __getitems__(self, indices: list[int]):
        return [self[index] for index in indices]


def tensors(kind: type = TensorDataset) -> TensorDataset:
    return kind(torch.zeros(NUM, 2), torch.tensor(CLASSES))


ODD = {
    "coarse": (Coarse(CLASSES, "targets"), [y // 2 for y in CLASSES]),
    "target_transform": (Transformed(CLASSES, "targets"), [3 - y for y in CLASSES]),
    "target_transform in a subset": (
        Subset(Transformed(CLASSES, "targets"), range(10, 60)),
        [3 - y for y in CLASSES[10:60]],
    ),
    "one changed": (Wrapper(Listed(CLASSES, "targets"), lambda i, y: 0 if i == 37 else y), None),
    "relabelled tensors": (tensors(Relabelled), [(y + 1) % 4 for y in CLASSES]),
    "remapped subset": (Remapped(Listed(CLASSES, "targets"), range(60)), [3 - y for y in CLASSES[:60]]),
    "joined": (
        ConcatDataset([tensors(), Coarse(CLASSES, "labels")]),
        CLASSES + [y // 2 for y in CLASSES],
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_items_win_over_attributes(kind: str) -> None:
    data, expected = ODD[kind]
    assert CLASSES[37] == 3
    expected = [0 if i == 37 else y for i, y in enumerate(CLASSES)] if expected is None else expected
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert targets_of(data).tolist() == expected
    assert len(said) == (0 if kind == "remapped subset" else 1)  # a class of one's own, which has no attribute


def test_the_difference_is_named() -> None:
    data = Wrapper(Listed(CLASSES, "targets"), lambda i, y: 0 if i == 37 else y)
    with pytest.warns(
        UserWarning, match="of Wrapper are those of its items: its attribute `targets` says 3 where item"
    ):
        targets_of(data)


@pytest.mark.parametrize("attribute", ["targets", "labels", "_labels", None])
def test_attributes_that_agree_are_taken(attribute: str | None) -> None:
    data = Listed(CLASSES, attribute)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert targets_of(data).tolist() == CLASSES
        assert targets_of(Subset(data, [3, 0])).tolist() == [1, 0]
        assert targets_of(ConcatDataset([data, Subset(data, [1])])).tolist() == [*CLASSES, 3]
        assert targets_of(Listed([], attribute)).tolist() == []


def test_of_many_samples_not_all_are_read() -> None:
    many = [i * i % 7 for i in range(5000)]
    data = Listed(many, "targets")
    assert targets_of(data).tolist() == many
    assert data.num_reads < 700


class Bare(Dataset):
    def __init__(self) -> None:
        self.targets = np.array(CLASSES)

    def __len__(self) -> int:
        return NUM

    def __getitem__(self, index: int):
        return torch.zeros(2)


def test_items_without_a_class_have_that_of_the_attribute() -> None:
    assert targets_of(Bare()).tolist() == CLASSES
    with pytest.raises(InputError, match="pairs of input and target, but they have no class"):
        targets_of(TensorDataset(torch.zeros(NUM, 2)))


class Broken(Listed):
    @property
    def targets(self):
        raise RuntimeError("not downloaded")


def test_an_attribute_that_cannot_be_had_is_passed_over() -> None:
    assert targets_of(Broken(CLASSES)).tolist() == CLASSES


class Triples(Bare):
    def __getitem__(self, index: int):
        return torch.zeros(2), index % 3, CLASSES[index]


def test_the_class_may_be_any_part() -> None:
    assert targets_of(Triples()).tolist() == CLASSES
    assert targets_of(TensorDataset(torch.zeros(NUM, 2), torch.rand(NUM), torch.tensor(CLASSES))).tolist() == CLASSES
    assert Labels(Triples(), label_key=1).format.target_key == 1
    with pytest.warns(UserWarning, match="says"):
        assert targets_of(Triples(), label_key=1).tolist() == [i % 3 for i in range(NUM)]


def test_classes_that_change_are_refused() -> None:
    data = Wrapper(tensors(), lambda i, y: int(torch.randint(4, ())))
    with pytest.raises(InputError, match="classes of Wrapper to be the same each time they are read, but sample"):
        targets_of(data)


def test_rows_that_change_are_refused() -> None:
    data = Wrapper(tensors(), lambda i, y: torch.rand(4))
    with pytest.raises(InputError, match="classes of Wrapper to be the same each time they are read, but sample"):
        targets_of(data)


def test_reading_leaves_random_generators_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    targets_of(Wrapper(Listed(CLASSES), lambda i, y: y + 0 * int(torch.randint(4, ()))))
    assert torch.rand(2).equal(expected)


@pytest.mark.parametrize("target", [0.5, "cat", [1, 2], torch.zeros(2)])
def test_targets_that_are_no_class_indices_are_refused(target: object) -> None:
    with pytest.raises(InputError, match="class indices, one integer for each sample"):
        targets_of(Listed([target, target]))


def test_tables_of_hugging_face() -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"x": [[float(i), 0.0] for i in range(NUM)], "label": CLASSES})
    assert targets_of(table).tolist() == CLASSES
    assert targets_of(table.with_format("torch")).tolist() == CLASSES
    assert targets_of(Subset(table, [5, 1])).tolist() == [CLASSES[5], CLASSES[1]]
    turned = table.with_transform(lambda rows: {"x": rows["x"], "label": [3 - y for y in rows["label"]]})
    with pytest.warns(UserWarning, match="its column `label` says 0 where item 0 says 3"):
        assert targets_of(turned).tolist() == [3 - y for y in CLASSES]
    two = datasets.Dataset.from_dict({"x": [[0.0]] * 3, "fine_label": [0, 1, 2], "coarse_label": [0, 0, 1]})
    with pytest.raises(InputError, match="say which by `data.label_key`"):
        targets_of(two)
    assert targets_of(two, label_key="coarse_label").tolist() == [0, 0, 1]
