"""ActiveLearningLoop: rounds of fit, query, test and label."""

import math
import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.fabric.utilities.spike import TrainingSpikeException
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, ModelSummary, ProgressBar, Timer
from lightning.pytorch.profilers import PyTorchProfiler
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning.data import PoolDataModule
from al_lightning.errors import InputError
from al_lightning.fitting.batch_hooks import check_batch_hooks
from al_lightning.fitting.callback_check import check_callbacks
from al_lightning.fitting.callback_state import FreshCallbacks
from al_lightning.fitting.cluster import detached
from al_lightning.fitting.convergence import TRAIN_ACC, TRAIN_NLL
from al_lightning.fitting.lazy import materialise
from al_lightning.fitting.lightning_insides import (
    at_end_of_training,
    callbacks_of,
    forget_fits,
    has_trained,
    logs_itself,
    no_gpu_queries,
    quiet,
)
from al_lightning.fitting.model_check import check_model, settle_classes, try_query
from al_lightning.fitting.model_maker import (
    RESET,
    ByConstructor,
    Finish,
    MakeModel,
    ModelMaker,
    check_same_draws,
    maker_of,
)
from al_lightning.fitting.module_state import ModuleState
from al_lightning.fitting.preflight import check_sizes, check_trainer
from al_lightning.fitting.progress import RunProgress
from al_lightning.fitting.ranks import World, joined
from al_lightning.fitting.run_loggers import RunLoggers, point_of
from al_lightning.fitting.starting_weights import REINIT, Reinit, StartingWeights
from al_lightning.fitting.stopping import capped, has_converged, rules_of, watched_by_others
from al_lightning.fitting.trainer_state import FreshTrainer
from al_lightning.fitting.validation import steady_validation
from al_lightning.inference.of_trainer import make_predictor
from al_lightning.inference.predictor import Blocks, PoolPredictor
from al_lightning.labeling import Oracle, SimulatedOracle
from al_lightning.models.metrics import ClassificationMetrics
from al_lightning.paths import expanded
from al_lightning.random_streams import Purpose, stream, stream_seed
from al_lightning.run_folder.default_folder import default_folder
from al_lightning.run_folder.events import RunEvents
from al_lightning.run_folder.fingerprint.fingerprints import Remembering, identity, identity_in_python
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.from_objects import default_run_dir, describe, versions
from al_lightning.run_folder.query_rows import query_rows, shortest
from al_lightning.run_folder.tables import SKIPPED, CalibrationBin, Diagnostic, Round
from al_lightning.strategies import QueryStrategy

SHARED_DIR_IS_IGNORED = "`loop.shared_dir` is ignored, and the next version removes it: each run fits its own round 0."
TEST_COLUMNS = ("test_acc", "test_nll", "test_brier", "test_ece")
"""Columns of rounds.csv that a model may log itself."""


@dataclass
class _Fit:
    """What the hooks of one fit find out."""

    round: int
    epochs: int = 0
    train_acc: float | None = None
    converged: bool = False
    started: float = 0.0
    seconds_fit: float = 0.0
    seconds_score: float = 0.0
    seconds_select: float = 0.0
    query: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    """Positions in the pool; none after the last round."""
    scores: Tensor | None = None
    """Acquisition scores of the whole pool, if the strategy has them."""
    predicted: list[tuple[int, float]] = field(default_factory=list)
    """Class and confidence that the model predicts for each queried sample."""
    diagnostics: dict[str, float] = field(default_factory=dict)
    logged: dict[str, float] = field(default_factory=dict)
    """What the model logs of its validation and test besides the columns of rounds.csv."""
    labeled: tuple[PoolPredictor, Blocks, Tensor] | None = None
    """What measures the training accuracy: predictor, labeled inputs, targets."""


