"""SimCLR: learns features from images without labels."""

import math
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn

from al_lightning.data.inputs import as_floats, only_tensor
from al_lightning.errors import InputError
from al_lightning.models.bodies import make_body
from al_lightning.models.nt_xent import nt_xent
from al_lightning.models.random_views import RandomViews
from al_lightning.random_streams import stream


class SimCLR(L.LightningModule):
    """Trains a network to give two random views of an image similar features, and other images other features.

    It needs no labels. ``al-lightning pretrain`` trains it and writes the weights of the network. The weights serve
    :class:`~al_lightning.models.Backbone` and ``al-lightning features``.

    The views are drawn from torch's initial seed, which ``seed_everything`` sets, and from the number of the step. So a
    fit that goes on from a checkpoint draws the same views as a fit in one piece.

    Chen et al., *A Simple Framework for Contrastive Learning of Visual Representations*, ICML 2020.

    Args:
        name: The network to train, as :class:`~al_lightning.models.Backbone` names it.
        weights: Weights to begin with, as :class:`~al_lightning.models.Backbone` names them; random if not given.
        projection_dim: Size of the embeddings that the loss compares. A perceptron with one hidden layer makes them
            from the features. It is not part of the weights that are written.
        temperature: Of the loss, greater than 0, see :func:`~al_lightning.models.nt_xent.nt_xent`.
        views: How an image changes between two views.
        warmup: Part of all steps over which the learning rate rises from 0 to that of the optimizer, in [0, 1). In the
            other steps, it falls to 0 along a cosine.
        optimizer: Makes the optimizer from the parameters: AdamW with learning rate 1e-3 and weight decay 1e-4 if not
            given.

    Raises:
        InputError: If an argument is out of range, or the weights cannot be loaded.
    """

    def __init__(
        self,
        name: str = "resnet18",
        weights: str | None = None,
        projection_dim: int = 128,
        temperature: float = 0.5,
        views: RandomViews = RandomViews(),  # noqa: B008 - frozen
        warmup: float = 0.05,
        optimizer: OptimizerCallable = lambda params: torch.optim.AdamW(params, lr=1e-3, weight_decay=1e-4, fused=True),
    ) -> None:
        super().__init__()
        if projection_dim < 1:
            raise InputError(f"Expected `model.projection_dim` to be at least 1, but got {projection_dim}.")
        if not 0 < temperature < math.inf:
            raise InputError(f"Expected `model.temperature` to be greater than 0, but got {temperature}.")
        if not 0 <= warmup < 1:
            raise InputError(f"Expected `model.warmup` to be in [0, 1), but got {warmup}.")
        self.save_hyperparameters(ignore=["optimizer", "views"])
        self.name = name
        self.temperature = temperature
        self.views = views
        self.warmup = warmup
        self.optimizer_factory = optimizer
        self._seed = torch.initial_seed()
        self.body, num_features = make_body(name, weights)
        self.projection = nn.Sequential(
            nn.Linear(num_features, num_features, bias=False),
            nn.BatchNorm1d(num_features),
            nn.ReLU(inplace=True),
            nn.Linear(num_features, projection_dim),
        )
        self.to(memory_format=torch.channels_last)  # faster on CPUs and on GPUs

    def forward(self, x: Tensor) -> Tensor:
        """Maps images ``(B, H, W)`` or ``(B, C, H, W)`` to features ``(B, D)``."""
        return self.body(self._in_channels(_as_images(x, self)))

    def training_step(self, batch: Any) -> Tensor:
        """Returns the loss of one minibatch of inputs."""
        images = _as_images(batch, self)
        generator = stream(self._seed, "views", self.global_step, self.global_rank)
        views = torch.cat([self.views(images, generator), self.views(images, generator)])
        first, second = self.projection(self.body(self._in_channels(views))).chunk(2)
        loss = nt_xent(first, second, self.temperature)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
        return loss

    def _in_channels(self, images: Tensor) -> Tensor:
        if images.shape[1] == 1 and not getattr(self.body, "takes_grey", False):
            images = images.expand(-1, 3, -1, -1)
        return images.contiguous(memory_format=torch.channels_last)

    def configure_optimizers(self) -> Any:
        try:
            optimizer = self.optimizer_factory(self.parameters())
        except (TypeError, ValueError) as error:
            raise InputError(f"Expected `model.optimizer` to make an optimizer, but got: {error}.") from error
        num_steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step / num_steps, self.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate_at(progress: float, warmup: float) -> float:
    """Part of the highest learning rate at a point of the training: a line up to 1, then half a cosine down to 0.

    Args:
        progress: Part of all steps that are done, in [0, 1].
        warmup: Part of all steps in which the rate rises, in [0, 1).

    Example:
        >>> [round(rate_at(progress, 0.2), 3) for progress in (0, 0.1, 0.2, 0.6, 1)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def _as_images(batch: Any, model: nn.Module) -> Tensor:
    """The images of a minibatch as floats ``(B, C, H, W)``, C of 1 or 3."""
    images = only_tensor(batch)
    if images is None or images.dim() not in (3, 4) or (images.dim() == 4 and images.shape[1] not in (1, 3)):
        got = "several tensors" if images is None else f"shape {tuple(images.shape)}"
        raise InputError(f"Expected images of shape (B, H, W), (B, 1, H, W) or (B, 3, H, W), but got {got}.")
    if len(images) < 2:
        raise InputError("Expected minibatches of at least 2 images for SimCLR, but got 1; raise `data.batch_size`.")
    return as_floats(images if images.dim() == 4 else images.unsqueeze(1), model)
