"""How a model is brought back to where its constructor left it: by the constructor, or by the layers' own resets."""

import copy
import inspect
import weakref
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as L
import torch
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.fitting.weight_proof import NUM_DRAWS, equal_groups, unlike_drawn
from al_lightning.models.protocol import traits
from al_lightning.models.reset import reset_parameters
from al_lightning.random_streams import seeded

RESET = "reset_parameters"
"""How runs drew their weights before they said how."""

KEPT = ("_trainer", "_hparams", "_hparams_initial", "_hparams_name", "_log_hyperparams")
"""What a model that is made again has of the object that it is put in place of."""

MakeModel = Callable[[], L.LightningModule]
Finish = Callable[[L.LightningModule], None]
State = dict[str, Tensor]

HINT = (
    "give `run` a callable that makes the model, from the command line its class, or keep these weights by "
    "`loop.reinit` initial."
)


def as_it_is(model: L.LightningModule) -> None:
    """Leaves a new model as it is."""


class ModelMaker(Protocol):
    """Gives a model new weights."""

    @property
    def name(self) -> str:
        """What commit.json calls it."""

    def renew(self, model: L.LightningModule, seed: int) -> None:
        """Puts a model where its constructor leaves it when the global generators have this seed."""


class ByConstructor:
    """Makes a model again and lets the old object have all that is in the new one.

    So each round has what the constructor makes: also of loaded and frozen layers, of layers without
    ``reset_parameters``, and of attributes.

    Args:
        make: Makes the model, each time a new one.
        finish: Called with each new model, to give its lazy layers their shapes.
        keeps_objects: Whether only weights and buffers are taken from the new model, for an object of somebody who may
            hold parts of it. What else is in it comes from :class:`~al_lightning.fitting.module_state.ModuleState`.
    """

    def __init__(
        self,
        make: MakeModel,
        finish: Finish = as_it_is,
        keeps_objects: bool = False,
    ) -> None:
        self._make = make
        self._finish = finish
        self.keeps_objects = keeps_objects

    @property
    def name(self) -> str:
        return "constructor"

    def new(self, seed: int) -> L.LightningModule:
        """Makes a model with a seed.

        Raises:
            InputError: If that is no LightningModule.
        """
        with seeded(seed, with_gpus=True):  # a constructor may draw on a GPU
            model = self._make()
            if not isinstance(model, L.LightningModule):
                raise InputError(
                    f"Expected a callable that makes a LightningModule, but it made a {type(model).__name__}."
                )
            self._finish(model)
        return model

    def renew(self, model: L.LightningModule, seed: int) -> None:
        fresh = self.new(seed)
        if fresh is model or not _storages(fresh).isdisjoint(_storages(model)):
            raise InputError(
                f"Expected a new {type(model).__name__} from each call of the callable that makes the model, but got "
                "the weights of an earlier one."
            )
        if type(fresh) is not type(model):
            raise InputError(
                f"Expected a {type(model).__name__} from each call of the callable that makes the model, but got a "
                f"{type(fresh).__name__}."
            )
        if self.keeps_objects:
            model.to(torch.get_default_dtype())  # a fit in 64-true leaves the model in that precision
            _copy(fresh, model)
            return
        # the trainer, and hyperparameters as LightningCLI gives them, by which a checkpoint is read
        vars(fresh).update({name: value for name, value in vars(model).items() if name in KEPT})
        # the same dict, not its content: hooks and methods that hold the new object then work on the old one, too
        object.__setattr__(model, "__dict__", vars(fresh))


class ByReset:
    """Draws the weights of an object whose constructor is not known, by the ``reset_parameters`` of its layers.

    Args:
        model: As its constructor left it.
    """

    def __init__(self, model: L.LightningModule) -> None:
        itself = _resets_itself(model)
        self._equal = [] if itself else equal_groups(_tensors(model))
        self._buffers = {} if itself else {name: value.detach().clone() for name, value in model.named_buffers()}

    @property
    def name(self) -> str:
        return "reset_parameters, equal ones alike" if self._equal else RESET

    def renew(self, model: L.LightningModule, seed: int) -> None:
        # a fit in 64-true or 16-true leaves the model in that precision, in which other weights would be drawn
        model.to(torch.get_default_dtype())
        with torch.no_grad():  # those that no layer resets, such as a table of positions
            for name, buffer in model.named_buffers():
                if name in self._buffers and buffer.shape == self._buffers[name].shape:
                    buffer.copy_(self._buffers[name])
        draw_by_reset(model, seed, self._equal)


def draw_by_reset(model: nn.Module, seed: int, equal: list[list[str]]) -> None:
    """Calls :func:`~al_lightning.models.reset.reset_parameters`, and keeps equal what was.

    Args:
        model: The model.
        seed: Of torch's global generator, which is put back.
        equal: As of :func:`~al_lightning.fitting.weight_proof.equal_groups`.
    """
    with seeded(seed):
        reset_parameters(model)
    tensors = _tensors(model)
    with torch.no_grad():
        for first, *others in equal:
            for name in others:
                tensors[name].copy_(tensors[first])


_proven: "weakref.WeakKeyDictionary[nn.Module, ModelMaker]" = weakref.WeakKeyDictionary()
"""Objects that were fitted in this process are no longer as their constructors left them."""


def maker_of(model: L.LightningModule, finish: Finish = as_it_is) -> ModelMaker:
    """Finds how the weights of an object can be drawn again.

    A model that has ``reset_parameters`` is taken at its word. Otherwise models are made with the hyperparameters that
    the object saved, and their weights are compared with its own. If that fails, weights that the layers draw are
    compared. Weights that come out the same under several seeds were loaded, and have to be those of the object.

    Args:
        model: As its constructor left it.
        finish: As of :class:`ByConstructor`.

    Raises:
        InputError: If neither makes such weights: they were loaded, trained, or drawn in a way of their own.
    """
    known = _proven.get(model)
    if known is not None:
        return known
    maker = _find_maker(model, finish)
    _proven[model] = maker
    return maker


