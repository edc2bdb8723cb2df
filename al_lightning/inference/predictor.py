"""PoolPredictor: a fitted model and a pool of samples, read in blocks.

Every strategy sees the model through :meth:`PoolPredictor.map` alone. So evaluation mode, precision, device, random
masks and timing are settled here, once.
"""

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from itertools import islice, zip_longest
from typing import Any, Protocol, TypeVar, cast, overload

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from al_lightning.data.augmentations import augment_all, first_alike
from al_lightning.data.inputs import Inputs, count_rows, map_tensors, split_rows, take_rows
from al_lightning.errors import InputError
from al_lightning.inference.calling import call, narrowed
from al_lightning.inference.last_layer import find_last_layer
from al_lightning.inference.layers import named_layer
from al_lightning.inference.logits import class_logits, logits_of, warn_of_probabilities
from al_lightning.inference.mc_dropout import MonteCarloDropout

MC_VALUES = 2**18  # logits under all masks that are held at a time, so that they fit a core's cache
MIN_MC_ROWS = 16
PASS_VALUES = 2**24  # the same where each mask takes a pass of its own, so that they fit in memory
MIN_PASS_ROWS = 64
SHORT_ROW = 16  # classes that a vector instruction takes at once

T = TypeVar("T")


class PoolModel(Protocol):
    """What a strategy may ask of a model.

    Only ``forward`` is needed: it gives probabilities, and Monte Carlo samples by whole passes. Embeddings come from
    ``embed`` and ``head``, which together are ``forward`` but for dropout; or, without these, from ``feature_layer``,
    a string: the name of the layer that makes the logits, whose input they are. Without a name, it is the linear layer
    that is called last, if its output is the logits.

    With ``draw_masks`` and ``sample``, which go together and may be missing, ``forward(x)`` equals
    ``head(dropout(embed(x)))``, and Monte Carlo samples cost one matrix product instead of T passes.
    """

    def embed(self, x: Tensor) -> Tensor:
        """Maps inputs ``(B, ...)`` to penultimate features ``(B, D)``."""

    def head(self, embeddings: Tensor) -> Tensor:
        """Maps features ``(B, D)`` to logits ``(B, C)``."""

    def draw_masks(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draws ``num_samples`` dropout masks ``(T, D)``, scaled as dropout scales."""

    def sample(self, embeddings: Tensor, masks: Tensor) -> Tensor:
        """Returns the logits ``(B, T, C)`` of features ``(B, D)`` under each of the masks ``(T, D)``."""


class Blocks(Protocol):
    """Inputs in blocks, in a fixed order; may be iterated any number of times."""

    def __iter__(self) -> Iterator[Inputs]: ...

    def __len__(self) -> int:
        """Number of rows in all blocks."""

    def shard(self, rank: int, size: int) -> Iterator[Inputs]:
        """Every ``size``-th block, from the one numbered ``rank`` on; the others are not read."""


class Shards(Protocol):
    """The processes that share the work, each of which does the same with blocks of its own."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def gather(self, value: T) -> list[T]:
        """Returns the values of all processes, by rank."""


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts a model and all its submodules in evaluation mode, and every one of them back as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


class Predictions:
    """What the model says about one block of B samples. Each part is computed when it is first asked for.

    All that follows the embedding is computed in float32 if the model's weights are float32, whatever the precision of
    the embedding: probabilities in bfloat16 tie by the hundred. Only Monte Carlo samples that take whole passes, and
    models without ``embed`` and ``head``, have their logits in the trainer's precision.
    """

    def __init__(self, predictor: "PoolPredictor", inputs: Inputs) -> None:
        self._predictor = predictor
        self._model = cast(PoolModel, predictor.model)
        self._given = inputs
        self.inputs: Any = narrowed(predictor.model, inputs, "embed" if predictor.in_parts else "forward")
        """What the model is called with, see :func:`~al_lightning.inference.calling.call`: as a rule a tensor ``(B,
        ...)``."""

    def __len__(self) -> int:
        """Number of samples of the block, B."""
        return count_rows(self.inputs)

    @cached_property
    def embeddings(self) -> Tensor:
        """Penultimate features, float32, shape ``(B, D)``.

        They are what ``embed`` gives, or what goes into ``feature_layer``. Without these they are what goes into the
        linear layer whose output is the logits.

        Raises:
            InputError: If the model has neither ``embed`` and ``head`` nor ``feature_layer``, nor such a layer.
        """
        if self._embedded is not None:
            return self._embedded
        if self._predictor.last_layer is None:
            self._predictor.last_layer = self._find_last_layer()
            self.__dict__.pop("_whole_pass", None)  # of which the embeddings were not kept
        embeddings, _ = self._whole_pass
        assert embeddings is not None
        return embeddings

    @cached_property
    def logits(self) -> Tensor:
        """Logits without dropout, float32, shape ``(B, C)``; see :func:`~al_lightning.inference.logits.logits_of`.

        A model with one logit z has two classes, whose logits are 0 and z.
        """
        return class_logits(self.returned_logits)

    @cached_property
    def returned_logits(self) -> Tensor:
        """Logits as the model returns them, float32, shape ``(B, C)``; ``(B, 1)`` if it has one for two classes."""
        if self._embedded is None:
            return self._whole_pass[1]
        dtype = next(
            self._predictor.model.parameters()
        ).dtype  # float32, unless the trainer's precision is 64-true or 16-true
        return self._checked(self._model.head(self._embedded.to(dtype)))

    @cached_property
    def _embedded(self) -> Tensor | None:
        """What ``embed`` gives, if the model can be asked for its features and its logits apart.

        ``embed`` and ``head`` may be names of something else. An embedding of tokens or patches has no ``(B, D)``.
        """
        if not self._predictor.in_parts:
            return None
        with self._predictor.precision():
            embedded = call(self._predictor.model, self.inputs, "embed")
        if not isinstance(embedded, Tensor) or embedded.dim() != 2:
            self._predictor.in_parts = False
            self.inputs = narrowed(self._predictor.model, self._given)
            return None
        return embedded.float()

    def _find_last_layer(self) -> nn.Module:
        model = self._predictor.model

        def logits_of_pass() -> Tensor:
            with self._predictor.precision():
                return self._checked(call(model, self.inputs))

        layer = find_last_layer(model, logits_of_pass)
        if layer is None:
            raise InputError(
                f"Expected the model {type(model).__name__} to have `embed` and `head`, or `feature_layer`, the name "
                "of its last layer, for embeddings, but it has neither, and its logits are no linear layer's output."
            )
        return layer

    @cached_property
    def _whole_pass(self) -> tuple[Tensor | None, Tensor]:
        """Embeddings, if the last layer is known, and logits of one pass of a model that is not in two parts."""
        model, layer = self._predictor.model, self._predictor.last_layer
        with self._predictor.precision():
            if layer is None:
                return None, self._checked(call(model, self.inputs))
            seen: list[Tensor] = []

            def keep(layer: nn.Module, args: tuple[Any, ...]) -> None:
                if args and isinstance(args[0], Tensor) and len(args[0]) == len(self):
                    seen.append(args[0].clone())  # a layer may write to its input

            hook = layer.register_forward_pre_hook(keep)
            try:
                logits = self._checked(call(model, self.inputs))
            finally:
                hook.remove()
        if not seen:
            raise InputError(
                f"Expected `feature_layer` {getattr(model, 'feature_layer', '')} to be given the features of each "
                f"sample when {type(model).__name__} is called, but it is not."
            )
        return seen[-1].flatten(1).float(), logits

    def _checked(self, returned: object, num_rows: int | None = None) -> Tensor:
        model = self._predictor.model
        num_rows = len(self) if num_rows is None else num_rows
        logits = logits_of(returned, num_rows, type(model).__name__)
        if not self._predictor.saw_logits:
            self._predictor.saw_logits = True
            warn_of_probabilities(logits, model)
        return logits.float()

    @cached_property
    def log_probs(self) -> Tensor:
        """Logarithms of :attr:`probs`, shape ``(B, C)``."""
        return _over_classes(torch.log_softmax, self.logits)

    @cached_property
    def probs(self) -> Tensor:
        """Class probabilities without dropout, float32, shape ``(B, C)``."""
        return _over_classes(torch.softmax, self.logits)

    def augmented_inputs(self, transform: nn.Module, num_augmentations: int) -> Iterator[Any]:
        """Augments the inputs, each time in another way, which is the same for the whole pool."""
        for seed in self._predictor.augmentation_seeds(transform, num_augmentations):
            yield augment_all(transform, self.inputs, seed)

    def augmented_probs(self, transform: nn.Module, num_augmentations: int) -> Iterator[Tensor]:
        """Class probabilities of the augmented inputs, ``(B, C)`` each; see :meth:`augmented_inputs`.

        What changes the inputs as an earlier augmentation did is not predicted again: of 50 shifts by up to a pixel no
        more than nine are.
        """
        seeds = self._predictor.augmentation_seeds(transform, num_augmentations)
        times_left = Counter(seeds)
        kept: dict[int, Tensor] = {}
        for seed in seeds:
            if seed not in kept:
                kept[seed] = Predictions(self._predictor, augment_all(transform, self.inputs, seed)).probs
            times_left[seed] -= 1
            yield kept[seed] if times_left[seed] else kept.pop(seed)

    def mc_log_probs(self, num_samples: int) -> Tensor:
        """Log-probabilities under Monte Carlo dropout, shape ``(B, T, C)``; see :meth:`mc_map`."""
        return self.mc_map(lambda logits: logits - logits.logsumexp(dim=-1, keepdim=True), num_samples)

    def mc_map(self, fn: Callable[[Tensor], Tensor], num_samples: int, draw: int = 0) -> Tensor:
        """Applies ``fn`` to the logits under Monte Carlo dropout, a few rows at a time, and concatenates the results.

        The masks are consistent (Kirsch et al., 2019): sample t uses the same mask for every row of the pool, so that
        the noise of the masks is common to all rows and does not shuffle their order. As few rows are taken at a time
        as fit the cache of a core, with all their samples.

        Args:
            fn: Takes logits, float32, of shape ``(b, T, C)``, returns a tensor of shape ``(b, ...)``.
            num_samples: Number of masks, T.
            draw: Which masks: those of another number are other masks.

        Raises:
            InputError: If the model has no active dropout; its samples would all be the same.
        """
        drawn = self._predictor.monte_carlo(num_samples, draw)
        if isinstance(drawn, MonteCarloDropout):
            return torch.cat([fn(class_logits(logits)) for logits in self._passes(drawn, num_samples)])
        masks = drawn.to(self.embeddings.device)
        num_classes = self._model.sample(self.embeddings[:1], masks).shape[2]
        rows = max(MIN_MC_ROWS, MC_VALUES // (num_samples * num_classes))
        parts = self.embeddings.split(rows)
        return torch.cat([fn(class_logits(self._model.sample(part, masks).float())) for part in parts])

    def _passes(self, dropout: MonteCarloDropout, num_samples: int) -> Iterator[Tensor]:
        """Logits ``(b, T, C)`` of whole passes, which are in the trainer's precision from beginning to end."""
        with self._predictor.precision():
            row = take_rows(self.inputs, slice(1))
            num_classes = self._checked(call(self._predictor.model, row), num_rows=1).shape[1]
        for part in split_rows(self.inputs, max(MIN_PASS_ROWS, PASS_VALUES // (num_samples * num_classes))):
            with self._predictor.precision():
                logits = dropout(part)
            yield logits.float()


def _own_memory(result: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """Copies a result to the CPU, for it may be part of a larger tensor, or of a block that is soon overwritten."""
    if isinstance(result, Tensor):
        return result.detach().to("cpu", copy=True)
    return tuple(part.detach().to("cpu", copy=True) for part in result)


def _over_classes(softmax: Callable[[Tensor, int], Tensor], logits: Tensor) -> Tensor:
    """Applies a softmax to each row; along columns if the rows are too short for vector instructions."""
    return softmax(logits.T, 0).T if logits.shape[1] < SHORT_ROW else softmax(logits, 1)


def _as_blocks(inputs: object, name: str) -> Blocks:
    # only those who keep their own loop give something else than blocks
    from al_lightning.data.blocks import SplitBlocks, TensorBlocks

    if isinstance(inputs, Tensor | np.ndarray):
        return TensorBlocks(inputs)
    if isinstance(inputs, Mapping | tuple):
        return SplitBlocks(inputs)
    if isinstance(inputs, DataLoader) or not all(hasattr(inputs, method) for method in ("__iter__", "__len__")):
        raise InputError(
            f"Expected `{name}` to be a tensor, an array, tensors by name or blocks such as TensorBlocks, but got "
            f"{type(inputs).__name__}."
        )
    return cast(Blocks, inputs)


def _to_parameters(model: nn.Module) -> Callable[[Any], Any]:
    """Brings inputs to the device of a model's parameters, and to their dtype if they are no integers."""
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)

    def transfer(block: Any) -> Any:
        if parameter is None:
            return block
        return map_tensors(lambda part: part.to(parameter if part.is_floating_point() else parameter.device), block)

    return transfer


class PoolPredictor:
    """Applies functions to a model's predictions on the pool, block by block.

    Args:
        model: A fitted model; see :class:`PoolModel` for the methods it needs.
        pool: The unlabeled inputs: a tensor, an array, or tensors by name, with samples along the first dimension; or
            blocks of them, such as :class:`~al_lightning.data.blocks.TensorBlocks`. Row ``i`` of their concatenation is
            position ``i`` in the pool.
        labeled: The labeled inputs, likewise, for strategies that measure distances to them; none if not given.
        mask_generator: Stream of the Monte Carlo dropout masks.
        view_generator: Stream of the augmentations.
        precision: Makes the context in which embeddings are computed, e.g. the trainer's autocast.
        transfer: Brings a block of inputs to the model's device and dtype; to those of its parameters if not given.
        shards: The processes that go over the blocks together; this one alone if not given. The results are the same to
            the bit.

    Raises:
        InputError: If the pool or the labeled inputs are something else, such as a DataLoader.

    Example:
        >>> from al_lightning import Margin
        >>> pool = PoolPredictor(nn.Linear(2, 3), torch.rand(5, 2))
        >>> Margin().query(pool, 2, torch.Generator()).shape
        torch.Size([2])
    """

    def __init__(
        self,
        model: nn.Module,
        pool: "Blocks | Inputs | np.ndarray",
        labeled: "Blocks | Inputs | np.ndarray | None" = None,
        mask_generator: torch.Generator | None = None,
        view_generator: torch.Generator | None = None,
        precision: Callable[[], AbstractContextManager] = nullcontext,
        transfer: Callable[[Any], Any] | None = None,
        shards: Shards | None = None,
    ) -> None:
        self.model = model
        self.precision = precision
        self._pool = _as_blocks(pool, "pool")
        self._labeled = _as_blocks(torch.empty(0) if labeled is None else labeled, "labeled")
        self._mask_generator = mask_generator or torch.Generator().manual_seed(0)
        self._view_generator = view_generator or torch.Generator().manual_seed(0)
        self._augmentation_seeds: dict[int, list[int]] = {}
        self._alike: dict[tuple[nn.Module, int], list[int]] = {}
        self._monte_carlo: dict[tuple[int, int], Tensor | MonteCarloDropout] = {}
        self._transfer = _to_parameters(model) if transfer is None else transfer
        self._shards = shards
        self.in_parts = callable(getattr(model, "embed", None)) and callable(getattr(model, "head", None))
        """Whether the model is asked for its features and its logits apart; see :class:`PoolModel`."""
        self.saw_logits = False  # so that only the first block is looked at, whether it is one of logits
        self.seconds = 0.0
        """Seconds spent on predictions so far."""

    @cached_property
    def last_layer(self) -> nn.Module | None:
        """The layer that makes the logits, if the model names it as its ``feature_layer``, or once it is found."""
        name = getattr(self.model, "feature_layer", None)
        return named_layer(self.model, name) if isinstance(name, str) else None

    def __len__(self) -> int:
        """Number of samples in the pool, N."""
        return len(self._pool)

    @overload
    def map(self, fn: Callable[[Predictions], Tensor], over: Blocks | None = None) -> Tensor: ...

    @overload
    def map(
        self, fn: Callable[[Predictions], tuple[Tensor, ...]], over: Blocks | None = None
    ) -> tuple[Tensor, ...]: ...

    def map(
        self, fn: Callable[[Predictions], Tensor | tuple[Tensor, ...]], over: Blocks | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        """Applies ``fn`` to each block of predictions and concatenates what it returns.

        Only what ``fn`` returns is kept, so memory grows with that and not with what the model computes on the way.

        Args:
            fn: Takes the predictions of a block of B samples, returns a tensor of shape ``(B, ...)`` or several.
            over: The blocks to go over; the pool if not given.

        Returns:
            As many tensors on the CPU, of shape ``(N, ...)``, in pool order.
        """
        started = time.perf_counter()
        blocks = self._pool if over is None else over
        columns: tuple[Tensor, ...] = ()  # written to as blocks come: half the memory of concatenating them at the end
        num_rows = 0
        with evaluation_mode(self.model), torch.inference_mode():
            for num_inputs, result in self._results(fn, blocks):
                parts = (result,) if isinstance(result, Tensor) else result
                if not columns:
                    with torch.inference_mode(False):  # the results are ordinary tensors
                        columns = tuple(torch.empty(len(blocks), *part.shape[1:], dtype=part.dtype) for part in parts)
                stop = num_rows + num_inputs
                for column, part in zip(columns, parts, strict=True):
                    if part.shape[:1] != (num_inputs,) or part.dtype != column.dtype or stop > len(blocks):
                        raise InputError(
                            f"Expected {column.dtype} in a row for each of {num_inputs} samples, "
                            f"but got {part.dtype} of shape {tuple(part.shape)}."
                        )
                    if part.shape[1:] != column.shape[1:]:  # as features of each token are
                        raise InputError(
                            f"Expected values of one shape for all samples, but got {tuple(column.shape[1:])} and "
                            f"{tuple(part.shape[1:])}: features must not depend on how long the inputs are."
                        )
                    column[num_rows:stop] = part
                num_rows = stop
        if columns and num_rows < len(blocks):
            raise InputError(f"Expected blocks of {len(blocks)} rows in all, but got {num_rows}.")
        self.seconds += time.perf_counter() - started
        if not columns:
            return torch.empty(0)
        return columns[0] if isinstance(result, Tensor) else columns

    def _results(
        self, fn: Callable[[Predictions], Tensor | tuple[Tensor, ...]], blocks: Blocks
    ) -> Iterator[tuple[int, Tensor | tuple[Tensor, ...]]]:
        """The number of rows of each block and what ``fn`` returns for it, in order, whichever process computed it."""

        def result_of(block: Inputs) -> tuple[int, Tensor | tuple[Tensor, ...]]:
            return count_rows(block), fn(Predictions(self, self._transfer(block)))

        if self._shards is None or self._shards.size == 1:
            yield from map(result_of, blocks)
            return
        mine: list[tuple[int, Tensor | tuple[Tensor, ...]]] = []
        error = None
        try:
            for block in blocks.shard(self._shards.rank, self._shards.size):
                num_inputs, result = result_of(block)
                mine.append((num_inputs, _own_memory(result)))
            if not mine:
                # there is nothing here to compute, but masks and views are drawn by all, or their streams part
                for block in islice(blocks.shard(0, 1), 1):
                    result_of(block)
        except InputError as raised:  # it may be of this block alone, and the others wait for this process
            error = raised
        everyones = self._shards.gather((mine, error))
        for _, error in everyones:
            if error is not None:
                raise error
        for parts in zip_longest(*(results for results, _ in everyones)):
            yield from (part for part in parts if part is not None)

    def monte_carlo(self, num_samples: int, draw: int = 0) -> Tensor | MonteCarloDropout:
        """Returns what makes the T samples of this query: drawn once for each ``draw``, then the same for all blocks.

        Returns:
            T dropout masks, ``(T, D)``, for a model that samples from its embeddings, else what takes T whole passes.
        """
        if (num_samples, draw) not in self._monte_carlo:
            self._monte_carlo[num_samples, draw] = self._draw(num_samples)
        return self._monte_carlo[num_samples, draw]

    def augmentation_seeds(self, transform: nn.Module, num_augmentations: int) -> list[int]:
        """Returns a seed for each of the augmentations of this query: drawn once, then the same for all blocks.

        Augmentations that change inputs alike have the same seed, see
        :func:`~al_lightning.data.augmentations.first_alike`.
        """
        if num_augmentations not in self._augmentation_seeds:
            seeds = torch.randint(2**62, (num_augmentations,), generator=self._view_generator)
            self._augmentation_seeds[num_augmentations] = seeds.tolist()
        if (transform, num_augmentations) not in self._alike:
            self._alike[transform, num_augmentations] = first_alike(
                transform, self._augmentation_seeds[num_augmentations]
            )
        return self._alike[transform, num_augmentations]

    def _draw(self, num_samples: int) -> Tensor | MonteCarloDropout:
        folds = hasattr(self.model, "draw_masks") and hasattr(self.model, "sample")
        if folds and getattr(self.model, "samples_from_embeddings", True):
            return cast(PoolModel, self.model).draw_masks(num_samples, self._mask_generator)
        is_ragged = any(getattr(blocks, "is_ragged", False) for blocks in (self._pool, self._labeled))
        passes = MonteCarloDropout(self.model, num_samples, self._mask_generator, is_ragged)
        warnings.warn(  # the same text each round, so that Python says it once a run
            f"Monte Carlo dropout takes {num_samples} passes over the pool: {type(self.model).__name__} has no "
            "`draw_masks` and `sample`, as DropoutHead gives to models, or has other dropout than before the head.",
            stacklevel=2,
        )
        return passes

    def probs(self) -> Tensor:
        """Class probabilities of the whole pool, shape ``(N, C)``."""
        return self.map(lambda batch: batch.probs)

    def embeddings(self) -> Tensor:
        """Penultimate features of the whole pool, shape ``(N, D)``."""
        return self.map(lambda batch: batch.embeddings)

    def labeled_embeddings(self) -> Tensor:
        """Penultimate features of the labeled samples, shape ``(M, D)``."""
        return self.map_labeled(lambda batch: batch.embeddings)

    def map_labeled(self, fn: Callable[[Predictions], Tensor]) -> Tensor:
        """Like :meth:`map`, but of the labeled samples: shape ``(M, ...)``."""
        return self.map(fn, over=self._labeled)
