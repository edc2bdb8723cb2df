"""NT-Xent: the loss of SimCLR, which tells the other view of the same image from all other images."""

import torch
from torch import Tensor
from torch.nn import functional as F

from al_lightning.errors import InputError


def nt_xent(embeddings_a: Tensor, embeddings_b: Tensor, temperature: float = 0.5) -> Tensor:
    """The normalised, temperature-scaled cross-entropy of two views of the same images.

    With all 2B embeddings z at unit length, sim(i, j) = z_i . z_j / temperature, and j the other view of i, the loss of
    i is -log(exp sim(i, j) / sum over k != i of exp sim(i, k)). The result is the mean over all 2B embeddings.

    Chen et al., *A Simple Framework for Contrastive Learning of Visual Representations*, ICML 2020.

    Args:
        embeddings_a: One view of each image, shape ``(B, D)``, B at least 2.
        embeddings_b: The other view of the same images in the same order, shape ``(B, D)``.
        temperature: Greater than 0. The lower it is, the more the loss looks at the most similar images.

    Returns:
        The loss, a float32 scalar of at least 0.

    Raises:
        InputError: If the shapes differ or hold fewer than 2 images, or the temperature is not greater than 0.

    Example:
        >>> a = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> nt_xent(a, a, temperature=1.0)  # log(e + 2) - 1
        tensor(0.5514)
    """
    if embeddings_a.shape != embeddings_b.shape or embeddings_a.dim() != 2 or len(embeddings_a) < 2:
        raise InputError(
            f"Expected embeddings of two views, both of shape (B, D) with B at least 2, but got "
            f"{tuple(embeddings_a.shape)} and {tuple(embeddings_b.shape)}."
        )
    if not temperature > 0:
        raise InputError(f"Expected `temperature` to be greater than 0, but got {temperature}.")
    num_images = len(embeddings_a)
    with torch.autocast(embeddings_a.device.type, enabled=False):  # exp of bfloat16 is too coarse
        units = F.normalize(torch.cat([embeddings_a, embeddings_b]).float(), dim=1)
        similarities = units @ units.T / temperature
        similarities.fill_diagonal_(-torch.inf)
        others = torch.arange(2 * num_images, device=units.device).roll(num_images)
        return F.cross_entropy(similarities, others)
