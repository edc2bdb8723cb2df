"""Monte Carlo dropout for models of any form: whole passes, with masks that all samples of the pool share."""

from collections import Counter

import torch
from torch import Tensor, nn

from al_lightning.data.inputs import Inputs, count_rows
from al_lightning.errors import InputError
from al_lightning.inference.calling import call
from al_lightning.inference.logits import logits_of
from al_lightning.inference.ragged_masks import RaggedMasks, scaled

CHANNELWISE = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class MonteCarloDropout:
    """Predictions of a model under T dropout masks, one pass for each.

    Each :class:`torch.nn.Dropout`, and its siblings that drop whole channels, gets T masks. All inputs share these
    masks (Kirsch et al., 2019). Dropout that is not a separate module stays off, as inside
    :class:`torch.nn.MultiheadAttention`.

    Args:
        model: A model in evaluation mode, in which it stays.
        num_samples: Number of masks, T.
        generator: CPU generator of the masks.
        is_ragged: Whether blocks are padded to different lengths. Then a mask is a function of the place in a sample,
            so that all blocks share it in any order.

    Raises:
        InputError: If no such module has a probability above 0, because all samples would be the same. Also if the
            model has AlphaDropout, which needs other masks.
    """

    def __init__(self, model: nn.Module, num_samples: int, generator: torch.Generator, is_ragged: bool = False) -> None:
        for module in model.modules():
            if isinstance(module, nn.AlphaDropout | nn.FeatureAlphaDropout):
                raise InputError(
                    f"Expected Dropout or its siblings for Monte Carlo samples, but got {type(module).__name__}."
                )
        kinds = (nn.Dropout, *CHANNELWISE)
        self._dropouts = [module for module in model.modules() if isinstance(module, kinds) and module.p > 0]
        if not self._dropouts:
            raise InputError(
                "Expected a model with active dropout, or with `sample_logits`, for Monte Carlo samples, "
                "or `loop.strategy.posterior` laplace, which needs neither, "
                f"but got {type(model).__name__} without a dropout module whose probability is above 0."
            )
        self._numbers: dict[nn.Module, int] = {module: number for number, module in enumerate(self._dropouts)}
        self._model = model
        self._num_samples = num_samples
        self._generator = generator
        self._masks: dict[tuple[nn.Module, int, torch.Size, int], Tensor] = {}
        self._ragged_masks = RaggedMasks(generator) if is_ragged else None

    def __call__(self, inputs: Inputs) -> Tensor:
        """Returns the logits ``(B, T, C)`` of inputs of B samples; C is 1 if the model has one for two classes."""
        return torch.stack([self._sample(inputs, t) for t in range(self._num_samples)], dim=1)

    def _sample(self, inputs: Inputs, t: int) -> Tensor:
        """One pass with the masks of sample t; returns logits ``(B, C)``."""

        def drop(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
            num_calls[module] += 1
            return output * self._mask(module, num_calls[module], output, t)  # in evaluation mode output is input

        num_calls: Counter[nn.Module] = Counter()  # a module may stand in several places, each with a mask of its own
        hooks = [module.register_forward_hook(drop) for module in self._dropouts]
        try:
            return logits_of(call(self._model, inputs), count_rows(inputs), type(self._model).__name__)
        finally:
            for hook in hooks:
                hook.remove()

    def _mask(self, module: nn.Module, call: int, values: Tensor, t: int) -> Tensor:
        """The mask of a module's values ``(B, ...)``, without the first dimension; drawn when first asked for."""
        shape = values.shape[1:]
        drawn = (shape[0], *[1] * (len(shape) - 1)) if isinstance(module, CHANNELWISE) else shape
        p = float(module.p)  # type: ignore[arg-type]
        with torch.inference_mode(False), torch.no_grad():  # masks that a pass with gradients can use as well
            if self._ragged_masks is not None:
                return self._ragged_masks.mask((self._numbers[module], call, t), drawn, p, values)
            if (module, call, shape, t) not in self._masks:
                kept = torch.rand(drawn, generator=self._generator) >= p
                self._masks[module, call, shape, t] = scaled(kept, p).to(values)
        return self._masks[module, call, shape, t]
