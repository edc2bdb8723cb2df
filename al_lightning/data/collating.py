"""Makes batches of items to train and test on, as a DataLoader would, and the inputs to score."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from al_lightning.data.inputs import Inputs, tensors_of
from al_lightning.data.items import LABEL_NAMES, ItemFormat, Key, is_same_class, plain
from al_lightning.data.named_pair import named_pair
from al_lightning.data.reading import num_samples, read_items, sampled_positions
from al_lightning.errors import InputError
from al_lightning.random_streams import seeded

CollateFn = Callable[[list[Any]], Any]

LabelForm = tuple[bool, bool]

NUM_LOOKED_AT = 8  # items that are collated to find the class in a batch

MAKE_TENSORS = "give it a transform that makes them, such as torchvision.transforms.ToTensor"


class Collator:
    """Makes batches of the items of a dataset.

    A batch to train or test on is a tuple or a mapping of tensors: the result of ``collate_fn`` for whole items. In
    this batch, the class that the pool knows replaces the class of the item. The inputs to score are the same batch
    without the class.

    Without a ``collate_fn``, items may be inputs, or pairs of an input and a class. Then the inputs are one tensor.

    Args:
        format: Where the parts of an item are.
        items: Some items of the dataset; there may be none.
        name: What the dataset is called in messages.
        collate_fn: The user's function. By default torch's ``default_collate``, which stacks tensors.
        input_key: Which part of an item, or of a batch that is a mapping, is the input, if the user says it.
        may_draw: Whether ``collate_fn`` may draw at random, for example to mix images. Only training may do so.

    Raises:
        InputError: If the class cannot be found in the batches of ``collate_fn``, or ``collate_fn`` draws at random.
            Also if it does not keep the order and the classes of the items.
    """

    def __init__(
        self,
        format: ItemFormat,
        items: Sequence[Any],
        name: str,
        collate_fn: CollateFn | None = None,
        input_key: Key | None = None,
        may_draw: bool = False,
    ) -> None:
        self._format = format
        self._name = name
        self._collate_fn = None if collate_fn is default_collate else collate_fn
        self._told = input_key
        self.is_ragged = self._collate_fn is not None
        """Whether batches may be padded to different lengths."""
        self.is_plain = self._collate_fn is None and all(_is_plain(format, item) for item in items)
        """Whether a batch is a pair: one tensor of inputs, and the classes."""
        self._label_keys: list[Key] = [1 if format.target_key is None else format.target_key]
        self.label_form: LabelForm = (False, False)
        """Whether the classes of a plain batch are floats, and whether they are a column."""
        self._draws = False
        self._kept: set[Key] = set()
        """Parts of a batch that hold the classes of the items unchanged."""
        if self._collate_fn is not None and items:
            self._label_keys = self._find_labels(items, may_draw)
            if len(items) > 1:
                self._look_at_order(items, may_draw)
            batch = self._seeded([self._with_target(item, 0) for item in items], 0)
            self.label_form = form_of(batch[self._label_keys[0]])
        elif items and format.target_key is not None:
            self.label_form = form_of(np.asarray(format.target_of(items[0]))[None])

    @classmethod
    def plain(cls, dataset: Dataset) -> "Collator":
        """The collator of items that are inputs, or tuples that begin with an input."""
        return cls(ItemFormat(), (), type(dataset).__name__)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        format: ItemFormat | None,
        collate_fn: CollateFn | None,
        input_key: Key | None,
        may_draw: bool,
    ) -> "Collator":
        """The collator of a dataset with this format of items, or the plain one if the format is not known."""
        if format is None:
            return cls.plain(dataset)
        items = read_items(dataset, sampled_positions(num_samples(dataset), NUM_LOOKED_AT))
        return cls(format, items, type(dataset).__name__, collate_fn, input_key, may_draw)

    def batch(self, items: Sequence[Any], targets: Tensor) -> Any:
        """Makes a batch to train or test on.

        Args:
            items: Items of the dataset.
            targets: Their classes, int64, shape ``(B,)``, or the same numbers as floats or as a column. They replace
                the classes of the items.

        Returns:
            The result of ``collate_fn``, with the classes in the form of ``targets``.
        """
        if self.is_plain:
            return self.inputs(items), targets
        numbers = targets.flatten().to(torch.int64).tolist()
        batch = self._collate([self._with_target(item, t) for item, t in zip(items, numbers, strict=True)])
        for key in self._label_keys:
            part = batch[key]
            # A user's function may turn the class into something else, for example into a row of numbers.
            if self._collate_fn is None:
                batch = _replaced(batch, key, targets)
            elif isinstance(part, Tensor) and part.numel() == len(targets) and (key in self._kept or not self._draws):
                if key in self._kept and not self._draws and part.flatten().tolist() != numbers:
                    raise self._refused_order()
                # A function that mixes items may return the classes of other items, too.
                kept = part.reshape(targets.shape).to(targets.dtype) if self._draws else targets
                batch = _replaced(batch, key, kept)
        if self._collate_fn is None and self._told is not None and isinstance(batch, Mapping):
            return named_pair(self._format.input_key, self._format.target_key, batch)
        return batch

    def inputs(self, items: Sequence[Any]) -> Inputs:
        """Makes the inputs to score: a tensor, a mapping of tensors, or a tuple that begins with the input."""
        if self.is_plain:
            return self._stacked([item[0] if isinstance(item, tuple | list) else item for item in items])
        if not self._kept or self._draws:
            batch = self._collate([self._with_target(item, 0) for item in items])
        else:  # a changed order shows in the classes
            marks = _marks(len(items))
            batch = self._collate([self._with_target(*pair) for pair in zip(items, marks, strict=True)])
            if any(not _is_in_order(batch[key], marks) for key in self._kept):
                raise self._refused_order()
        inputs = self._inputs_of(batch)
        if self._collate_fn is not None:
            self._check_length(inputs, len(items))
        return inputs

    def _inputs_of(self, batch: Any) -> Inputs:
        """A batch without the class."""
        first = self._format.input_key if self._told is not None or not isinstance(batch, Mapping) else None
        if self._told is not None and (isinstance(batch, Mapping) or not self.is_ragged):
            told = self._told if self.is_ragged else first
            if not isinstance(batch, Mapping) or told in batch:
                return self._checked(batch[told])
        if isinstance(batch, Mapping):
            parts = {key: part for key, part in batch.items() if key not in self._label_keys}
            return self._checked({key: part for key, part in parts.items() if tensors_of(part)} or parts)
        order: list[int] = list(range(len(batch)))
        if isinstance(first, int) and not self.is_ragged:
            order.insert(0, order.pop(first))
        row = [batch[key] for key in order if key not in self._label_keys]
        if row and not tensors_of(row[0]):
            return self._checked(row[0])
        row = [part for part in row if tensors_of(part)]
        return self._checked(row[0] if len(row) == 1 else tuple(row))

    def _checked(self, inputs: Any) -> Inputs:
        """The inputs as plain dicts and tuples. Raises :class:`InputError` if they hold no tensor."""
        if tensors_of(inputs):
            return dict(inputs) if isinstance(inputs, Mapping) else inputs
        texts = inputs.values() if isinstance(inputs, Mapping) else [inputs]
        if any(isinstance(part, list | tuple) and part and isinstance(part[0], str) for part in texts):
            hint = "tokenize them, or give a `collate_fn` that does"
        else:
            hint = MAKE_TENSORS
        named = f" `{', '.join(map(str, inputs))}`" if isinstance(inputs, Mapping) else ""
        raise InputError(
            f"Expected samples of {self._name} to be tensors, but its inputs{named} are "
            f"{'texts' if hint.startswith('tok') else type(next(iter(texts), inputs)).__name__}; {hint}."
        )

    def _with_target(self, item: Any, target: int) -> Any:
        """The item with another class of the same type.

        A class that is a name stays; it is replaced later, in the batch.
        """
        if self._format.target_key is None:
            return self._format.with_target(item, target)
        changed = self._format.with_target(item, _like(self._format.target_of(item), target))
        fields = getattr(item, "_fields", None)
        return changed if fields is None else type(item)(*changed)  # rebuilds a named tuple

    def _collate(self, items: list[Any]) -> Any:
        if self._collate_fn is None:
            return self._default_collate(items)
        try:
            batch = self._collate_fn(items)
        except InputError:
            raise
        except Exception as error:  # a user's function may raise anything
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"Expected `collate_fn` to take items of {self._name}, but got {text}.") from error
        if not isinstance(batch, Mapping | tuple | list):
            raise InputError(
                f"Expected `collate_fn` of {self._name} to return a tuple or a mapping, but got {type(batch).__name__}."
            )
        return batch

    def _default_collate(self, items: list[Any]) -> Any:
        items = [_with_tensors(item) for item in items]
        try:
            return default_collate(items)
        except (TypeError, ValueError, RuntimeError, KeyError):
            first = items[0]
            keys = list(first) if isinstance(first, Mapping) else range(len(first))
            for key in keys:
                self._check_part([item[key] for item in items], key)
            raise

    def _check_part(self, values: list[Any], key: Key) -> None:
        """Raises :class:`InputError` if the values of this part cannot be stacked."""
        try:
            default_collate(values)
        except (TypeError, ValueError, RuntimeError, KeyError) as error:
            if all(isinstance(value, Tensor) for value in values):
                shapes = [tuple(value.shape) for value in values]
                other = next(shape for shape in shapes if shape != shapes[0])
                raise InputError(
                    f"Expected part `{key}` of samples of {self._name} to be of one shape, but got {shapes[0]} and "
                    f"{other}; give a `collate_fn` that pads them, or a transform that resizes them."
                ) from error
            odd = next((value for value in values if not isinstance(value, Tensor)), None)
            hint = "leave it out" if odd is None else MAKE_TENSORS
            raise InputError(
                f"Expected part `{key}` of samples of {self._name} to be tensors, but got {type(odd).__name__}; "
                f"{hint}, or give a `collate_fn` that takes them."
            ) from error

    def _stacked(self, inputs: list[Any]) -> Tensor:
        tensors = [_as_tensor(value) for value in inputs]
        for value, tensor in zip(inputs, tensors, strict=True):
            if tensor is None:
                raise InputError(
                    f"Expected samples of {self._name} to be tensors, but got {type(value).__name__}; {MAKE_TENSORS}."
                )
            if tensor.shape != tensors[0].shape:  # type: ignore[union-attr]
                raise InputError(
                    f"Expected samples of {self._name} of one shape, but got {tuple(tensors[0].shape)} and "  # type: ignore[union-attr]
                    f"{tuple(tensor.shape)}; give it a transform that resizes them, or a `collate_fn` that pads them."
                )
        stacked = torch.stack(tensors)  # type: ignore[arg-type]
        # Grey values and masks are features. Wider integers are identifiers, for example token ids.
        return stacked.float() if stacked.dtype in (torch.uint8, torch.bool) else stacked

    def _find_labels(self, items: Sequence[Any], may_draw: bool) -> list[Key]:
        """Finds the classes in a batch: the parts that change when the classes of the items change."""
        items = list(items) if len(items) > 1 else [items[0], items[0]]
        batches = [self._relabeled(items, first) for first in (0, 1)]
        again = self._relabeled(items, 0, seed=0 if may_draw else 1)
        keys = _keys(batches[0])
        if any(not is_same(batches[0][key], again[key]) for key in keys):
            raise InputError(
                f"Expected `collate_fn` of {self._name} to make the same batch of the same items each time, but it "
                "draws at random; let the training dataset draw, and give the same samples without that as `pool`, or "
                "by a `pool_dataloader` without that function."
            )
        found: list[Key] = [key for key in keys if not is_same(batches[0][key], batches[1][key])]
        if not found and not isinstance(self._format.target_of(items[0]), str):  # 0 and 1 may become one class
            own = self._seeded(items, 0)
            found = [key for key in keys if not is_same(batches[0][key], own[key])]
        called_so: list[Key] = [key for key in LABEL_NAMES if key in keys]
        if not found and called_so and len({repr(self._format.target_of(item)) for item in items}) == 1:
            return called_so[:1]  # all these items have the same named class, and no other name is known
        if not found:
            raise InputError(
                f"Expected `collate_fn` of {self._name} to put the class of each item in the batch, but nothing in the "
                "batch depends on it."
            )
        if len(found) == len(keys):
            raise InputError(
                f"Expected `collate_fn` of {self._name} to make inputs that do not depend on the class, but all of the "
                "batch does."
            )
        return found

    def _look_at_order(self, items: Sequence[Any], may_draw: bool) -> None:
        """Raises :class:`InputError` if a batch does not keep the order of the items with their classes."""
        marks = _marks(len(items))
        marked = [self._with_target(*pair) for pair in zip(items, marks, strict=True)]
        batch, again = self._seeded(marked, 0), self._seeded(marked, 1)
        self._draws = may_draw and any(not is_same(batch[key], again[key]) for key in _keys(batch))
        if not self._draws:
            inputs, reverse = self._inputs_of(batch), self._inputs_of(self._seeded(marked[::-1], 0))
            self._check_length(inputs, len(items))
            for one, other in zip(tensors_of(inputs), tensors_of(reverse), strict=True):
                if one.dim() and not (one.shape == other.shape and one.flip(0).allclose(other, 1e-4, equal_nan=True)):
                    raise self._refused_order()
        own = [plain(self._format.target_of(item)) for item in items]
        if any(isinstance(one, str) for one in own):
            return
        for key in self._label_keys:
            if isinstance(batch[key], Tensor) and batch[key].numel() == len(items):
                values = batch[key].flatten().tolist()
                if values == marks or (self._draws and sorted(values) == sorted(marks)):
                    self._kept.add(key)
        if not self._draws and all(isinstance(one, int | float) and one >= 0 for one in own):
            self._look_at_classes(own, self._seeded(items, 0))

    def _look_at_classes(self, own: list[Any], batch: Any) -> None:
        """Raises :class:`InputError` if ``collate_fn`` changes the classes in more than their numbering from 0."""
        for key in self._label_keys:
            if not isinstance(batch[key], Tensor) or batch[key].numel() != len(own):
                continue
            pairs = sorted(set(zip(own, batch[key].flatten().tolist(), strict=True)))
            # Each class appears once and in ascending order, so both sides count from 0 in the same order.
            if any(one[0] == next_[0] or one[1] >= next_[1] for one, next_ in pairwise(pairs)):
                one, other = next(pair for pair in pairs if not is_same_class(*pair))
                raise InputError(
                    f"Expected `collate_fn` of {self._name} to keep the classes of the items, but it makes {other} of "
                    f"{one}; let the items have the classes that are meant."
                )

    def _seeded(self, items: Sequence[Any], seed: int) -> Any:
        with seeded(seed):
            return self._collate(list(items))

    def _check_length(self, inputs: Inputs, num: int) -> None:
        for tensor in tensors_of(inputs):
            if tensor.dim() and len(tensor) != num:
                raise InputError(
                    f"Expected `collate_fn` of {self._name} to make batches of all {num} items, with the items along "
                    f"the first dimension, but got a tensor of shape {tuple(tensor.shape)}."
                )

    def _refused_order(self) -> InputError:
        return InputError(
            f"Expected `collate_fn` of {self._name} to keep the items in their order, with their classes, but it does "
            "not; order them in the model, such as by `pack_padded_sequence` with `enforce_sorted=False`."
        )

    def _relabeled(self, items: Sequence[Any], first: int, seed: int = 0) -> Any:
        """A batch of these items with the classes 0 and 1 in turn.

        If classes are names, the names of the items take turns.
        """
        named = [self._format.target_of(item) for item in items]
        with seeded(seed):
            if isinstance(named[0], str):
                names = sorted(set(named))
                targets = [names[(i + first) % len(names)] for i in range(len(items))]
                return self._collate([self._format.with_target(*pair) for pair in zip(items, targets, strict=True)])
            return self._collate([self._with_target(item, (i + first) % 2) for i, item in enumerate(items)])


def form_of(labels: Any) -> LabelForm:
    """Whether labels are floats, and whether they are a column.

    Example:
        >>> form_of(torch.tensor([[0.0], [1.0]])), form_of(torch.tensor([0, 1])), form_of(["cat", "dog"])
        ((True, True), (False, False), (False, False))
    """
    if not isinstance(labels, Tensor | np.ndarray):
        return False, False
    dtype = labels.dtype
    is_float = dtype.is_floating_point if isinstance(dtype, torch.dtype) else dtype.kind == "f"
    return is_float, labels.ndim == 2 and labels.shape[1] == 1


def in_form(targets: Tensor, form: LabelForm) -> Tensor:
    """Classes of shape ``(N,)`` in this form: as floats, as a column, or both."""
    targets = targets.to(torch.float32) if form[0] else targets
    return targets[:, None] if form[1] else targets


def _keys(batch: Any) -> list[Key]:
    return list(batch) if isinstance(batch, Mapping) else list(range(len(batch)))


def _marks(num: int) -> list[int]:
    """Irregular zeros and ones: bit 13 of products with a large odd number."""
    return [i * 2654435761 >> 13 & 1 for i in range(num)]


def _is_in_order(part: Any, marks: list[int]) -> bool:
    """Whether a part of a batch holds these numbers, one for each item."""
    return isinstance(part, Tensor) and part.flatten().tolist() == marks


def _is_plain(format: ItemFormat, item: Any) -> bool:
    """Whether an item is one input, or a pair of one input and a class."""
    if isinstance(item, Mapping):
        return False
    if isinstance(item, tuple | list) and format.input_key is not None:
        if format.input_key != 0 or format.target_key not in (None, 1) or len(item) > 2 or hasattr(item, "_fields"):
            return False
        if len(item) == 2 and format.target_key is None:
            return False
    return not isinstance(format.inputs_of(item), Mapping | tuple)


def _as_tensor(value: Any) -> Tensor | None:
    """Makes a tensor of an array, a number or a list of numbers; ``None`` for anything else."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return torch.as_tensor(value) if value.dtype.kind in "biuf" else None
    if isinstance(value, int | float | list | tuple):
        try:
            return torch.tensor(value)
        except (TypeError, ValueError, RuntimeError):
            return None
    return None


