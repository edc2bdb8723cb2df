"""SmallCNN: a network of a few MFLOP for small images, which trains on a CPU."""

from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = ((32, 2), (64, 2), (128, 2), (128, 1))
"""Channels and stride of each convolution."""


class SmallCNN(nn.Module):
    """Four convolutions of 3 x 3 with batch normalisation and ReLU, and the mean over all pixels.

    It maps images ``(B, 1, H, W)`` or ``(B, 3, H, W)`` to 128 features ``(B, 128)``, for H and W of at least 16. A grey
    image has the same features as the same image repeated to three channels, but needs a third of the work in the first
    layer. An image of 28 x 28 takes 4.5 million multiplications.

    Example:
        >>> import torch
        >>> SmallCNN().eval()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 128])
    """

    num_features = WIDTHS[-1][0]
    takes_grey = True
    """Grey images need not be repeated to three channels."""

    def __init__(self) -> None:
        super().__init__()
        (width, stride), *others = WIDTHS
        self.first = _convolution(3, width, stride)
        layers: list[nn.Module] = [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        for channels, (width, stride) in zip([width for width, _ in WIDTHS], others, strict=False):
            layers += [_convolution(channels, width, stride), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        self.others = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.first.weight
        if x.shape[1] == 1:
            weight = weight.sum(1, keepdim=True)
        x = F.conv2d(x, weight, None, self.first.stride, self.first.padding)
        return self.others(x).mean((-2, -1))


def _convolution(channels: int, width: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