def _find_maker(model: L.LightningModule, finish: Finish) -> ModelMaker:
    if _resets_itself(model):
        return ByReset(model)
    make = _constructor_of(model)
    if make is not None:
        maker = ByConstructor(make, finish, keeps_objects=True)
        if _why_not_by_constructor(maker, model) is None:
            return maker
    problem = _why_not_by_reset(model)
    if problem is None:
        return ByReset(model)
    raise InputError(f"{problem}; {HINT}")


def check_same_draws(maker: ModelMaker, recorded: str, path: Path, seed: int) -> None:
    """Raises :class:`InputError` if a run would go on with weights that are drawn in another way than before.

    Args:
        maker: Draws the weights of the rounds to come.
        recorded: The name of what drew those before; :data:`RESET` in runs that do not say it.
        path: The run folder.
        seed: Of a draw by which the two are compared where that is possible.
    """
    if maker.name == recorded:
        return
    if recorded == RESET and isinstance(maker, ByConstructor):
        model = maker.new(seed)
        made = _copied(model)
        with suppress(InputError):
            draw_by_reset(model, seed, [])
            if all(value.equal(made[name]) for name, value in _copied(model).items()):
                return
    raise InputError(
        f"Expected `loop.reinit` scratch to draw weights as the rounds in {path} did, by {recorded}, but it now draws "
        f"others, by {maker.name}; choose another `loop.run_dir`."
    )


def _resets_itself(model: nn.Module) -> bool:
    return callable(traits(model).reset_parameters)


def _why_not_by_reset(model: L.LightningModule) -> str | None:
    """Says, in a sentence without its end, why the layers cannot draw the weights of a model; else ``None``."""
    given = _copied(model)
    drawn = []
    try:
        for seed in range(NUM_DRAWS):
            draw_by_reset(model, seed, equal_groups(given))
            drawn.append(_copied(model))
    except InputError as error:
        return str(error).rstrip(".")
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        what = " ".join(str(error).split())
        return f"Expected layers of {type(model).__name__} that draw weights by `reset_parameters`, but got: {what}"
    finally:
        with torch.no_grad():
            for name, value in _tensors(model).items():
                value.copy_(given[name])
    return _frozen_and_random(model, drawn) or _described(model, unlike_drawn(given, drawn))


def _why_not_by_constructor(maker: ByConstructor, model: L.LightningModule) -> str | None:
    """The same for models that are made with the arguments of this one."""
    try:
        made = [maker.new(seed) for seed in range(NUM_DRAWS)]
    except Exception as error:  # whatever a user's constructor runs into with values that the model changed
        return f"Expected `{type(model).__name__}` to be made from its hyperparameters, but got: {error}"
    given, drawn = _copied(model), [_copied(other) for other in made]
    if any(draw.keys() != given.keys() for draw in drawn):
        return f"Expected `{type(model).__name__}` to have the layers that its constructor makes"
    trained = {name for name, parameter in made[0].named_parameters() if parameter.requires_grad}
    return _frozen_and_random(model, drawn, trained) or _described(model, unlike_drawn(given, drawn))


def _frozen_and_random(model: nn.Module, drawn: list[State], trained: Container[str] | None = None) -> str | None:
    """Says which parameter would stay random for good, since it is not trained.

    Args:
        model: The model.
        drawn: Its weights, drawn several times.
        trained: Names of the parameters that the constructor does not freeze, if that is known: what it freezes itself
            is meant so.
    """
    for name, parameter in model.named_parameters():
        is_drawn = not drawn[0][name].equal(drawn[1][name])
        if not parameter.requires_grad and is_drawn and (trained is None or name in trained):
            return (
                f"Expected weights of {type(model).__name__} that `loop.reinit` scratch may draw, but `{name}` has "
                "`requires_grad` False: it would be random for good"
            )
    return None


def _described(model: nn.Module, difference: tuple[str, str] | None) -> str | None:
    if difference is None:
        return None
    name, how = difference
    return (
        f"Expected weights of {type(model).__name__} as `reset_parameters` of its layers draws them, for `loop.reinit` "
        f"scratch, but got others in `{name}`: {how}"
    )


def _constructor_of(model: L.LightningModule) -> MakeModel | None:
    """Makes a model like this one from its hyperparameters; ``None`` if an argument is not known.

    An argument with a default that is no hyperparameter may have been another: the comparison of weights tells.
    """
    hparams = dict(model.hparams)
    arguments: dict[str, Any] = {}
    for parameter in inspect.signature(type(model)).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name in hparams:
            arguments[parameter.name] = hparams[parameter.name]
        elif parameter.default is parameter.empty:
            return None
    if any(isinstance(value, nn.Module | Tensor) for value in arguments.values()):
        return None
    kind = type(model)
    return lambda: kind(**copy.deepcopy(arguments))


@torch.no_grad()
def _copy(source: nn.Module, target: nn.Module) -> None:
    """Copies weights and buffers of a model of the same layers."""
    values = _tensors(source)
    for name, value in _tensors(target).items():
        value.copy_(values[name])


def _tensors(model: nn.Module) -> State:
    """Parameters and buffers by name, also those that a checkpoint does not hold."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _copied(model: nn.Module) -> State:
    return {name: value.detach().cpu().clone() for name, value in _tensors(model).items()}


def _storages(model: nn.Module) -> set[int]:
    return {parameter.data_ptr() for parameter in model.parameters() if parameter.numel()}
