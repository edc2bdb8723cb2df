"""NamedMetrics: metrics of torchmetrics, by name, that a user adds to every test."""

import copy
import inspect
import warnings
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torchmetrics import Metric

from al_lightning.errors import InputError, did_you_mean
from al_lightning.models.metrics import NAMES

PREFIX = "test_"
OPTION = "loop.metrics"


class NamedMetrics:
    """Metrics of the test set by name. Each test makes new objects.

    Args:
        metrics: A metric for each name. It is a class of torchmetrics, the name or path of a class, a mapping with
            ``class_path`` and ``init_args``, or an object. If a class has the arguments ``num_classes`` and ``task``
            and they are not given, it gets the number of classes and ``multiclass``.

    Raises:
        InputError: If a name or a metric is not valid.

    Example:
        >>> import torch
        >>> metrics = NamedMetrics({"top2": {"class_path": "MulticlassAccuracy", "init_args": {"top_k": 2}}})
        >>> metrics.compute(torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]), torch.tensor([1, 1]))
        {'test_top2': tensor(1.)}
    """

    def __init__(self, metrics: Mapping[str, Any] | str | None = None) -> None:
        if metrics is not None and not isinstance(metrics, Mapping):
            raise InputError(
                f"Expected `{OPTION}` to be names with classes of torchmetrics, as {{kappa: CohenKappa}}, "
                f"but got {metrics!r}."
            )
        self._metrics: dict[str, tuple[Any, dict[str, Any]]] = {}
        for name, given in (metrics or {}).items():
            if not str(name).isidentifier():
                raise InputError(f"Expected the names in `{OPTION}` to be words, as `macro_f1`, but got `{name}`.")
            if name in NAMES:
                raise InputError(f"Expected new names in `{OPTION}`, but every test has a metric `{name}`.")
            self._metrics[str(name)] = _resolved(str(name), given)

    def __len__(self) -> int:
        return len(self._metrics)

    def __contains__(self, column: str) -> bool:
        """Whether a column of rounds.csv belongs to one of these metrics. A metric may have several columns."""
        names = [f"{PREFIX}{name}" for name in self._metrics]
        return any(column == name or column.startswith(f"{name}_") for name in names)

    @property
    def settings(self) -> dict[str, Any] | None:
        """The argument as a config file has it; an object among the metrics is text that no config takes."""
        if not self._metrics:
            return None
        return {name: _setting(made, arguments) for name, (made, arguments) in self._metrics.items()}

    def check(self, num_classes: int) -> None:
        """Raises :class:`InputError` unless all metrics can be made and take logits of this number of classes."""
        if self._metrics:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a metric that has seen one sample of each class
                self.compute(torch.zeros(num_classes, num_classes), torch.arange(num_classes))

    def compute(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Returns the metrics by column. A metric of several values, such as one a class, has one column for each.

        Args:
            logits: Shape ``(N, C)``. Metrics get probabilities; ``Binary...`` metrics get the probability of class 1.
            targets: Class indices, int64, shape ``(N,)``.
        """
        probs, targets = logits.detach().cpu().float().softmax(dim=1), targets.cpu()
        found: dict[str, Tensor] = {}
        for name, (made, arguments) in self._metrics.items():
            try:
                metric = _make(made, arguments, probs.shape[1])
                is_binary = type(metric).__name__.startswith("Binary")
                if is_binary and probs.shape[1] != 2:
                    raise ValueError("it is for 2 classes")
                metric.update(probs[:, 1] if is_binary else probs, targets)
                value = metric.compute()
            except (ValueError, TypeError, RuntimeError, LookupError, AttributeError) as error:
                text = " ".join(str(error).split())
                raise InputError(
                    f"Expected `{OPTION}.{name}` to be made and to measure {probs.shape[1]} classes, but got: {text}"
                ) from error
            columns = _columns(f"{PREFIX}{name}", value)
            if twice := found.keys() & columns.keys():
                raise InputError(f"Expected `{OPTION}` to have each column once, but `{min(twice)}` is there twice.")
            found |= columns
        return found


def _setting(made: Any, arguments: dict[str, Any]) -> Any:
    path = f"{made.__module__}.{made.__qualname__}" if inspect.isclass(made) else f"{type(made).__name__} of Python"
    plain = {
        name: value if isinstance(value, bool | int | float | str | list | None) else str(value)
        for name, value in arguments.items()
    }
    return {"class_path": path, "init_args": plain} if plain else path


def _resolved(name: str, given: Any) -> tuple[Any, dict[str, Any]]:
    """A class or an object, and the arguments of the class."""
    arguments: dict[str, Any] = {}
    made = given
    if isinstance(given, Mapping):
        if not {"class_path"} <= given.keys() <= {"class_path", "init_args"}:
            raise InputError(f"Expected `{OPTION}.{name}` to have `class_path` and `init_args`, but got {dict(given)}.")
        made, arguments = given["class_path"], dict(given.get("init_args") or {})
    if isinstance(made, str):
        made = _class(name, made)
    if not (isinstance(made, Metric) or (inspect.isclass(made) and issubclass(made, Metric))):
        raise InputError(f"Expected `{OPTION}.{name}` to be a metric of torchmetrics, but got {made!r}.")
    return made, arguments


def _class(name: str, path: str) -> Any:
    """The class of a path. A name without a path is looked up in torchmetrics."""
    module, _, attribute = path.rpartition(".")
    owners = [module] if module else ["torchmetrics.classification", "torchmetrics"]
    for owner in owners:
        try:
            found = getattr(import_module(owner), attribute, None)
        except ImportError as error:
            raise InputError(f"Expected `{OPTION}.{name}` to be a class, but got `{path}`: {error}.") from error
        if found is not None:
            return found
    known = {**vars(torchmetrics.classification), **vars(torchmetrics)} if not module else vars(import_module(module))
    raise InputError(f"Expected `{OPTION}.{name}` to be a class, but got `{path}`{did_you_mean(attribute, known)}")


def _make(made: Any, arguments: dict[str, Any], num_classes: int) -> Metric:
    if isinstance(made, Metric):
        metric = copy.deepcopy(made)
        metric.reset()
        return metric
    # A class such as torchmetrics.F1Score makes an object of another class, by its task.
    maker = made.__init__ if made.__new__ is object.__new__ or "task" not in _names(made.__new__) else made.__new__
    filled = {"num_classes": num_classes, "task": "multiclass"}
    missing = {key: value for key, value in filled.items() if key in _names(maker) and key not in arguments}
    return made(**arguments, **missing)


def _names(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


def _columns(name: str, value: Any) -> dict[str, Tensor]:
    if isinstance(value, Mapping):
        return {key: part for inner, one in value.items() for key, part in _columns(f"{name}_{inner}", one).items()}
    if isinstance(value, Tensor) and value.numel() == 1:
        return {name: value.reshape(())}
    if isinstance(value, Tensor) and value.dim() == 1:
        return {f"{name}_{index}": part for index, part in enumerate(value)}
    raise ValueError(f"a value of {type(value).__name__} is no column")
