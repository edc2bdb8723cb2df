"""FusedMixMatch: losses and gradients of MixMatch without autograd, in memory that is used again."""

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from al_lightning.data.augmentable import is_image
from al_lightning.data.augmentations import RandomShift
from al_lightning.data.shifted_views import ShiftedViews, Shifts
from al_lightning.models.fused_update import MEAN, FusedUpdate, LayerMemory, TwoLayers, why_not_fused

METHODS = ("losses", "_logits", "_draw_mixup", "after_step")
"""Methods that must be those of MixMatch. The numbers of ``_draw_mixup`` are drawn ahead. A method ``after_step`` of a
subclass could read the random streams, or put other weights in place."""

log_softmax_backward = torch.ops.aten._log_softmax_backward_data.out
softmax_backward = torch.ops.aten._softmax_backward_data.out
mse_loss = torch.ops.aten.mse_loss.default
mse_loss_backward = torch.ops.aten.mse_loss_backward.default


class Mixing(TwoLayers, Protocol):
    """A model as :class:`FusedMixMatch` sees it: what it takes of ``MixMatch``."""

    trained: nn.ModuleDict
    augmentation: nn.Module
    num_augmentations: int
    streams: Mapping[str, torch.Generator]

    def _guess(self, logits: Tensor) -> Tensor: ...

    def _draw_mixup(self, size: int) -> tuple[Tensor, Tensor]: ...

    def _weight(self) -> float: ...


def _count_rows(model: Mixing, batch_size: int) -> int:
    """Number of rows that are mixed, if there are as many unlabeled samples as labeled ones."""
    return batch_size * (1 + model.num_augmentations)


class _Trained:
    """The trained layers of MixMatch, without the averaged layers."""

    def __init__(self, model: Mixing) -> None:
        self._layers = model.trained
        self.hidden = cast(nn.Linear, model.trained["hidden"])
        self.head = cast(nn.Linear, model.trained["head"])
        self.dropout = model.dropout

    def parameters(self) -> Iterator[nn.Parameter]:
        return self._layers.parameters()


def why_not_fused_mixmatch(model: Mixing, optimizer: Optimizer, original: type) -> str | None:
    """Says why an update of MixMatch goes the ordinary way; ``None`` if it need not.

    Mixed precision always goes the ordinary way, and so does an augmentation other than RandomShift, because it takes
    far longer than an update. The arguments are those of :func:`why_not_fused`.
    """
    if type(model.augmentation) is not RandomShift:
        return f"{type(model.augmentation).__name__} changes one image after another"
    if torch.is_autocast_enabled("cpu"):
        return "its precision is mixed"
    return why_not_fused(model, optimizer, original, METHODS, _Trained(model))


