"""Checks before the first fit that a model has all that the data and the training need."""

import logging
import math
from collections.abc import Callable

import lightning.pytorch as L
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.data.blocks import OneBlock
from al_lightning.data.inputs import Inputs, count_rows, describe, map_tensors, only_tensor, tensors_of
from al_lightning.errors import InputError
from al_lightning.fitting.lazy import has_lazy_layers, materialise
from al_lightning.fitting.model_maker import Finish
from al_lightning.fitting.sizes import Sizes
from al_lightning.inference import Known, PoolPredictor, evaluation_mode
from al_lightning.inference.calling import call
from al_lightning.inference.logits import full_name, logits_of, warn_of_probabilities
from al_lightning.models.base import ClassifierModule
from al_lightning.models.protocol import traits
from al_lightning.run_folder.begun_model import BegunModel

LOG = logging.getLogger(__name__)
MOST_NAMES = 4
"""Most names of classes in a message."""


def check_model(
    model: L.LightningModule,
    datamodule: PoolDataModule,
    trainer: L.Trainer | None = None,
    begun: BegunModel | None = None,
) -> None:
    """Raises :class:`InputError` if a model lacks a method or does not go with the data.

    Args:
        model: The model.
        datamodule: The data.
        trainer: The precision of the trainer decides in which dtype a fit gives floats to the model. Without a trainer,
            the model gets floats in the dtype of its weights.
        begun: A run in the folder. An earlier version may have begun it with more outputs than classes. Such a run goes
            on.
    """
    name = type(model).__name__
    is_split = callable(traits(model).embed) and callable(traits(model).head)
    missing = [
        method
        for method in ("forward", "training_step", "configure_optimizers")
        if not is_overridden(method, model) and not (method == "forward" and is_split)
    ]
    if missing:
        raise InputError(f"Expected the model {name} to have `{'`, `'.join(missing)}`, but it has not.")
    sample = datamodule.sample_inputs(1)
    num_classes = datamodule.count_classes()
    has_forward = is_overridden("forward", model)
    check_inputs = traits(model).check_inputs
    if check_inputs is not None:
        check_inputs(sample)
    try:
        with isolate_rng(include_cuda=False):
            materialise(model, sample)
        predictor = predictor_of_sample(model, sample, sample, trainer)
        logits = predictor.map(lambda batch: batch.returned_logits)
        is_split = predictor.in_parts
        returned = _returned(model, sample, trainer) if has_forward else logits
        whole = logits
        if is_split and isinstance(returned, Tensor):  # it may return more columns; they are not used
            whole = predictor.map(lambda batch: logits_of(call(model, batch.inputs), len(batch), name))
    except InputError:
        raise
    except (RuntimeError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Each layer reports a wrong shape in its own way.
        _check_input_dim(model, sample)
        raise InputError(
            f"Expected the model {name} to take inputs of {describe(sample)}{_hint_of(sample)}, but got: "
            f"{str(error).rstrip('.')}."
        ) from error
    if not is_split:
        _check_first(returned, num_classes, name)
    _check_num_classes(model, logits.shape[1], datamodule, is_begun=begun is not None and begun.model == name)
    if not is_split:
        warn_of_probabilities(logits_of(returned, count_rows(sample), name), model)
    if has_lazy_layers(model):
        raise InputError(
            f"Expected `forward` of {name} to use all its lazy layers, such as LazyLinear, but some got no shape by it."
        )
    is_same = whole.shape == logits.shape and whole.float().allclose(logits, rtol=1e-2, atol=1e-3, equal_nan=True)
    if not is_same:
        raise InputError(
            f"Expected `head(embed(x))` of the model {name} to be its `forward` but for dropout, but it is not; "
            "give other names to methods or layers that are something else."
        )


def settle_classes(model: L.LightningModule, datamodule: PoolDataModule, begun: BegunModel | None = None) -> Finish:
    """Lets a model take the sizes of the data, and the data the form that the model needs.

    The model takes the sizes that its constructor left to the data. Classes that are numbers with gaps, such as 1 to K,
    are numbered as the model needs them. If the labels of the data set are floats or a column, a model with one logit
    gets them in this form.

    Args:
        model: The number of its outputs decides about gaps: it may have one for each number up to the highest.
        datamodule: The data. Its labels are forgotten if its classes have gaps.
        begun: A run in the folder. Its number of outputs is kept, if its data have the same classes.

    Returns:
        A function that gives the same sizes to another new model of the same constructor.
    """
    sample = datamodule.sample_inputs(1)
    of_run = _outputs_of_run(model, datamodule, begun)
    if of_run is None:
        datamodule.suit_outputs(0)  # counts the classes from 0, if an earlier model did not
    sizes = Sizes(datamodule.count_classes() if of_run is None else of_run, sample)
    sizes.give_to(model)
    _settle_form(model, datamodule, sample)
    if of_run is None and datamodule.count_classes() != sizes.num_classes:  # a network has an output for each number
        sizes = Sizes(datamodule.count_classes(), sample)
        sizes.give_to(model)

    def finish(made: L.LightningModule) -> None:
        sizes.give_to(made)
        materialise(made, sample)

    return finish


def _outputs_of_run(model: L.LightningModule, datamodule: PoolDataModule, begun: BegunModel | None) -> int | None:
    """The number of outputs that a run was begun with, if the run has this model and these classes."""
    if begun is None or begun.num_classes is None or begun.model != type(model).__name__:
        return None
    datamodule.suit_outputs(begun.num_classes)
    return begun.num_classes if tuple(datamodule.list_class_names()) == begun.class_names else None


def _settle_form(model: L.LightningModule, datamodule: PoolDataModule, sample: Inputs) -> None:
    if not datamodule.has_gaps and not datamodule.has_label_form:
        return
    try:
        with isolate_rng(include_cuda=False):
            materialise(model, sample)
        predictor = predictor_of_sample(model, sample, sample)
        logits = predictor.map(lambda batch: batch.logits)
        datamodule.suit_logits(predictor.map(lambda batch: batch.returned_logits).shape[1])
    except (RuntimeError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        LOG.debug("The model did not take a sample, which check_model will say: %r", error)
        return
    datamodule.suit_outputs(logits.shape[1])


def _check_input_dim(model: L.LightningModule, sample: Inputs) -> None:
    """Raises :class:`InputError` if a model that takes flat inputs was given another number of them."""
    given, tensor = model.hparams.get("input_dim"), only_tensor(sample)
    if not isinstance(given, int) or tensor is None:
        return
    number = math.prod(tensor.shape[1:])
    if given != number:
        raise InputError(
            f"Expected `model.input_dim` to be {number}, the number of values of a sample of {describe(sample)}, "
            f"but got {given}{_cure(model)}."
        )


def _check_num_classes(model: L.LightningModule, num_logits: int, datamodule: PoolDataModule, is_begun: bool) -> None:
    """Raises :class:`InputError` unless a model has one output for each class, or one logit for two classes."""
    names = datamodule.list_class_names()
    number = len(names)
    more = f" and {number - MOST_NAMES} more" if number > MOST_NAMES else ""
    classes = f"classes of {type(datamodule).__name__} ({', '.join(names[:MOST_NAMES])}{more})"
    if number < 2 and not is_begun:
        raise InputError(f"Expected at least 2 classes to choose from, but got the {number} {classes}.")
    enough = num_logits == number or (num_logits == 1 and number == 2)
    if is_begun and (enough or num_logits > number):
        return
    if is_begun:
        raise InputError(
            f"Expected the classes that the run began with, but got the {number} {classes}; images without a class may "
            "be in a folder `unlabeled`, and other classes need another `loop.run_dir`."
        )
    given = model.hparams.get("num_classes")
    if isinstance(given, int) and given != number and (isinstance(model, ClassifierModule) or not enough):
        raise InputError(
            f"Expected `model.num_classes` to be {number}, the number of {classes}, but got {given}{_cure(model)}."
        )
    if not enough:
        raise InputError(
            f"Expected the model {full_name(model)} to return {number} logits for each sample, one for each of the "
            f"{classes}, but got {num_logits}."
        )


def _cure(model: L.LightningModule) -> str:
    return "; without this setting, the model takes it from the data" if callable(traits(model).suit_data) else ""


def _hint_of(sample: Inputs) -> str:
    """A hint for inputs of a type that most layers do not take."""
    dtypes = {tensor.dtype for tensor in tensors_of(sample)}
    if len(dtypes) > 1 or dtypes <= {torch.float32}:
        return ""
    (dtype,) = dtypes
    return f" of {dtype}, which they stay; convert them in the data set, or in `forward`"


def _returned(model: L.LightningModule, sample: Inputs, trainer: L.Trainer | None) -> object:
    """The result of `forward` for a sample, with its graph. The graph shows whether a sigmoid is the last operation."""
    transfer = _transfer(model, trainer)
    with evaluation_mode(model), torch.enable_grad():
        return call(model, transfer(map_tensors(torch.clone, sample)))


def _check_first(returned: object, num_classes: int, name: str) -> None:
    """Raises :class:`InputError` if another part of a tuple is more likely to be the logits than its first one."""
    if not isinstance(returned, tuple | list) or isinstance(getattr(returned, "logits", None), Tensor):
        return
    widths = [part.shape[1] if isinstance(part, Tensor) and part.dim() == 2 else 0 for part in returned]
    if widths and widths[0] != num_classes and num_classes in widths:
        raise InputError(
            f"Expected the model {name} to return logits first, but the first part of what it returns has "
            f"{widths[0]} columns, and part {widths.index(num_classes) + 1} has {num_classes}, as many as classes."
        )


def predictor_of_sample(
    model: L.LightningModule,
    pool: Inputs,
    labeled: Inputs,
    trainer: L.Trainer | None = None,
    known: Known | None = None,
) -> PoolPredictor:
    """Makes a predictor of a few samples before the first fit. The arguments are the same as in :func:`check_model`."""
    return PoolPredictor(model, OneBlock(pool), OneBlock(labeled), transfer=_transfer(model, trainer), known=known)


def _transfer(model: L.LightningModule, trainer: L.Trainer | None) -> Callable[[Inputs], Inputs]:
    """Brings inputs to the device of a model, and to the dtype of its parameters if a fit does so."""
    parameter = next(model.parameters(), None)
    if parameter is None:
        raise InputError(f"Expected the model {type(model).__name__} to have parameters to train, but it has none.")

    def one(part: Tensor) -> Tensor:
        suits = part.is_floating_point() and (trainer is None or _suits(part.dtype, trainer))
        return part.to(parameter if suits else parameter.device)

    return lambda block: map_tensors(one, block)


def _suits(dtype: torch.dtype, trainer: L.Trainer) -> bool:
    """Whether a fit converts floats of a dtype to the dtype of the model's weights, by Lightning or by autocast.

    Lightning converts all floats in a precision such as 64-true. Autocast converts all floats except float64. In
    32-true, floats stay.
    """
    plugin = trainer.precision_plugin
    made = [plugin.convert_input(torch.zeros(1, dtype=other)).dtype for other in (torch.float32, torch.float64)]
    if made[0] == made[1]:
        return True
    return "mixed" in str(plugin.precision) and dtype.itemsize <= torch.float32.itemsize
