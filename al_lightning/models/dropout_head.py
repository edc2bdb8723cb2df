"""DropoutHead: Monte Carlo dropout from the features, for models with dropout only before their last layer."""

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from al_lightning.errors import InputError


def check_dropout(dropout: float) -> None:
    """Raises :class:`InputError` unless a probability is in [0, 1)."""
    if not 0 <= dropout < 1:
        raise InputError(f"Expected `model.dropout` to be in [0, 1), but got {dropout}.")


class DropoutHead(nn.Module):
    """Gives a module ``draw_masks`` and ``sample``: T Monte Carlo samples for one matrix product instead of T passes.

    The module has ``embed(x)``, the features ``(B, D)``, and its ``forward`` is ``head(dropout(embed(x)))``. In your
    own model, put this class before the other base: ``class MyModel(DropoutHead, LightningModule)``.
    """

    dropout: nn.Dropout
    """The dropout before the head."""
    head: nn.Linear
    """The last layer, from D features to C logits, with a bias."""

    @property
    def samples_from_embeddings(self) -> bool:
        """Whether no other dropout is active. With other dropout, samples need whole passes."""
        return not any(
            isinstance(module, _DropoutNd) and module.p > 0 and module is not self.dropout for module in self.modules()
        )

    def draw_masks(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draws dropout masks for Monte Carlo samples.

        Args:
            num_samples: Number of masks, T.
            generator: CPU generator to draw from.

        Returns:
            Tensor of shape ``(T, D)`` with entries 0 and ``1 / (1 - dropout)``.

        Raises:
            InputError: If the dropout probability is 0: all samples would be the same, and a ranking would be noise.
        """
        p = self.dropout.p
        if p == 0:
            raise InputError(
                "Expected a model with active dropout for Monte Carlo samples, but got `model.dropout` = 0."
            )
        kept = torch.rand(num_samples, self.head.in_features, generator=generator) >= p
        return kept.float() / (1 - p)

    def sample(self, embeddings: Tensor, masks: Tensor) -> Tensor:
        """Returns the logits under each dropout mask.

        Since ``head(mask * h) = (mask * W) h + bias``, the masks are multiplied into the weights of the head. Then one
        matrix product gives all T samples.

        Args:
            embeddings: Features, shape ``(B, D)``.
            masks: Scaled dropout masks, shape ``(T, D)``.

        Returns:
            Logits of shape ``(B, T, C)``. In memory, the samples of the batch are adjacent: sums over ten classes or
            twenty masks run over long vectors.
        """
        weight = masks[:, None, :] * self.head.weight.float()[None, :, :]  # (T, C, D)
        bias = self.head.bias.float().repeat(len(masks))[:, None]  # (T * C, 1)
        logits = torch.addmm(bias, weight.flatten(0, 1), embeddings.T)  # (T * C, B)
        return logits.view(*weight.shape[:2], len(embeddings)).permute(2, 0, 1)