class FusedMixMatch(FusedUpdate):
    """Computes the losses of a minibatch of MixMatch and puts the gradients into ``parameter.grad``.

    The reference form is ``MixMatch.losses`` with ``backward``. As in :class:`FusedUpdate`, the operators are those of
    autograd, in its order, so that all bits are the same. A minibatch has B labeled and U unlabeled images. The images
    and all K views of the unlabeled images make N = B + KU rows, which are mixed.

    Args:
        model: See :func:`why_not_fused_mixmatch`.
        batch_size: Most labeled images of a minibatch, and most unlabeled images.
    """

    def __init__(self, model: Mixing, batch_size: int) -> None:
        super().__init__(_Trained(model), _count_rows(model, batch_size))
        self._model = model
        self._ahead: deque[_Draws] = deque()
        self._minibatches: dict[tuple[object, ...], _Minibatch] = {}
        self._zero = torch.zeros(())  # the loss of no rows
        self._classes = torch.eye(self._parameters[3].shape[0])  # row c is class c as a distribution

    def suits(self, model: Mixing, batch_size: int) -> bool:  # type: ignore[override]
        """Whether this object still is that of a model and of a size of minibatches."""
        return super().suits(_Trained(model), _count_rows(model, batch_size))

    def takes(self, inputs: object, targets: object, unlabeled: object = None) -> bool:
        """Whether a minibatch is of the usual form: images as floats in one tensor, with class indices."""
        return (
            super().takes(inputs, targets)
            and isinstance(inputs, Tensor)
            and isinstance(unlabeled, Tensor)
            and inputs.shape[1:] == unlabeled.shape[1:]
            and unlabeled.dtype == torch.float32
            and not unlabeled.requires_grad
            and is_image(inputs)
            and len(inputs) + self._model.num_augmentations * len(unlabeled) <= self.batch_size
        )

    def draw_ahead(self, minibatches: list) -> None:
        """Draws the changes of images and the weights of MixUp for the next calls of :meth:`losses`.

        The draws of several minibatches in a row take half the time. The numbers are the same, because nothing else
        reads the streams of the model meanwhile.

        Args:
            minibatches: The minibatches of these calls, in order, see :meth:`takes`.
        """
        memories = groupby(self._memory_of(inputs, unlabeled) for inputs, _, unlabeled in minibatches)
        self._ahead = deque(draws for memory, same in memories for draws in self._draw(memory, len(list(same))))

    def _draw(self, memory: "_Minibatch", num_minibatches: int) -> Iterator["_Draws"]:
        for shifts in memory.views.draw(self._model.streams["augmentation"], num_minibatches):
            order, weights = self._model._draw_mixup(len(memory.views.rows))
            yield _Draws(shifts, order, weights[:, None], (1 - weights)[:, None])

    @torch.no_grad()
    def losses(self, inputs: Tensor, targets: Tensor, unlabeled: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Puts the gradients of a minibatch in place; see ``MixMatch.losses`` for arguments and result."""
        self._put_gradients()
        model, memory = self._model, self._memory_of(inputs, unlabeled)
        hidden, scratch, slopes = memory.layers.hidden, memory.layers.dropped, memory.layers.slopes
        w1, b1, w2, b2 = self._read
        grad_w1, grad_b1, _, _ = self._written

        shifts, order, weights, rest = self._ahead.popleft() if self._ahead else next(self._draw(memory, 1))
        x = memory.views.make(inputs, unlabeled, shifts)
        torch.addmm(b1, x, w1.t(), out=hidden)
        torch.index_select(self._classes, 0, targets, out=memory.targets[0])
        if len(unlabeled):
            activations = torch.clamp_min(memory.hidden_of_unlabeled, 0, out=memory.activations)
            memory.guesses.copy_(model._guess(torch.addmm(b2, activations, w2.t())))
        for values, others in ((hidden, scratch), (memory.all_targets, memory.others)):
            torch.index_select(values, 0, order, out=others)
            values.mul_(weights).add_(others.mul_(rest))
        mask = self._forward(memory.layers)
        losses = self._compare(memory)

        self._backward(memory.layers, memory.slope, mask)
        # the gradient of a row that was mixed, and that of the row that it was mixed into
        torch.mul(slopes, rest, out=scratch)
        slopes.mul_(weights).add_(hidden.zero_().index_add_(0, order, scratch))
        torch.mm(slopes.t(), x, out=grad_w1)
        torch.sum(slopes, 0, out=grad_b1)
        return losses

    def _compare(self, memory: "_Minibatch") -> dict[str, Tensor]:
        """Computes the losses from logits and mixed targets, and the gradients of the logits."""
        labels, guesses = memory.targets
        log_probs = memory.logits[0].log_softmax(dim=1)
        supervised = -(log_probs * labels).sum() / memory.num_labeled
        slope_of_log_probs = memory.slope_of_mean * labels
        log_softmax_backward(slope_of_log_probs, log_probs, 1, torch.float32, out=memory.slopes[0])
        consistency, weight = self._zero, self._model._weight()
        if memory.num_labeled < len(memory.slope):
            probs = memory.logits[1].softmax(dim=1)
            consistency = mse_loss(probs, guesses, MEAN)
            slope_of_probs = mse_loss_backward(self._one * weight, probs, guesses, MEAN)
            softmax_backward(slope_of_probs, probs, 1, torch.float32, grad_input=memory.slopes[1])
            memory.slope.add_(0.0)  # autograd adds the gradients of both parts, which turns -0 into 0
        loss = supervised + weight * consistency
        return {"train_loss": loss, "train_loss_supervised": supervised, "train_loss_consistency": consistency}

    def _memory_of(self, inputs: Tensor, unlabeled: Tensor) -> "_Minibatch":
        shift, num_views = cast(RandomShift, self._model.augmentation), self._model.num_augmentations
        key = (inputs.shape, len(unlabeled), num_views, shift, shift.max_shift)
        if key not in self._minibatches:
            views = ShiftedViews(shift, len(inputs), len(unlabeled), inputs.shape[1:], num_views)
            layers = self._of_size(len(views.rows))
            self._minibatches[key] = _Minibatch(views, layers, len(inputs), num_views)
        return self._minibatches[key]


class _Draws(NamedTuple):
    """The random numbers of a minibatch, without dropout."""

    shifts: Shifts
    order: Tensor
    """The partner of each row, shape ``(N,)``."""
    weights: Tensor
    """The weight of each row, shape ``(N, 1)``."""
    rest: Tensor
    """The weight of its partner, shape ``(N, 1)``."""


class _Minibatch:
    """What minibatches of B labeled and U unlabeled images write to.

    Of each pair of tensors, the first has the labeled rows and the second has the unlabeled rows.

    Args:
        views: Makes the views of the images.
        layers: Memory of the layers for N rows.
        num_labeled: Number of labeled images, B.
        num_views: Number of views of an unlabeled image, K.
    """

    def __init__(self, views: ShiftedViews, layers: LayerMemory, num_labeled: int, num_views: int) -> None:
        sizes = [num_labeled, len(views.rows) - num_labeled]
        self.num_labeled = num_labeled
        self.slope_of_mean = -(torch.ones(()) / num_labeled)
        """Gradient of each sum over classes, in the mean of the labeled rows."""
        self.views = views
        self.layers = layers
        self.hidden_of_unlabeled = layers.hidden[num_labeled:]
        self.activations = layers.slopes[: sizes[1]]
        """Activations of the unlabeled rows. They begin where the memory begins, as new memory of the ordinary way is
        aligned: at other addresses, a product may have other bits."""
        self.logits = layers.logits.split(sizes)
        self.all_targets, self.others, self.slope = (torch.empty_like(layers.logits) for _ in range(3))
        """Targets, targets of the partner of each row, and gradients of the logits, each ``(N, C)``."""
        self.targets, self.slopes = self.all_targets.split(sizes), self.slope.split(sizes)
        self.guesses = self.targets[1].view(num_views, -1, layers.logits.shape[1])
