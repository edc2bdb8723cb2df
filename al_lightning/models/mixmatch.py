"""MixMatch: semi-supervised training of the protocol's network, with the pool as unlabeled samples."""

import copy
from collections.abc import Mapping
from typing import Literal, cast

import numpy as np
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from al_lightning.data.augmentable import is_whole_number
from al_lightning.data.augmentations import RandomShift, augment_each
from al_lightning.data.inputs import Inputs, as_floats, describe, only_tensor
from al_lightning.errors import InputError
from al_lightning.models.base import MiniBatch
from al_lightning.models.dropout_mlp import DropoutMLP
from al_lightning.models.fused_mixmatch import FusedMixMatch, why_not_fused_mixmatch


def sharpen(probs: Tensor, temperature: float) -> Tensor:
    r"""Makes distributions more certain: :math:`p_c^{1/T} / \sum_k p_k^{1/T}`.

    Args:
        probs: Class probabilities, shape ``(..., C)``.
        temperature: T, above 0. A temperature of 1 changes nothing; near 0, the most likely class gets all the
            probability.

    Example:
        >>> sharpen(torch.tensor([0.75, 0.25]), 0.5)
        tensor([0.9000, 0.1000])
    """
    return (probs.log() / temperature).softmax(dim=-1)


def mixup(values: Tensor, others: Tensor, weights: Tensor) -> Tensor:
    """Mixes row by row ``values`` ``(B, ...)`` with ``others``, by weights ``(B,)``: 1 keeps the row of ``values``."""
    weights = weights.view(-1, *[1] * (values.dim() - 1))
    return weights * values + (1 - weights) * others


