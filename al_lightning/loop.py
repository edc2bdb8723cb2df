"""ActiveLearningLoop: rounds of fit, query, test, label and commit; nothing else."""

import math
import shlex
import warnings
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from al_lightning.data import PoolDataModule
from al_lightning.data.growth import Begun
from al_lightning.errors import InputError
from al_lightning.fitting.beginning import Start, begin
from al_lightning.fitting.cluster import detached
from al_lightning.fitting.fresh_start import FreshStart, others
from al_lightning.fitting.lightning_insides import callbacks_of, no_gpu_queries, quiet, with_callback
from al_lightning.fitting.model_maker import MakeModel
from al_lightning.fitting.opened import opened
from al_lightning.fitting.preflight import Experiment, Prepared, pool_size, prepare
from al_lightning.fitting.progress import RunProgress
from al_lightning.fitting.ranks import Ranks, joined
from al_lightning.fitting.round_fit import RoundFit
from al_lightning.fitting.round_metrics import Tested, measure_on_test_set
from al_lightning.fitting.round_query import NOTHING, Queried, query_pool
from al_lightning.fitting.round_row import row_of
from al_lightning.fitting.run_parts import RunParts
from al_lightning.fitting.run_record import RunRecord, WrittenRecord, save_checkpoint
from al_lightning.fitting.settings_of_objects import default_run_dir, describe
from al_lightning.fitting.sizes import with_sizes
from al_lightning.fitting.starting_weights import REINIT, Reinit, StartingWeights
from al_lightning.fitting.stopping import use_rule_of_run
from al_lightning.fitting.validation import steady_validation
from al_lightning.inference.precision import SCORING_PRECISIONS, ScoringPrecision
from al_lightning.labeling import Oracle, SimulatedOracle
from al_lightning.labeling.people import PeopleOracle
from al_lightning.models.named_metrics import NamedMetrics
from al_lightning.paths import expanded
from al_lightning.random_streams import stream_seed
from al_lightning.run_folder.begun import keeps_its_pool, read_begun
from al_lightning.run_folder.default_folder import default_folder
from al_lightning.run_folder.fingerprint.fingerprints import Remembering, fingerprints_in_python
from al_lightning.run_folder.folder import CACHE, RunFolder
from al_lightning.run_folder.old_scoring import scoring_of_run, with_scoring
from al_lightning.run_folder.tables import Round
from al_lightning.strategies import QueryStrategy

SHARED_DIR_IS_IGNORED = "`loop.shared_dir` is ignored, and the next version removes it: each run fits its own round 0."


