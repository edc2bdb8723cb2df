"""RandomViews: changes each image of a batch at random, all images at once, so that it is fast on any device."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from al_lightning.errors import InputError

GREY = (0.299, 0.587, 0.114)  # of red, green and blue in the brightness that people see


@dataclass(frozen=True)
class RandomViews:
    """Draws a view of each image: a crop of random place, size and shape, in random light.

    A view has the size of its image. All strengths are 0 where an image is not to change in that way.

    Args:
        min_area: Smallest part of the image's area in a crop, in (0, 1]. The part is uniform from here to 1.
        max_stretch: A crop is up to this much wider or higher than the image's own shape, at least 1.
        mirror: Probability that an image is mirrored left to right.
        brightness: All values of an image change by up to this many standard deviations of the batch.
        contrast: Deviations from the mean of an image are multiplied by 1 plus or minus up to this much, in [0, 1].
        colour: For images of three channels. The differences between channels are multiplied by 1 plus or minus up to
            this much, and each channel's contrast by 1 plus or minus half as much, in [0, 1].
        greyscale: For images of three channels, the probability that an image becomes grey.
        blur: Probability that an image is blurred by a filter of 3 x 3, to a random degree.
        erase: Probability that a random rectangle, of 2 % to 25 % of the area, becomes the mean of the image.

    Raises:
        InputError: If a value is out of range.
    """

    min_area: float = 0.2
    max_stretch: float = 4 / 3
    mirror: float = 0.5
    brightness: float = 0.4
    contrast: float = 0.4
    colour: float = 0.4
    greyscale: float = 0.2
    blur: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mirror", "contrast", "colour", "greyscale", "blur", "erase"):
            _check(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "in [0, 1]")
        _check("min_area", self.min_area, 0 < self.min_area <= 1, "in (0, 1]")
        _check("max_stretch", self.max_stretch, 1 <= self.max_stretch < float("inf"), "a number of at least 1")
        _check("brightness", self.brightness, 0 <= self.brightness < float("inf"), "a number of at least 0")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Returns a view of each image.

        Args:
            images: Floats, shape ``(B, C, H, W)``.
            generator: CPU generator of all draws. Their number depends on the shape alone.

        Raises:
            InputError: If the images have another shape.
        """
        if images.dim() != 4 or not images.is_floating_point():
            raise InputError(
                f"Expected images as floats of shape (B, C, H, W), but got {images.dtype} of shape "
                f"{tuple(images.shape)}."
            )
        if not len(images):
            return images
        # uniform in [0, 1), one row for each quantity; all are drawn, so that one strength does not change other draws
        draws = torch.rand(18, len(images), generator=generator).to(images)
        views = self._crop(images, draws[:5])
        views = self._light(views, draws[5:12])
        if self.blur:
            views = _blurred(views, torch.where(draws[12] < self.blur, draws[13], 0))
        if self.erase:
            views = _erased(views, draws[14:17], draws[17] < self.erase)
        return views

    def _crop(self, images: Tensor, draws: Tensor) -> Tensor:
        area = self.min_area + (1 - self.min_area) * draws[0]
        stretch = torch.as_tensor(self.max_stretch, dtype=draws.dtype, device=draws.device) ** (2 * draws[1] - 1)
        height = (area / stretch).sqrt().clamp(max=1)  # as parts of the image's own
        width = (area * stretch).sqrt().clamp(max=1)
        mirrored = torch.where(draws[4] < self.mirror, -1.0, 1.0).to(draws)
        zero = torch.zeros_like(height)
        places = torch.stack(
            [
                torch.stack([width * mirrored, zero, (1 - width) * (2 * draws[2] - 1)], 1),
                torch.stack([zero, height, (1 - height) * (2 * draws[3] - 1)], 1),
            ],
            1,
        )
        grid = F.affine_grid(places, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _light(self, images: Tensor, draws: Tensor) -> Tensor:
        shift, gain, saturation, *gains, grey = draws
        num_channels = images.shape[1]
        factor = (1 + self.contrast * (2 * gain - 1))[:, None].expand(-1, num_channels)
        if num_channels == 3:
            factor = factor * (1 + self.colour / 2 * (2 * torch.stack(gains, 1) - 1))
            strength = torch.where(grey < self.greyscale, 0, 1 + self.colour * (2 * saturation - 1))
            luma = (images * images.new_tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
            images = torch.lerp(luma.expand_as(images), images, strength.view(-1, 1, 1, 1))
        mean = images.mean((1, 2, 3), keepdim=True)
        brighter = self.brightness * (2 * shift - 1).view(-1, 1, 1, 1) * images.std(correction=0)
        return torch.addcmul(mean + brighter, images - mean, factor[:, :, None, None])


def _blurred(images: Tensor, degrees: Tensor) -> Tensor:
    """Mixes each image with its mean over neighbourhoods of 3 x 3, weighted 1, 2, 1 along both axes."""
    line = images.new_tensor([0.25, 0.5, 0.25])
    num_channels = images.shape[1]
    kernel = torch.outer(line, line).expand(num_channels, 1, 3, 3)
    smooth = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), kernel, groups=num_channels)
    return torch.lerp(images, smooth, degrees.view(-1, 1, 1, 1))


def _erased(images: Tensor, draws: Tensor, chosen: Tensor) -> Tensor:
    """Puts the mean of an image into a rectangle of it, of the image's own shape."""
    size = (0.02 + 0.23 * draws[0]).sqrt()
    inside = []
    for place, length in zip(draws[1:], images.shape[-2:], strict=True):
        pixels = (torch.arange(length, device=images.device) + 0.5) / length
        begin = (place * (1 - size))[:, None]
        inside.append((pixels >= begin) & (pixels < begin + size[:, None]))
    rectangle = inside[0][:, :, None] & inside[1][:, None, :] & chosen[:, None, None]
    return torch.where(rectangle[:, None], images.mean((1, 2, 3), keepdim=True), images)


def _check(name: str, value: float, is_right: bool, expected: str) -> None:
    if not is_right:
        raise InputError(f"Expected `model.views.{name}` to be {expected}, but got {value}.")
