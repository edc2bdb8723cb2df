"""OwnSamples: Monte Carlo samples that a model makes by itself, as an ensemble or a posterior does."""

import torch
from torch import Tensor, nn

from al_lightning.data.inputs import Inputs, count_rows
from al_lightning.errors import InputError
from al_lightning.models.protocol import traits
from al_lightning.random_streams import seeded


class OwnSamples:
    """Calls the ``sample_logits`` of a model with the global generators in the same state for each block.

    So a model that draws T sets of weights draws the same T sets for the whole pool.

    Args:
        model: A model with ``sample_logits``.
        num_samples: Number of samples to ask for, T.
        generator: CPU generator; one number is drawn.
    """

    def __init__(self, model: nn.Module, num_samples: int, generator: torch.Generator) -> None:
        self._model = model
        self._num_samples = num_samples
        self._seed = int(torch.randint(2**62, (), generator=generator))

    def __call__(self, inputs: Inputs) -> Tensor:
        """Returns the logits ``(B, T, C)`` of inputs of B samples; C is 1 if the model has one for two classes.

        Raises:
            InputError: If the model returns anything else.
        """
        sample_logits = traits(self._model).sample_logits
        assert sample_logits is not None
        with seeded(self._seed, with_gpus=any(parameter.is_cuda for parameter in self._model.parameters())):
            logits = sample_logits(inputs, self._num_samples)
        size = count_rows(inputs)
        if isinstance(logits, Tensor) and logits.is_floating_point() and logits.dim() == 3 and len(logits) == size:
            return logits
        got = f"{logits.dtype} of {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            f"Expected `sample_logits` of {type(self._model).__name__} to return floats of shape ({size}, T, C), but "
            f"got {got}."
        )
