"""Predictions: the predictions of a model for one block of samples."""

from collections.abc import Callable, Hashable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from al_lightning.data.inputs import Inputs, count_rows, split_rows, take_rows
from al_lightning.errors import InputError
from al_lightning.inference.calling import call, narrowed
from al_lightning.inference.fitted_model import FittedModel, Stream
from al_lightning.inference.last_layer import find_last_layer
from al_lightning.inference.logits import class_logits, logits_of, warn_of_probabilities
from al_lightning.models.protocol import traits

MC_VALUES = 2**18  # logits under all masks that are held at a time, so that they fit a core's cache
MIN_MC_ROWS = 16
PASS_VALUES = 2**24  # the same where each mask takes a pass of its own, so that they fit in memory
MIN_PASS_ROWS = 64
SHORT_ROW = 16  # classes that a vector instruction takes at once

T = TypeVar("T")


class Predictions:
    """The predictions of the model for one block of B samples. Each part is computed at its first use.

    If the model's weights are float32, all arithmetic after the embedding is in float32, because probabilities in
    bfloat16 tie by the hundred. Two kinds of logits stay in the precision of scoring: Monte Carlo samples of whole
    passes, and logits of models without ``embed`` and ``head``.
    """

    def __init__(self, source: FittedModel, inputs: Inputs) -> None:
        self._source = source
        self.model: nn.Module = source.model
        """The fitted model, in evaluation mode."""
        self.given = inputs
        """All inputs of the block, also those that the model does not take."""
        self.inputs: Any = narrowed(source.model, inputs, "embed" if source.in_parts else "forward")
        """The argument of the model, see :func:`~al_lightning.inference.calling.call`: usually a tensor ``(B,
        ...)``."""

    def __len__(self) -> int:
        """Number of samples of the block, B."""
        return count_rows(self.inputs)

    def of(self, inputs: Any) -> "Predictions":
        """Returns the predictions of other inputs: augmented ones, changed ones, or a second input for each sample.

        Args:
            inputs: Inputs that the model takes, on any device. For a second input that the data set's items have:
                ``batch.of(batch.given[1])``.
        """
        return Predictions(self._source, self._source.transfer(inputs))

    def draw(self, name: Hashable, make: Callable[[torch.Generator], T], stream: Stream = "views") -> T:
        """Draws something at random, once for all blocks: ``draw`` of PoolPredictor."""
        return self._source.draw(name, make, stream)

    @cached_property
    def embeddings(self) -> Tensor:
        """Penultimate features, float32, shape ``(B, D)``.

        They are the result of ``embed``, or the input of ``feature_layer``. For a model with neither, they are the
        input of the linear layer that makes the logits.

        Raises:
            InputError: If the model has neither ``embed`` and ``head`` nor ``feature_layer``, nor such a layer.
        """
        if self._embedded is not None:
            return self._embedded
        if self._source.last_layer is None:
            self._source.last_layer = self._find_last_layer()
            self.__dict__.pop("_whole_pass", None)  # that pass kept no embeddings
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
        head = traits(self.model).head
        assert head is not None
        dtype = next(self.model.parameters()).dtype  # float32, unless the trainer's precision is 64-true or 16-true
        return self._checked(head(self._embedded.to(dtype)))

    @cached_property
    def _embedded(self) -> Tensor | None:
        """The result of ``embed``, if the model can be asked for its features and its logits apart.

        ``embed`` and ``head`` may be names of something else: an embedding of tokens or patches is not ``(B, D)``.
        """
        if not self._source.in_parts:
            return None
        with self._source.precision():
            embedded = call(self.model, self.inputs, "embed")
        if not isinstance(embedded, Tensor) or embedded.dim() != 2:
            self._source.in_parts = False
            self.inputs = narrowed(self.model, self.given)
            return None
        return embedded.float()

    def _find_last_layer(self) -> nn.Module:
        model = self.model

        def logits_of_pass() -> Tensor:
            with self._source.precision():
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
        model, layer = self.model, self._source.last_layer
        with self._source.precision():
            if layer is None:
                return None, self._checked(call(model, self.inputs))
            seen: list[Tensor] = []

            def keep(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
                if not (args and isinstance(args[0], Tensor) and len(args[0]) == len(self)):
                    return args
                seen.append(args[0].clone())  # a layer may write to its input
                # the gradient of the logits with respect to the embeddings needs these on the way
                return (seen[-1].clone(), *args[1:]) if torch.is_grad_enabled() else args

            hook = layer.register_forward_pre_hook(keep)
            try:
                logits = self._checked(call(model, self.inputs))
            finally:
                hook.remove()
        if not seen:
            raise InputError(
                f"Expected `feature_layer` {traits(model).feature_layer or ''} to be given the features of each "
                f"sample when {type(model).__name__} is called, but it is not."
            )
        return seen[-1].flatten(1).float(), logits

    def _checked(self, returned: object, num_rows: int | None = None) -> Tensor:
        model = self.model
        num_rows = len(self) if num_rows is None else num_rows
        logits = logits_of(returned, num_rows, type(model).__name__)
        if not self._source.saw_logits:
            self._source.saw_logits = True
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

    def mc_log_probs(self, num_samples: int) -> Tensor:
        """Log-probabilities under Monte Carlo dropout, shape ``(B, T, C)``; see :meth:`mc_map`."""
        return self.mc_map(lambda logits: logits - logits.logsumexp(dim=-1, keepdim=True), num_samples)

    def mc_map(self, fn: Callable[[Tensor], Tensor], num_samples: int, draw: int = 0) -> Tensor:
        """Applies ``fn`` to the logits of Monte Carlo samples, a few rows at a time, and concatenates the results.

        Sample t is of the same weights for every row of the pool (Kirsch et al., 2019). So the noise of the samples is
        common to all rows and does not shuffle their order. A model with ``sample_logits`` makes its own samples.
        Otherwise dropout makes them.

        Args:
            fn: Takes logits, float32, of shape ``(b, T, C)``, returns a tensor of shape ``(b, ...)``.
            num_samples: Number of samples, T. An ensemble may have another number of members.
            draw: Another number makes other samples.

        Raises:
            InputError: If the model has no samples of its own and no active dropout; all samples would be the same.
        """
        drawn = self._source.monte_carlo(num_samples, draw)
        parts = self._folded(drawn) if isinstance(drawn, Tensor) else self._passes(drawn, num_samples)
        return torch.cat([fn(class_logits(logits)) for logits in parts])

    def _folded(self, masks: Tensor) -> Iterator[Tensor]:
        """Logits ``(b, T, C)`` from the embeddings; as few rows at a time as fit the cache of a core."""
        sample = traits(self.model).sample
        assert sample is not None
        masks = masks.to(self.embeddings.device)
        num_classes = sample(self.embeddings[:1], masks).shape[2]
        for part in self.embeddings.split(max(MIN_MC_ROWS, MC_VALUES // (len(masks) * num_classes))):
            yield sample(part, masks).float()

    def _passes(self, samples: Callable[[Inputs], Tensor], num_samples: int) -> Iterator[Tensor]:
        """Logits ``(b, T, C)`` of whole passes, which are in the precision of scoring from beginning to end."""
        with self._source.precision():
            row = take_rows(self.inputs, slice(1))
            num_classes = self._checked(call(self.model, row), num_rows=1).shape[1]
        for part in split_rows(self.inputs, max(MIN_PASS_ROWS, PASS_VALUES // (num_samples * num_classes))):
            with self._source.precision():
                logits = samples(part)
            yield logits.float()


def _over_classes(softmax: Callable[[Tensor, int], Tensor], logits: Tensor) -> Tensor:
    """Applies a softmax to each row; along columns if the rows are too short for vector instructions."""
    return softmax(logits.T, 0).T if logits.shape[1] < SHORT_ROW else softmax(logits, 1)