class ActiveLearningLoop(Callback):
    """Pool-based active learning: in each round a model is trained, tested, and asked what to label next.

    Round r trains on ``num_initial + r * query_size`` labels, from r = 0 to ``num_rounds``. After every round but the
    last the strategy queries ``query_size`` samples of the pool.

    Args:
        strategy: Chooses the samples; see :class:`~al_lightning.strategies.QueryStrategy`.
        query_size: Number of samples labeled after each round, b.
        num_rounds: Number of queries; there is one fit more.
        run_dir: Folder of the run, ``runs/<strategy>/seed<seed>`` if not given, or ``runs/<strategy>_<model>/...`` with
            another model than DropoutMLP. An unfinished run in it is continued.
        seed: Seed of all random streams.
        shared_dir: Ignored, with a note; the next version removes it. Runs used to share their first fit in it.
        reinit: Where the fit of each round starts: ``scratch``, new weights, as the model's constructor makes them;
            ``initial``, those that the model has before the first fit, for pretrained networks; ``warm``, those after
            the last fit.
        oracle: Whom to ask for labels; :class:`~al_lightning.SimulatedOracle` if not given. With one that
            answers later, such as :class:`~al_lightning.labeling.FileOracle`, a run ends after each query, and goes on
            when the answers are there.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self,
        strategy: QueryStrategy,
        query_size: int = 100,
        num_rounds: int = 100,
        run_dir: str | None = None,
        seed: int = 0,
        shared_dir: str | None = None,
        reinit: Reinit = "scratch",
        oracle: Oracle | None = None,
    ) -> None:
        if query_size < 1:
            raise InputError(f"Expected `loop.query_size` to be at least 1, but got {query_size}.")
        if num_rounds < 0:
            raise InputError(f"Expected `loop.num_rounds` to be at least 0, but got {num_rounds}.")
        if seed < 0:
            raise InputError(f"Expected `seed_everything` to be at least 0, but got {seed}.")
        if reinit not in REINIT:
            raise InputError(f"Expected `loop.reinit` to be one of {', '.join(REINIT)}, but got `{reinit}`.")
        self.strategy = strategy
        self.query_size = query_size
        self.num_rounds = num_rounds
        self.seed = seed
        self.run_dir = Path(expanded(run_dir)) if run_dir else None
        self.shared_dir = Path(expanded(shared_dir)) if shared_dir else None
        self.reinit: Reinit = reinit
        self.oracle = SimulatedOracle() if oracle is None else oracle
        self._weights = StartingWeights(reinit, seed)
        self._maker: ModelMaker | None = None
        self._module_state: ModuleState | None = None
        self._fit: _Fit | None = None
        self._calibration: tuple[Tensor, Tensor, Tensor] | None = None
        self._fresh_callbacks = FreshCallbacks([], [])
        self._fresh_profiler = FreshCallbacks([], [])
        self._fresh_trainer: FreshTrainer | None = None
        self._progress: RunProgress | None = None
        self._events: RunEvents | None = None
        self._loggers: RunLoggers | None = None
        self._world = World()

    # ---------------------------------------------------------------------------------------------------- the run

    def run(
        self,
        trainer: L.Trainer,
        model: L.LightningModule | MakeModel,
        datamodule: PoolDataModule,
        settings: Mapping[str, Any] | None = None,
        make_model: MakeModel | None = None,
    ) -> None:
        """Runs all rounds that are not done yet.

        Args:
            trainer: Has this loop among its callbacks, and one that says when a fit is over, such as
                :class:`~al_lightning.fitting.convergence.Convergence`. With several devices, which the strategy
                ``ddp`` makes processes of, all train, score and test, and the first one writes the run folder.
            model: A module with ``forward``, and what else of :class:`~al_lightning.inference.PoolModel` the strategy
                asks for. What its ``test_step`` does not log of the test metrics comes from its logits of the test set.
                Or a callable that makes it, ``lambda: MyModel(64)``: ``scratch`` then calls it in each round. For an
                object, ``scratch`` calls ``reset_parameters`` of the layers, and proves first that these draw the
                weights of the object's constructor.
            datamodule: Holds the data; its labeled set is drawn or restored here.
            settings: What identifies the run, nested mappings of plain values; read off the objects if not given.
            make_model: Makes a model as ``model`` was made.

        Raises:
            InputError: If the arguments do not go together, or the run folder holds another run.
        """
        check_trainer(trainer, self)
        datamodule.prepare_data()
        datamodule.setup("fit")
        if not isinstance(model, L.LightningModule):
            make_model = model
            model = ByConstructor(make_model).new(stream_seed(self.seed, "weights"))
        settle_classes(model, datamodule)
        datamodule.set_labeled(torch.empty(0, dtype=torch.int64))  # forgets the labels of a run before
        initial, asked = self.oracle.initial(datamodule, stream(self.seed, "initial"))
        if self.num_rounds:
            pool_size = len(datamodule.labeled) - len(initial) - len(asked)
            check_sizes(pool_size, self.query_size, self.num_rounds)

        def finish(made: L.LightningModule) -> None:
            materialise(made, datamodule.sample_inputs(1))

        check_model(model, datamodule, trainer)
        check_batch_hooks(trainer, model, datamodule)
        check_callbacks(trainer, model, self._others(trainer))
        for rule in rules_of(trainer):
            rule.settle(model)
        given = identity(datamodule, self.strategy, model)
        self._maker = self._find_maker(model, make_model, finish)
        brings_state = isinstance(self._maker, ByConstructor) and not self._maker.keeps_objects
        self._module_state = None if brings_state else ModuleState(model)
        if self.num_rounds:
            try_query(self.strategy, model, datamodule, self.query_size)
        self._weights = StartingWeights(self.reinit, self.seed, None, self._maker, self._module_state)
        with (
            detached(trainer),
            steady_validation(trainer, stream_seed(self.seed, "validation")),
            quiet(trainer) as shows_progress,
            joined(trainer) as self._world,
            no_gpu_queries(),
        ):
            if not self._world.is_writer:
                warnings.simplefilter("ignore")  # the first process warns of the same
            if self.shared_dir is not None:
                warnings.warn(SHARED_DIR_IS_IGNORED, FutureWarning, stacklevel=2)
            self._progress = RunProgress(self.num_rounds, enabled=shows_progress and self._world.is_writer)
            if trainer.fast_dev_run:  # type: ignore[attr-defined]
                if len(initial) == 0:
                    raise InputError("Expected labeled samples for `trainer.fast_dev_run`, but got none.")
                datamodule.set_labeled(initial)
                self._remember(trainer, model, datamodule)
                self._run_round(0, trainer, model, datamodule)
                self._progress.message("fast_dev_run: one tiny round ran, nothing was saved.")
                return
            others = [callback for callback in callbacks_of(trainer) if callback is not self]
            path = self.run_dir or default_run_dir(self.strategy, model, self.seed)
            if not settings:
                settings = self._describe(trainer, model, datamodule)
                given |= identity_in_python(trainer, model, datamodule, others)
                if self.run_dir is None:
                    path = self._own_folder(path, settings, given)
            folder = None
            is_new = not path.exists()
            if self._world.is_writer:
                folder = RunFolder.open(path, settings, given, versions(trainer.strategy.root_device))
            try:
                settings = self._go_on_with_rule(folder, trainer) or settings
                self._remember(trainer, model, datamodule)
                with Remembering(trainer, model, others, [datamodule, self.strategy]):
                    try:
                        self._run_in(folder, path, initial, asked, trainer, model, datamodule)
                    finally:
                        self._fresh_callbacks.gather()
            except BaseException:
                if folder is not None and is_new and not folder.rounds and not has_trained(trainer):
                    shutil.rmtree(path, ignore_errors=True)  # what was refused leaves nothing behind
                raise
            finally:
                if folder is not None:
                    folder.close()

    def _find_maker(self, model: L.LightningModule, make_model: MakeModel | None, finish: Finish) -> ModelMaker | None:
        """What draws the weights of each round; none if they are not drawn."""
        if self.reinit != "scratch":
            return None
        if getattr(model, "pretrained", False):
            raise InputError(
                "Expected `loop.reinit` to be initial or warm with a pretrained model, but got scratch, which draws "
                "its weights anew before the first fit."
            )
        return maker_of(model, finish) if make_model is None else ByConstructor(make_model, finish)

    def _remember(self, trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule) -> None:
        """Remembers what each fit is to find as the first one finds it; the stopping rule is settled by now."""
        self._fresh_trainer = FreshTrainer(trainer, model, datamodule)
        profiler: Any = trainer.profiler  # type: ignore[attr-defined]
        # PyTorch's fails in the second stage that it is used for
        self._fresh_profiler = FreshCallbacks([profiler] if isinstance(profiler, PyTorchProfiler) else [], [])
        self._fresh_callbacks = FreshCallbacks(self._others(trainer), _parts(trainer, model, datamodule, self))

    def _go_on_with_rule(self, folder: RunFolder | None, trainer: L.Trainer) -> dict[str, Any] | None:
        """Puts the stopping rule in force that an old run was begun with; returns its settings if it is another one."""
        assert self._progress is not None
        settings = self._world.on_writer(lambda: None if folder is None else folder.settings_of_old_rule)
        if settings is None:
            return None
        for rule in rules_of(trainer):
            if rule.by_model:
                rule.use_loss(False)
        trainer.fit_loop.max_epochs = settings["trainer"]["max_epochs"]
        self._progress.message("The run goes on with the rule that it was begun with: a training accuracy of 0.99.")
        return settings

    def _own_folder(self, path: Path, settings: Mapping[str, Any], given: Mapping[str, Any]) -> Path:
        """The default folder, or one beside it if that has runs of another experiment, as in a notebook."""
        found = self._world.on_writer(lambda: default_folder(path, settings, given))
        if found != path and self._world.is_writer:
            print(f"{path.parent} has runs of another experiment: this run is in {found}.")
        return found

    def _describe(self, trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule) -> dict[str, Any]:
        """What identifies a run that was not started from the command line."""
        loop = {
            "strategy": self.strategy,
            "query_size": self.query_size,
            "num_rounds": self.num_rounds,
            "reinit": self.reinit,
            "oracle": None if type(self.oracle) is SimulatedOracle else self.oracle,
        }
        return describe(self.seed, loop, trainer, model, datamodule)

    def _run_in(
        self,
        folder: RunFolder | None,
        path: Path,
        initial: Tensor,
        asked: Tensor,
        trainer: L.Trainer,
        model: L.LightningModule,
        datamodule: PoolDataModule,
    ) -> None:
        """Begins or continues the run in a folder, which is open in the process that writes it."""
        assert self._progress is not None
        self._weights = StartingWeights(self.reinit, self.seed, path, self._maker, self._module_state)
        begun = self._world.on_writer(lambda: self._begin(folder, initial, asked, model, datamodule))
        if begun is None:
            return
        next_round, indices, labels = begun
        datamodule.set_labeled(indices, labels)
        if folder is not None:
            curve = {row.num_labeled: point_of(row.round, row.num_labeled, row.measured()) for row in folder.rounds}
            self._loggers = RunLoggers(trainer, path, next_round, curve)
        is_success = False
        self._progress.start()
        try:
            for round in range(next_round, self.num_rounds + 1):
                self._world.check_same("the labeled set", [datamodule.labeled])
                row, fit = self._run_round(round, trainer, model, datamodule)
                indices = datamodule.indices_of(fit.query)
                answers = self.oracle.answer(datamodule, indices) if len(indices) else indices
                if answers is not None:
                    datamodule.label(fit.query, answers)  # refuses what is no label, before anything is written
                self._checkpoint(trainer, path)
                if folder is not None:
                    self._keep(folder, row, fit, indices, answers, model, datamodule)
                if answers is None:
                    if folder is not None:
                        self._ask(folder, datamodule)
                    is_success = True
                    return
            is_success = True
        finally:
            self._progress.stop()
            if self._loggers is not None:
                self._loggers.close(is_success)
                self._loggers = None
            if self._events is not None:
                self._events.close()
                self._events = None
        if folder is not None:
            self._progress.message(f"Finished: {_summary(folder.rounds)}, in {folder.path}.")

    def _checkpoint(self, trainer: L.Trainer, path: Path) -> None:
        """Writes the last model beside the one of the round before: a collective, by all processes.

        Raises:
            InputError: If the disk is full or the folder cannot be written; nothing is left over in it.
        """
        new = path / "model.ckpt.new"
        try:
            trainer.save_checkpoint(new, weights_only=True)
        except OSError as error:
            new.unlink(missing_ok=True)  # give back the space
            raise InputError(  # Lightning writes a temporary file first, which may be on another disk
                f"Expected to write the last model to the run folder {path}, by way of {tempfile.gettempdir()}, but "
                f"got: {error.strerror or error}; the rounds before it are safe."
            ) from error

    def _begin(
        self,
        folder: RunFolder | None,
        initial: Tensor,
        asked: Tensor,
        model: L.LightningModule,
        datamodule: PoolDataModule,
    ) -> tuple[int, Tensor, Tensor] | None:
        """Returns the round to go on from, and training-set indices and labels so far; none if there is no such."""
        assert folder is not None
        assert self._progress is not None
        if not folder.queries and not folder.asked:
            targets = datamodule.train_targets
            bought = query_rows(0, initial, targets[initial], datamodule)
            folder.commit(queries=bought, asked=query_rows(0, asked, None, datamodule))
        indices = torch.tensor([query.index for query in folder.queries], dtype=torch.int64)
        if not torch.equal(indices[: len(initial)], initial):
            raise InputError(f"Expected the initial set in {folder.path} to be that of this data set, but it differs.")
        if folder.asked:
            self._ask(folder, datamodule)
            return None
        if folder.next_round > self.num_rounds:
            raise InputError(
                f"Expected `loop.num_rounds` to be at least {folder.next_round}, where the run in {folder.path} has "
                f"got to, but got {self.num_rounds}."
            )
        if len(folder.rounds) > self.num_rounds:
            print(f"The run in {folder.path} is finished: {_summary(folder.rounds)}.")  # also without a progress bar
            return None
        if self._maker is not None:
            if folder.rounds:
                check_same_draws(self._maker, folder.drawn_by or RESET, folder.path, stream_seed(self.seed, "weights"))
            folder.drawn_by = self._maker.name
        self._weights.begin(model, is_new=not folder.rounds)
        folder.reopen_last_round()  # a run that was finished goes on if there are to be more rounds
        if folder.rounds:
            self._progress.message(f"Continuing the run in {folder.path}: {_summary(folder.rounds)}.")
            if folder.changed_versions:
                self._progress.message(
                    "The rounds to come may differ from those of a run that was not stopped, for these changed: "
                    f"{folder.changed_versions}."
                )
        labels = torch.tensor([query.label for query in folder.queries], dtype=torch.int64)
        self._events = RunEvents(
            folder.path, int((labels != SKIPPED).sum()), epochs=sum(row.epochs for row in folder.rounds)
        )
        return folder.next_round, indices, labels

    def _keep(
        self,
        folder: RunFolder,
        row: Round,
        fit: _Fit,
        indices: Tensor,
        answers: Tensor | None,
        model: L.LightningModule,
        datamodule: PoolDataModule,
    ) -> None:
        """Writes a round to the folder, its last model and its events."""
        assert self._progress is not None
        assert self._events is not None
        (folder.path / "model.ckpt.new").replace(folder.path / "model.ckpt")
        self._weights.keep(model, row.round)
        self._events.log_round(row.measured() | fit.logged, row.num_labeled, fit.diagnostics)
        if self._loggers is not None:
            self._loggers.end_round(row.round, row.num_labeled, row.measured() | fit.logged)
        scores = None if fit.scores is None else fit.scores[fit.query]
        rows = query_rows(row.round + 1, indices, answers, datamodule, scores, fit.predicted)
        folder.commit(
            [row],
            [] if answers is None else rows,
            self._calibration_bins(row.round),
            [Diagnostic(row.round, name, value) for name, value in (fit.logged | fit.diagnostics).items()],
            rows if answers is None else [],
        )
        self._weights.discard(row.round)
        self._progress.end_round(row)

    def _ask(self, folder: RunFolder, datamodule: PoolDataModule) -> None:
        """Puts the open questions of a run to those who are to answer them."""
        self.oracle.publish(folder.path, datamodule, folder.asked)
        open_ones = [question for question in folder.asked if question.label is None]
        print(  # also without a progress bar
            f"The run in {folder.path} waits for {len(open_ones)} labels; the questions are in query.csv there, and "
            f"for Label Studio in query.json. Then: al-lightning label {folder.path} --import FILE"
        )

    def _run_round(
        self, round: int, trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule
    ) -> tuple[Round, _Fit]:
        """Fits, queries and tests; labels nothing."""
        assert self._progress is not None
        num_labeled = int(datamodule.labeled.sum())
        self._progress.start_round(round, num_labeled)
        self._weights.restore(model, round)
        datamodule.shuffle_generator = stream(self.seed, "shuffle", round)
        datamodule.unlabeled_generator = stream(self.seed, "unlabeled", round)
        datamodule.transform_generator = stream(self.seed, "transforms", round, self._world.rank)
        if hasattr(model, "stream_purposes"):
            purposes: tuple[Purpose, ...] = model.stream_purposes  # type: ignore[assignment]
            rank = self._world.rank  # as dropout: else the devices would draw the same for their minibatches
            model.streams = {purpose: stream(self.seed, purpose, round, rank) for purpose in purposes}  # type: ignore[assignment]
        assert self._fresh_trainer is not None
        self._fresh_trainer.restore()
        self._fresh_callbacks.restore()
        self._fresh_profiler.restore()
        self._start_logging(round, trainer)
        forget_fits(trainer)
        self._fit = fit = _Fit(round)
        seed = stream_seed(self.seed, "dropout", round, self._world.rank)
        torch.manual_seed(seed)  # for what draws before training starts, such as LearningRateFinder
        np.random.seed(seed % 2**32)  # what users draw with these is the same in a run that is continued
        random.seed(seed)
        try:
            with (
                capped(trainer, num_labeled / datamodule.batch_size),
                at_end_of_training(trainer, lambda: self._end_training(trainer, model)),
            ):
                trainer.fit(model, datamodule=datamodule)
        except MisconfigurationException as error:
            raise InputError(" ".join(str(error).split())) from error
        except TrainingSpikeException as error:
            raise InputError(f"Expected the fit of round {round} to end without a spike, but got: {error}.") from error
        except RuntimeError as error:
            if "conditioned on metric" not in str(error):
                raise
            # EarlyStopping's complaint of a metric that nobody logs
            raise InputError(f"Expected `convergence.monitor` to be a metric that is logged: {error}") from error
        finally:
            self._fit = None
        if fit.train_acc is None:
            raise InputError(f"Expected round {round} to train, but the trainer's limits left it no step.")
        started = time.perf_counter()
        tested = self._test(trainer, model, datamodule)
        seconds_test = time.perf_counter() - started
        fit.logged |= {name: value for name, value in tested.items() if name not in TEST_COLUMNS}
        row = Round(
            round=round,
            num_labeled=num_labeled,
            test_acc=tested.get("test_acc", float("nan")),
            test_nll=tested.get("test_nll", float("nan")),
            test_brier=tested.get("test_brier", float("nan")),
            test_ece=tested.get("test_ece", float("nan")),
            train_acc=fit.train_acc,
            epochs=fit.epochs,
            converged=fit.converged,
            seconds_fit=_milliseconds(fit.seconds_fit),
            seconds_score=_milliseconds(fit.seconds_score),
            seconds_select=_milliseconds(fit.seconds_select),
            seconds_test=_milliseconds(seconds_test),
        )
        return row, fit

    def _start_logging(self, round: int, trainer: L.Trainer) -> None:
        """Lets the steps that loggers count by go on from round to round, on all devices alike."""
        if trainer.loggers:
            loggers = self._loggers
            step = self._world.on_writer(lambda: 0 if loggers is None else loggers.first_step(round))
            trainer.fit_loop.epoch_loop._batches_that_stepped = step
        if self._loggers is not None:
            self._loggers.start_round()

    def _test(self, trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule) -> dict[str, float]:
        """Tests a model by its ``test_step``; what that does not log of the columns comes from the logits.

        Returns:
            All that ``test_step`` logs, by name, and the columns of rounds.csv; nothing if there is no test set.
        """
        self._calibration = None
        tested: dict[str, Tensor] = {}
        if len(datamodule.test_targets) == 0:  # of people who have their labels all for training
            return {}
        if is_overridden("test_step", model):
            self._fresh_profiler.restore()
            trainer.test(model, datamodule=datamodule, verbose=False)
            tested = dict(trainer.callback_metrics)
        if not tested.keys() >= set(TEST_COLUMNS):
            model.to(trainer.strategy.root_device)  # from which Lightning takes it at the end of a fit
            blocks = datamodule.test_blocks()
            predictor = make_predictor(trainer, model, blocks, blocks)
            logits = predictor.map(lambda batch: batch.logits)
            metrics = ClassificationMetrics(logits.shape[1], prefix="test_")
            metrics.update(logits, datamodule.test_targets)
            if "test_acc" not in tested:  # the curve says how often the model is right, as test_acc does
                self._calibration = metrics.calibration_bins()
            tested = metrics.compute() | tested
            model.cpu()
        return {name: shortest(float(value)) for name, value in tested.items()}

    # ------------------------------------------------------------------------------------------- hooks of one fit

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remembers callbacks that the model brings along; those of the trainer are remembered before."""
        if self._fit is not None:
            self._fresh_callbacks.add(self._others(trainer))

    def _others(self, trainer: L.Trainer) -> list[Callback]:
        """The callbacks that may keep something of a fit; progress bars are for the whole run."""
        return [c for c in callbacks_of(trainer) if c is not self and not isinstance(c, ProgressBar)]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Seeds the dropout of this round; not before the fit, which seeds all devices alike when it joins them."""
        if self._fit is None:
            return
        torch.manual_seed(stream_seed(self.seed, "dropout", self._fit.round, self._world.rank))
        if self._loggers is not None:
            datamodule: PoolDataModule = trainer.datamodule  # type: ignore[attr-defined]
            self._loggers.start_fit(self._fit.round, int(datamodule.labeled.sum()))
        self._fit.started = time.perf_counter()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reports the epoch before: what a module logs at the end of an epoch is not to be had before its hook ends."""
        if self._fit is not None and self._fit.epochs > 0:
            self._report_epoch(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measures what a callback watches of the labeled set; Lightning runs EarlyStopping after all others."""
        if self._fit is None:
            return
        self._fit.epochs += 1
        self._fit.train_acc = None
        rules = [rule for rule in rules_of(trainer) if rule.is_due]
        watched = watched_by_others(trainer)
        if not rules and not watched:
            return
        measured = self._measure_labeled(trainer, pl_module, with_nll=bool(rules) or TRAIN_NLL in watched)
        self._fit.train_acc = measured[TRAIN_ACC]
        for rule in rules:
            rule.take(measured[TRAIN_NLL])
        for name, value in measured.items():
            if name == TRAIN_ACC and name in watched:
                # where EarlyStopping looks; `self.log` would bring it there too, but takes a tenth of a short epoch
                trainer.callback_metrics[name] = torch.tensor(value)
                if trainer.loggers or logs_itself(trainer, name):
                    self.log(name, value)  # type: ignore[attr-defined]
            elif not logs_itself(trainer, name):  # a module that logs a metric of this name keeps its own
                trainer.callback_metrics[name] = torch.tensor(value)
                for logger in trainer.loggers:
                    logger.log_metrics({name: value}, step=max(0, trainer.global_step - 1))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gives all devices the same running statistics, before callbacks look at them or average them."""
        if self._fit is not None:
            self._world.share_buffers(pl_module)

    def _end_training(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Queries, after all that changes weights when training ends.

        The model is still on its device here; before ``on_fit_end`` it is moved to the CPU.
        """
        fit = self._fit
        if fit is None:
            return
        self._report_epoch(trainer)
        fit.logged = {
            name: shortest(float(value)) for name, value in trainer.callback_metrics.items() if name.startswith("val")
        }
        if fit.train_acc is None or self._may_change_weights(trainer, pl_module):
            fit.train_acc = self._measure_labeled(trainer, pl_module)[TRAIN_ACC]
        # a metric that is not averaged over the devices ends the fit of all when it does so on one
        fit.converged = any(self._world.gather(has_converged(trainer)))
        fit.seconds_fit = time.perf_counter() - fit.started
        self._world.share_buffers(pl_module)
        self._world.check_same(
            f"the fitted model {type(pl_module).__name__}",
            pl_module.parameters(),
            hint=": only a `manual_backward` averages gradients over devices",
        )
        if fit.round < self.num_rounds:
            self._query(fit, trainer, pl_module)

    def _may_change_weights(self, trainer: L.Trainer, model: L.LightningModule) -> bool:
        """Whether others may have changed the weights after the loop measured the accuracy of the last epoch."""
        harmless = (EarlyStopping, Checkpoint, ModelSummary, Timer)
        hooks = ("on_train_epoch_end", "on_train_end")
        is_ours = type(model).__module__.startswith("al_lightning.")
        return any(not isinstance(callback, harmless) for callback in self._others(trainer)) or (
            not is_ours and any(is_overridden(hook, model) for hook in hooks)
        )

    def _report_epoch(self, trainer: L.Trainer) -> None:
        assert self._fit is not None
        assert self._progress is not None
        self._progress.end_epoch(self._fit.epochs)
        if self._events is not None:
            self._events.log_epoch({name: float(value) for name, value in trainer.callback_metrics.items()})

    def _query(self, fit: _Fit, trainer: L.Trainer, model: L.LightningModule) -> None:
        """Asks the strategy, and checks and times what it says."""
        pool = self._predictor(trainer, model)
        started = time.perf_counter()
        fit.query, fit.scores = self.strategy.answer(pool, self.query_size, stream(self.seed, "query", fit.round))
        seconds = time.perf_counter() - started
        fit.seconds_score, fit.seconds_select = pool.seconds, seconds - pool.seconds
        if not isinstance(fit.query, Tensor) or fit.query.shape != (self.query_size,):
            got = tuple(fit.query.shape) if isinstance(fit.query, Tensor) else type(fit.query).__name__
            raise InputError(
                f"Expected {type(self.strategy).__name__}.query to return a tensor of shape ({self.query_size},), "
                f"but got {got}."
            )
        query = fit.query  # of a strategy that draws from elsewhere, the devices' differ
        fit.query = self._world.on_writer(lambda: query)
        fit.diagnostics = dict(self.strategy.diagnose(pool, fit.query))
        datamodule: PoolDataModule = trainer.datamodule  # type: ignore[attr-defined]
        confidences, classes = self._predictor(trainer, model).map(
            lambda batch: tuple(batch.probs.max(dim=1)), over=datamodule.pool_blocks(fit.query)
        )
        fit.predicted = list(zip(classes.tolist(), map(shortest, confidences.tolist()), strict=True))

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the calibration curve before the model resets its metrics."""
        metrics = getattr(pl_module, "test_metrics", None)
        if isinstance(metrics, ClassificationMetrics):
            self._calibration = metrics.calibration_bins()

    def _calibration_bins(self, round: int) -> list[CalibrationBin]:
        if self._calibration is None:
            return []
        columns = zip(*(column.tolist() for column in self._calibration), strict=True)
        return [
            CalibrationBin(round, bin, count, shortest(confidence), shortest(accuracy))
            for bin, (count, confidence, accuracy) in enumerate(columns)
            if count
        ]

    def _predictor(self, trainer: L.Trainer, model: L.LightningModule) -> PoolPredictor:
        assert self._fit is not None
        datamodule: PoolDataModule = trainer.datamodule  # type: ignore[attr-defined]
        pool, labeled = datamodule.pool_blocks(), datamodule.labeled_blocks()
        return make_predictor(trainer, model, pool, labeled, self.seed, self._fit.round, self._world)

    def _measure_labeled(
        self, trainer: L.Trainer, model: L.LightningModule, with_nll: bool = False
    ) -> dict[str, float]:
        """Accuracy on the labeled set in evaluation mode, without dropout, and the mean cross-entropy if asked for."""
        assert self._fit is not None
        if self._fit.labeled is None:
            datamodule: PoolDataModule = trainer.datamodule  # type: ignore[attr-defined]
            targets = datamodule.labeled_targets
            self._fit.labeled = self._predictor(trainer, model), datamodule.labeled_blocks(), targets
        predictor, blocks, targets = self._fit.labeled
        self._world.share_buffers(model)
        measured = {}
        if with_nll:
            predicted, logits = predictor.map(lambda batch: (batch.logits.argmax(dim=1), batch.logits), over=blocks)
            measured[TRAIN_NLL] = F.cross_entropy(logits.double(), targets).item()
        else:
            predicted = predictor.map(lambda batch: batch.logits.argmax(dim=1), over=blocks)
        return measured | {TRAIN_ACC: shortest((predicted == targets).float().mean().item())}


def _parts(*owners: object) -> list[object]:
    """Objects that callbacks may refer to without owning them."""
    parts = list(owners)
    for owner in owners:
        if isinstance(owner, L.Trainer):
            parts += [*owner.loggers, owner.strategy, owner.accelerator]
        elif isinstance(owner, nn.Module):
            parts += [*owner.modules(), *owner.parameters(), *owner.buffers()]
        elif isinstance(owner, ActiveLearningLoop):
            parts += [owner.strategy, owner.oracle]
    return parts


def _summary(rounds: list[Round]) -> str:
    last = rounds[-1]
    # there may be nothing to test on
    accuracy = "" if math.isnan(last.test_acc) else f"test acc {last.test_acc:.4f} with "
    return f"{len(rounds)} rounds done, {accuracy}{last.num_labeled} labels"


def _milliseconds(seconds: float) -> float:
    return round(seconds, 3)
