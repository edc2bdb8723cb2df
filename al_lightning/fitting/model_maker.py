"""Brings a model back to the state after its constructor, by the constructor or by the resets of its layers."""

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
"""The way in which early runs drew their weights; these runs do not record the way."""

KEPT = ("_trainer", "_hparams", "_hparams_initial", "_hparams_name", "_log_hyperparams")
"""Attributes that a new model takes over from the object that it replaces."""

MakeModel = Callable[[], L.LightningModule]
Finish = Callable[[L.LightningModule], None]
State = dict[str, Tensor]

HINT = (
    "give `run` a callable that makes the model, from the command line its class, or keep these weights by "
    "`loop.reinit` initial."
)


def as_it_is(model: L.LightningModule) -> None:
    """Leaves a new model unchanged."""


class ModelMaker(Protocol):
    """Gives a model new weights."""

    @property
    def name(self) -> str:
        """Its name in commit.json."""

    def renew(self, model: L.LightningModule, seed: int) -> None:
        """Brings a model into the state that its constructor makes with this seed of the global generators."""


class ByConstructor:
    """Makes a new model and moves its content into the old object.

    So each round starts from the result of the constructor. This includes loaded and frozen layers, layers without
    ``reset_parameters``, and attributes.

    Args:
        make: Makes a new model in each call.
        finish: Called with each new model, to give its lazy layers their shapes.
        keeps_objects: Whether only weights and buffers come from the new model, because the user may hold parts of the
            old object. Then :class:`~al_lightning.fitting.module_state.ModuleState` restores the rest.
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
            InputError: If the result is not a LightningModule.
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
        # The trainer, and the hyperparameters of LightningCLI, which are needed to read a checkpoint.
        vars(fresh).update({name: value for name, value in vars(model).items() if name in KEPT})
        # Both objects share one dict: hooks and methods that hold the new object then also work on the old one.
        object.__setattr__(model, "__dict__", vars(fresh))


class ByReset:
    """Draws the weights of an object of unknown constructor, by the ``reset_parameters`` of its layers.

    Args:
        model: The model in the state after its constructor.
    """

    def __init__(self, model: L.LightningModule) -> None:
        itself = _resets_itself(model)
        self._equal = [] if itself else equal_groups(_tensors(model))
        self._buffers = {} if itself else {name: value.detach().clone() for name, value in model.named_buffers()}

    @property
    def name(self) -> str:
        return "reset_parameters, equal ones alike" if self._equal else RESET

    def renew(self, model: L.LightningModule, seed: int) -> None:
        # A fit in 64-true or 16-true leaves the model in that precision, which would change the drawn weights.
        model.to(torch.get_default_dtype())
        with torch.no_grad():  # weights that no layer resets, such as a table of positions
            for name, buffer in model.named_buffers():
                if name in self._buffers and buffer.shape == self._buffers[name].shape:
                    buffer.copy_(self._buffers[name])
        draw_by_reset(model, seed, self._equal)


def draw_by_reset(model: nn.Module, seed: int, equal: list[list[str]]) -> None:
    """Calls :func:`~al_lightning.models.reset.reset_parameters`, and keeps equal tensors equal.

    Args:
        model: The model.
        seed: Seed of torch's global generator, which is put back.
        equal: Groups of equal tensors, see :func:`~al_lightning.fitting.weight_proof.equal_groups`.
    """
    with seeded(seed):
        reset_parameters(model)
    tensors = _tensors(model)
    with torch.no_grad():
        for first, *others in equal:
            for name in others:
                tensors[name].copy_(tensors[first])


_proven: "weakref.WeakKeyDictionary[nn.Module, ModelMaker]" = weakref.WeakKeyDictionary()
"""Makers that were found before. Once an object is fitted, its weights no longer show how its constructor draws."""


def maker_of(model: L.LightningModule, finish: Finish = as_it_is) -> ModelMaker:
    """Finds a way to draw the weights of an object again.

    If the model itself has ``reset_parameters``, this method is used without a check. Otherwise new models are made
    with the hyperparameters that the object saved, and their weights are compared with the object's weights. If that
    fails, the layers draw weights, and these are compared. Weights that are the same under several seeds were loaded,
    so the object must have the same ones.

    Args:
        model: The model in the state after its constructor.
        finish: Called with each new model, see :class:`ByConstructor`.

    Raises:
        InputError: If both ways fail: the weights were loaded, trained, or drawn in another way.
    """
    known = _proven.get(model)
    if known is not None:
        return known
    maker = _find_maker(model, finish)
    _proven[model] = maker
    return maker


def forget_maker(model: L.LightningModule) -> None:
    """Forgets the maker of an object, because its layers are others now."""
    _proven.pop(model, None)


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
    """Raises :class:`InputError` if a run would continue with weights that are drawn in another way.

    Args:
        maker: Draws the weights of the next rounds.
        recorded: Name of the maker of the earlier rounds; :data:`RESET` in runs that do not record it.
        path: The run folder.
        seed: Seed of a draw that compares the two makers, if possible.
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
    """The reason why the layers cannot draw the weights of a model, as part of a sentence; ``None`` if they can."""
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
    """The reason why a constructor cannot draw the weights of this model; ``None`` if it can."""
    try:
        made = [maker.new(seed) for seed in range(NUM_DRAWS)]
    except Exception as error:  # a user's constructor may raise anything if the model changed its arguments
        return f"Expected `{type(model).__name__}` to be made from its hyperparameters, but got: {error}"
    given, drawn = _copied(model), [_copied(other) for other in made]
    if any(draw.keys() != given.keys() for draw in drawn):
        return f"Expected `{type(model).__name__}` to have the layers that its constructor makes"
    trained = {name for name, parameter in made[0].named_parameters() if parameter.requires_grad}
    return _frozen_and_random(model, drawn, trained) or _described(model, unlike_drawn(given, drawn))


def _frozen_and_random(model: nn.Module, drawn: list[State], trained: Container[str] | None = None) -> str | None:
    """Names a parameter that would stay random for ever, because it is not trained.

    Args:
        model: The model.
        drawn: Its weights, drawn several times.
        trained: Names of the parameters that the constructor does not freeze, if known. A constructor freezes
            parameters on purpose.
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

    An argument that is not saved gets its default, which may differ from the original value. The comparison of weights
    shows this.
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
    """Copies weights and buffers between models with the same layers."""
    values = _tensors(source)
    for name, value in _tensors(target).items():
        value.copy_(values[name])


def _tensors(model: nn.Module) -> State:
    """Parameters and buffers by name, including buffers that a checkpoint leaves out."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _copied(model: nn.Module) -> State:
    return {name: value.detach().cpu().clone() for name, value in _tensors(model).items()}


def _storages(model: nn.Module) -> set[int]:
    return {parameter.data_ptr() for parameter in model.parameters() if parameter.numel()}