class ActiveLearningLoop(Callback):
    """Pool-based active learning: in each round a model is trained, tested, and asked what to label next.

    Round r trains on ``num_initial + r * query_size`` labels, from r = 0 to ``num_rounds``. After every round except
    the last, the strategy queries ``query_size`` samples of the pool. A run ends early when its pool is used up.

    Args:
        strategy: Chooses the samples; see :class:`~al_lightning.strategies.QueryStrategy`.
        query_size: Number of samples labeled after each round, b.
        num_rounds: Number of queries. There is one more fit. ``None`` is no end: the run goes on until the pool is used
            up, and the last query takes what is left. If people answer, each run may end so.
        run_dir: Folder of the run. By default ``runs/<strategy>/seed<seed>``, or ``runs/<strategy>_<model>/seed<seed>``
            for other models than DropoutMLP. An unfinished run in the folder is continued.
        seed: Seed of all random streams.
        shared_dir: Ignored, with a note; the next version removes it. Runs used to share their first fit in it.
        reinit: Weights at the start of each fit. ``scratch``: new weights, as the model's constructor makes them.
            ``initial``: the weights before the first fit, for pretrained networks. ``warm``: the weights after the last
            fit.
        oracle: Answers questions for labels. By default :class:`~al_lightning.SimulatedOracle`. If the oracle answers
            later, such as :class:`~al_lightning.FileOracle`, a run ends after each query. It goes on when the answers
            are there.
        metrics: More metrics of the test set by name, see :class:`~al_lightning.models.named_metrics.NamedMetrics`.
            Each is a column of rounds.csv, a curve of TensorBoard and a figure of ``al-lightning report``.
        pool_may_grow: Whether new samples join the pool of a run that goes on, and samples without a label may leave.
            Runs with people always may. Set it when a run begins, because such a run keeps a list of its samples.
        scoring_precision: Precision of the passes over the pool that a query makes: ``trainer``, that of the fits, or
            ``32-true``, ``bf16-mixed`` or ``16-mixed``. ``auto`` is ``bf16-mixed`` on CUDA GPUs that have bfloat16, if
            the fits are in ``32-true``, and ``trainer`` elsewhere. Fits, tests and written predictions have the
            trainer's precision in any case.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self,
        strategy: QueryStrategy,
        query_size: int = 100,
        num_rounds: int | None = 100,
        run_dir: str | None = None,
        seed: int = 0,
        shared_dir: str | None = None,
        reinit: Reinit = "scratch",
        oracle: Oracle | None = None,
        metrics: dict[str, Any] | str | None = None,
        pool_may_grow: bool = False,
        scoring_precision: ScoringPrecision = "auto",
    ) -> None:
        if query_size < 1:
            raise InputError(f"Expected `loop.query_size` to be at least 1, but got {query_size}.")
        if num_rounds is not None and num_rounds < 0:
            raise InputError(f"Expected `loop.num_rounds` to be at least 0, but got {num_rounds}.")
        if seed < 0:
            raise InputError(f"Expected `seed_everything` to be at least 0, but got {seed}.")
        if reinit not in REINIT:
            raise InputError(f"Expected `loop.reinit` to be one of {', '.join(REINIT)}, but got `{reinit}`.")
        if scoring_precision not in SCORING_PRECISIONS:
            raise InputError(
                f"Expected `loop.scoring_precision` to be one of {', '.join(SCORING_PRECISIONS)}, but got "
                f"`{scoring_precision}`."
            )
        self.strategy = strategy
        self.query_size = query_size
        self.num_rounds = num_rounds
        self.seed = seed
        self.run_dir = Path(expanded(run_dir)) if run_dir else None
        self.shared_dir = Path(expanded(shared_dir)) if shared_dir else None
        self.reinit: Reinit = reinit
        self.oracle = SimulatedOracle() if oracle is None else oracle
        self.metrics = NamedMetrics(metrics)
        self.pool_may_grow = pool_may_grow
        self.scoring_precision: ScoringPrecision = scoring_precision
        self.waits_in: Path | None = None
        """Folder of the last run, if it waits for labels."""

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
            trainer: The trainer, with a callback that ends a fit, such as :class:`~al_lightning.Convergence`. It may
                have several devices, with the strategy ``ddp``. Then all processes train, score and test, and the first
                process writes the run folder.
            model: A module with ``forward``, and with the members of :class:`~al_lightning.models.protocol.Traits` that
                the strategy needs. Test metrics that its ``test_step`` does not log are computed from its logits. Or a
                callable that makes the module, ``lambda: MyModel(64)``: then ``scratch`` calls it in each round. For an
                object, ``scratch`` draws weights by its constructor or by ``reset_parameters`` of the layers. A check
                first proves that this gives the weights of the object's constructor.
            datamodule: The data. The loop draws or restores its labeled set.
            settings: Settings that identify the run, nested mappings of plain values. By default they are read from the
                objects.
            make_model: Makes a new model in the same way as ``model``.

        Raises:
            InputError: If the arguments do not go together, or the run folder holds another run.
        """
        is_tiny = trainer.fast_dev_run  # type: ignore[attr-defined]
        begun = None if is_tiny else self._arrange(model, datamodule, settings)
        experiment = Experiment(
            self.strategy,
            self.query_size,
            self.num_rounds,
            self.seed,
            self.reinit,
            self.oracle,
            self.metrics,
            self.scoring_precision,
            self.run_dir,
            () if begun is None else begun.initial,
        )
        self.waits_in = None
        with with_callback(trainer, self):
            prepared = prepare(experiment, trainer, model, datamodule, make_model, others(trainer, self))
            with (
                detached(trainer),
                steady_validation(trainer, stream_seed(self.seed, "validation")),
                quiet(trainer) as shows_progress,
                joined(trainer) as ranks,
                no_gpu_queries(),
            ):
                if not ranks.is_writer:
                    warnings.simplefilter("ignore")  # the first process gives the same warnings
                if self.shared_dir is not None:
                    warnings.warn(SHARED_DIR_IS_IGNORED, FutureWarning, stacklevel=2)
                last, estimates = self._last_round(pool_size(datamodule, prepared.initial))
                progress = RunProgress(last, estimates, enabled=shows_progress and ranks.is_writer)
                if is_tiny:
                    self._try_out(trainer, prepared, datamodule, ranks, progress)
                else:
                    self._run(trainer, prepared, datamodule, settings, ranks, progress)

    def _arrange(
        self, model: L.LightningModule | MakeModel, datamodule: PoolDataModule, settings: Mapping[str, Any] | None
    ) -> Begun | None:
        """Gives the samples the indices that they have in the run, if its pool may grow or has grown before.

        Returns what the run knows of its samples, if it has begun.
        """
        path = self.run_dir
        if path is None and settings and isinstance(model, L.LightningModule):
            path = default_run_dir(self.strategy, model, self.seed)
        # without settings and a folder, other samples are another experiment, with a folder of its own
        begun = None if path is None else read_begun(path)
        datamodule.arrange(begun if self._may_grow or keeps_its_pool(begun) else None)
        return begun

    @property
    def _may_grow(self) -> bool:
        return self.pool_may_grow or self._asks_people

    @property
    def _asks_people(self) -> bool:
        return isinstance(self.oracle, PeopleOracle)

    def _try_out(
        self, trainer: L.Trainer, prepared: Prepared, datamodule: PoolDataModule, ranks: Ranks, progress: RunProgress
    ) -> None:
        """Runs one tiny round that leaves nothing behind."""
        if len(prepared.initial) == 0:
            raise InputError("Expected labeled samples for `trainer.fast_dev_run`, but got none.")
        datamodule.set_labeled(prepared.initial)
        weights = StartingWeights(self.reinit, self.seed, None, prepared.maker, prepared.state)
        parts = self._parts(trainer, prepared, datamodule, ranks, weights, self.scoring_precision)
        self._round(0, parts, RunRecord(trainer, ranks, progress))
        progress.message("fast_dev_run: one tiny round ran, nothing was saved.")

    def _run(
        self,
        trainer: L.Trainer,
        prepared: Prepared,
        datamodule: PoolDataModule,
        settings: Mapping[str, Any] | None,
        ranks: Ranks,
        progress: RunProgress,
    ) -> None:
        """Begins or continues the run in its folder. Only the process that writes has opened the folder."""
        model, callbacks = prepared.model, [one for one in callbacks_of(trainer) if one is not self]
        path = self.run_dir or default_run_dir(self.strategy, model, self.seed)
        given = dict(prepared.identity)
        if not settings:
            settings = self._describe(trainer, model, datamodule)
            given |= fingerprints_in_python(trainer, model, datamodule, callbacks)
            if self.run_dir is None:
                path = self._own_folder(path, settings, given, ranks)
        else:
            settings = with_scoring(with_sizes(settings, model), self.scoring_precision)
        with opened(path, settings, given, trainer, ranks) as folder:
            old_rule = ranks.on_writer(lambda: None if folder is None else folder.settings_of_old_rule)
            if use_rule_of_run(old_rule, trainer):
                progress.message("The run goes on with the rule that it was begun with: a training accuracy of 0.99.")
            weights = StartingWeights(self.reinit, self.seed, path, prepared.maker, prepared.state)
            scoring = ranks.on_writer(lambda: scoring_of_run({} if folder is None else folder.settings))
            parts = self._parts(trainer, prepared, datamodule, ranks, weights, scoring)
            with Remembering(trainer, model, callbacks, [datamodule, self.strategy]):
                try:
                    start = ranks.on_writer(lambda: self._begin(folder, prepared, parts, progress))
                    if folder is not None and (start is not None or folder.asked):  # a finished run needs no cache
                        datamodule.write_cache(path / CACHE)
                    if start is not None:
                        datamodule.set_labeled(start.indices, start.labels)
                        self._rounds(start.round, parts, folder, path, progress)
                finally:
                    parts.fresh.gather()

    def _rounds(self, first: int, parts: RunParts, folder: RunFolder | None, path: Path, progress: RunProgress) -> None:
        """Fits, queries, tests, labels and commits, until the last round or until people are asked for labels."""
        if folder is None:
            record = RunRecord(parts.trainer, parts.ranks, progress)
        else:
            record = WrittenRecord(parts, progress, folder, self.metrics)
        is_success = False
        progress.start()
        try:
            for round in count(first):
                parts.ranks.check_same("the labeled set", [parts.datamodule.labeled])
                row, queried, tested = self._round(round, parts, record)
                answers = self._label(queried.indices, parts.datamodule)
                save_checkpoint(parts.trainer, path)
                queries = queried.rows(round + 1, answers, parts.datamodule)
                record.end_round(row, queries, tested.calibration_rows(round), queried.diagnostics)
                if answers is None:
                    if folder is not None:
                        self._ask(folder, parts.datamodule)
                    break
                if not len(queried.indices):
                    break
            is_success = True
        finally:
            record.close(is_success)

    def _round(self, round: int, parts: RunParts, record: RunRecord) -> tuple[Round, Queried, Tested]:
        """Fits, queries and tests, without labeling."""
        num_labeled = int(parts.datamodule.labeled.sum())
        record.start_round(round, num_labeled)
        parts.start_fit(round)
        record.start_logging(round)

        def ask() -> Queried:
            num = 0 if round == self.num_rounds else min(self.query_size, len(parts.datamodule.unlabeled_indices))
            return query_pool(parts, self.strategy, num, round) if num else NOTHING

        fitted, queried = RoundFit(parts, round, record, at_end=ask).run()
        tested = measure_on_test_set(parts, self.metrics)
        return row_of(round, num_labeled, fitted, queried, tested), queried, tested

    def _label(self, indices: Tensor, datamodule: PoolDataModule) -> Tensor | None:
        """Labels the chosen samples, if the oracle answers at once; returns the answers."""
        answers = self.oracle.answer(datamodule, indices) if len(indices) else indices
        if answers is not None:
            datamodule.label_indices(indices, answers)  # refuses invalid labels before anything is written
        return answers

    def _last_round(self, pool_size: int) -> tuple[int | None, bool]:
        """The number of the last round, if it is known, and whether its time can be estimated: not with people."""
        if type(self.oracle) is not SimulatedOracle:
            return self.num_rounds, False
        return math.ceil(pool_size / self.query_size) if self.num_rounds is None else self.num_rounds, True

    # ------------------------------------------------------------------------------------ where a run begins and waits

    def _begin(
        self, folder: RunFolder | None, prepared: Prepared, parts: RunParts, progress: RunProgress
    ) -> Start | None:
        """Returns the point where the run goes on; ``None`` if it is finished or waits for labels.

        Only the process that writes calls this method.
        """
        assert folder is not None, "only the process that writes begins a run"
        if folder.asked:
            self.oracle.collect(folder)
        start = begin(folder, prepared, parts, self.num_rounds, progress, self._may_grow, self._asks_people)
        if folder.asked:
            self._ask(folder, parts.datamodule)
        return start

    def _ask(self, folder: RunFolder, datamodule: PoolDataModule) -> None:
        """Publishes the open questions of a run."""
        self.waits_in = folder.path
        self.oracle.publish(folder.path, datamodule, folder.asked)
        open_ones = [question for question in folder.asked if question.label is None]
        print(  # shown even without a progress bar
            f"The run in {folder.path} waits for {len(open_ones)} labels; {self.oracle.next_step(folder.path)}, then: "
            f"al-lightning fit {shlex.quote(str(folder.path))}"
        )

    def _parts(
        self,
        trainer: L.Trainer,
        prepared: Prepared,
        datamodule: PoolDataModule,
        ranks: Ranks,
        weights: StartingWeights,
        scoring: ScoringPrecision,
    ) -> RunParts:
        owned = (self, self.strategy, self.oracle)
        fresh = FreshStart(trainer, prepared.model, datamodule, owned, (self,))
        return RunParts(self, trainer, prepared.model, datamodule, self.seed, ranks, fresh, weights, scoring)

    def _own_folder(self, path: Path, settings: Mapping[str, Any], given: Mapping[str, Any], ranks: Ranks) -> Path:
        """The default folder, or a folder beside it if the default one has runs of another experiment."""
        found = ranks.on_writer(lambda: default_folder(path, settings, given))
        if found != path and ranks.is_writer:
            print(f"{path.parent} has runs of another experiment: this run is in {found}.")
        return found

    def _describe(self, trainer: L.Trainer, model: L.LightningModule, datamodule: PoolDataModule) -> dict[str, Any]:
        """The settings that identify a run that was not started from the command line."""
        loop = {
            "strategy": self.strategy,
            "query_size": self.query_size,
            "num_rounds": self.num_rounds,
            "reinit": self.reinit,
            "oracle": None if type(self.oracle) is SimulatedOracle else self.oracle,
            "metrics": self.metrics.settings,
            "scoring_precision": self.scoring_precision,
        }
        return describe(self.seed, loop, trainer, model, datamodule)
