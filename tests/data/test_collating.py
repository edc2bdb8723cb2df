"""Batches of whole items, as a DataLoader would make them but with the known classes, and their inputs."""

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, default_collate

from al_lightning.data import Arrays, DatasetPool, PoolDataModule
from al_lightning.data.collating import Collator
from al_lightning.data.datasets import Datasets
from al_lightning.errors import InputError

CLASSES = torch.tensor([2, 0, 1, 1, 2, 0, 1, 2, 0, 0, 1, 2])
IMAGES = torch.randn(12, 3, 4, 4)
ALL = list(range(12))
Sample = namedtuple("Sample", "image label index")


class Items(Dataset):
    """A list of items."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def items(make: Any) -> Items:
    return Items([make(i, IMAGES[i], int(CLASSES[i])) for i in ALL])


def collated(data: Items, order: list[int], answers: list[int], collate_fn: Any = None, **kwargs: Any) -> Any:
    """A training batch with the labeler's answers, and the inputs of the same samples to score."""
    source = Datasets(data, data, collate_fn=collate_fn, **kwargs)
    rows = source.rows()
    (batch,) = rows.whole_batches(iter([(torch.tensor(order), torch.tensor(answers))]))
    (block,) = rows.blocks(torch.tensor(order))
    (tested,) = source.test_blocks().whole_batches([CLASSES[: len(data)]])
    return batch, block, tested


WHOLE = {
    "triple": lambda i, x, y: (x, y, i),
    "index first": lambda i, x, y: (i, x, y),
    "weight": lambda i, x, y: (x, y, 0.5 + i),
    "named tuple": lambda i, x, y: Sample(x, y, i),
    "mapping": lambda i, x, y: {"image": x, "label": y, "index": i, "file": f"{i}.png"},
    "nested": lambda i, x, y: ({"image": x, "mask": x > 0}, y),
}


@pytest.mark.parametrize("form", WHOLE)
def test_a_batch_is_that_of_a_data_loader_with_other_classes(form: str) -> None:
    make = WHOLE[form]
    batch, _, tested = collated(items(make), [4, 1, 0], [1, 1, 0])
    expected = default_collate([make(i, IMAGES[i], y) for i, y in zip([4, 1, 0], [1, 1, 0], strict=True)])
    assert _flat(batch) == _flat(expected)
    assert type(batch) is type(expected)
    assert _flat(tested) == _flat(default_collate(list(items(make).items)))


def _flat(part: Any) -> Any:
    if isinstance(part, Tensor):
        return part.dtype, part.tolist()
    if isinstance(part, dict):
        return {key: _flat(value) for key, value in part.items()}
    return [_flat(value) for value in part] if isinstance(part, list | tuple) else part


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("triple", (IMAGES, torch.arange(12))),
        ("index first", (IMAGES, torch.arange(12))),
        ("named tuple", (IMAGES, torch.arange(12))),
        ("mapping", {"image": IMAGES, "index": torch.arange(12)}),
        ("nested", {"image": IMAGES, "mask": IMAGES > 0}),
    ],
)
def test_the_inputs_are_the_batch_without_the_class_and_begin_with_the_input(form: str, expected: Any) -> None:
    _, block, _ = collated(items(WHOLE[form]), ALL, [0] * 12)
    assert _flat(block) == _flat(expected)


@pytest.mark.parametrize(
    "label",
    [
        lambda y: torch.tensor(y),
        lambda y: torch.tensor([y]),
        lambda y: torch.tensor([float(y)]),
        lambda y: np.int32(y),
        lambda y: float(y),
        lambda y: "abc"[y],
        lambda y: torch.eye(3)[y],
    ],
)
def test_classes_are_integers_of_one_dimension_however_the_items_have_them(label: Any) -> None:
    batch, _, tested = collated(items(lambda i, x, y: {"image": x, "label": label(y)}), [3, 0], [0, 2])
    assert batch["label"].dtype == torch.int64
    assert batch["label"].tolist() == [0, 2]
    assert tested["label"].equal(CLASSES)


TOKENS = [torch.tensor([5, 6, 7]), torch.tensor([8]), torch.tensor([9, 300]), torch.tensor([1]), torch.tensor([2, 3])]


def padding(batch: list[dict[str, Any]]) -> dict[str, Tensor]:
    ids = pad_sequence([item["ids"] for item in batch], batch_first=True)
    return {"ids": ids, "mask": (ids > 0).long(), "labels": torch.tensor([item["label"] for item in batch])}


def test_a_function_of_the_user_makes_batches_of_any_length() -> None:
    data = Items([{"ids": ids, "label": int(y)} for ids, y in zip(TOKENS, CLASSES[:5], strict=True)])
    batch, block, tested = collated(data, [1, 2], [2, 1], padding)
    assert batch["ids"].tolist() == [[8, 0], [9, 300]]
    assert batch["labels"].tolist() == [2, 1]
    assert _flat(block) == _flat({"ids": batch["ids"], "mask": torch.tensor([[1, 0], [1, 1]])})
    assert tested["labels"].equal(CLASSES[:5])
    assert Datasets(data, data, collate_fn=padding).rows().blocks().is_ragged