def _with_tensors(item: Any) -> Any:
    """An item with tensors in place of lists of numbers. Datasets of Hugging Face keep tokens in lists."""
    if isinstance(item, Mapping):
        return {key: _with_tensors(part) if isinstance(part, Mapping) else _listed(part) for key, part in item.items()}
    if isinstance(item, tuple | list):
        parts = [_with_tensors(part) if isinstance(part, Mapping) else _listed(part) for part in item]
        return type(item)(*parts) if hasattr(item, "_fields") else tuple(parts)
    return item


def _listed(part: Any) -> Any:
    tensor = _as_tensor(part) if isinstance(part, list) and part else None
    return part if tensor is None else tensor


def _like(target: Any, value: int) -> Any:
    """A class with another value, in the type that the item uses. Names have no value and stay."""
    if isinstance(target, Tensor):
        return torch.full_like(target, value) if target.numel() == 1 else target
    if isinstance(target, np.ndarray):
        return np.full_like(target, value) if target.size == 1 else target
    if isinstance(target, np.generic):
        return target if target.dtype.kind not in "biuf" else np.asarray(value).astype(target.dtype)[()]
    if isinstance(target, float):
        return float(value)
    if isinstance(target, list | tuple) and len(target) == 1:
        return [_like(target[0], value)] if isinstance(target, list) else (_like(target[0], value),)
    return value if target is None or isinstance(target, int) else target


def _replaced(batch: Any, key: Key, part: Any) -> Any:
    """The batch with a new value for this part."""
    if isinstance(batch, tuple):
        parts = [part if index == key else other for index, other in enumerate(batch)]
        return type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts)
    batch[key] = part
    return batch


def is_same(one: Any, other: Any) -> bool:
    """Whether two parts of batches hold the same values; NaN is the same as NaN."""
    tensors, others = tensors_of(one), tensors_of(other)
    if not tensors and not others:
        return repr(one) == repr(other)
    return len(tensors) == len(others) and all(
        a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | ((a != a) & (b != b))).all())
        for a, b in zip(tensors, others, strict=True)
    )
