"""Describes objects as text that is the same in each process, without the memory addresses of ``repr``."""

import hashlib
import inspect
import re
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from functools import partial
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from al_lightning.run_folder.fingerprint.code_digest import digest_of_class, digest_of_function, is_own

PLAIN = (bool, int, float, complex, str, bytes, type(None))
ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
DEPTH = 3  # most levels of attributes of attributes
MOST_CHARACTERS = 300  # a longer argument is shortened to a digest
NO_SETTINGS = (
    "training",
    "trainer",
    "streams",
    "prepare_data_per_node",
    "allow_zero_length_dataloader_with_multiple_devices",
)
"""Public attributes of modules that Lightning and the loop set."""
METRICS = ("torchmetrics", "al_lightning.models.metrics")
"""Packages of modules that only measure."""
FREE_IN_CONFIGS = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
"""Entries of a Hugging Face configuration that describe its origin."""


def without_addresses(text: str) -> str:
    """Leaves out addresses in memory.

    Example:
        >>> without_addresses("<function f at 0x7f12ab>")
        '<function f>'
    """
    return ADDRESS.sub("", text)


def class_path(thing: object) -> str:
    """Name of an object's class: with its full path for a user's class, with its package for a library's class."""
    return _path_of_class(type(thing))


def _path_of_class(cls: type) -> str:
    module = cls.__module__ if is_own(cls) else cls.__module__.split(".")[0]  # the module may change with the version
    return f"{module}.{cls.__qualname__}"