@pytest.mark.parametrize(
    ("make_batch", "inputs_of"),
    [
        (lambda x, y: (x, y), lambda block: block),
        (lambda x, y: (y, x), lambda block: block),
        (lambda x, y: ({"x": x}, y), lambda block: block["x"]),
        (lambda x, y: {"z": y, "x": x}, lambda block: block["x"]),
        (lambda x, y: (x, torch.ones(len(x)), y[:, None].float()), lambda block: block[0]),
    ],
)
@pytest.mark.parametrize("as_names", [False, True])
def test_the_class_is_found_in_a_batch_by_what_depends_on_it(make_batch: Any, inputs_of: Any, as_names: bool) -> None:
    def function(samples: list[Any]) -> Any:
        classes = ["abc".index(y) if isinstance(y, str) else y for _, y in samples]
        return make_batch(torch.stack([x for x, _ in samples]), torch.tensor(classes))

    data = items(lambda i, x, y: (x, "abc"[y] if as_names else y))
    batch, block, _ = collated(data, [4, 3], [0, 1], function)
    assert inputs_of(block).equal(IMAGES[[4, 3]])
    of_classes = [part for part in (batch.values() if isinstance(batch, dict) else batch) if not isinstance(part, dict)]
    assert any(part.dtype == torch.int64 and part.tolist() == [0, 1] for part in of_classes)


def test_rows_that_a_function_makes_of_the_class_are_its_own() -> None:
    def one_hot(samples: list[Any]) -> Any:
        x, y = default_collate(samples)
        return x, torch.eye(3)[y]

    batch, block, _ = collated(items(lambda i, x, y: (x, y)), [4, 3], [0, 1], one_hot)
    assert batch[1].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert block.equal(IMAGES[[4, 3]])


def test_a_function_that_mixes_is_for_training_alone() -> None:
    def mix(samples: list[Any]) -> Any:
        x, y = default_collate(samples)
        order = torch.randperm(len(x))
        return x + x[order], torch.eye(3)[y] + torch.eye(3)[y[order]]

    data = items(lambda i, x, y: (x, y))
    with pytest.raises(InputError, match="`collate_fn` of Items to make the same batch of the same items each time"):
        Datasets(data, data, collate_fn=mix)
    source = Datasets(data, data, collate_fn=mix, pool_collate_fn=default_collate, test_collate_fn=default_collate)
    (batch,) = source.rows().whole_batches(iter([(torch.arange(12), CLASSES)]))
    assert batch[1].sum(dim=1).tolist() == [2.0] * 12
    (block,) = source.rows().blocks()
    assert block.equal(IMAGES)


def sorting(samples: list[Any]) -> Any:
    return default_collate(sorted(samples, key=lambda sample: -float(sample[0].sum())))


def dropping(samples: list[Any]) -> Any:
    return default_collate([sample for i, sample in enumerate(samples) if i != 3])


def other_classes(samples: list[Any]) -> Any:
    x, y = default_collate(samples)
    return x, 2 - y


def fewer_classes(samples: list[Any]) -> Any:
    x, y = default_collate(samples)
    return x, y // 2


def lengths_first(samples: list[Any]) -> Any:
    x, y = default_collate(samples)
    return x.flatten(1).T, y


def test_a_function_that_mixes_pairs_says_which_classes_it_mixed() -> None:
    def mix(samples: list[Any]) -> Any:
        x, y = default_collate(samples)
        order = torch.randperm(len(x))
        return x + x[order], y, y[order], order

    data = items(lambda i, x, y: (x, y))
    source = Datasets(data, data, collate_fn=mix, pool_collate_fn=default_collate, test_collate_fn=default_collate)
    ((_, y, other, order),) = source.rows().whole_batches(iter([(torch.arange(12), CLASSES)]))
    assert order.tolist() != list(range(12))
    assert y.equal(CLASSES)
    assert other.equal(CLASSES[order])


def test_a_function_that_counts_classes_from_0_keeps_them() -> None:
    def from_0(samples: list[Any]) -> Any:
        x, y = default_collate(samples)
        return x, y - 1

    batch, block, _ = collated(items(lambda i, x, y: (x, y + 1)), [4, 3], [0, 1], from_0)
    assert batch[1].tolist() == [0, 1]
    assert block.equal(IMAGES[[4, 3]])


def test_an_order_that_is_kept_in_the_first_samples_alone_is_seen_later() -> None:
    def sorting_some(samples: list[Any]) -> Any:
        return sorting(samples) if len(samples) == 10 else default_collate(samples)

    rows = Datasets(*[items(lambda i, x, y: (x, y))] * 2, collate_fn=sorting_some).rows()
    with pytest.raises(InputError, match="to keep the items in their order"):
        list(rows.blocks(torch.arange(10)))
    with pytest.raises(InputError, match="to keep the items in their order"):
        list(rows.whole_batches(iter([(torch.arange(10), CLASSES[:10])])))


