"""PoolPredictor: a fitted model and a pool of samples, read in blocks.

Every strategy sees the model through :meth:`PoolPredictor.map` alone. So this file and
:mod:`~al_lightning.inference.fitted_model` settle evaluation mode, precision, device, random draws and time, once.
"""

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor, nn

from al_lightning.data.inputs import Inputs, count_rows, map_tensors
from al_lightning.errors import InputError
from al_lightning.inference.blocks import Blocks, ChosenBlocks, Shards, as_blocks
from al_lightning.inference.fitted_model import FittedModel, Stream, evaluation_mode, with_gradients, with_own_gradient
from al_lightning.inference.head import LinearHead, apply_head, linear_head
from al_lightning.inference.known import Known
from al_lightning.inference.precision import ScoringPrecision, context_of, converter_of
from al_lightning.inference.predictions import Predictions
from al_lightning.models.protocol import traits
from al_lightning.random_streams import stream

if TYPE_CHECKING:
    import lightning.pytorch as L

T = TypeVar("T")


class PoolPredictor:
    """Applies functions to a model's predictions on the pool, block by block.

    Args:
        model: A fitted model; see :class:`~al_lightning.models.protocol.Traits` for what it may have.
        pool: The unlabeled inputs: a tensor, an array, or tensors by name, with samples along the first dimension; or
            blocks of them, such as :class:`~al_lightning.data.blocks.TensorBlocks`. Row ``i`` of their concatenation is
            position ``i`` in the pool.
        labeled: The labeled inputs, in one of these forms, for strategies that compare the pool with them.
        mask_generator: Stream of the Monte Carlo dropout masks.
        view_generator: Stream of the augmentations.
        precision: Makes the context in which embeddings are computed, e.g. the trainer's autocast.
        transfer: Brings a block of inputs to the model's device and dtype. By default it asks the parameters for both.
        shards: The processes that go over the blocks together; this one alone if not given. The results are the same
            bits.
        known: What is known of the samples besides their inputs, such as the classes of the labeled samples.

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
        known: Known | None = None,
    ) -> None:
        self.model = model
        self.known = Known() if known is None else known
        """What is known of the samples besides their inputs."""
        self._pool = as_blocks(pool, "pool")
        self._labeled = as_blocks(torch.empty(0) if labeled is None else labeled, "labeled")
        self._source = FittedModel(
            model,
            precision,
            transfer,
            {"masks": mask_generator, "views": view_generator},
            is_ragged=any(getattr(blocks, "is_ragged", False) for blocks in (self._pool, self._labeled)),
        )
        self._shards = shards
        self._num_features: int | None = None
        self.seconds = 0.0
        """Seconds spent on predictions so far."""

    @classmethod
    def of_trainer(
        cls,
        trainer: "L.Trainer",
        model: "L.LightningModule",
        pool: Blocks,
        labeled: Blocks,
        seed: int = 0,
        round: int = 0,
        shards: Shards | None = None,
        known: Known | None = None,
        precision: ScoringPrecision = "trainer",
    ) -> "PoolPredictor":
        """Makes a predictor of a model that is on the trainer's device.

        Args:
            trainer: The model is on its device.
            model: The model.
            pool: See :class:`PoolPredictor`.
            labeled: See :class:`PoolPredictor`.
            seed: Of the experiment. Monte Carlo samples and augmentations depend on it and on the round.
            round: Of the query.
            shards: See :class:`PoolPredictor`.
            known: See :class:`PoolPredictor`.
            precision: In which embeddings are computed, see ``scoring_precision`` of
                :class:`~al_lightning.ActiveLearningLoop`.
        """
        convert = converter_of(precision, trainer)
        return cls(
            model,
            pool,
            labeled,
            mask_generator=stream(seed, "masks", round),
            view_generator=stream(seed, "views", round),
            precision=context_of(precision, trainer),
            transfer=lambda block: convert(map_tensors(lambda tensor: tensor.to(model.device), block)),
            shards=shards,
            known=known,
        )

    @property
    def in_parts(self) -> bool:
        """Whether the model is asked for its features and its logits apart: by ``embed`` and ``head``."""
        return self._source.in_parts

    def __len__(self) -> int:
        """Number of samples in the pool, N."""
        return len(self._pool)

    @property
    def num_labeled(self) -> int:
        """Number of labeled samples, M."""
        return len(self._labeled)

    @property
    def labeled_targets(self) -> Tensor:
        """Class indices of the labeled samples, in their order, int64, shape ``(M,)``.

        Raises:
            InputError: If the predictor was made without them.
        """
        targets = self.known.labeled_targets
        if targets is None:
            raise InputError(
                "Expected `known` of PoolPredictor to have `labeled_targets`, the classes of the labeled samples, "
                "which this strategy needs, but got none."
            )
        return targets

    def blocks_at(self, positions: Tensor) -> Blocks:
        """Returns the inputs at ascending positions in the pool, int64, shape ``(K,)``, for :meth:`map`."""
        known = self.known
        if known.blocks_at is not None and known.indices is not None:
            return known.blocks_at(known.indices[positions])
        return ChosenBlocks(self._pool, positions)

    def head(self, embeddings: Tensor) -> Tensor:
        """Computes the logits of features, as the model does without dropout.

        Args:
            embeddings: Features on any device, shape ``(K, D)``.

        Returns:
            Logits of each class, float32 on the CPU, shape ``(K, C)``.

        Raises:
            InputError: If the model has no head that can be called by itself: see :attr:`Predictions.embeddings`.
        """
        started = time.perf_counter()
        head = self._find_head()
        parameter = next((p for p in self.model.parameters() if p.is_floating_point()), None)
        with evaluation_mode(self.model), torch.no_grad():
            logits = apply_head(head, embeddings, parameter, type(self.model).__name__)
        self.seconds += time.perf_counter() - started
        return logits

    def linear_head(self) -> LinearHead:
        """Returns the weights of the model's head.

        Raises:
            InputError: If the head is not linear, or cannot be called by itself.
        """
        head = self._find_head()
        assert self._num_features is not None
        return linear_head(head, self.head, self._num_features)

    def _find_head(self) -> Callable[[Tensor], Tensor]:
        """Finds the head; at the first time, by the predictions of a block."""
        if self._num_features is None:
            for block in islice(chain(self._labeled, self._pool), 1):
                with evaluation_mode(self.model), torch.inference_mode():
                    batch = Predictions(self._source, self._source.transfer(block))
                    self._num_features = batch.embeddings.shape[1]
        head = traits(self.model).head if self.in_parts else self._source.last_layer
        if head is None or not (self.in_parts or isinstance(head, nn.Linear)):
            raise InputError(
                f"Expected the model {type(self.model).__name__} to have `head`, or a linear `feature_layer`, for "
                f"logits of features, but it has {'none' if head is None else type(head).__name__}."
            )
        return head

    @overload
    def map(self, fn: Callable[[Predictions], Tensor], over: Blocks | None = None, grad: bool = False) -> Tensor: ...

    @overload
    def map(
        self, fn: Callable[[Predictions], tuple[Tensor, ...]], over: Blocks | None = None, grad: bool = False
    ) -> tuple[Tensor, ...]: ...

    def map(
        self,
        fn: Callable[[Predictions], Tensor | tuple[Tensor, ...]],
        over: Blocks | None = None,
        grad: bool = False,
    ) -> Tensor | tuple[Tensor, ...]:
        """Applies ``fn`` to each block of predictions, and concatenates the results.

        Only the results of ``fn`` are kept. So memory does not grow with the activations of the model.

        Args:
            fn: Takes the predictions of a block of B samples, returns a tensor of shape ``(B, ...)`` or several.
            over: The blocks; the pool if not given.
            grad: Whether ``fn`` computes gradients, with respect to ``batch.inputs`` or to parameters that require
                them. The model stays unchanged: its parameters keep their ``grad``.

        Returns:
            The same number of tensors on the CPU, of shape ``(N, ...)``, in pool order, without gradients.
        """
        started = time.perf_counter()
        blocks = self._pool if over is None else over
        columns: tuple[Tensor, ...] = ()  # written to as blocks come: half the memory of concatenating them at the end
        num_rows = 0
        with evaluation_mode(self.model), torch.inference_mode():
            for num_inputs, result in self._results(fn, blocks, grad):
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
        self, fn: Callable[[Predictions], Tensor | tuple[Tensor, ...]], blocks: Blocks, grad: bool
    ) -> Iterator[tuple[int, Tensor | tuple[Tensor, ...]]]:
        """The number of rows of each block and the result of ``fn`` for it, in order, from any process."""

        def result_of(block: Inputs) -> tuple[int, Tensor | tuple[Tensor, ...]]:
            inputs = self._source.transfer(block)
            if not grad:
                return count_rows(block), fn(Predictions(self._source, inputs))
            with with_gradients(self.model):
                result = fn(Predictions(self._source, with_own_gradient(inputs)))
                return count_rows(block), _each(Tensor.detach, result)

        if self._shards is None or self._shards.size == 1:
            yield from map(result_of, blocks)
            return
        mine: list[tuple[int, Tensor | tuple[Tensor, ...]]] = []
        error = None
        try:
            for block in blocks.shard(self._shards.rank, self._shards.size):
                num_inputs, result = result_of(block)
                mine.append((num_inputs, _each(_own_memory, result)))
            if not mine:
                # There is nothing to compute here, but all processes draw masks and views: otherwise their streams
                # would differ.
                for block in islice(blocks.shard(0, 1), 1):
                    result_of(block)
        except InputError as raised:  # only this block may fail, and the other processes wait
            error = raised
        everyones = self._shards.gather((mine, error))
        for _, error in everyones:
            if error is not None:
                raise error
        for parts in zip_longest(*(results for results, _ in everyones)):
            yield from (part for part in parts if part is not None)

    def draw(self, name: Hashable, make: Callable[[torch.Generator], T], stream: Stream = "views") -> T:
        """Draws something at random once a query. Later calls return the same object, for all blocks of the pool.

        Args:
            name: Name of the draw. Another name is another draw.
            make: Draws it from a CPU generator, as in ``lambda generator: torch.rand(3, generator=generator)``.
            stream: Which generator: ``masks``, for Monte Carlo samples, or ``views``, for changed inputs.
        """
        return self._source.draw(name, make, stream)

    def monte_carlo(self, num_samples: int, draw: int = 0) -> Tensor | Callable[[Inputs], Tensor]:
        """Returns the source of this query's T Monte Carlo samples.

        Returns:
            T dropout masks, ``(T, D)``, for a model that samples from its embeddings. For other models, a function from
            inputs to logits ``(B, T, C)``.
        """
        return self._source.monte_carlo(num_samples, draw)

    def probs(self) -> Tensor:
        """Class probabilities of the whole pool, shape ``(N, C)``."""
        return self.map(lambda batch: batch.probs)

    def embeddings(self) -> Tensor:
        """Penultimate features of the whole pool, shape ``(N, D)``."""
        return self.map(lambda batch: batch.embeddings)

    def predicted(self, num_classes: int, over: Blocks) -> tuple[Tensor, Tensor]:
        """The most likely class of each sample, for people to read.

        Args:
            num_classes: Number of classes, C. A model of an old run may have more outputs. They are never the answer.
            over: The blocks.

        Returns:
            Probabilities, float32, and class indices, int64, of shape ``(N,)``.
        """
        confidences, classes = self.map(lambda batch: tuple(batch.probs[:, :num_classes].max(dim=1)), over=over)
        return confidences, classes

    def labeled_embeddings(self) -> Tensor:
        """Penultimate features of the labeled samples, shape ``(M, D)``."""
        return self.map_labeled(lambda batch: batch.embeddings)

    def map_labeled(self, fn: Callable[[Predictions], Tensor], grad: bool = False) -> Tensor:
        """Does the same as :meth:`map` for the labeled samples: shape ``(M, ...)``."""
        return self.map(fn, over=self._labeled, grad=grad)


def _each(fn: Callable[[Tensor], Tensor], result: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    return fn(result) if isinstance(result, Tensor) else tuple(fn(part) for part in result)


def _own_memory(part: Tensor) -> Tensor:
    """Copies a result to the CPU: it may be part of a larger tensor, or of a block that is soon overwritten."""
    return part.detach().to("cpu", copy=True)
