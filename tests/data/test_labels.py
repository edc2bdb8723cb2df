"""Labels in all usual forms, as class indices."""

from pathlib import Path

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from pandas import read_csv
from torch.utils.data import Dataset, Subset, TensorDataset

from al_lightning import ActiveLearningLoop, Arrays, Classifier, DataModuleAdapter, DatasetPool, Margin
from al_lightning.data.datamodule import PoolDataModule
from al_lightning.data.labels import class_indices, numbers_with_gaps
from al_lightning.data.targets import Labels
from al_lightning.errors import InputError
from tests.digits import FlatDigits
from tests.helpers import digits

SAME = [2, 0, 1, 1]


@pytest.mark.parametrize(
    "labels",
    [
        SAME,
        torch.tensor(SAME),
        torch.tensor(SAME, dtype=torch.uint8),
        torch.tensor(SAME, dtype=torch.float32),
        torch.tensor(SAME)[:, None],
        torch.tensor(SAME, dtype=torch.float64)[:, None],
        np.array(SAME, dtype=np.uint16),
        np.array(SAME, dtype=np.float16),
        np.array(SAME, dtype=object),
        np.array(SAME)[:, None],
        [np.array(y) for y in SAME],
        [np.int8(y) for y in SAME],
        [torch.tensor([y]) for y in SAME],
        [[y] for y in SAME],
        [float(y) for y in SAME],
        torch.eye(3)[SAME],
        list(torch.eye(3, dtype=torch.int32)[SAME]),
        torch.eye(3, dtype=torch.bool)[SAME],
        np.eye(3)[SAME],
        np.eye(3)[SAME].tolist(),
    ],
)
def test_labels_of_many_kinds_are_the_same_indices(labels: object) -> None:
    (found,), names, _ = class_indices([labels], "data")
    assert found.dtype == torch.int64
    assert found.tolist() == SAME
    assert names is None


def test_unknown_classes_stay_unknown() -> None:
    assert class_indices([[1.0, -1.0]], "data").targets[0].tolist() == [1, -1]
    assert class_indices([np.array(["b", "", "a"])], "data").targets[0].tolist() == [1, -1, 0]


def test_bools_are_two_classes() -> None:
    assert class_indices([[True, False]], "data").targets[0].tolist() == [1, 0]
    assert class_indices([torch.tensor([True, False])], "data").targets[0].tolist() == [1, 0]


def test_rows_have_a_class_for_each_column() -> None:
    assert class_indices([torch.eye(5)[[0, 1]], torch.eye(5)[[3]]], "data").num_classes == 5


def test_names_are_sorted_or_in_the_order_that_is_given() -> None:
    names = [["dog", "cat"], ["eel"]]
    assert class_indices(names, "data").names == ("cat", "dog", "eel")
    assert [part.tolist() for part in class_indices(names, "data").targets] == [[1, 0], [2]]
    told = class_indices(names, "data", ("eel", "dog", "cat", "ape"))
    assert [part.tolist() for part in told.targets] == [[1, 2], [0]]
    assert told.num_classes == 4


def test_a_name_may_be_composed_in_two_ways() -> None:
    found = class_indices([["caf\u00e9", "cafe\u0301"], ["bar"]], "data")
    assert [part.tolist() for part in found.targets] == [[1, 1], [0]]


