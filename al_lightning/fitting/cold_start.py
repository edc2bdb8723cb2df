"""A cold start: a strategy that needs no trained model chooses the initial set of a run."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import torch
from torch import Tensor, nn

from al_lightning import strategies
from al_lightning.data import PoolDataModule
from al_lightning.data.blocks import TensorBlocks
from al_lightning.data.datamodule import DRAWN
from al_lightning.data.features_file import read_features
from al_lightning.data.inputs import only_tensor
from al_lightning.data.npz import read_npz
from al_lightning.errors import InputError, did_you_mean
from al_lightning.fitting.lazy import materialise
from al_lightning.inference import Known, PoolPredictor, evaluation_mode
from al_lightning.models.protocol import traits
from al_lightning.strategies import QueryStrategy

ABSTRACT = ("QueryStrategy", "ScoreStrategy")
"""Bases of strategies, which cannot be made."""
MOST_BYTES = 8 * 2**30
"""Most memory that the inputs may take as features."""


class Rows(nn.Module):
    """Takes its inputs for features, and finds all classes equally probable."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_classes))

    def embed(self, x: Tensor) -> Tensor:
        return x

    def head(self, embeddings: Tensor) -> Tensor:
        return self.logits.expand(len(embeddings), -1)


@contextmanager
def cold_start(
    datamodule: PoolDataModule, model: L.LightningModule, trainer: L.Trainer, query_size: int
) -> Iterator[None]:
    """Lets a data module choose its initial set by the strategy that ``data.initial`` names, in this context.

    The choice depends on the features of the samples, on the stream of the initial set, and on nothing else. So runs of
    different strategies with the same seed have the same initial set. The strategy gets no class of any sample.

    Args:
        datamodule: The data.
        model: The model before its first fit.
        trainer: The features of the model are computed on its device.
        query_size: Size of the initial set, if ``data.num_initial`` is 0.

    Raises:
        InputError: If there is no such strategy, or it needs predictions.
    """
    datamodule.query_size = query_size
    if datamodule.initial not in DRAWN:
        strategy = first_strategy(datamodule.initial)
        datamodule.choose_initial = partial(_choose, strategy, datamodule, model, trainer)
    try:
        yield
    finally:
        datamodule.query_size = datamodule.choose_initial = None


def first_strategy(name: str) -> QueryStrategy:
    """Makes the strategy that a value of ``data.initial`` names.

    Args:
        name: The name of a class, in any spelling: ``typiclust``, ``max_herding``, ``CoreSet``. Or a dotted path.

    Raises:
        InputError: If there is no such strategy, or its queries depend on a trained model.

    Example:
        >>> type(first_strategy("core_set")).__name__
        'CoreSet'
    """
    kind = _own_class(name) if "." in name else _known_class(name)
    try:
        strategy = kind()
    except TypeError as error:
        raise InputError(
            f"Expected `data.initial` to be a strategy whose arguments have defaults, but {name} has none: {error}."
        ) from error
    if strategy.needs_predictions:
        raise InputError(
            f"Expected `data.initial` to be {_choices()}, but {type(strategy).__name__} needs the predictions of a "
            "fitted model."
        )
    return strategy


def _known_class(name: str) -> type[QueryStrategy]:
    kinds = {_spelled(one): getattr(strategies, one) for one in strategies.__all__ if one not in ABSTRACT}
    if _spelled(name) not in kinds:
        hint = did_you_mean(name, (*DRAWN, *_first_ones()))
        raise InputError(f"Expected `data.initial` to be {_choices()}, but got `{name}`{hint}")
    return kinds[_spelled(name)]


def _own_class(path: str) -> type[QueryStrategy]:
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"Expected `data.initial` to be the dotted path of a strategy, but got `{path}`: {error}."
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, QueryStrategy)):
        raise InputError(f"Expected `data.initial` to be a subclass of QueryStrategy, but got `{path}`.")
    return kind


def _first_ones() -> list[str]:
    """Names of the strategies that always choose without a trained model, as people write them."""
    kinds = [getattr(strategies, name) for name in strategies.__all__ if name not in ABSTRACT]
    return [kind.__name__ for kind in kinds if kind.needs_predictions is False and kind is not strategies.Random]


def _choices() -> str:
    return f"{', '.join(DRAWN)} or a strategy that needs no fitted model ({', '.join(_first_ones())})"


def _spelled(name: str) -> str:
    return name.replace("_", "").lower()


# -------------------------------------------------------------------------------------------------------- the choice


def _choose(
    strategy: QueryStrategy,
    datamodule: PoolDataModule,
    model: L.LightningModule,
    trainer: L.Trainer,
    indices: Tensor,
    num: int,
    generator: torch.Generator,
) -> Tensor:
    """Chooses ``num`` of the training-set indices; see :data:`~al_lightning.data.datamodule.ChooseInitial`."""
    features = _features(datamodule, model, trainer, indices)
    if not bool(features.isfinite().all()):
        raise InputError(
            f"Expected finite features for `data.initial` {datamodule.initial}, but got NaN or infinite ones."
        )
    nothing = torch.empty(0, dtype=torch.int64)
    known = Known(labeled_targets=nothing, indices=indices, labeled_indices=nothing)
    pool = PoolPredictor(
        Rows(datamodule.count_classes()), TensorBlocks(features), TensorBlocks(features[:0]), known=known
    )
    positions = strategy.answer(pool, num, generator).positions
    is_query = isinstance(positions, Tensor) and positions.shape == (num,) and positions.dtype == torch.int64
    if not is_query or len(positions.unique()) < num or not bool(((positions >= 0) & (positions < len(indices))).all()):
        raise InputError(
            f"Expected {type(strategy).__name__}.query to return {num} distinct positions from 0 to "
            f"{len(indices) - 1} for `data.initial`, but got {positions}."
        )
    return indices[positions]