class MixMatch(DropoutMLP):
    """The network of :class:`~al_lightning.models.DropoutMLP`, trained by MixMatch.

    An update takes a minibatch of labeled samples and the same number of samples of the pool. The network guesses a
    label for each unlabeled sample: its sharpened mean prediction over K augmentations. All samples are mixed with one
    another (MixUp).

    The loss is the cross-entropy of the labeled samples plus ``unlabeled_weight`` times the mean squared error of the
    unlabeled samples. This error is averaged over minibatch and classes. Its weight rises from 0 over the first
    ``ramp_updates``.

    Tests, scores and checkpoints use the exponential moving average of the weights. Guesses use the trained weights,
    without dropout.

    An epoch is a pass over the labeled samples, or as many passes as ``min_updates_per_epoch`` updates need. A fit ends
    when the training accuracy of the averaged weights reaches the threshold of
    :class:`~al_lightning.fitting.convergence.Convergence`, or after ``trainer.max_epochs``. It never ends before the
    ramp. For a fixed number of updates, use no threshold, and a ``min_updates_per_epoch`` above the length of a pass.

    Args:
        input_dim: Number of input features; from the data by default.
        hidden_dim: Number of hidden units.
        num_classes: Number of classes, C; from the data by default.
        dropout: Probability that dropout zeroes a hidden unit, in [0, 1).
        num_augmentations: Number of augmentations of an unlabeled sample, K.
        temperature: Temperature of the sharpening, at least 0.001.
        mixup_alpha: MixUp draws its weights from Beta(alpha, alpha); above 0.
        unlabeled_weight: Weight of the consistency loss after the ramp, at least 0.
        ramp_updates: Number of updates in which the weight rises linearly. With few updates, wrong guesses can confirm
            themselves until the network has lost a class (docs/study.md). The authors' code takes 16,384.
        ema_decay: Decay of the averaged weights, in [0, 1). After n updates it is at most n / (10 + n), so that the
            first weights fade.
        min_updates_per_epoch: Least number of updates in an epoch.
        augmentation: A transform of ``torchvision.transforms.v2``; RandomShift() if not given.
        optimizer: Makes the optimizer of one fit from the parameters: Adam with learning rate 3e-4 if not given.
        fused: Whether updates go without autograd, to the same bits in less time: see
            :class:`~al_lightning.models.fused_mixmatch.FusedMixMatch`. ``auto`` does so where it can: on a CPU, in
            float32, with RandomShift. ``True`` raises where it cannot.

    Raises:
        InputError: If an argument is out of range.

    Reference:
        Berthelot, Carlini, Goodfellow, Papernot, Oliver and Raffel, "MixMatch: A Holistic Approach to Semi-Supervised
        Learning", NeurIPS 2019.
    """

    trained: nn.ModuleDict

    needs_unlabeled = True
    """The data module adds the same number of inputs of the pool to each minibatch."""

    stream_purposes = ("augmentation", "mixup")
    """Random streams that the loop hands to :attr:`streams` before each fit."""

    def __init__(
        self,
        input_dim: int | None = None,
        hidden_dim: int = 256,
        num_classes: int | None = None,
        dropout: float = 0.5,
        num_augmentations: int = 2,
        temperature: float = 0.5,
        mixup_alpha: float = 0.75,
        unlabeled_weight: float = 25.0,
        ramp_updates: int = 2000,
        ema_decay: float = 0.999,
        min_updates_per_epoch: int = 30,
        augmentation: nn.Module | None = None,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, lr=3e-4, fused=True),
        fused: bool | Literal["auto"] = "auto",
    ) -> None:
        for name, value, allowed, is_allowed in [
            ("num_augmentations", num_augmentations, "at least 1", num_augmentations >= 1),
            ("temperature", temperature, "at least 0.001", temperature >= 0.001),
            ("mixup_alpha", mixup_alpha, "above 0", mixup_alpha > 0),
            ("unlabeled_weight", unlabeled_weight, "at least 0", unlabeled_weight >= 0),
            ("ramp_updates", ramp_updates, "at least 0", ramp_updates >= 0),
            ("ema_decay", ema_decay, "in [0, 1)", 0 <= ema_decay < 1),
            ("min_updates_per_epoch", min_updates_per_epoch, "at least 1", min_updates_per_epoch >= 1),
        ]:
            if not is_allowed:
                raise InputError(f"Expected `model.{name}` to be {allowed}, but got {value}.")
        super().__init__(input_dim, hidden_dim, num_classes, dropout, optimizer, fused)
        self.num_augmentations = num_augmentations
        self.temperature = temperature
        self.mixup_alpha = mixup_alpha
        self.unlabeled_weight = unlabeled_weight
        self.ramp_updates = ramp_updates
        self.ema_decay = ema_decay
        self.min_updates_per_epoch = min_updates_per_epoch
        self.augmentation = RandomShift() if augmentation is None else augmentation
        self.streams: Mapping[str, torch.Generator] = {
            purpose: torch.Generator().manual_seed(0) for purpose in self.stream_purposes
        }
        self.num_updates = 0
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def _make_layers(self, input_dim: int, num_classes: int) -> dict[str, nn.Module]:  # type: ignore[override]
        # The layers of DropoutMLP hold the averaged weights, so that every caller of the model gets the average.
        averaged = super()._make_layers(input_dim, num_classes)
        trained = nn.ModuleDict(copy.deepcopy(averaged))
        for layer in averaged.values():
            layer.requires_grad_(False)
        return {**averaged, "trained": trained}

    def check_inputs(self, inputs: Inputs) -> None:
        """Raises :class:`InputError` if MixMatch cannot augment and mix these inputs; see `check_model`."""
        images = only_tensor(inputs)
        if images is None or is_whole_number(images):
            got = describe(inputs) if images is None else f"{images.dtype} of {describe(images)}"
            raise InputError(f"Expected inputs of {type(self).__name__} to be one tensor of floats, but got {got}.")
        augment_each(self.augmentation, images, torch.Generator().manual_seed(0))

    @property
    def warming_up(self) -> bool:
        """Whether the weight of the unlabeled samples still rises. A fit does not end before the weight is reached."""
        return self.num_updates < self.ramp_updates

    def reset_parameters(self) -> None:
        """Draws the same weights as DropoutMLP, for both the trained and the averaged layers."""
        self.hidden.reset_parameters()
        self.head.reset_parameters()
        self.trained["hidden"].load_state_dict(self.hidden.state_dict())
        self.trained["head"].load_state_dict(self.head.state_dict())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer(self.trained.parameters())

    def on_train_start(self) -> None:
        self.num_updates = 0

    def _logits(self, hidden: Tensor, dropout: bool) -> Tensor:
        """Maps outputs of the first trained layer ``(B, D)`` to logits ``(B, C)``, at least float32."""
        hidden = F.relu(hidden)
        logits = self.trained["head"](self.dropout(hidden) if dropout else hidden)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def losses(self, inputs: Tensor, targets: Tensor, unlabeled: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Returns the loss of an update, and its two parts.

        Args:
            inputs: Labeled images, shape ``(B, ..., H, W)``.
            targets: Their class indices, shape ``(B,)``.
            unlabeled: Images of the pool, shape ``(U, ..., H, W)``; U may be 0.
        """
        inputs, unlabeled = (as_floats(cast(Tensor, only_tensor(part)), self) for part in (inputs, unlabeled))
        stream = self.streams["augmentation"]
        views = [augment_each(self.augmentation, unlabeled, stream) for _ in range(self.num_augmentations)]
        all_inputs = torch.cat([augment_each(self.augmentation, inputs, stream), *views])
        # The first layer is affine. So its outputs are mixed instead of its inputs, and the guesses use them, too.
        hidden = self.trained["hidden"](all_inputs.flatten(1))  # (B + KU, D)
        with torch.no_grad():
            guesses = self._guess(self._logits(hidden[len(inputs) :], dropout=False))  # (U, C)
        labels = F.one_hot(targets, self.head.out_features).to(guesses)
        all_targets = torch.cat([labels, *[guesses] * len(views)])
        order, weights = self._draw_mixup(len(hidden))
        mixed = mixup(hidden, hidden.index_select(0, order), weights).to(hidden.dtype)
        logits = self._logits(mixed, dropout=True)
        mixed_targets = mixup(all_targets, all_targets[order], weights).to(logits)
        supervised = F.cross_entropy(logits[: len(inputs)], mixed_targets[: len(inputs)])
        consistency = supervised.new_zeros(())
        if len(unlabeled):
            consistency = F.mse_loss(logits[len(inputs) :].softmax(dim=1), mixed_targets[len(inputs) :])
        loss = supervised + self._weight() * consistency
        return {"train_loss": loss, "train_loss_supervised": supervised, "train_loss_consistency": consistency}

    def _guess(self, logits: Tensor) -> Tensor:
        """Maps logits of all augmentations ``(KU, C)`` to the guessed labels ``(U, C)``."""
        probs = logits.softmax(dim=1).view(self.num_augmentations, -1, logits.shape[1])
        return sharpen(probs.mean(dim=0), self.temperature)

    def _draw_mixup(self, size: int) -> tuple[Tensor, Tensor]:
        """Draws a partner row and a weight for each row; the row itself has the larger weight."""
        stream = self.streams["mixup"]
        order = torch.randperm(size, generator=stream)
        # torch's Beta distribution takes no generator.
        numpy_stream = np.random.default_rng(int(torch.randint(2**62, (), generator=stream)))
        drawn = numpy_stream.beta(self.mixup_alpha, self.mixup_alpha, size)
        weights = torch.from_numpy(np.maximum(drawn, 1 - drawn).astype(np.float32))
        return order.to(self.device), weights.to(self.device)

    def _why_not_fused(self, optimizer: Optimizer) -> str | None:
        return why_not_fused_mixmatch(self, optimizer, MixMatch)

    def _make_fused(self, size: int) -> FusedMixMatch:
        return FusedMixMatch(self, size)

    def _weight(self) -> float:
        return self.unlabeled_weight * (self.num_updates / self.ramp_updates if self.warming_up else 1)

    @torch.no_grad()
    def after_step(self) -> None:
        """Moves the average towards the weights."""
        self.num_updates += 1
        decay = min(self.ema_decay, self.num_updates / (10 + self.num_updates))
        for average, weight in self._averages():
            average.lerp_(weight, 1 - decay)

    def _averages(self) -> list[tuple[Tensor, Tensor]]:
        """Pairs of averaged and trained weights, kept for a step because ``parameters()`` takes long."""
        if not self._pairs:
            averaged = [*self.hidden.parameters(), *self.head.parameters()]
            self._pairs = list(zip(averaged, self.trained.parameters(), strict=True))
        return self._pairs

    def training_step(self, minibatches: list[MiniBatch]) -> None:  # type: ignore[override]
        """Takes one optimizer step for each of the minibatches, see :class:`DropoutMLP`."""
        self._pairs = []  # the layers may be others than in the last step
        super().training_step(minibatches)