def text_of(value: Any, depth: int = DEPTH) -> str:
    """Describes any value.

    - Plain values are described exactly, tensors and arrays by their bytes.
    - Functions and classes of the user are described by their code.
    - Other objects are described by their class. If the user wrote that class, public attributes are described, too.
    """
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, Tensor | np.ndarray):
        return _array(value)
    if isinstance(value, PurePath | torch.dtype | torch.device | np.generic | slice | range):
        return str(value)
    if depth == 0:
        return class_path(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{text_of(k, depth - 1)}: {text_of(v, depth - 1)}' for k, v in value.items())}}}"
    if isinstance(value, tuple | list | torch.Size):
        parts = ", ".join(text_of(part, depth - 1) for part in value)
        return f"[{parts}]" if isinstance(value, list) else f"({parts},)" if len(value) == 1 else f"({parts})"
    if isinstance(value, Set):
        return f"{{{', '.join(sorted(text_of(part, depth - 1) for part in value))}}}"
    if isinstance(value, partial):
        return f"partial({', '.join([text_of(value.func), *_named(value.args, value.keywords, depth)])})"
    if isinstance(value, nn.Module):
        return "; ".join(f"{name}: {line}" for name, line in lines_of(value).items())
    if isinstance(value, Optimizer):
        return _optimizer(value)
    if isinstance(value, type):
        own = f" {digest_of_class(value)}" if is_own(value) else ""
        return f"{_path_of_class(value)}{own}"
    if isinstance(value, ModuleType):
        return value.__name__
    if callable(value) and hasattr(value, "__name__"):
        return _function(value)
    return _object(value, depth)


def settings_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as in config.yaml: plain values, or their text if it is the same in each process."""
    plain = (bool, int, float, str, type(None))
    texts = {name: value if isinstance(value, plain) else str(value) for name, value in arguments.items()}
    return {
        name: text_of(arguments[name]) if isinstance(text, str) and ADDRESS.search(text) else text
        for name, text in texts.items()
    }


def lines_of(module: nn.Module) -> dict[str, str]:
    """Describes a module and its inner modules, by name: classes, arguments, and shapes of parameters.

    Values of parameters are left out, because each fit starts from other values. Buffers of losses are included,
    because they are weights of classes.
    """
    parts = [(name, part) for name, part in module.named_modules() if not type(part).__module__.startswith(METRICS)]
    lines = {}
    configs: set[int] = set()  # parts of a network share the config of the whole
    for name, part in parts:
        lines[name or "self"] = _line(part)
        told = attributes_of(part) if is_own(type(part)) else {}
        config = getattr(part, "config", None)
        if config is not None and hasattr(config, "to_diff_dict") and id(config) not in configs:  # Hugging Face
            configs.add(id(config))
            told.pop("config", None)
            told |= {
                f"config.{key}": cut(text_of(value))
                for key, value in config.to_diff_dict().items()
                if key not in FREE_IN_CONFIGS
            }
        lines |= {f"{name or 'self'}.{key}": text for key, text in told.items()}
    return lines


def codes_of(module: nn.Module) -> dict[str, str]:
    """Digests of the code of the user's classes in a module and its inner modules, by the names of the classes."""
    classes = {type(part) for part in module.modules() if is_own(type(part))}
    return {f"{cls.__module__}.{cls.__qualname__}": digest_of_class(cls) for cls in classes}


def attributes_of(thing: object, depth: int = DEPTH) -> dict[str, str]:
    """Describes the arguments of an object, by their names.

    For a class of the user, these are all public attributes. For other classes, attributes may change with the version.
    So these are the constructor's arguments that the object keeps under their names, without defaults.
    """
    if is_own(type(thing)):
        return {
            name: cut(text_of(value, depth - 1))
            for name, value in vars(thing).items()
            if not name.startswith("_") and name not in NO_SETTINGS and not isinstance(value, nn.Module | L.Trainer)
        }
    found = {}
    for name, parameter in _parameters(type(thing)).items():
        value = _attribute(thing, name)
        if value is not inspect.Parameter.empty and not _is_default(value, parameter.default):
            found[name] = cut(text_of(value, depth - 1))
    return found


def cut(text: str) -> str:
    """Shortens a long text to its beginning and a digest."""
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[: MOST_CHARACTERS // 2]}... {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _line(module: nn.Module) -> str:
    arguments = {} if is_own(type(module)) else attributes_of(module)
    if isinstance(module, L.LightningModule):
        arguments |= {f"hparams.{name}": cut(text_of(value)) for name, value in module.hparams.items()}
    for name in ("config", "fused"):  # `fused` changes no bit
        arguments.pop(name, None)
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    values = {name: text_of(value) for name, value in tensors if isinstance(module, _Loss)}
    shapes = [f"{name} {_shape(value)}" for name, value in tensors if name not in values]
    text = ", ".join(f"{name}={value}" for name, value in sorted((arguments | values).items()))
    return "; ".join([f"{class_path(module)}({text})", *shapes])


def _shape(value: Tensor) -> str:
    if is_lazy(value):
        return "of no shape yet"
    frozen = " frozen" if isinstance(value, nn.Parameter) and not value.requires_grad else ""
    return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}{frozen}"


def _array(value: Tensor | np.ndarray) -> str:
    if isinstance(value, Tensor):
        if is_lazy(value) or value.is_meta or value.layout is not torch.strided:
            return (
                "a tensor without values" if value.is_meta or is_lazy(value) else f"{value.dtype} {list(value.shape)}"
            )
        kind, content = str(value.dtype), value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    else:
        kind = str(value.dtype)
        content = np.ascontiguousarray(value if value.dtype != object else value.astype(str))
    if value.size == 1 if isinstance(value, np.ndarray) else value.numel() == 1:
        return f"{kind} {list(value.shape)} {value.item()!r}"
    return f"{kind} {list(value.shape)} {hashlib.sha256(content.tobytes()).hexdigest()[:16]}"


def _function(value: Any) -> str:
    owner = getattr(value, "__self__", None)
    function = getattr(value, "__func__", value)
    function = inspect.unwrap(function) if isinstance(function, FunctionType) else function
    if not isinstance(function, FunctionType):
        return str(function.__name__)
    name = f"{function.__module__}.{function.__qualname__}"
    if is_own(function):
        name += f" {digest_of_function(function)}"
    return name if owner is None or isinstance(owner, ModuleType) else f"{name} of {class_path(owner)}"


def _object(value: Any, depth: int) -> str:
    if not hasattr(value, "__dict__"):
        return without_addresses(str(value)) if type(value).__module__ == "builtins" else class_path(value)
    own = f" {digest_of_class(type(value))}" if is_own(type(value)) else ""
    arguments = ", ".join(f"{name}={text}" for name, text in sorted(attributes_of(value, depth).items()))
    return f"{class_path(value)}{own}({arguments})"


def _optimizer(optimizer: Optimizer) -> str:
    """Class and settings of an optimizer, without settings that have their default."""
    defaults = {name: p.default for name, p in _parameters(type(optimizer)).items()}
    groups = []
    for group in optimizer.param_groups:
        told = {
            name: text_of(value)
            for name, value in group.items()
            if name != "params" and not (name in defaults and _is_default(value, defaults[name]))
        }
        settings = "".join(f", {name}={value}" for name, value in sorted(told.items()) if name != "initial_lr")
        groups.append(f"[{len(group['params'])} tensors{settings}]")
    return f"{class_path(optimizer)}({', '.join(groups)})"


def configured_optimizers(model: L.LightningModule) -> Any:
    """Optimizers and schedules that a model configures, or the reason, as text, if it cannot do so before a fit."""
    try:
        trainer = model.trainer
    except RuntimeError:  # it has none
        trainer = None
    model.trainer = None  # a trainer of an earlier run would give other answers
    try:
        return model.configure_optimizers()
    except (RuntimeError, AttributeError, LookupError, TypeError, ValueError, MisconfigurationException) as error:
        # It may ask the trainer for the number of steps. The fit will report any other error.
        return f"not known before a fit: {type(error).__name__}"
    finally:
        model.trainer = trainer


def schedule_of(scheduler: object) -> str:
    """Describes the arguments of a learning rate scheduler, and not its progress."""
    told = {
        name: text_of(value)
        for name, value in vars(scheduler).items()
        if not name.startswith("_") and name not in ("optimizer", "last_epoch") and not isinstance(value, Optimizer)
    }
    return f"{class_path(scheduler)}({', '.join(f'{name}={value}' for name, value in sorted(told.items()))})"


def _named(args: Sequence[Any], keywords: Mapping[str, Any], depth: int) -> list[str]:
    return [text_of(arg, depth - 1) for arg in args] + [f"{k}={text_of(v, depth - 1)}" for k, v in keywords.items()]


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    try:
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
    except (TypeError, ValueError):  # the class is not written in Python
        return {}
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    # A ModuleList keeps its argument `modules` as inner modules, which are described separately.
    registries = ("modules", "parameters", "buffers")
    return {p.name: p for p in parameters if p.kind not in kinds and p.name not in registries}


def _attribute(thing: object, name: str) -> Any:
    """The value that an object keeps under the name of an argument, or under this name after an underscore."""
    for key in (name, f"_{name}"):
        value = inspect.getattr_static(thing, key, inspect.Parameter.empty)
        is_kept = key in vars(thing) or not isinstance(value, property | FunctionType)
        if is_kept and value is not inspect.Parameter.empty and not isinstance(value, Tensor | nn.Module):
            return value
    return inspect.Parameter.empty


def _is_default(value: Any, default: Any) -> bool:
    if value is default:
        return True
    return isinstance(value, (*PLAIN, tuple, list)) and text_of(value) == text_of(default)