def _features(datamodule: PoolDataModule, model: L.LightningModule, trainer: L.Trainer, indices: Tensor) -> Tensor:
    """Features of training samples, float32, shape ``(N, D)``."""
    if datamodule.initial_features == "inputs":
        return _of_inputs(datamodule, indices)
    if datamodule.initial_features == "model":
        return _of_model(datamodule, model, trainer, indices)
    return _of_file(Path(datamodule.initial_features), datamodule, indices)


def _of_inputs(datamodule: PoolDataModule, indices: Tensor) -> Tensor:
    sample = only_tensor(datamodule.inputs_at(indices[:1]))
    if sample is None:
        raise InputError(
            "Expected inputs of one tensor for `data.initial_features` inputs, but a sample has several; model or a "
            "file are other choices."
        )
    num_bytes = 4 * sample.numel() * len(indices)
    if num_bytes > MOST_BYTES:
        raise InputError(
            f"Expected inputs of at most {MOST_BYTES / 2**30:.0f} GiB for `data.initial_features` inputs, but got "
            f"{num_bytes / 2**30:.1f} GiB; model or a file of `al-lightning features` are smaller."
        )
    features = torch.empty(len(indices), sample.numel())
    start = 0
    for block in datamodule.train_blocks(indices):
        rows = only_tensor(block)
        assert rows is not None, "all samples have the form of the first"
        if rows[0].numel() != sample.numel():
            raise InputError("Expected inputs of one size for `data.initial_features` inputs, but their sizes differ.")
        features[start : start + len(rows)] = rows.flatten(1)
        start += len(rows)
    return features


def _of_model(datamodule: PoolDataModule, model: L.LightningModule, trainer: L.Trainer, indices: Tensor) -> Tensor:
    if not (traits(model).pretrained or traits(model).solves_at_once):
        warnings.warn(
            f"`data.initial_features` model takes the features of {type(model).__name__} before its first fit, and its "
            "weights are random; inputs, or a file of `al-lightning features`, say more about the samples.",
            stacklevel=2,
        )
    materialise(model, datamodule.sample_inputs(1))
    device = model.device
    model.to(trainer.strategy.root_device)
    try:
        with evaluation_mode(model):
            return PoolPredictor(model, datamodule.train_blocks(indices)).embeddings().flatten(1).float().cpu()
    finally:
        model.to(device)


def _of_file(path: Path, datamodule: PoolDataModule, indices: Tensor) -> Tensor:
    option = "data.initial_features"
    if path.suffix == ".npy":
        try:
            rows = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise InputError(f"Expected `{option}` to be inputs, model or a file, but there is no {path}.") from None
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"Expected `{option}` {path} to be an array of NumPy, but got: {error}.") from error
        return _by_order(rows, path, datamodule, indices)
    if path.suffix != ".npz":
        raise InputError(f"Expected `{option}` to be inputs, model, or a file .npy or .npz, but got {path}.")
    arrays = read_npz(path, option)
    if "made_with" in arrays:
        part = read_features(path, option).train
        if part.files:
            return _by_name(part.features, part.files, path, datamodule, indices)
        return _by_order(part.features, path, datamodule, indices)
    if len(arrays) != 1 and "features" not in arrays:
        raise InputError(
            f"Expected `{option}` {path} to hold one array, or an array `features`, but it holds {', '.join(arrays)}."
        )
    return _by_order(arrays.get("features", next(iter(arrays.values()))), path, datamodule, indices)


def _by_order(rows: np.ndarray, path: Path, datamodule: PoolDataModule, indices: Tensor) -> Tensor:
    """The rows of samples in a file that has a row for each training sample, in their order."""
    num = len(datamodule.train_targets)
    if rows.ndim != 2 or len(rows) != num or rows.dtype.kind not in "fiu":
        raise InputError(
            f"Expected `data.initial_features` {path} to have a row of numbers for each of the {num} training samples, "
            f"but got {rows.dtype} of shape {rows.shape}."
        )
    return torch.from_numpy(np.asarray(rows[indices.numpy()], dtype=np.float32))


def _by_name(rows: np.ndarray, names: Sequence[str], path: Path, datamodule: PoolDataModule, indices: Tensor) -> Tensor:
    """The rows of samples in a file that names the file of each row."""
    row_of = {name: row for row, name in enumerate(names)}
    wanted = [datamodule.name_of(index) for index in indices.tolist()]
    missing = [name for name in wanted if name not in row_of]
    if missing:
        raise InputError(
            f"Expected `data.initial_features` {path} to have the features of all {len(wanted)} training samples, but "
            f"it has none of {missing[0]}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}."
        )
    return torch.from_numpy(np.asarray(rows[[row_of[name] for name in wanted]], dtype=np.float32))
