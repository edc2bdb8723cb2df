"""Backbone: a network by name, of torchvision, of timm or of the user, with dropout before a new last layer."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from al_lightning.data.inputs import as_floats
from al_lightning.models.base import ClassifierModule
from al_lightning.models.bodies import make_body
from al_lightning.models.dropout_head import DropoutHead, check_dropout


class Backbone(DropoutHead, ClassifierModule):
    """A network by name, such as one of torchvision, with dropout and a new linear layer in place of its last layer.

    It takes colour images ``(B, 3, H, W)``, or grey images ``(B, 1, H, W)`` or ``(B, H, W)``, which are repeated to
    three channels. Images are not changed after the data module: pretrained weights need the size and standardisation
    of ImageNet.

    If torchvision has dropout directly before the last layer, as in EfficientNet, the dropout of this class replaces
    it. Dropout elsewhere in the body, as in VGG and AlexNet, stays. Then Monte Carlo dropout needs whole passes.

    A minibatch may be a single image, for example at the end of a pass. If that image has shrunk to one pixel, it has
    no batch statistics. There batch normalisation uses its running statistics.

    Args:
        name: One of these. A classification network of ``torchvision.models.list_models()`` with a linear last layer.
            ``timm/NAME``, a network of timm. ``small_cnn``, a network of this package for small images, see
            :class:`~al_lightning.models.small_cnn.SmallCNN`. The dotted path of a network of your own, which maps
            images to features ``(B, D)``.
        num_classes: Number of classes, C, at least 2. By default the number of classes of the data, and 10 before the
            model meets its data.
        weights: Pretrained weights; drawn at random if not given. Either torchvision's name, such as ``DEFAULT`` or
            ``IMAGENET1K_V1``, or ``DEFAULT`` for timm, or the path of a state_dict file of that network. Named weights
            are downloaded unless they are in the cache. The last layer in a file is not used. With weights, set
            ``loop.reinit`` to ``initial`` or ``warm``.
        dropout: Probability that dropout zeroes a feature, in [0, 1).
        optimizer: Makes the optimizer of one fit from the parameters: Adam with learning rate 3e-4 if not given.

    Raises:
        InputError: If an argument is out of range, or the weights cannot be loaded.
    """

    def __init__(
        self,
        name: str = "resnet18",
        num_classes: int | None = None,
        weights: str | None = None,
        dropout: float = 0.5,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, lr=3e-4, fused=True),
    ) -> None:
        super().__init__(num_classes, optimizer)
        check_dropout(dropout)
        self.save_hyperparameters(ignore=["optimizer"])
        self.name = name
        self.pretrained = weights is not None
        self.body, self._num_features = make_body(name, weights)
        self.dropout = nn.Dropout(dropout)
        self._begin_sizes(num_classes=num_classes)

    def _make_layers(self, num_classes: int) -> dict[str, nn.Module]:  # type: ignore[override]
        return {"head": nn.Linear(self._num_features, num_classes)}

    @property
    def backbone(self) -> nn.Module:
        """The network without its last layer. Lightning's BackboneFinetuning looks for this name."""
        return self.body

    def embed(self, x: Tensor) -> Tensor:
        """Maps images ``(B, 3, H, W)``, ``(B, 1, H, W)`` or ``(B, H, W)`` to features ``(B, D)``."""
        x = as_floats(x, self)
        if x.dim() == 3:
            x = x.unsqueeze(1)
        if x.dim() == 4 and x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        if self.training and len(x) == 1:
            with _running_statistics(self.body):
                return self.body(x)
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images to logits ``(B, C)``."""
        return self.head(self.dropout(self.embed(x)))

    def reset_parameters(self) -> None:
        """Draws all weights again as torchvision does, including pretrained ones, and resets all statistics."""
        body, _ = make_body(self.name)
        self.body.load_state_dict(body.state_dict())
        self.head.reset_parameters()


@contextmanager
def _running_statistics(module: nn.Module) -> Iterator[None]:
    """Lets batch normalisation use its running statistics without changing them."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True
