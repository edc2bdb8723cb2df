"""FittedModel: calls a model for one query, and keeps the random draws of that query."""

import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from al_lightning.data.inputs import Inputs, map_tensors
from al_lightning.inference.layers import named_layer
from al_lightning.inference.mc_dropout import MonteCarloDropout
from al_lightning.inference.own_samples import OwnSamples
from al_lightning.models.protocol import traits

Stream = Literal["masks", "views"]
T = TypeVar("T")


class FittedModel:
    """A fitted model, with the precision, the device and the random draws of one query.

    Args:
        model: See :class:`~al_lightning.models.protocol.Traits` for what it may have.
        precision: Makes the context in which embeddings are computed, e.g. the trainer's autocast.
        transfer: Brings inputs to the model's device and dtype. By default it asks the parameters for both.
        generators: The random streams that :meth:`draw` takes from. Seeded with 0 if not given.
        is_ragged: Whether blocks of inputs are padded to different lengths.
    """

    def __init__(
        self,
        model: nn.Module,
        precision: Callable[[], AbstractContextManager] = nullcontext,
        transfer: Callable[[Any], Any] | None = None,
        generators: dict[Stream, torch.Generator | None] | None = None,
        is_ragged: bool = False,
    ) -> None:
        self.model = model
        self.precision = precision
        self.transfer = _to_parameters(model) if transfer is None else transfer
        self.in_parts = callable(traits(model).embed) and callable(traits(model).head)
        """Whether the model gives its features and its logits separately."""
        self.saw_logits = False
        """Whether a block of logits was looked at; one block is enough."""
        self._generators = {
            stream: generator or torch.Generator().manual_seed(0) for stream, generator in (generators or {}).items()
        }
        self._is_ragged = is_ragged
        self._drawn: dict[tuple[Stream, Hashable], Any] = {}

    @cached_property
    def last_layer(self) -> nn.Module | None:
        """The layer that makes the logits: named by the model, or else None until a pass has found it."""
        name = traits(self.model).feature_layer
        return named_layer(self.model, name) if isinstance(name, str) else None

    def draw(self, name: Hashable, make: Callable[[torch.Generator], T], stream: Stream = "views") -> T:
        """Draws something at random once a query. Later calls return the same object, for all blocks of the pool.

        Args:
            name: Name of the draw. Another name is another draw.
            make: Draws it from a CPU generator.
            stream: Which generator: ``masks``, for Monte Carlo samples, or ``views``, for changed inputs.
        """
        if (stream, name) not in self._drawn:
            with torch.inference_mode(False), torch.no_grad():  # tensors that a pass with gradients can use as well
                self._drawn[stream, name] = make(self._generators[stream])
        return self._drawn[stream, name]

    def monte_carlo(self, num_samples: int, draw: int = 0) -> Tensor | MonteCarloDropout | OwnSamples:
        """Returns the source of this query's T samples: drawn once for each ``draw``, and the same for all blocks.

        Returns:
            T dropout masks, ``(T, D)``, for a model that samples from its embeddings. For other models, a function from
            inputs to logits ``(B, T, C)``.
        """
        return self.draw((num_samples, draw), lambda generator: self._make_samples(num_samples, generator), "masks")

    def _make_samples(self, num_samples: int, generator: torch.Generator) -> Tensor | MonteCarloDropout | OwnSamples:
        has = traits(self.model)
        if has.sample_logits is not None:
            return OwnSamples(self.model, num_samples, generator)
        if has.draw_masks is not None and has.sample is not None and has.samples_from_embeddings:
            return has.draw_masks(num_samples, generator)
        passes = MonteCarloDropout(self.model, num_samples, generator, self._is_ragged)
        warnings.warn(  # the same text each round, so that Python says it once a run
            f"Monte Carlo dropout takes {num_samples} passes over the pool: {type(self.model).__name__} has no "
            "`draw_masks` and `sample`, as DropoutHead gives to models, or has other dropout than before the head.",
            stacklevel=2,
        )
        return passes


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Puts a model and all its submodules in evaluation mode, and each of them back afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def with_gradients(model: nn.Module) -> Iterator[None]:
    """Enables gradients. Parameters begin without a gradient, and get their old gradient back afterwards."""
    before = [(parameter, parameter.grad, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _, _ in before:
        parameter.grad = None
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for parameter, gradient, requires_grad in before:
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient


def with_own_gradient(inputs: Inputs) -> Inputs:
    """Returns copies of the inputs. Copies of a float dtype require gradients."""
    return cast(Inputs, map_tensors(lambda t: t.detach().clone().requires_grad_(t.is_floating_point()), inputs))


def _to_parameters(model: nn.Module) -> Callable[[Any], Any]:
    """Brings inputs to the device of a model's parameters, and to their dtype if they are no integers."""
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)

    def transfer(block: Any) -> Any:
        if parameter is None:
            return block
        return map_tensors(lambda part: part.to(parameter if part.is_floating_point() else parameter.device), block)

    return transfer
