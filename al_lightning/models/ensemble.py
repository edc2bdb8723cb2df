"""Ensemble: independent models that are trained side by side, and whose mean probability is the prediction."""

import inspect
import math
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, cast

import lightning.pytorch as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from al_lightning.data.inputs import Inputs, count_rows
from al_lightning.errors import InputError
from al_lightning.inference.calling import call
from al_lightning.inference.logits import class_logits
from al_lightning.models.base import ClassifierModule, MiniBatch
from al_lightning.models.closure import wants_closure
from al_lightning.models.denormals import flush_denormals
from al_lightning.models.dropout_mlp import DropoutMLP
from al_lightning.models.protocol import traits
from al_lightning.random_streams import seeded

PLAIN = (ClassifierModule, DropoutMLP)
"""Classes whose way of training and testing an ensemble repeats for its members."""
NOT_CALLED = (
    *("training_step", "after_step", "test_step", "predict_step", "backward", "optimizer_step", "lr_scheduler_step"),
    *("setup", "teardown", "configure_model", "configure_callbacks", "configure_gradient_clipping"),
    *(name for name in dir(L.LightningModule) if name.startswith("on_")),
)
"""Methods of a model that Lightning calls for the ensemble, and not for its members."""


class Ensemble(ClassifierModule):
    """Trains M members at once: ``--model Ensemble --model.member DropoutMLP --model.size 5``.

    The members begin with different weights and have their own dropout masks. All of them take the same minibatches.
    The loss is the sum of their losses, and each member has its own parameter groups in the optimizer. So each member
    learns as it would alone, with any optimizer that looks at one parameter at a time, such as Adam or SGD. Gradients
    are clipped for each member. All members stop at the same update.

    The prediction is the mean of the members' probabilities. BALD, VariationRatio, EPIG and BatchBALD take the members
    as their Monte Carlo samples.

    Args:
        member: Makes a member: a model of this package, or another class of
            :class:`~al_lightning.models.base.ClassifierModule`. Its optimizer is ``--model.member.optimizer``.
        size: Number of members, M, at least 2.

    Raises:
        InputError: If an argument is out of range, or the members cannot be trained by the sum of their losses.

    Example:
        >>> ensemble = Ensemble(lambda: DropoutMLP(input_dim=64, hidden_dim=32), size=3)
        >>> ensemble(torch.zeros(2, 64)).shape, ensemble.sample_logits(torch.zeros(2, 64), 20).shape
        (torch.Size([2, 10]), torch.Size([2, 3, 10]))

    Reference:
        Lakshminarayanan, Pritzel and Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep
        Ensembles", NeurIPS 2017.
    """

    members: nn.ModuleList
    """The members."""

    passes_inputs_to = "members.0"
    """The first member decides how inputs of several tensors are passed on."""

    def __init__(self, member: Callable[[], ClassifierModule] = DropoutMLP, size: int = 5) -> None:
        if size < 2:
            raise InputError(f"Expected `model.size` of Ensemble to be at least 2, but got {size}.")
        super().__init__(None, torch.optim.Adam)
        self.save_hyperparameters(ignore=["member"])  # the command line finds the class of a checkpoint here
        self.member = member
        self.members = nn.ModuleList(_make_members(member, size))
        self._begin_sizes(num_classes=self._members()[0]._given_sizes["num_classes"])

    def _members(self) -> list[ClassifierModule]:
        return cast(list[ClassifierModule], list(self.members))

    def suit_data(self, num_classes: int, inputs: Inputs) -> None:
        """Takes the sizes that the members' constructors left to the data; see ClassifierModule."""
        for member in self._members():
            member.suit_data(num_classes, inputs)
        super().suit_data(num_classes, inputs)

    def check_inputs(self, inputs: Inputs) -> None:
        """Raises :class:`InputError` if a member cannot train on these inputs."""
        check_inputs = traits(self.members[0]).check_inputs
        if check_inputs is not None:
            check_inputs(inputs)

    @property
    def ends_by_train_acc(self) -> bool:
        """Whether Convergence ends a fit at a training accuracy, which is the accuracy of the mean prediction."""
        return traits(self.members[0]).ends_by_train_acc

    @property
    def pretrained(self) -> bool:
        """Whether the members' weights are worth keeping."""
        return traits(self.members[0]).pretrained

    # ------------------------------------------------------------------------------------------------- prediction

    def sample_logits(self, x: Inputs, num_samples: int) -> Tensor:
        """Returns the logits of all members, ``(B, M, C)``, whatever the number of samples."""
        return torch.stack([class_logits(call(member, x)) for member in self.members], dim=1)

    def forward(self, x: Inputs) -> Tensor:
        """Maps inputs of B samples to logarithms of mean probabilities, ``(B, C)``, at least float32."""
        logits = self.sample_logits(x, len(self.members))
        log_probs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=2)
        return log_probs.logsumexp(dim=1) - math.log(len(self.members))

    # --------------------------------------------------------------------------------------------------- training

    def training_step(self, batch: MiniBatch) -> Tensor:
        """Returns the sum of the members' losses, and logs their mean."""
        losses = torch.stack([member.losses(*batch)["train_loss"] for member in self._members()])
        self.log("train_loss", losses.detach().mean(), on_step=False, on_epoch=True, batch_size=count_rows(batch[0]))
        return losses.sum()

    def configure_optimizers(self) -> Optimizer:
        """Makes one optimizer with the parameter groups of the members' optimizers.

        Raises:
            InputError: If the members' optimizers cannot be joined.
        """
        optimizers: list[Any] = [member.configure_optimizers() for member in self._members()]
        first = optimizers[0]
        for optimizer in optimizers:
            if not isinstance(optimizer, Optimizer) or type(optimizer) is not type(first):
                raise InputError(
                    "Expected `configure_optimizers` of all members of Ensemble to return an optimizer of one class, "
                    f"without a schedule, but got {type(first).__name__} and {type(optimizer).__name__}."
                )
            if wants_closure(optimizer):
                raise InputError(
                    "Expected `model.member.optimizer` of Ensemble to take one gradient a step, as Adam does, but got "
                    f"{type(optimizer).__name__}, which would search for all members together."
                )
        for optimizer in optimizers[1:]:
            for group in optimizer.param_groups:
                first.add_param_group(group)
        return first

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the gradient of each member by its own norm."""
        if gradient_clip_val is None or gradient_clip_algorithm == "value":  # which looks at each number by itself
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        for member in self.members:
            nn.utils.clip_grad_norm_(member.parameters(), gradient_clip_val)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Takes a step, without denormal numbers; see :mod:`al_lightning.models.denormals`."""
        with flush_denormals():
            super().optimizer_step(*args, **kwargs)


