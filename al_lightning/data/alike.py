"""Checks on a few samples that the inputs to train on, to score and to test on are of one kind."""

import warnings
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset, Subset

from al_lightning.data.collating import Collator, is_same
from al_lightning.data.inputs import Inputs, count_rows, describe, take_rows, tensors_of
from al_lightning.data.items import ItemFormat, is_same_class, plain
from al_lightning.data.reading import num_samples, read_items, sampled_positions, short
from al_lightning.errors import InputError
from al_lightning.random_streams import seeded

MANY, FEW = 2, 8
"""How often an item is read to see whether it is augmented at random: twice, or 8 times if there are few items."""

FAR = 10.0
"""A warning is given if the inputs of one part are this many times as large as the inputs of another part."""


class Part:
    """A few samples of one dataset, with the function that makes inputs of them.

    Args:
        dataset: Map-style.
        collator: Makes inputs of its items.
        format: The places of the parts in an item, if known.
    """

    def __init__(self, dataset: Dataset, collator: Collator, format: ItemFormat | None = None) -> None:
        self.dataset = dataset
        self.name = type(dataset).__name__
        self.format = format
        self.positions = sampled_positions(num_samples(dataset))
        self._collator = collator

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def is_ours(self) -> bool:
        """Whether this package reads the items. Then no file is opened before it is needed."""
        dataset: Any = self.dataset
        while type(dataset) is Subset:
            dataset = dataset.dataset
        return type(dataset).__module__.startswith("al_lightning.")

    def items(self, seed: int = 0) -> list[Any]:
        """The sampled items, with this seed of the global generators."""
        return read_items(self.dataset, self.positions, seed)

    def inputs(self, items: list[Any], seed: int = 0) -> Inputs:
        """The inputs of items, as one block."""
        with seeded(seed):
            return self._collator.inputs(items)

    def targets(self, items: list[Any]) -> list[Any] | None:
        """The classes of items; ``None`` if they have none."""
        if self.format is None or self.format.target_key is None:
            return None
        return [plain(self.format.target_of(item)) for item in items]

    @property
    def is_ragged(self) -> bool:
        """Whether inputs may be padded to different lengths."""
        return self._collator.is_ragged

    def kind(self, inputs: Inputs, is_ragged: bool) -> list[tuple[Any, ...]]:
        """Data types and shapes, without padded lengths. They must be the same in all parts."""
        return [(part.dtype, part.dim() if is_ragged else tuple(part.shape[1:])) for part in tensors_of(inputs)]

    def raw_types(self, items: list[Any]) -> list[str]:
        """Data types of the tensors in an item, before the tensors become floats."""
        inputs = items[0] if self.format is None else self.format.inputs_of(items[0])
        if self.format is None and isinstance(inputs, tuple | list):
            inputs = inputs[0]
        return [str(part.dtype).removeprefix("torch.") for part in tensors_of(inputs)]


def check_alike(train: Part, pool: Part, test: Part) -> None:
    """Compares a few samples of the training set, the pool and the test set.

    Args:
        train: The training samples as they are trained on.
        pool: The same samples as they are scored; may be the same dataset.
        test: The test samples; there may be none.

    Raises:
        InputError: If samples to score or to test are augmented at random, or are not finite. Also if the pool has
            other samples than the training set, or if the parts have inputs of different shapes or types.
    """
    if len(train) == 0 or pool.is_ours:
        return
    to_score = pool.items()
    scored = _check_that_they_stay(pool, to_score, "scored", "`pool`, or `pool_dataloader` of a data module")
    _check_finite(pool, scored)
    if train.dataset is not pool.dataset:
        _check_same_samples(train, pool, to_score, scored)
    if len(test):
        to_test = test.items()
        tested = _check_that_they_stay(test, to_test, "tested", "as test set")
        _check_finite(test, tested)
        _check_kind(pool, to_score, scored, test, to_test, tested, "test")