@pytest.mark.parametrize("num_logits", [1, 2])
@pytest.mark.parametrize("kind", ["items", "columns", "function", "arrays"])
def test_a_model_with_one_logit_gets_labels_as_the_data_have_them(num_logits: int, kind: str) -> None:
    function = None
    if kind == "function":
        function = lambda samples: {  # noqa: E731
            "x": torch.stack([x for x, _ in samples]),
            "y": torch.tensor([[float(y)] for _, y in samples]),
        }
    label: Any = {"items": float, "columns": lambda y: torch.tensor([float(y)])}.get(kind, int)
    samples = items(lambda i, x, y: (x, label(y > 1)))
    data: PoolDataModule = DatasetPool(samples, samples, num_initial=4, collate_fn=function)
    column = (CLASSES > 1).float()[:, None]
    if kind == "arrays":
        data = InMemory(4)
    data.label(torch.arange(12))
    data.suit_logits(num_logits)
    for loader in (data.train_dataloader(), data.test_dataloader()):
        (batch,) = loader
        x, y = batch.values() if isinstance(batch, dict) else batch
        expected = column if kind != "items" else column.flatten()
        assert y.shape == (expected.shape if num_logits == 1 else (12,))
        assert y.dtype == (torch.float32 if num_logits == 1 else torch.int64)
        order = [next(j for j in ALL if IMAGES[j].equal(one)) for one in x]
        assert y.flatten().tolist() == column[order].flatten().tolist()


class InMemory(PoolDataModule):
    def load(self) -> Arrays:
        labels = (CLASSES > 1).float()[:, None]
        return Arrays(IMAGES, labels, IMAGES, labels)


def no_class(samples: list[Any]) -> Any:
    return {"x": torch.stack([x for x, _ in samples])}


def an_object(samples: list[Any]) -> Any:
    return object()


def fails(samples: list[Any]) -> Any:
    raise KeyError("ids")


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (no_class, "`collate_fn` of Items to put the class of each item in the batch"),
        (an_object, "`collate_fn` of Items to return a tuple or a mapping, but got object"),
        (sorting, "to keep the items in their order, with their classes"),
        (dropping, r"batches of all 8 items, with the items along the first dimension, but got .* \(7, "),
        (lengths_first, "batches of all 8 items, with the items along the first dimension"),
        (other_classes, "to keep the classes of the items, but it makes"),
        (fewer_classes, "to keep the classes of the items, but it makes"),
        (fails, "`collate_fn` to take items of Items, but got KeyError: 'ids'"),
    ],
)
def test_functions_of_other_kinds_are_refused(function: Any, sentence: str) -> None:
    data = items(lambda i, x, y: (x, y))
    with pytest.raises(InputError, match=sentence):
        Datasets(data, data, collate_fn=function)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda i, x, y: {"text": "some words", "label": y},
            "its inputs `text` are texts; tokenize them, or give a `c",
        ),
        (lambda i, x, y: {"image": Image.new("L", (4, 4)), "label": y}, "part `image` .* got Image; give it a transf"),
        (lambda i, x, y: {"image": x, "label": y, "box": None}, "part `box` .* got NoneType; leave it out, or give a"),
        (lambda i, x, y: {"ids": list(range(i + 2)), "label": y}, r"`ids` .* got \(2,\) and \(3,\); give a `collate_f"),
        (lambda i, x, y: (Image.new("L", (4, 4)), y), "to be tensors, but got Image; give it a transform"),
    ],
)
def test_items_that_make_no_batch_are_refused_by_the_part(make: Any, sentence: str) -> None:
    data = items(make)
    with pytest.raises(InputError, match=sentence) as error:
        collated(data, [0, 1], [0, 1])
    assert "\n" not in str(error.value)


def test_lists_of_numbers_and_arrays_are_tensors() -> None:
    data = items(lambda i, x, y: {"ids": [i, 300], "label": y, "more": np.ones(3, np.float32)})
    _, block, _ = collated(data, [4, 2], [0, 0])
    assert _flat(block) == _flat({"ids": torch.tensor([[4, 300], [2, 300]]), "more": torch.ones(2, 3)})
    _, block, _ = collated(items(lambda i, x, y: (x.numpy(), y)), [4, 2], [0, 0])
    assert block.equal(IMAGES[[4, 2]])


def test_the_input_may_be_told() -> None:
    data = items(lambda i, x, y: {"image": x, "depth": x + 1, "label": y})
    batch, block, _ = collated(data, [4, 2], [0, 1], input_key="depth")
    assert block.equal(IMAGES[[4, 2]] + 1)
    x, y = batch
    assert x.equal(block)
    assert y.tolist() == batch["label"].tolist() == [0, 1]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_processes_change_nothing(num_workers: int) -> None:
    data = items(WHOLE["named tuple"])
    batch, block, _ = collated(data, [4, 2], [0, 1], num_workers=num_workers)
    assert batch.image.equal(IMAGES[[4, 2]])
    assert batch.label.tolist() == [0, 1]
    assert isinstance(block, tuple)


def test_pairs_are_as_ever() -> None:
    assert Collator.plain(items(lambda i, x, y: (x, y))).is_plain
    batch, block, _ = collated(items(lambda i, x, y: (x, y)), [4, 2], [0, 1])
    assert batch[0].equal(block)
    assert batch[1].tolist() == [0, 1]