def _make_members(member: Callable[[], ClassifierModule], size: int) -> list[ClassifierModule]:
    """Makes members, each with a random stream of its own, for layers of any size.

    Raises:
        InputError: If a member cannot be trained by the sum of losses, or two members have the same weights.
    """
    make = _without_instantiator(member)
    made: list[ClassifierModule] = []
    for seed in torch.randint(2**62, (size,)).tolist():
        with seeded(seed):
            made.append(_checked(Context().run(make)))  # an empty context has no arguments given to the command line
    known = {id(parameter) for parameter in made[0].parameters()}
    for name, parameter in made[1].named_parameters():
        if id(parameter) in known:
            raise InputError(
                "Expected `model.member` of Ensemble to make new weights in each call, but got the same "
                f"{type(made[1]).__name__} weights `{name}` twice; give a callable that makes all layers in Python, or "
                "the path of a network to Backbone."
            )
    return made


def _without_instantiator(member: Callable[[], ClassifierModule]) -> Callable[[], ClassifierModule]:
    """Returns a maker that calls the class of a member directly.

    The command line makes each LightningModule by a function of LightningCLI, which gives the arguments of the ensemble
    to ``save_hyperparameters`` of the member.
    """
    if not isinstance(member, partial) or not str(member.func.__module__).startswith("jsonargparse"):
        return member
    cls = member.args[-1]
    return partial(cls, **member.keywords) if inspect.isclass(cls) and issubclass(cls, ClassifierModule) else member


def _checked(member: ClassifierModule) -> ClassifierModule:
    """Returns a member, if the sum of losses trains it.

    Raises:
        InputError: If it is no ClassifierModule, or trains or tests in another way.
    """
    expected = "Expected `model.member` of Ensemble to make a model such as DropoutMLP, Classifier or Backbone"
    if not isinstance(member, ClassifierModule):
        raise InputError(f"{expected}, but it made a {type(member).__name__}.")
    name = type(member).__name__
    if traits(member).needs_unlabeled or traits(member).solves_at_once or isinstance(member, Ensemble):
        raise InputError(f"{expected}, but got {name}, which is not trained by one loss a minibatch.")
    for method in NOT_CALLED:
        if getattr(type(member), method, None) not in [getattr(plain, method, None) for plain in PLAIN]:
            raise InputError(f"{expected}, but got {name}, whose `{method}` would not be called.")
    return member