def check_arrays(train_inputs: Any, train_targets: Any, test_inputs: Any, test_targets: Any, name: str) -> None:
    """Compares the parts of a data set in memory, all of their samples.

    Args:
        train_inputs: A tensor, ``(N, ...)``.
        train_targets: Labels, one for each training input.
        test_inputs: A tensor, ``(M, ...)``.
        test_targets: Labels, one for each test input.
        name: What the data set is called in messages.

    Raises:
        InputError: If inputs are not tensors or not finite, or if there are more or fewer labels than inputs. Also if
            the test inputs have another shape or type than the training inputs.
    """
    for role, inputs, targets in (("train", train_inputs, train_targets), ("test", test_inputs, test_targets)):
        if not isinstance(inputs, Tensor):
            raise InputError(
                f"Expected `{role}_inputs` of {name} to be a tensor, but got {type(inputs).__name__}; see "
                "`torch.as_tensor`."
            )
        num_inputs, num_targets = (0 if getattr(part, "ndim", 1) == 0 else len(part) for part in (inputs, targets))
        if inputs.dim() == 0 or num_inputs != num_targets:
            raise InputError(
                f"Expected as many `{role}_targets` as `{role}_inputs` of {name}, {num_inputs}, but got {num_targets}."
            )
        _check_all_finite(inputs, f"`{role}_inputs` of {name}")
    if len(test_inputs) and len(train_inputs):
        kinds = [f"{str(part.dtype)[6:]} of shape {('N', *part.shape[1:])}" for part in (train_inputs, test_inputs)]
        if kinds[0] != kinds[1]:
            raise InputError(
                f"Expected `test_inputs` of {name} to be as its `train_inputs`, {kinds[0]}, but got {kinds[1]}."
            )
        if train_inputs.is_floating_point():
            warn_of_other_scale(train_inputs, test_inputs, (f"the training part of {name}", "the test part"))


def _check_all_finite(inputs: Tensor, name: str) -> None:
    if not inputs.is_floating_point():
        return
    for start in range(0, len(inputs), 4096):
        block = inputs[start : start + 4096]
        if block.sum().isfinite():  # NaN and infinity survive a sum, which costs a fifth of the check of each value
            continue
        bad = (~block.isfinite().reshape(len(block), -1).all(dim=1)).nonzero()
        if len(bad):
            raise InputError(f"Expected finite numbers in {name}, but row {start + int(bad[0])} has NaN or infinity.")


