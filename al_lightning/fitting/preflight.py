"""All checks before the first fit, and the starting point of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.data.datamodule import DRAWN
from al_lightning.errors import InputError
from al_lightning.fitting.batch_hooks import check_batch_hooks
from al_lightning.fitting.callback_check import check_callbacks
from al_lightning.fitting.cluster import check_tasks
from al_lightning.fitting.cold_start import cold_start
from al_lightning.fitting.model_contract import check_model, settle_classes
from al_lightning.fitting.model_maker import ByConstructor, Finish, MakeModel, ModelMaker, maker_of
from al_lightning.fitting.module_state import ModuleState
from al_lightning.fitting.rehearsal import rehearse_query
from al_lightning.fitting.settings_of_objects import default_run_dir
from al_lightning.fitting.starting_weights import Reinit
from al_lightning.fitting.stopping import rules_of
from al_lightning.inference import Known
from al_lightning.inference.precision import ScoringPrecision, check_scoring_precision
from al_lightning.labeling import Oracle, SimulatedOracle
from al_lightning.models.named_metrics import NamedMetrics
from al_lightning.models.protocol import traits
from al_lightning.random_streams import stream, stream_seed
from al_lightning.run_folder.begun_model import read_begun_model
from al_lightning.run_folder.fingerprint.fingerprints import fingerprints
from al_lightning.run_folder.folder import CACHE
from al_lightning.strategies import QueryStrategy


@dataclass(frozen=True)
class Experiment:
    """The task of a loop."""

    strategy: QueryStrategy
    query_size: int
    num_rounds: int | None
    seed: int
    reinit: Reinit
    oracle: Oracle
    metrics: NamedMetrics
    scoring_precision: ScoringPrecision
    run_dir: Path | None
    """Folder of the run, if the user gave one."""
    initial_of_run: tuple[int, ...] = ()
    """Training-set indices of the initial set of a run that goes on, if they are known."""


@dataclass(frozen=True)
class Prepared:
    """A model that suits the data, and the starting point of a run."""

    model: L.LightningModule
    identity: dict[str, Any]
    """Fingerprints of the parts, see :func:`~al_lightning.run_folder.fingerprint.fingerprints.fingerprints`."""
    initial: Tensor
    """Training-set indices of the samples that round 0 trains on, int64; empty if the run folder has them."""
    asked: Tensor
    """Training-set indices of samples that need a label from the oracle first."""
    maker: ModelMaker | None
    """Draws the weights of each round; ``None`` if rounds do not draw weights."""
    state: ModuleState | None
    """The state of the model besides its weights; ``None`` if the maker restores it."""


def prepare(
    experiment: Experiment,
    trainer: L.Trainer,
    model: L.LightningModule | MakeModel,
    datamodule: PoolDataModule,
    make_model: MakeModel | None,
    callbacks: Sequence[Callback],
) -> Prepared:
    """Loads the data, makes the model and checks that all parts go together. Writes nothing.

    Args:
        experiment: The task of the loop.
        trainer: The trainer.
        model: The model, or a function that makes it.
        datamodule: The data.
        make_model: Makes a model as ``model`` was made.
        callbacks: The trainer's callbacks that may keep state of a fit.

    Raises:
        InputError: If the parts do not go together.
    """
    check_trainer(trainer)
    check_scoring_precision(experiment.scoring_precision, trainer)
    cache = _cache_of(experiment, model)
    if cache is not None:
        datamodule.use_cache(cache)
    datamodule.prepare_data()
    datamodule.setup("fit")
    if not isinstance(model, L.LightningModule):
        make_model = model
        model = ByConstructor(make_model).new(stream_seed(experiment.seed, "weights"))
    run_dir = experiment.run_dir or default_run_dir(experiment.strategy, model, experiment.seed)
    model_of_run = read_begun_model(run_dir)
    finish = settle_classes(model, datamodule, model_of_run)
    datamodule.set_labeled(torch.empty(0, dtype=torch.int64))  # forgets the labels of an earlier run
    begun = datamodule.begun
    if begun is not None and begun.has_begun:  # its initial set is in its folder
        initial, asked = torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    elif experiment.initial_of_run and datamodule.initial not in DRAWN:  # chosen once, perhaps on another machine
        initial = torch.tensor(experiment.initial_of_run, dtype=torch.int64)
        asked = torch.empty(0, dtype=torch.int64)
    else:
        if datamodule.initial_features == "model":
            check_model(model, datamodule, trainer, model_of_run)
        with cold_start(datamodule, model, trainer, experiment.query_size):
            initial, asked = experiment.oracle.initial(datamodule, stream(experiment.seed, "initial"))
    if experiment.num_rounds and type(experiment.oracle) is SimulatedOracle:  # of people, the last query is smaller
        check_sizes(pool_size(datamodule, initial), experiment.query_size, experiment.num_rounds)
    check_model(model, datamodule, trainer, model_of_run)
    check_batch_hooks(trainer, model, datamodule)
    check_callbacks(trainer, model, callbacks)
    experiment.metrics.check(datamodule.count_classes())
    for rule in rules_of(trainer):
        rule.settle(model)
    given = fingerprints(datamodule, experiment.strategy, model)
    maker = _find_maker(experiment.reinit, model, make_model, finish)
    brings_state = isinstance(maker, ByConstructor) and not maker.keeps_objects
    state = None if brings_state else ModuleState(model)
    if experiment.num_rounds != 0:
        _check_strategy(experiment, datamodule, initial)
        rehearse_query(experiment.strategy, model, datamodule, experiment.query_size)
    return Prepared(model, given, initial, asked, maker, state)


def _cache_of(experiment: Experiment, model: L.LightningModule | MakeModel) -> Path | None:
    """The folder in which an earlier start of the run may have left a cache; ``None`` if it is not known yet."""
    path = experiment.run_dir
    if path is None and isinstance(model, L.LightningModule):
        path = default_run_dir(experiment.strategy, model, experiment.seed)
    return None if path is None else path / CACHE


def _check_strategy(experiment: Experiment, datamodule: PoolDataModule, initial: Tensor) -> None:
    """Lets the strategy refuse the run. With people it does so at the first query, when the initial set is labeled."""
    if type(experiment.oracle) is not SimulatedOracle or datamodule.begun is not None:
        return
    num_queried = None if experiment.num_rounds is None else experiment.num_rounds * experiment.query_size
    datamodule.set_labeled(initial)
    try:
        experiment.strategy.check_run(Known.of(datamodule), num_queried)
    finally:
        datamodule.set_labeled(torch.empty(0, dtype=torch.int64))


def check_trainer(trainer: L.Trainer) -> None:
    """Raises :class:`InputError` if the devices or limits of a trainer rule out a loop."""
    if trainer.world_size > 1:
        _check_devices(trainer)
    if trainer.limit_test_batches == 0:
        raise InputError("Expected `trainer.limit_test_batches` to leave something to test, but got 0.")


def pool_size(datamodule: PoolDataModule, initial: Tensor) -> int:
    """Size of the pool after the initial set, with the samples that joined since."""
    num_initial = len(initial) if datamodule.begun is None else datamodule.begun.num_initial
    return len(datamodule.indices_there) - num_initial


def check_sizes(pool_size: int, query_size: int, num_rounds: int) -> None:
    """Raises :class:`InputError` if the queries of a run need more samples than the pool has."""
    if query_size > pool_size:
        raise InputError(f"Expected `loop.query_size` to be at most the pool size {pool_size}, but got {query_size}.")
    if num_rounds * query_size > pool_size:
        raise InputError(
            f"Expected `loop.num_rounds` to be at most {pool_size // query_size}, which uses up the pool of "
            f"{pool_size} by queries of {query_size}, but got {num_rounds}."
        )


def _check_devices(trainer: L.Trainer) -> None:
    """Refuses strategies that start new processes in each fit (Lightning #18775), and untested strategies."""
    strategy, launcher = trainer.strategy, trainer.strategy.launcher
    if type(strategy) is not DDPStrategy or not isinstance(launcher, _SubprocessScriptLauncher):
        name = f"ddp_{strategy._start_method}" if isinstance(strategy, DDPStrategy) else type(strategy).__name__
        raise InputError(
            f"Expected `trainer.strategy` to be ddp for {trainer.world_size} devices, but got {name}; for one "
            "device, set `trainer.devices` to 1."
        )
    check_tasks(trainer)
    if trainer.num_nodes > 1:
        raise InputError(f"Expected `trainer.num_nodes` to be 1, but got {trainer.num_nodes}.")


def _find_maker(
    reinit: Reinit, model: L.LightningModule, make_model: MakeModel | None, finish: Finish
) -> ModelMaker | None:
    """Finds the maker of each round's weights; ``None`` if rounds do not draw weights."""
    if reinit != "scratch":
        return None
    if traits(model).pretrained:
        raise InputError(
            "Expected `loop.reinit` to be initial or warm with a pretrained model, but got scratch, which draws "
            "its weights anew before the first fit."
        )
    return maker_of(model, finish) if make_model is None else ByConstructor(make_model, finish)
