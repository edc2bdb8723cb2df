"""The stopping rule of runs that were begun before the rule depended on the model."""

from collections.abc import Mapping
from typing import Any

OLD: dict[str, Any] = {
    "monitor": "train_acc",
    "stopping_threshold": 0.99,
    "mode": "max",
    "patience": 1_000_000,
    "min_delta": 0.0,
}
"""The default arguments of Convergence in version 0.2, for all models."""
OLD_MAX_EPOCHS = 200
BY_LOSS = "train_nll"
"""The metric that today's default rule watches for models other than the protocol's."""


def with_old_rule(given: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any] | None:
    """Lets a run continue with the stopping rule that it began with.

    Args:
        given: Settings of today, nested mappings of plain values.
        stored: Settings of the run when it began.

    Returns:
        The settings of today with the old rule, or ``None``. The old rule applies if both rules are defaults: the run's
        rule was the default then, and the new rule is the default today.
    """
    there, here = stored.get("convergence"), given.get("convergence")
    trainer = dict(given.get("trainer", {}))
    if isinstance(there, Mapping) and isinstance(here, Mapping):  # from the command line
        if not (_is_old(there) and _is_new(here)):
            return None
        if trainer.get("max_epochs") == -1:
            trainer["max_epochs"] = stored.get("trainer", {}).get("max_epochs")
        return {**given, "trainer": trainer, "convergence": dict(there)}
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):  # from Python
        rules = [a if _is_old(a) and _is_new(b) else b for a, b in zip(there, here, strict=True)]
        if rules != here:
            return {**given, "convergence": rules}
    return None


def _is_old(rule: Mapping[str, Any]) -> bool:
    numbers = ("stopping_threshold", "patience", "min_delta")
    return all(rule.get(name) == OLD[name] for name in ("monitor", "mode")) and all(
        # a run from Python has the float32 just below 0.99
        isinstance(rule.get(name), int | float) and abs(rule[name] - OLD[name]) < 1e-6
        for name in numbers
    )


def _is_new(rule: Mapping[str, Any]) -> bool:
    return rule.get("monitor") == BY_LOSS and all(rule.get(name) == "auto" for name in OLD if name != "monitor")