def warn_of_other_scale(one: Tensor, other: Tensor, names: tuple[str, str]) -> None:
    """Warns if the inputs of one part are many times as large as the others: one part may lack normalisation.

    Args:
        one: Floats, ``(N, ...)``, at least one row.
        other: Floats, ``(M, ...)``, at least one row.
        names: What the two parts are called in messages.
    """
    sizes = [float(part[:: max(1, len(part) // 1000)].double().square().mean().sqrt()) for part in (one, other)]
    if min(sizes) > 0 and not 1 / FAR < sizes[1] / sizes[0] < FAR:
        warnings.warn(
            f"The inputs of {names[1]} are of another size than those of {names[0]}: their root mean squares are "
            f"{sizes[1]:.3g} and {sizes[0]:.3g}. Are both normalised alike?",
            stacklevel=2,
        )


def _check_that_they_stay(part: Part, items: list[Any], verb: str, where: str) -> Inputs:
    """Returns the inputs of items; raises :class:`InputError` if a second reading gives other inputs."""
    first = part.inputs(items)
    for seed in range(1, MANY if len(part) * MANY >= 64 else FEW):
        if not is_same(first, part.inputs(part.items(seed), seed)):
            raise InputError(
                f"Expected samples of {part.name} to be the same each time they are {verb}, but they are augmented at "
                f"random; give them without that{', too' if verb == 'scored' else ''}: {where}."
            )
    return first


def _check_finite(part: Part, inputs: Inputs) -> None:
    is_bare = isinstance(inputs, Tensor)  # attention masks may hold infinite values
    for tensor in tensors_of(inputs):
        if tensor.is_floating_point():
            is_bad = ~tensor.isfinite() if is_bare else tensor.isnan()
            rows = is_bad.reshape(len(tensor), -1).any(dim=1).nonzero()
            if len(rows):
                raise InputError(
                    f"Expected finite inputs in {part.name}, but sample {part.positions[int(rows[0])]} has NaN or "
                    "infinity."
                )


def _check_same_samples(train: Part, pool: Part, to_score: list[Any], scored: Inputs) -> None:
    """Compares the training samples with the same samples of the pool."""
    to_train = train.items()
    classes, others = train.targets(to_train), pool.targets(to_score)
    if classes is not None and others is not None:
        for position, one, other in zip(train.positions, classes, others, strict=True):
            if not is_same_class(one, other):
                raise InputError(
                    f"Expected the samples to score to be those to train on, in the same order, but sample {position} "
                    f"has class {short(one)} in {train.name} and {short(other)} in {pool.name}."
                )
    trained = train.inputs(to_train)
    _check_finite(train, trained)
    _check_kind(train, to_train, trained, pool, to_score, scored, "pool")
    if not is_same(trained, train.inputs(train.items(1), 1)):  # augmented at random: training samples may be
        if not is_same(trained, train.inputs(train.items(0), 0)):
            warnings.warn(
                f"{train.name} draws its augmentations from a generator of its own, which is not saved: a run that is "
                "stopped and continued differs from one that is not. Draw them from torch, random or numpy.random.",
                stacklevel=2,
            )
        return
    if is_same(trained, scored):
        return
    moved = _found_elsewhere(trained, scored)
    if moved is not None:
        one, other = (train.positions[row] for row in moved)
        raise InputError(
            f"Expected the samples to score to be those to train on, in the same order, but sample {one} of "
            f"{train.name} is sample {other} of {pool.name}."
        )
    warnings.warn(
        f"The samples of {train.name} and of {pool.name} differ though neither is augmented at random: what is trained "
        "on is not what is scored.",
        stacklevel=2,
    )


def _found_elsewhere(trained: Inputs, scored: Inputs) -> tuple[int, int] | None:
    """Finds a row ``i`` of one part that equals another row ``j`` of the other part; returns both numbers."""
    rows = [[take_rows(block, slice(row, row + 1)) for row in range(count_rows(block))] for block in (trained, scored)]
    if len(rows[0]) != len(rows[1]):
        return None
    for row, one in enumerate(rows[0]):
        if not is_same(one, rows[1][row]):
            for number, other in enumerate(rows[1]):
                if is_same(one, other):
                    return row, number
    return None


def _check_kind(
    one: Part, items: list[Any], inputs: Inputs, other: Part, others: list[Any], their: Inputs, role: str
) -> None:
    """Raises :class:`InputError` if two parts differ in shape or type; warns if they differ in scale."""
    types, their_types = one.raw_types(items), other.raw_types(others)
    if isinstance(inputs, tuple) != isinstance(their, tuple):  # one part has extra tensors, for example sample weights
        inputs, their = (block[0] if isinstance(block, tuple) else block for block in (inputs, their))
    is_ragged = one.is_ragged or other.is_ragged
    if one.kind(inputs, is_ragged) != other.kind(their, is_ragged) or types != their_types:
        kinds = [describe(block) for block in (inputs, their)]
        if kinds[0] == kinds[1]:
            kinds = [f"{' and '.join(names)} numbers" for names in (types, their_types)]
        raise InputError(
            f"Expected the inputs of the {role} part, {other.name}, to be as those of {one.name}, {kinds[0]}, but got "
            f"{kinds[1]}."
        )
    if isinstance(inputs, Tensor) and isinstance(their, Tensor) and inputs.is_floating_point():
        warn_of_other_scale(inputs, their, (one.name, f"the {role} part, {other.name},"))
