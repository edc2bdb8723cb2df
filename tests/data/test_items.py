"""The parts of an item: found from a few items, or given by a flag."""

from collections import namedtuple

import numpy as np
import pytest
import torch

from al_lightning.data.items import ItemFormat, format_of_items, item_format, label_key_of
from al_lightning.errors import InputError

NUM = 40
CLASSES = [i * 7 % 4 for i in range(NUM)]  # 0, 3, 2, 1, ...
GROUPS = [i * i % 5 for i in range(NUM)]


def image(i: int) -> torch.Tensor:
    return torch.full((2, 3), float(i))


TUPLES = {
    "pair": (lambda i: (image(i), CLASSES[i]), 0, 1),
    "class first": (lambda i: (CLASSES[i], image(i)), 1, 0),
    "tensors of one value": (lambda i: [image(i), torch.tensor([CLASSES[i]])], 0, 1),
    "name": (lambda i: (image(i), "abcd"[CLASSES[i]]), 0, 1),
    "text": (lambda i: (f"text {i}", CLASSES[i]), 0, 1),
    "one number": (lambda i: (torch.tensor(float(i)), CLASSES[i]), 0, 1),
    "one feature": (lambda i: (torch.tensor([float(i)]), CLASSES[i]), 0, 1),
    "index last": (lambda i: (image(i), CLASSES[i], i), 0, 1),
    "index between": (lambda i: (image(i), i, CLASSES[i]), 0, 2),
    "index first": (lambda i: (i, image(i), CLASSES[i]), 1, 2),
    "path": (lambda i: (image(i), f"{i}.jpg", np.int64(CLASSES[i])), 0, 2),
    "weight": (lambda i: (image(i), 0.5 + i, np.array(CLASSES[i])), 0, 2),
    "whole floats": (lambda i: (image(i), float(CLASSES[i]), torch.ones(4)), 0, 1),
    "second input": (lambda i: (image(i), torch.ones(5), CLASSES[i]), 0, 2),
    "class and its name": (lambda i: (image(i), CLASSES[i], "abcd"[CLASSES[i]]), 0, 1),
    "nothing": (lambda i: (image(i), None, CLASSES[i]), 0, 2),
    "input alone": (lambda i: (image(i),), 0, None),
    "index and input": (lambda i: (i, image(i)), 1, None),
}


@pytest.mark.parametrize("kind", TUPLES)
def test_parts_of_tuples_are_told_apart(kind: str) -> None:
    make, input_key, target_key = TUPLES[kind]
    assert item_format([make(i) for i in range(NUM)]) == ItemFormat(input_key, target_key)


def test_a_bare_tensor_is_an_input_without_a_class() -> None:
    format = item_format([image(i) for i in range(NUM)])
    assert format == ItemFormat()
    assert format.inputs_of(image(3)).equal(image(3))
    assert format.target_of(image(3)) is None
    assert format.with_target(image(3), 5)[1] == 5
    assert item_format([]) == ItemFormat()


def test_parts_by_their_names() -> None:
    Sample = namedtuple("Sample", ["group", "x", "y"])
    items = [Sample(GROUPS[i], image(i), CLASSES[i]) for i in range(NUM)]
    with pytest.raises(InputError, match="parts `0`, `2` could all be it; say which part it is, .* `data.label_key`"):
        item_format(items)
    assert item_format(items, label_key="y") == ItemFormat(1, 2)
    assert item_format(items, label_key=0) == item_format(items, label_key="0") == ItemFormat(1, 0)
    assert item_format(items, label_key=-1, input_key="x") == ItemFormat(1, 2)
    for key in (3, "z"):
        with pytest.raises(InputError, match=f"`data.label_key` to be a part of the samples of list, 0 to 2.*`{key}`"):
            item_format(items, label_key=key)


def test_what_the_dataset_knows_decides() -> None:
    items = [(image(i), GROUPS[i], CLASSES[i]) for i in range(NUM)]
    assert item_format(items, known=CLASSES).target_key == 2
    assert item_format(items, known=GROUPS).target_key == 1
    with pytest.raises(InputError, match="parts `1`, `2` could all be it"):
        item_format(items, known=[7] * NUM)
    # a pair of input and index has no class of its own
    assert item_format([(image(i), i) for i in range(NUM)], known=CLASSES).target_key is None