def test_numbers_are_looked_up_among_names() -> None:
    assert class_indices([[7, 3, -1]], "data", ("3", "7")).targets[0].tolist() == [1, 0, -1]
    assert class_indices([[1, 3, 2]], "data", ("a", "b", "c")).targets[0].tolist() == [0, 2, 1]
    assert class_indices([[0, 2]], "data", ("a", "b", "c")).targets[0].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0.5, 1.0], "but got 0.5"),
        ([float("nan"), 1.0], "but got nan"),
        ([float("inf"), 1.0], "but got inf"),
        ([1j], "class indices"),
        ([0, None], "but got None"),
        ([0, "a"], "all numbers or all names, but got 'a' and 0; an unknown class is -1 or an empty name"),
        (["a", None], "but got 'a' and None"),
        ([0, -100], "or -1 where the class is unknown, but got -100"),
        (torch.tensor([[0.5, 0.5], [0.1, 0.9]]), "soft labels"),
        (torch.tensor([[1, 1], [0, 1]]), "several labels for a sample"),
        (torch.tensor([[1, 0], [0, 0]]), "several ones or none"),
        (torch.tensor([[3, 4], [5, 6]]), r"rows of shape \(2,\)"),
        (torch.zeros(2, 3, 3), r"rows of shape \(3, 3\)"),
        ([torch.zeros(2), torch.zeros(3)], "Tensor of shape"),
        ([2**70, 1], "too large"),
        (np.array([2**64 - 1], dtype=np.uint64), "but got 18446744073709551615"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "class indices"),
        (["skip", "a"], "other than skip and unlabeled"),
        ([{"boxes": 1}, {"boxes": 2}], "class indices"),
    ],
)
def test_other_labels_are_refused_in_one_sentence(labels: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        class_indices([labels], "data")
    assert "\n" not in str(error.value)


def test_parts_must_go_together() -> None:
    with pytest.raises(InputError, match="all numbers or all names, but got 3 and 'a'"):
        class_indices([["a"], [3]], "data")
    with pytest.raises(InputError, match="to be among the names of its classes, but got `b`"):
        class_indices([["a"], ["b"]], "data", ("a",))
    with pytest.raises(InputError, match="from 0 to 1, for its 2 names of classes, but got 7"):
        class_indices([[0, 1], [7]], "data", ("a", "b"))
    with pytest.raises(InputError, match="rows of one length, but got 2 and 3"):
        class_indices([torch.eye(2), torch.eye(3)], "data")


def test_gaps_are_seen_only_where_all_classes_are_known() -> None:
    assert numbers_with_gaps([torch.tensor([1, 2]), torch.tensor([3])]) == (1, 2, 3)
    assert numbers_with_gaps([torch.tensor([0, 2]), torch.tensor([1])]) is None
    assert numbers_with_gaps([torch.tensor([0, 2, -1])]) is None
    assert numbers_with_gaps([torch.tensor([], dtype=torch.int64)]) is None


class Shifted(FlatDigits):
    """Digits with other numbers as classes, in an array of some type."""

    no_settings = ("change",)

    def __init__(self, change, **kwargs) -> None:
        super().__init__(**kwargs)
        self.change = change

    def load(self) -> Arrays:
        arrays = super().load()
        return arrays._replace(
            train_targets=self.change(arrays.train_targets), test_targets=self.change(arrays.test_targets)
        )


def shifted(change) -> PoolDataModule:
    return Shifted(change, num_initial=30)


def datasets(change) -> PoolDataModule:
    arrays = digits()
    train = TensorDataset(arrays.train_inputs, change(arrays.train_targets))
    test = TensorDataset(arrays.test_inputs, change(arrays.test_targets))
    return DatasetPool(train, test, num_initial=30)


class Named(Dataset):
    def __init__(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        self.inputs, self.names = inputs, [f"digit {y}" for y in targets.tolist()]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int):
        return self.inputs[index], self.names[index]


def rounds_and_queries(
    folder: Path, data: PoolDataModule, num_outputs: int = 10
) -> tuple[list[float], list[list[int]]]:
    loop = ActiveLearningLoop(Margin(), query_size=10, num_rounds=1, run_dir=str(folder))
    trainer = L.Trainer(
        max_epochs=3, callbacks=[loop], logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    loop.run(trainer, Classifier(torch.nn.Linear(64, num_outputs)), data)
    rounds = read_csv(folder / "rounds.csv")["test_acc"].tolist()
    return rounds, read_csv(folder / "queries.csv")[["index", "label"]].to_numpy().tolist()


@pytest.mark.parametrize("make", [shifted, datasets])
@pytest.mark.parametrize("change", [lambda y: y + 1, lambda y: (7 * y + 3).double()[:, None]])
def test_numbers_with_gaps_give_the_run_of_the_numbers_from_0(tmp_path: Path, make, change) -> None:
    data = make(change)
    with pytest.warns(UserWarning, match="10 classes of .* are the numbers from .* counted from 0 in this order"):
        data.setup()
    numbers = change(torch.arange(10)).long().flatten().tolist()
    assert data.list_class_names() == list(map(str, numbers))
    assert data.count_classes() == 10
    assert data.train_targets.equal(digits().train_targets)
    assert data.test_targets.equal(digits().test_targets)
    expected = rounds_and_queries(tmp_path / "ours", FlatDigits(num_initial=30))
    assert rounds_and_queries(tmp_path / "theirs", data) == expected


def test_a_model_with_an_output_for_each_number_keeps_them(tmp_path: Path) -> None:
    data = shifted(lambda y: y + 1)
    _, queries = rounds_and_queries(tmp_path / "eleven", data, num_outputs=11)
    assert data.train_targets.equal(digits().train_targets + 1)
    assert data.count_classes() == 11
    assert data.list_class_names() == [str(c) for c in range(11)]
    assert all(label == int(digits().train_targets[index]) + 1 for index, label in queries)
    rounds_and_queries(tmp_path / "ten", data)  # the same data with another model
    assert data.train_targets.equal(digits().train_targets)
    assert data.list_class_names() == [str(c) for c in range(1, 11)]


def test_items_with_names_give_the_run_of_indices(tmp_path: Path) -> None:
    arrays = digits()
    train, test = Named(arrays.train_inputs, arrays.train_targets), Named(arrays.test_inputs, arrays.test_targets)
    data = DatasetPool(train, test, num_initial=30)
    expected = rounds_and_queries(tmp_path / "ours", FlatDigits(num_initial=30))
    assert rounds_and_queries(tmp_path / "theirs", data) == expected
    assert data.list_class_names() == [f"digit {c}" for c in range(10)]
    turned = DatasetPool(train, test, classes=[f"digit {c}" for c in range(9, -1, -1)])
    assert turned.train_targets.equal(9 - arrays.train_targets)


def test_tables_of_hugging_face_bring_their_names() -> None:
    hf = pytest.importorskip("datasets")
    features = hf.Features({"x": hf.Sequence(hf.Value("float32")), "label": hf.ClassLabel(names=["zebra", "ape"])})
    table = hf.Dataset.from_dict({"x": [[0.0, 1.0], [1.0, 0.0]], "label": [0, 1]}, features=features)
    turned = table.with_transform(lambda rows: {"x": rows["x"], "label": [1 - y for y in rows["label"]]})
    with pytest.warns(UserWarning, match="are those of its items"):
        assert DatasetPool(turned, turned, image_key="x", label_key="label").source.class_names is None
    assert Labels(table).class_names == Labels(Subset(table, [1])).class_names == ("zebra", "ape")


class Coarse(TensorDataset):
    classes = [f"fine {c}" for c in range(10)]

    @property
    def targets(self) -> torch.Tensor:
        return self.tensors[1]

    def __getitem__(self, index: int):
        x, y = super().__getitem__(index)
        return x, y // 5


class Theirs(L.LightningDataModule):
    def train_dataloader(self):
        return torch.utils.data.DataLoader(Coarse(digits().train_inputs, digits().train_targets))

    def test_dataloader(self):
        return torch.utils.data.DataLoader(Coarse(digits().test_inputs, digits().test_targets))


def test_names_of_other_classes_are_not_taken() -> None:
    data = DataModuleAdapter(Theirs())
    with pytest.warns(UserWarning, match="are those of its items"):
        assert data.count_classes() == 2
    assert data.list_class_names() == ["0", "1"]


def test_a_name_that_is_composed_in_two_ways_is_one_class() -> None:
    targets, names, _ = class_indices([["tea", "caf\u00e9"], ["cafe\u0301", ""]], "drinks")
    assert names is not None
    assert len(names) == 2
    assert names[targets[0][0]] == "tea"
    assert targets[0][1] == targets[1][0]
    given = class_indices([["tea", "caf\u00e9"]], "drinks", ["tea", "cafe\u0301"])
    assert given.targets[0].tolist() == [0, 1]
    assert given.names == ("tea", "cafe\u0301")
