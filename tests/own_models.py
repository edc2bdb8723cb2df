"""Models as users write them, and digits as images for those that want images."""

import lightning.pytorch as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.data import Arrays
from tests.digits import FlatDigits


class DigitImages(FlatDigits):
    """150 training and 50 test images, ``(N, 8, 8)``: few enough for a ResNet."""

    def load(self) -> Arrays:
        arrays = super().load()
        return Arrays(
            arrays.train_inputs[:150].view(-1, 8, 8),
            arrays.train_targets[:150],
            arrays.test_inputs[:50].view(-1, 8, 8),
            arrays.test_targets[:50],
        )


class Net(nn.Module):
    """A network that knows nothing of Lightning; its last layer is ``fc``."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3))
        self.fc = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x))


class ForwardOnly(L.LightningModule):
    """The least that Lightning can train."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Scaled(ForwardOnly):
    """Its logits are no layer's output."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.net(x)


class WithFeatureLayer(ForwardOnly):
    """Says which layer makes its logits."""

    feature_layer = "net.fc"


class WithTypo(ForwardOnly):
    """Says it wrongly."""

    feature_layer = "net.fcc"


class ColorImages(DigitImages):
    """The same with three channels, ``(N, 3, 8, 8)``, as the networks of libraries want them."""

    def load(self) -> Arrays:
        arrays = super().load()
        train, test = (x[:, None].repeat(1, 3, 1, 1) for x in (arrays.train_inputs, arrays.test_inputs))
        return arrays._replace(train_inputs=train, test_inputs=test)


def make_net(width: int, **kwargs) -> Net:
    """A function that says what it returns, and does not say what else it takes."""
    assert set(kwargs) <= {"bias"}, kwargs
    net = Net(width)
    net.fc = nn.Linear(width, 10, **{"bias": True, **kwargs})
    return net


def make_net_unannotated(width=16):
    return Net(width)