def test_other_parts_keep_their_place() -> None:
    format = ItemFormat(1, 2)
    assert format.extras_of(("a", image(0), 3, "b")) == {0: "a", 3: "b"}
    assert format.with_target(("a", "x", 3, "b"), 5) == ("a", "x", 5, "b")
    assert format.with_target(["a", "x", 3, "b"], 5) == ["a", "x", 5, "b"]


@pytest.mark.parametrize("name", ["label", "labels", "target", "y", "class", "fine_label"])
def test_mappings_by_their_keys(name: str) -> None:
    items = [{"ids": torch.arange(5), "mask": torch.ones(5), "idx": i, name: CLASSES[i]} for i in range(NUM)]
    format = item_format(items)
    assert format == ItemFormat(("ids", "mask"), name)
    assert list(format.inputs_of(items[2])) == ["ids", "mask"]
    assert format.target_of(items[2]) == CLASSES[2]
    assert format.extras_of(items[2]) == {"idx": 2}
    assert format.with_target(items[2], 9) == items[2] | {name: 9}


def test_mappings_with_one_input_or_a_told_one() -> None:
    items = [{"image": image(i), "label": CLASSES[i], "coarse": CLASSES[i] // 2} for i in range(NUM)]
    assert item_format(items) == ItemFormat("image", "label")
    assert item_format(items, label_key="coarse") == ItemFormat(("image",)[0], "coarse")
    texts = [{"text": str(i), "other": f"{i}?", "label": CLASSES[i]} for i in range(NUM)]
    assert item_format(texts) == ItemFormat(("text", "other"), "label")
    assert item_format(texts, input_key="text") == ItemFormat("text", "label")
    digits = [{"image": image(i), "digit": CLASSES[i], "id": i} for i in range(NUM)]
    assert item_format(digits) == ItemFormat("image", "digit")


@pytest.mark.parametrize(
    ("items", "arguments", "words"),
    [
        ([{"x": image(0), "y": 1, "label": 1}] * 2, {}, "one class in the samples of list, but got `label`, `y`; say"),
        ([{"x": image(0), "y": 1}] * 2, {"label_key": "z"}, "`data.label_key` to be a key of list, `x`, `y`, but got"),
        ([{"x": image(0), "y": 1}] * 2, {"input_key": "z"}, "`data.image_key` or `data.text_key` to be a key of list"),
        ([{"x": image(0), "a": 1, "b": 0}] * 2, {}, "`a`, `b` could all be it; say which by `data.label_key`"),
        ([{"x": image(0), "y": 1}, {"x": image(0)}], {}, "the same keys, but some lack `y`"),
        ([{"label": 1}] * 2, {}, "an input besides the class, but got `label` only"),
        ([(image(0), 1), (image(0), 1, 2)], {}, "the same number of parts, at least one, but got 2 and 3"),
        ([(image(0), 0.5, torch.ones(2))] * 2, {}, "none of the parts is one; say which"),
        ([(image(0), 1), image(0)], {}, "all tuples, all mappings or all bare inputs, but got Tensor and tuple"),
        ([image(0)] * 2, {"label_key": 1}, "to be tuples or mappings for `data.label_key`, but got Tensor"),
    ],
)
def test_items_that_leave_it_open_are_refused(items: list, arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        item_format(items, **arguments)


def test_batches_have_the_keys_of_items() -> None:
    assert label_key_of(["input_ids", "labels"], "a batch") == "labels"
    assert label_key_of(["input_ids"], "a batch") is None
    format = format_of_items([{"x": torch.zeros(3, 2), "labels": torch.zeros(3)}], "a batch")
    assert format == ItemFormat("x", "labels")


def test_indices_of_a_part_of_a_dataset_are_no_classes() -> None:
    order = [7, 300, 2, 41, 5, 90, 13, 66, 8, 21, 34, 55]
    samples = [(torch.tensor([float(i)]), i % 3, i) for i in order]
    assert item_format(samples) == ItemFormat(0, 1)
    with pytest.raises(InputError, match="`1`, `2` could all be it"):
        item_format([(torch.tensor([float(i)]), i % 3, i % 5) for i in order])
