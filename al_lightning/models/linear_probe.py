"""LinearProbe: logistic regression on frozen features, fitted to its optimum in one step."""

from typing import Literal, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from al_lightning.data.inputs import as_floats
from al_lightning.errors import InputError
from al_lightning.models.base import ClassifierModule, MiniBatch
from al_lightning.models.logistic_regression import auto_weight_decay, fit_logistic_regression


class LinearProbe(ClassifierModule):
    """Multinomial logistic regression on its inputs, which are the features of a frozen network.

    One training step takes all labeled samples and finds the optimum; see
    :func:`~al_lightning.models.logistic_regression.fit_logistic_regression` for the objective. The fit draws nothing
    and does not depend on the weights before it. So ``scratch``, ``initial`` and ``warm`` give the same model.

    Args:
        input_dim: Number of features, D; inputs of shape ``(B, ...)`` are flattened to ``(B, D)``. By default the
            number of values of a sample of the data.
        num_classes: Number of classes, C, at least 2. By default the number of classes of the data.
        weight_decay: Weight decay of the objective, more than 0. ``auto`` lets
            :func:`~al_lightning.models.logistic_regression.auto_weight_decay` choose it for each labeled set.

    Raises:
        InputError: If an argument is out of range.
    """

    head: nn.Linear

    solves_at_once = True

    def __init__(
        self,
        input_dim: int | None = None,
        num_classes: int | None = None,
        weight_decay: float | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(num_classes, lambda params: torch.optim.SGD(params, lr=1.0))
        if input_dim is not None and input_dim < 1:
            raise InputError(f"Expected `model.input_dim` to be at least 1, but got {input_dim}.")
        if weight_decay != "auto" and not (isinstance(weight_decay, int | float) and weight_decay > 0):
            raise InputError(f"Expected `model.weight_decay` to be auto or more than 0, but got {weight_decay}.")
        self.save_hyperparameters()
        self._weight_decay = weight_decay
        self.solved: bool | None = None
        """Whether the last fit has found the optimum; ``None`` before the first fit."""
        self._begin_sizes(input_dim=input_dim, num_classes=num_classes)
        self.automatic_optimization = False  # the step solves; no gradient of Lightning is needed

    def _make_layers(self, input_dim: int, num_classes: int) -> dict[str, nn.Module]:  # type: ignore[override]
        head = nn.Linear(input_dim, num_classes)
        nn.init.zeros_(head.weight)  # before the first fit, all classes are equally probable
        nn.init.zeros_(head.bias)
        return {"head": head}

    # ------------------------------------------------------------------------------------------------- prediction

    def embed(self, x: Tensor) -> Tensor:
        """Flattens inputs ``(B, ...)`` to features ``(B, D)``."""
        return as_floats(x, self).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps inputs ``(B, ...)`` to logits ``(B, C)``."""
        return self.head(self.embed(x))

    # --------------------------------------------------------------------------------------------------- training

    def training_step(self, batch: MiniBatch) -> None:  # type: ignore[override]
        """Finds the optimum for all labeled samples, and ends the fit.

        The fit is done in float64 on the CPU, so that it is the same on all devices. Lightning's optimizer takes a step
        of nothing, because Lightning counts the steps of its optimizers.
        """
        features, targets = self.embed(batch[0]).detach().float().cpu(), batch[1].cpu()
        auto = self._weight_decay == "auto"
        weight_decay = auto_weight_decay(features) if auto else float(cast(float, self._weight_decay))
        fitted = fit_logistic_regression(features, targets, self.head.out_features, weight_decay)
        self.solved = fitted.converged
        with torch.no_grad():
            self.head.weight.copy_(fitted.weight)
            self.head.bias.copy_(fitted.bias)
        self._count_step()
        self.log_dict({"train_loss": fitted.objective, "weight_decay": weight_decay}, batch_size=len(targets))
        self.trainer.should_stop = True

    def _count_step(self) -> None:
        optimizer = cast(LightningOptimizer, self.optimizers())
        for parameter in self.parameters():
            parameter.grad = torch.zeros_like(parameter)  # a gradient scaler wants gradients
        optimizer.step()
        optimizer.zero_grad()
