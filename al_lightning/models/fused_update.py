"""FusedUpdate: loss and gradients of DropoutMLP without autograd, in memory that is used again."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook
from torch.optim import Optimizer

from al_lightning.models.closure import wants_closure
from al_lightning.models.dropout import FastDropout

REPLACEABLE = ("embed", "forward", "losses", "after_step")
"""Methods of a model that say what its loss is, or that may put other weights in place between two updates."""
IGNORED = -100  # the class index that a cross-entropy leaves out, by default
MEAN = 1  # the code of reduction="mean" in the operators below

nll_loss_forward = torch.ops.aten.nll_loss_forward.default
nll_loss_backward = torch.ops.aten.nll_loss_backward.default
log_softmax_backward = torch.ops.aten._log_softmax_backward_data.default
threshold_backward = torch.ops.aten.threshold_backward.grad_input


class TwoLayers(Protocol):
    """A model as :class:`FusedUpdate` sees it: what it takes of ``DropoutMLP``."""

    hidden: nn.Linear
    head: nn.Linear

    @property
    def dropout(self) -> nn.Dropout: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...


def why_not_fused(
    model: TwoLayers,
    optimizer: Optimizer,
    original: type,
    methods: Sequence[str] = REPLACEABLE,
    trained: TwoLayers | None = None,
) -> str | None:
    """Says why an update of a model goes the ordinary way, through autograd; ``None`` if it need not.

    Args:
        model: The model, in training mode.
        optimizer: Its optimizer.
        original: The class whose methods :class:`FusedUpdate` computes.
        methods: Names of these methods.
        trained: The layers that the optimizer trains, if the model has others of the same names.
    """
    trained = model if trained is None else trained
    layers = (trained.hidden, trained.head)
    parameters: list[Tensor] = [*trained.hidden.parameters(), *trained.head.parameters()]
    replaced = [
        name for name in methods if getattr(type(model), name) is not getattr(original, name) or name in vars(model)
    ]
    autocast = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.bfloat16
    reasons = {
        f"{type(model).__name__} has another `{', '.join(replaced)}`": bool(replaced),
        "its layers are not linear layers with a bias": any(type(layer) is not nn.Linear for layer in layers)
        or len(parameters) != 4,
        "its dropout is another one": type(model.dropout) is not FastDropout or model.dropout.inplace,
        "its dropout is switched off": not model.dropout.training,
        "it has other parameters": len(list(trained.parameters())) != len(parameters),
        "it is not on a CPU in float32": any(p.device.type != "cpu" or p.dtype != torch.float32 for p in parameters),
        "some layers are frozen": not all(p.requires_grad for p in parameters),
        "its modules or parameters have hooks": _have_hooks(cast(nn.Module, model), trained, parameters),
        "autograd looks for anomalies": torch.is_anomaly_enabled(),
        f"its precision is {autocast} and not bfloat16": autocast != torch.bfloat16,
        f"{type(optimizer).__name__} evaluates the loss itself": wants_closure(optimizer),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def _parameters_of(model: TwoLayers) -> list[Tensor]:
    return [model.hidden.weight, model.hidden.bias, model.head.weight, model.head.bias]


def _have_hooks(model: nn.Module, trained: TwoLayers, parameters: list[Tensor]) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooks_of_parameters = ("_backward_hooks", "_post_accumulate_grad_hooks")
    modules = (model, trained.hidden, trained.dropout, trained.head)  # others, as metrics, are not called
    return (
        _has_any_global_hook()
        or any(getattr(module, name, None) for module in modules for name in hooks)
        or any(getattr(parameter, name, None) for parameter in parameters for name in hooks_of_parameters)
    )


class LayerMemory(NamedTuple):
    """What minibatches of one size write to."""

    inputs: Tensor
    """In the precision of the products, shape ``(B, F)``."""
    hidden: Tensor
    """Activations, shape ``(B, D)``."""
    kept: Tensor
    """Random numbers and then the mask, float32, shape ``(B, D)``."""
    mask: Tensor
    """The mask in the precision of the products, shape ``(B, D)``."""
    dropped: Tensor
    """Activations after dropout, shape ``(B, D)``."""
    slopes: Tensor
    """Gradients of the activations, shape ``(B, D)``."""
    logits: Tensor
    """Shape ``(B, C)``."""


class FusedUpdate:
    """Computes the loss of a minibatch and puts its gradients into ``parameter.grad``.

    The operators are those that autograd calls for ``F.cross_entropy(head(dropout(relu(hidden(x)))), y)``, in its
    order and on operands of the same layout. So all bits are the same. With autocast to bfloat16, they are those that
    autocast calls.

    This saves the work of autograd, and the new memory that autograd takes for the gradients of each minibatch. For the
    network of the protocol, these are 0.8 MB. The reference form is
    ``DropoutMLP.losses`` with ``backward``: ``scripts/benchmark.py fit`` times both ways.

    Args:
        model: See :func:`why_not_fused`.
        batch_size: Most rows of a minibatch, B.
    """

    def __init__(self, model: TwoLayers, batch_size: int) -> None:
        self.batch_size = batch_size
        self._dropout = model.dropout
        self._is_mixed = torch.is_autocast_enabled("cpu")
        dtype = torch.bfloat16 if self._is_mixed else torch.float32
        self._parameters = _parameters_of(model)
        self._gradients = [torch.empty_like(parameter) for parameter in self._parameters]
        self._weights = [parameter.detach() for parameter in self._parameters]  # they share memory
        # what the products read and write: rounded copies, or the very same
        self._read = [weight.to(dtype) for weight in self._weights]
        self._written = [torch.empty_like(read) for read in self._read] if self._is_mixed else self._gradients
        in_features, width, classes = model.hidden.in_features, model.head.in_features, model.head.out_features
        sizes = (in_features if self._is_mixed else 0, width, width, width if self._is_mixed else 0, width, width)
        types = (dtype, dtype, torch.float32, dtype, dtype, dtype)
        parts = [torch.empty(batch_size, size, dtype=dtype) for size, dtype in zip(sizes, types, strict=True)]
        self._memory = LayerMemory._make([*parts, torch.empty(batch_size, classes, dtype=dtype)])
        self._parts: dict[int, LayerMemory] = {}
        self._one = torch.ones(())  # the gradient of the loss

    def suits(self, model: TwoLayers, batch_size: int) -> bool:
        """Whether this object still is that of a model, a size of minibatches and a precision."""
        return (
            batch_size <= self.batch_size
            and self._is_mixed == torch.is_autocast_enabled("cpu")
            and self._dropout is model.dropout
            and all(
                parameter.data_ptr() == weight.data_ptr() and parameter.shape == weight.shape
                for parameter, weight in zip(_parameters_of(model), self._weights, strict=True)
            )
        )

    def takes(self, inputs: object, targets: object) -> bool:
        """Whether a minibatch is of the usual form: floats in one tensor, with class indices."""
        return (
            isinstance(inputs, Tensor)
            and inputs.dtype == torch.float32
            and not inputs.requires_grad
            and isinstance(targets, Tensor)
            and targets.dtype == torch.int64
            and targets.dim() == 1
            and 0 < len(inputs) == len(targets) <= self.batch_size
        )

    @torch.no_grad()
    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Puts the gradients of a minibatch in place.

        Args:
            inputs: Float32, shape ``(B, ...)``.
            targets: Class indices, int64, shape ``(B,)``.

        Returns:
            The loss, a scalar.
        """
        self._put_gradients()
        memory = self._of_size(len(inputs))
        x = inputs.flatten(1)
        if self._is_mixed:
            x = memory.inputs.copy_(x)
            for read, weight in zip(self._read, self._weights, strict=True):
                read.copy_(weight)
        w1, b1, _, _ = self._read
        grad_w1, grad_b1, _, _ = self._written

        torch.addmm(b1, x, w1.t(), out=memory.hidden)
        mask = self._forward(memory)
        log_probs = memory.logits.float().log_softmax(dim=1)
        loss, total_weight = nll_loss_forward(log_probs, targets, None, MEAN, IGNORED)

        slope = nll_loss_backward(self._one, log_probs, targets, None, MEAN, IGNORED, total_weight)
        slope = log_softmax_backward(slope, log_probs, 1, torch.float32).to(memory.logits.dtype)  # (B, C)
        slopes = self._backward(memory, slope, mask)
        torch.mm(slopes.t(), x, out=grad_w1)
        torch.sum(slopes, 0, out=grad_b1)
        if self._is_mixed:
            for gradient, written in zip(self._gradients, self._written, strict=True):
                gradient.copy_(written)
        return loss

    def draw_ahead(self, minibatches: list) -> None:
        """Takes the next minibatches of :meth:`losses` before their first call, for subclasses that draw numbers."""

    def losses(self, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The same as a call, with the name of the loss."""
        return {"train_loss": self(inputs, targets)}

    def _put_gradients(self) -> None:
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient

    def _forward(self, memory: LayerMemory) -> Tensor | None:
        """Computes the logits from the outputs of the first layer, which become activations; returns the mask."""
        _, _, w2, b2 = self._read
        memory.hidden.relu_()
        mask = self._draw_mask(memory)
        dropped = memory.hidden if mask is None else torch.mul(memory.hidden, mask, out=memory.dropped)
        torch.addmm(b2, dropped, w2.t(), out=memory.logits)
        return mask

    def _backward(self, memory: LayerMemory, slope: Tensor, mask: Tensor | None) -> Tensor:
        """Puts the gradients of the head in place.

        Args:
            memory: With the activations and the mask.
            slope: Gradients of the logits, shape ``(B, C)``.
            mask: See :meth:`_forward`.

        Returns:
            Gradients of the outputs of the first layer, shape ``(B, D)``.
        """
        _, _, w2, _ = self._read
        _, _, grad_w2, grad_b2 = self._written
        torch.mm(slope.t(), memory.hidden if mask is None else memory.dropped, out=grad_w2)
        torch.sum(slope, 0, out=grad_b2)
        slopes = torch.mm(slope, w2, out=memory.slopes)
        if mask is not None:
            slopes.mul_(mask)
        return threshold_backward(slopes, memory.hidden, 0, grad_input=slopes)

    def _draw_mask(self, memory: LayerMemory) -> Tensor | None:
        """The mask that :class:`~al_lightning.models.dropout.FastDropout` draws; ``None`` without dropout."""
        p = self._dropout.p
        if p == 0:
            return None
        mask = torch.rand(memory.kept.shape, out=memory.kept).ge_(p).div_(1 - p)
        return memory.mask.copy_(mask) if self._is_mixed else mask

    def _of_size(self, size: int) -> LayerMemory:
        if size not in self._parts:
            self._parts[size] = LayerMemory._make(part[:size] for part in self._memory)
        return self._parts[size]
