"""A step of Adam, without what torch's optimizers do around it."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks


def quick_step(optimizer: Optimizer) -> Callable[[], object]:
    """Returns a function that takes a step of an optimizer, to the same bits.

    ``Adam.step`` spends as long on sorting its parameters and on profiling as on the numbers of a small network. For a
    fused Adam or AdamW of one group, the function calls the same kernel on the same state. The group must have one
    device and one dtype. For other optimizers, it is their ``step``, and so it is before the first step, which makes
    the state.
    """
    if type(optimizer) not in (Adam, AdamW) or len(optimizer.param_groups) != 1:
        return optimizer.step
    (group,) = optimizer.param_groups
    parameters: list[Tensor] = group["params"]
    states = [optimizer.state.get(parameter) for parameter in parameters]
    others = ("amsgrad", "differentiable", "capturable")
    if not group["fused"] or any(group[name] for name in others) or not all(states) or _has_hooks(optimizer):
        return optimizer.step
    kinds = {(parameter.device, parameter.dtype) for parameter in parameters}
    if len(kinds) > 1 or any(isinstance(beta, Tensor) for beta in group["betas"]):
        return optimizer.step
    is_decoupled = group.get("decoupled_weight_decay", type(optimizer) is AdamW)
    averages, square_averages, steps = (
        [state[name] for state in states if state] for name in ("exp_avg", "exp_avg_sq", "step")
    )
    kernel = torch._fused_adamw_ if is_decoupled else torch._fused_adam_

    @torch.no_grad()
    def step() -> None:
        torch._foreach_add_(steps, 1)
        kernel(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            averages,
            square_averages,
            [],
            steps,
            amsgrad=False,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )

    return step


def _has_hooks(optimizer: Optimizer) -> bool:
    of_all = (*_global_optimizer_pre_hooks, *_global_optimizer_post_hooks)
    return bool(of_all or optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)
