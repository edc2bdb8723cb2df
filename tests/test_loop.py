"""ActiveLearningLoop on real digits: the traps of fitting more than once, pairing, resuming."""

import csv
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from al_lightning import (
    BADGE,
    BALD,
    ActiveLearningLoop,
    Convergence,
    CoreSet,
    DropoutMLP,
    Entropy,
    InputError,
    Margin,
    MixMatch,
    Random,
    loop as loop_module,
)
from al_lightning.fitting.rehearsal import NUM_POOL
from al_lightning.fitting.settings_of_objects import default_run_dir
from al_lightning.inference import PoolPredictor, precision as precision_module
from al_lightning.random_streams import stream
from al_lightning.strategies import LeastConfidence, QueryStrategy, Stochastic, Switch
from tests.digits import DigitsMLP, FlatDigits
from tests.helpers import digits

SECONDS = ("seconds_fit", "seconds_score", "seconds_select", "seconds_test")


def make_trainer(*callbacks: Callback, **kwargs) -> L.Trainer:
    defaults = {"max_epochs": 3, "logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
    return L.Trainer(callbacks=list(callbacks), **{**defaults, **kwargs})


def make_loop(run_dir: Path, strategy: QueryStrategy | None = None, **kwargs) -> ActiveLearningLoop:
    defaults = {"query_size": 10, "num_rounds": 2}
    return ActiveLearningLoop(strategy or Entropy(), run_dir=str(run_dir), **{**defaults, **kwargs})


def run(
    run_dir: Path,
    strategy: QueryStrategy | None = None,
    *callbacks: Callback,
    model: L.LightningModule | None = None,
    trainer: dict | None = None,
    settings: dict | None = None,
    **kwargs,
) -> ActiveLearningLoop:
    loop = make_loop(run_dir, strategy, **kwargs)
    data = FlatDigits(num_initial=50)
    loop.run(make_trainer(loop, *callbacks, **(trainer or {})), model or DigitsMLP(), data, settings)
    return loop


def rows(run_dir: Path, name: str = "rounds.csv") -> list[dict[str, str]]:
    with (run_dir / name).open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def timeless(run_dir: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in SECONDS} for row in rows(run_dir)]


class Spy(Callback):
    """Calls a function at the end of each training, after the loop has queried."""

    def __init__(self, seen: Callable[[L.Trainer, L.LightningModule], object], at: str = "on_train_end") -> None:
        self.results: list = []
        setattr(self, at, lambda trainer, module, *args: self.results.append(seen(trainer, module)))


# -------------------------------------------------------------------------------------------------- the protocol


def test_rounds_and_queries_add_up(tmp_path: Path) -> None:
    run(tmp_path)
    assert [(row["round"], row["num_labeled"]) for row in rows(tmp_path)] == [("0", "50"), ("1", "60"), ("2", "70")]
    queries = rows(tmp_path, "queries.csv")
    assert [int(q["round"]) for q in queries] == [0] * 50 + [1] * 10 + [2] * 10
    assert [int(q["order"]) for q in queries] == [*range(50), *range(10), *range(10)]
    assert len({q["index"] for q in queries}) == 70
    targets = digits().train_targets
    assert all(int(targets[int(q["index"])]) == int(q["label"]) for q in queries)
    assert all(q["score"] == "" for q in queries[:50])
    scores = [float(q["score"]) for q in queries[50:60]]
    assert scores == sorted(scores, reverse=True)


def test_a_metric_is_recorded_with_the_labels_its_model_was_trained_on(tmp_path: Path) -> None:
    spy = Spy(lambda trainer, module: len(trainer.datamodule.labeled_indices))
    run(tmp_path, None, spy)
    assert spy.results == [int(row["num_labeled"]) for row in rows(tmp_path)]


def test_no_round_at_all_is_one_fit(tmp_path: Path) -> None:
    run(tmp_path, num_rounds=0)
    assert len(rows(tmp_path)) == 1
    assert len(rows(tmp_path, "queries.csv")) == 50


def test_test_metrics_are_those_of_the_model_in_evaluation_mode(tmp_path: Path) -> None:
    model = DigitsMLP()
    run(tmp_path, model=model, num_rounds=1)
    arrays = digits()
    model.eval()
    with torch.no_grad():
        logits = model(arrays.test_inputs)
    last = rows(tmp_path)[-1]
    assert float(last["test_acc"]) == pytest.approx((logits.argmax(1) == arrays.test_targets).float().mean().item())
    assert float(last["test_nll"]) == pytest.approx(nn.functional.cross_entropy(logits, arrays.test_targets).item())


def test_the_pool_may_be_used_up_exactly(tmp_path: Path) -> None:
    run(tmp_path, query_size=1350, num_rounds=1, trainer={"max_epochs": 1})
    assert [row["num_labeled"] for row in rows(tmp_path)] == ["50", "1400"]


# ------------------------------------------------------------------------------------------------ Lightning's traps


def test_every_round_trains_all_its_epochs(tmp_path: Path) -> None:
    """Lightning #9636: the second fit of a trainer trains nothing, in silence."""
    run(tmp_path)
    assert [row["epochs"] for row in rows(tmp_path)] == ["3", "3", "3"]
    losses = Spy(lambda trainer, module: float(trainer.callback_metrics["train_loss"]))
    run(tmp_path / "again", None, losses)
    assert all(loss < 2.3 for loss in losses.results)  # log 10 is an untrained model's
    assert len(losses.results) == 3


def test_early_stopping_starts_afresh_in_each_round(tmp_path: Path) -> None:
    """Lightning #839: wait_count and best_score are kept, and later fits end after one epoch."""
    stopping = Convergence(monitor="train_loss", mode="min", stopping_threshold=None, patience=2, min_delta=10.0)
    run(tmp_path, None, stopping, trainer={"max_epochs": 20})
    # the first epoch always improves on infinity, then two without improvement
    assert [row["epochs"] for row in rows(tmp_path)] == ["3", "3", "3"]
    assert all(row["converged"] == "True" for row in rows(tmp_path))


def test_each_fit_has_a_fresh_optimizer(tmp_path: Path) -> None:
    def steps(trainer: L.Trainer, module: L.LightningModule) -> int:
        return int(next(iter(trainer.optimizers[0].state.values()))["step"])

    spy = Spy(steps)
    run(tmp_path, None, spy)
    assert spy.results == [3 * 1, 3 * 1, 3 * 2]  # 50, 60 and 70 labels in minibatches of 64


def test_each_fit_has_fresh_weights_that_depend_on_the_round(tmp_path: Path) -> None:
    spy = Spy(lambda trainer, module: module.hidden.weight.detach().clone(), at="on_train_start")
    run(tmp_path, None, spy)
    run(tmp_path / "again", None, again := Spy(lambda t, m: m.hidden.weight.detach().clone(), at="on_train_start"))
    first, second, third = spy.results
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert all(torch.equal(a, b) for a, b in zip(spy.results, again.results, strict=True))


def test_the_query_sees_the_fitted_model_on_its_device(tmp_path: Path) -> None:
    """on_fit_end is too late: the model was moved to the CPU and the precision plugin torn down."""
    accuracies = []

    class Watch(Random):
        def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
            if len(pool) == NUM_POOL:  # tried before the first fit
                return super().query(pool, query_size, generator)
            assert pool.model.trainer.training
            targets = pool.model.trainer.datamodule.train_targets
            unlabeled = pool.model.trainer.datamodule.unlabeled_indices
            accuracies.append((pool.probs().argmax(1) == targets[unlabeled]).float().mean().item())
            return super().query(pool, query_size, generator)

    run(tmp_path, Watch(), trainer={"max_epochs": 60})
    assert len(accuracies) == 2
    assert min(accuracies) > 0.6


def test_the_initial_set_is_drawn_once(tmp_path: Path) -> None:
    """Lightning calls setup before every fit and every test."""
    spy = Spy(lambda trainer, module: set(trainer.datamodule.labeled_indices.tolist()), at="on_train_start")
    run(tmp_path, None, spy)
    first, second, third = spy.results
    assert first < second < third


def test_a_fit_that_is_interrupted_never_queries(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        run(tmp_path, None, Stop())
    assert rows(tmp_path) == []
    assert len(rows(tmp_path, "queries.csv")) == 50


def test_other_trainer_calls_are_left_alone(tmp_path: Path) -> None:
    """Outside of run, the loop in a trainer's callbacks does nothing."""
    loop = make_loop(tmp_path)
    trainer = make_trainer(loop)
    datamodule = FlatDigits(num_initial=50)
    datamodule.set_labeled(torch.arange(100))
    trainer.fit(DigitsMLP(), datamodule=datamodule)
    assert trainer.current_epoch == 3
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------------------------------------------- convergence


def test_converged_tells_the_threshold_from_the_cap(tmp_path: Path) -> None:
    run(tmp_path / "cap", None, Convergence(), trainer={"max_epochs": 2})
    assert [(row["epochs"], row["converged"]) for row in rows(tmp_path / "cap")] == [("2", "False")] * 3
    run(tmp_path / "met", None, Convergence(stopping_threshold=0.5), trainer={"max_epochs": 100})
    for row in rows(tmp_path / "met"):
        assert row["converged"] == "True"
        assert float(row["train_acc"]) >= 0.5
        assert int(row["epochs"]) < 100


def test_training_accuracy_is_measured_without_dropout(tmp_path: Path) -> None:
    model = DigitsMLP()
    run(tmp_path, None, Convergence(), model=model, num_rounds=0, trainer={"max_epochs": 5})
    datamodule = FlatDigits(num_initial=50)
    datamodule.set_labeled(datamodule.draw_initial(stream(0, "initial")))
    labeled = datamodule.labeled_indices
    model.eval()
    correct = model(datamodule.source.train_inputs[labeled]).argmax(1) == datamodule.source.train_targets[labeled]
    assert float(rows(tmp_path)[0]["train_acc"]) == pytest.approx(correct.float().mean().item())


def test_training_accuracy_is_recorded_if_nothing_waits_for_it(tmp_path: Path) -> None:
    run(tmp_path)
    assert all(0 < float(row["train_acc"]) <= 1 for row in rows(tmp_path))


def test_a_fit_that_diverges_has_not_converged(tmp_path: Path) -> None:
    class Diverging(DigitsMLP):
        def on_train_epoch_end(self) -> None:
            self.log("train_loss", torch.tensor(torch.nan))

    run(tmp_path, Random(), Convergence("train_loss", None, "min"), model=Diverging(), num_rounds=0)
    assert rows(tmp_path)[0]["converged"] == "False"


def test_a_logger_gets_the_training_accuracy(tmp_path: Path) -> None:
    run(tmp_path / "run", Random(), Convergence(), num_rounds=0, trainer={"logger": CSVLogger(str(tmp_path))})
    logged = [row for row in rows(tmp_path / "lightning_logs" / "version_0", "metrics.csv") if row["train_acc"]]
    assert len(logged) == 3
    assert float(logged[-1]["train_acc"]) == pytest.approx(float(rows(tmp_path / "run")[0]["train_acc"]))


def test_convergence_watches_the_accuracy_of_the_loop_and_not_one_of_the_same_name(tmp_path: Path) -> None:
    class Namesake(DigitsMLP):
        def on_train_epoch_end(self) -> None:
            self.log("train_acc", torch.tensor(0.0))

    # one sample of 50 that is right is enough for the loop's, and never for the namesake
    run(tmp_path, Random(), Convergence(stopping_threshold=0.01), model=Namesake(), num_rounds=0)
    assert rows(tmp_path)[0]["converged"] == "True"


def test_a_model_that_writes_to_its_inputs_does_not_spoil_the_labeled_ones(tmp_path: Path) -> None:
    class InPlace(DigitsMLP):
        def embed(self, x: Tensor) -> Tensor:
            return super().embed(x.mul_(2))

    datamodule = FlatDigits(num_initial=50)
    loop = make_loop(tmp_path, Random(), num_rounds=0)
    loop.run(make_trainer(loop, Convergence()), InPlace(), datamodule)
    labeled = datamodule.labeled_indices
    assert torch.cat(list(datamodule.labeled_blocks())).equal(digits().train_inputs[labeled])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to be asked for")
def test_optimizer_steps_do_not_ask_for_gpus_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    monkeypatch.setenv(name, "1")  # as Lightning sets it when it is imported
    seen = Spy(lambda trainer, module: os.environ.get(name))
    run(tmp_path, Random(), seen, num_rounds=0)
    assert seen.results == [None]
    assert os.environ[name] == "1"


def test_max_steps_and_limit_train_batches_count_minibatches(tmp_path: Path) -> None:
    steps = Spy(lambda trainer, module: trainer.global_step)
    run(tmp_path / "a", Random(), steps, query_size=450, trainer={"max_steps": 5, "max_epochs": None})
    assert steps.results == [5, 5, 5]
    limited = Spy(lambda trainer, module: trainer.global_step)
    run(tmp_path / "b", Random(), limited, query_size=450, trainer={"limit_train_batches": 2, "max_epochs": 1})
    assert limited.results == [1, 2, 2]  # 50 labels are one minibatch


def test_a_model_without_a_method_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    class NoTraining(PlainMLP):
        training_step = L.LightningModule.training_step

    with pytest.raises(InputError, match="NoTraining to have `training_step`"):
        run(tmp_path / "run", model=NoTraining())
    with pytest.raises(InputError, match="dropout"):
        run(tmp_path / "run", BALD(), model=PlainMLP())
    assert not (tmp_path / "run").exists()


def test_the_optimizer_is_a_setting(tmp_path: Path) -> None:
    run(tmp_path)
    other = DigitsMLP()
    other.optimizer_factory = lambda params: torch.optim.SGD(params, lr=0.1)
    with pytest.raises(InputError, match="optimizer"):
        run(tmp_path, model=other, num_rounds=3)


def test_all_of_the_data_may_be_labeled_if_nothing_is_queried(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, num_rounds=0)
    loop.run(make_trainer(loop), DigitsMLP(), FlatDigits(num_initial=1400))
    assert rows(tmp_path)[0]["num_labeled"] == "1400"


def test_a_fit_that_runs_out_of_time_has_not_converged(tmp_path: Path) -> None:
    run(tmp_path, None, Timer(duration={"milliseconds": 1}), num_rounds=1, trainer={"max_epochs": 50})
    assert [row["converged"] for row in rows(tmp_path)] == ["False", "False"]


# --------------------------------------------------------------------------------------------------------- pairing


@pytest.mark.parametrize("strategy", [LeastConfidence(), Margin(), BALD(5), BADGE(), CoreSet()])
def test_round_0_is_the_same_for_all_strategies(tmp_path: Path, strategy: QueryStrategy) -> None:
    run(tmp_path / "random", Random(), num_rounds=1)
    run(tmp_path / "other", strategy, num_rounds=1)
    first, second = timeless(tmp_path / "random"), timeless(tmp_path / "other")
    assert first[0] == second[0]
    assert rows(tmp_path / "random", "queries.csv")[:50] == rows(tmp_path / "other", "queries.csv")[:50]
    assert rows(tmp_path / "random", "queries.csv")[50:] != rows(tmp_path / "other", "queries.csv")[50:]


def test_a_strategy_that_wastes_randomness_changes_no_training(tmp_path: Path) -> None:
    class Wasteful(Entropy):
        def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
            torch.rand(1000)
            torch.rand(1000, generator=generator)
            return super().query(pool, query_size, generator)

    run(tmp_path / "plain")
    run(tmp_path / "wasteful", Wasteful())
    assert timeless(tmp_path / "plain") == timeless(tmp_path / "wasteful")


def test_seeds_differ_in_all_that_is_drawn(tmp_path: Path) -> None:
    run(tmp_path / "0", seed=0, num_rounds=0)
    run(tmp_path / "1", seed=1, num_rounds=0)
    assert rows(tmp_path / "0", "queries.csv") != rows(tmp_path / "1", "queries.csv")
    assert timeless(tmp_path / "0") != timeless(tmp_path / "1")


def test_minibatches_per_step_changes_no_bit(tmp_path: Path) -> None:
    class OneByOne(DigitsMLP):
        minibatches_per_step = 1

    run(tmp_path / "many", query_size=200)
    run(tmp_path / "one", query_size=200, model=OneByOne())
    assert timeless(tmp_path / "many") == timeless(tmp_path / "one")


class PlainMLP(L.LightningModule):
    """A module as most are written: automatic optimization, one minibatch a step, its own sequence of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def embed(self, x: Tensor) -> Tensor:
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def test_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.log("test_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=3e-3)


@pytest.mark.parametrize("strategy", [Entropy(), BADGE(), CoreSet()])
def test_an_ordinary_module_works(tmp_path: Path, strategy: QueryStrategy) -> None:
    run(tmp_path, strategy, model=PlainMLP(), trainer={"max_epochs": 10})
    assert [row["epochs"] for row in rows(tmp_path)] == ["10", "10", "10"]
    assert float(rows(tmp_path)[-1]["test_acc"]) > 0.5
    assert 0 < float(rows(tmp_path)[-1]["test_nll"]) < 2.3  # which it does not log


# --------------------------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_a_run_continues_to_the_same_bits_in_any_precision(tmp_path: Path, precision: str) -> None:
    trainer = {"precision": precision}
    run(tmp_path / "whole", num_rounds=2, trainer=trainer)
    for num_rounds in (0, 1, 2):
        run(tmp_path / "parts", num_rounds=num_rounds, trainer=trainer)
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")
    assert (tmp_path / "parts/queries.csv").read_bytes() == (tmp_path / "whole/queries.csv").read_bytes()


@pytest.mark.parametrize("strategy", [Random(), Entropy(), BALD(5), BADGE(), CoreSet()])
def test_a_run_continues_to_the_same_bits(tmp_path: Path, strategy: QueryStrategy) -> None:
    run(tmp_path / "whole", strategy, num_rounds=3)

    class Die(Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if int(trainer.datamodule.labeled.sum()) == 70:
                raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"):
        run(tmp_path / "parts", strategy, Die(), num_rounds=3)
    assert len(rows(tmp_path / "parts")) == 2
    run(tmp_path / "parts", strategy, num_rounds=3)
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")
    assert (tmp_path / "parts/queries.csv").read_bytes() == (tmp_path / "whole/queries.csv").read_bytes()


def test_a_finished_run_says_so_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    capsys.readouterr()
    spy = Spy(lambda *_: None, at="on_fit_start")
    run(tmp_path, None, spy)
    assert "finished" in capsys.readouterr().out
    assert spy.results == []
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before


def test_a_finished_run_goes_on_if_there_are_to_be_more_rounds(tmp_path: Path) -> None:
    run(tmp_path / "whole", num_rounds=3)
    run(tmp_path / "longer", num_rounds=1)
    run(tmp_path / "longer", num_rounds=3)
    assert timeless(tmp_path / "longer") == timeless(tmp_path / "whole")
    assert (tmp_path / "longer/queries.csv").read_bytes() == (tmp_path / "whole/queries.csv").read_bytes()


def test_fewer_rounds_than_are_done_are_refused(tmp_path: Path) -> None:
    run(tmp_path, num_rounds=2)
    with pytest.raises(InputError, match="`loop.num_rounds` to be at least 2"):
        run(tmp_path, num_rounds=1)


def test_a_run_is_told_from_one_with_other_objects(tmp_path: Path) -> None:
    run(tmp_path, Entropy())
    with pytest.raises(InputError, match=r"loop\.strategy"):
        run(tmp_path, Margin())
    with pytest.raises(InputError, match=r"model\.hidden_dim"):
        run(tmp_path, Entropy(), model=DigitsMLP(hidden_dim=16))
    with pytest.raises(InputError, match=r"trainer\.max_epochs"):
        run(tmp_path, Entropy(), trainer={"max_epochs": 4})


# ---------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"query_size": 0}, "`loop.query_size` to be at least 1, but got 0"),
        ({"num_rounds": -1}, "`loop.num_rounds` to be at least 0, but got -1"),
        ({"seed": -1}, "`seed_everything` to be at least 0, but got -1"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, kwargs: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_loop(tmp_path, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"query_size": 1351}, "`loop.query_size` to be at most the pool size 1350, but got 1351"),
        ({"query_size": 100, "num_rounds": 14}, "`loop.num_rounds` to be at most 13.*but got 14"),
    ],
)
def test_more_labels_than_there_are_are_refused_before_anything_is_written(
    tmp_path: Path, kwargs: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path / "run", **kwargs)
    assert not (tmp_path / "run").exists()


def test_a_loop_adds_itself_to_the_callbacks_as_long_as_it_runs(tmp_path: Path) -> None:
    seen = []

    class Watcher(Callback):
        def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            seen.append(trainer.callbacks[:])

    trainer, loop = make_trainer(watcher := Watcher()), make_loop(tmp_path / "one")
    before = list(trainer.callbacks)
    loop.run(trainer, DigitsMLP(), FlatDigits(num_initial=50))
    assert len(seen) == 3
    assert trainer.callbacks == before
    assert watcher in before
    run(tmp_path / "other")
    assert (tmp_path / "one" / "queries.csv").read_bytes() == (tmp_path / "other" / "queries.csv").read_bytes()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (torch.arange(9), r"tensor of shape \(10,\), but got \(9,\)"),
        (torch.zeros(10, dtype=torch.int64), "distinct"),
        (torch.arange(10) + 1345, "positions in the pool, 0 to 1349"),
        (torch.arange(10.0), "int64"),
    ],
)
def test_a_wrong_query_is_refused_and_labels_nothing(tmp_path: Path, query: Tensor, message: str) -> None:
    class Wrong(QueryStrategy):
        def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
            return query

    with pytest.raises(InputError, match=message):
        run(tmp_path, Wrong())
    assert rows(tmp_path) == []


def test_bald_without_dropout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dropout"):
        run(tmp_path, BALD(), model=DigitsMLP(dropout=0.0))


# ---------------------------------------------------------------------------------------------------------- the rest


def test_fast_dev_run_is_one_tiny_round_that_saves_nothing(tmp_path: Path) -> None:
    queried = []

    class Watch(Entropy):
        def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
            queried.append(query_size)
            return super().query(pool, query_size, generator)

    run(tmp_path / "run", Watch(), trainer={"fast_dev_run": True})
    assert queried == [8, 10]  # the first was tried before the fit
    assert not (tmp_path / "run").exists()


def test_bf16_mixed_governs_scoring_too(tmp_path: Path) -> None:
    dtypes = []

    class Watch(Entropy):
        def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
            model = pool.model
            hook = model.hidden.register_forward_hook(lambda module, args, output: dtypes.append(output.dtype))
            query = super().query(pool, query_size, generator)
            hook.remove()
            if len(pool) == NUM_POOL:  # tried before the first fit, in float32
                dtypes.clear()
            assert pool.embeddings().dtype == torch.float32
            return query

    run(tmp_path, Watch(), trainer={"precision": "bf16-mixed"})
    assert set(dtypes) == {torch.bfloat16}


def test_scoring_has_a_precision_of_its_own(tmp_path: Path) -> None:
    """Fits and tests stay. Of the same model, the scores differ by the rounding of bfloat16."""
    run(tmp_path / "plain", num_rounds=1, query_size=100)
    run(tmp_path / "low", num_rounds=1, query_size=100, scoring_precision="bf16-mixed")
    assert timeless(tmp_path / "low")[0] == timeless(tmp_path / "plain")[0]
    assert yaml.safe_load((tmp_path / "low/config.yaml").read_text())["loop"]["scoring_precision"] == "bf16-mixed"
    low, plain = (
        {row["index"]: row for row in rows(tmp_path / name, "queries.csv") if row["round"] == "1"}
        for name in ("low", "plain")
    )
    both = low.keys() & plain.keys()
    assert len(both) > 80
    differences = [abs(float(low[index]["score"]) - float(plain[index]["score"])) for index in both]
    assert 0 < max(differences) < 0.03
    for column in ("predicted", "confidence"):  # for people, in the precision of the fit
        assert all(low[index][column] == plain[index][column] for index in both)


def test_a_run_with_another_precision_of_scoring_continues_to_the_same_bits(tmp_path: Path) -> None:
    for num_rounds, name in ((2, "whole"), (0, "parts"), (1, "parts"), (2, "parts")):
        run(tmp_path / name, BALD(5), num_rounds=num_rounds, scoring_precision="bf16-mixed")
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")
    assert (tmp_path / "parts/queries.csv").read_bytes() == (tmp_path / "whole/queries.csv").read_bytes()
    with pytest.raises(InputError, match=r"`loop.scoring_precision` \(bf16-mixed there, auto here\)"):
        run(tmp_path / "parts", BALD(5), num_rounds=3)


def test_a_run_that_was_begun_without_a_precision_of_scoring_keeps_the_trainers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where `auto` is bf16-mixed."""
    run(tmp_path / "whole", num_rounds=2)
    with monkeypatch.context() as patch:  # the version before
        patch.setattr(loop_module, "with_scoring", lambda settings, precision: settings)
        run(tmp_path / "begun", num_rounds=0, settings={"name": "mine"})
    assert yaml.safe_load((tmp_path / "begun/config.yaml").read_text()) == {"name": "mine"}
    monkeypatch.setattr(precision_module, "settled", lambda name, trainer: "bf16-mixed" if name == "auto" else name)
    run(tmp_path / "begun", num_rounds=2, settings={"name": "mine"})
    run(tmp_path / "new", num_rounds=2, settings={"name": "mine"})
    assert (tmp_path / "begun/queries.csv").read_bytes() == (tmp_path / "whole/queries.csv").read_bytes()
    assert (tmp_path / "new/queries.csv").read_bytes() != (tmp_path / "whole/queries.csv").read_bytes()


def test_what_is_no_precision_of_scoring_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="to be one of auto, trainer, 32-true, bf16-mixed, 16-mixed, but got `bf16`"):
        make_loop(tmp_path, scoring_precision="bf16")
    with pytest.raises(InputError, match="to be trainer with `trainer.precision` 64-true"):
        run(tmp_path / "run", scoring_precision="32-true", trainer={"precision": "64-true"})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_true_precisions_work(tmp_path: Path, precision: str) -> None:
    for strategy in (BALD(5), BADGE(), CoreSet()):
        run(tmp_path / type(strategy).__name__, strategy, num_rounds=1, trainer={"precision": precision})


def test_without_an_end_a_run_uses_up_its_pool(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Of 1,400 samples, 50 are labeled: a query of 1,290, and one of the 60 that are left."""
    loop = run(tmp_path, num_rounds=None, query_size=1290, trainer={"max_epochs": 1, "enable_progress_bar": True})
    assert [row["num_labeled"] for row in rows(tmp_path)] == ["50", "1340", "1400"]
    bought = [row["index"] for row in rows(tmp_path, "queries.csv")]
    assert sorted(map(int, bought)) == list(range(1400))
    out = capsys.readouterr().out
    assert "round 1 of 2: " in out
    assert "; the pool is used up." in out
    before = (tmp_path / "rounds.csv").read_bytes()
    loop.run(make_trainer(loop, max_epochs=1), DigitsMLP(), FlatDigits(num_initial=50))
    assert "is finished: 3 rounds done" in (out := capsys.readouterr().out)
    assert "the pool is used up." in out
    assert (tmp_path / "rounds.csv").read_bytes() == before


def test_a_run_goes_on_without_an_end_as_with_one(tmp_path: Path) -> None:
    run(tmp_path / "parts", num_rounds=1, query_size=675, trainer={"max_epochs": 1})
    run(tmp_path / "parts", num_rounds=None, query_size=675, trainer={"max_epochs": 1})
    run(tmp_path / "whole", num_rounds=2, query_size=675, trainer={"max_epochs": 1})
    assert timeless(tmp_path / "parts") == timeless(tmp_path / "whole")
    assert rows(tmp_path / "parts", "queries.csv") == rows(tmp_path / "whole", "queries.csv")


def test_lightning_is_not_heard_in_every_round(
    tmp_path: Path, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    with caplog.at_level(logging.INFO):
        run(tmp_path, num_rounds=3, trainer={"enable_model_summary": True, "enable_progress_bar": True})
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out if line.startswith("round")] == [f"round {i} of 3" for i in range(4)]
    assert len(out) == 5  # and a last line
    assert sum("stopped" in record.message for record in caplog.records) == 0
    assert [str(w.message) for w in recwarn if "workers" in str(w.message)] == []


def test_without_a_progress_bar_nothing_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run(tmp_path, trainer={"enable_progress_bar": False})
    assert capsys.readouterr().out == ""


def test_the_trainer_is_given_back_as_it_was(tmp_path: Path) -> None:
    loop = make_loop(tmp_path)
    trainer = make_trainer(loop, enable_model_summary=True)
    before = list(trainer.callbacks)
    level = logging.getLogger("lightning.pytorch").level
    loop.run(trainer, DigitsMLP(), FlatDigits(num_initial=50))
    assert trainer.callbacks == before
    assert logging.getLogger("lightning.pytorch").level == level


def test_the_last_model_is_saved(tmp_path: Path) -> None:
    model = DigitsMLP()
    run(tmp_path, model=model)
    saved = torch.load(tmp_path / "model.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        (BADGE(), "badge"),
        (CoreSet(), "core_set"),
        (LeastConfidence(), "least_confidence"),
        (Stochastic(BALD()), "stochastic_bald"),
        (Switch(CoreSet(), Stochastic(Entropy()), 200), "switch_core_set_stochastic_entropy"),
    ],
)
def test_default_run_dir_is_named_as_the_configs(strategy: QueryStrategy, name: str) -> None:
    assert default_run_dir(strategy, DropoutMLP(), 3) == Path("runs", name, "seed3")
    assert default_run_dir(strategy, MixMatch(), 3) == Path("runs", f"{name}_mix_match", "seed3")


# ------------------------------------------------------------------------------------------- what is kept of a round


def test_the_prediction_at_the_time_of_the_query_is_kept(tmp_path: Path) -> None:
    def predict(trainer: L.Trainer, model: L.LightningModule) -> tuple[Tensor, Tensor]:
        data = trainer.datamodule  # type: ignore[attr-defined]
        model.eval()
        with torch.no_grad():
            return data.unlabeled_indices, model(data.source.train_inputs[data.unlabeled_indices]).softmax(dim=1)

    spy = Spy(predict)
    run(tmp_path, BADGE(), spy)
    bought = rows(tmp_path, "queries.csv")
    assert all(row["predicted"] == row["confidence"] == "" for row in bought[:50])
    for round, (indices, probs) in enumerate(spy.results[:2]):
        by_index = dict(zip(indices.tolist(), probs, strict=True))
        for row in bought[50 + 10 * round : 60 + 10 * round]:
            expected = by_index[int(row["index"])]
            assert int(row["predicted"]) == int(expected.argmax())
            assert float(row["confidence"]) == pytest.approx(float(expected.max()), abs=1e-6)


def test_the_calibration_curve_of_each_round_gives_its_error(tmp_path: Path) -> None:
    run(tmp_path)
    bins = rows(tmp_path, "calibration.csv")
    for row in rows(tmp_path):
        own = [b for b in bins if b["round"] == row["round"]]
        total = sum(int(b["count"]) for b in own)
        assert total == 397
        gaps = [int(b["count"]) * abs(float(b["accuracy"]) - float(b["confidence"])) for b in own]
        assert sum(gaps) / total == pytest.approx(float(row["test_ece"]), abs=1e-6)
        right = sum(int(b["count"]) * float(b["accuracy"]) for b in own)
        assert right / total == pytest.approx(float(row["test_acc"]), abs=1e-6)


def test_a_model_with_metrics_of_its_own_has_no_calibration_curve(tmp_path: Path) -> None:
    run(tmp_path, model=PlainMLP())
    assert rows(tmp_path, "calibration.csv") == []


def test_diagnostics_of_a_strategy_are_kept_and_change_no_query(tmp_path: Path) -> None:
    run(tmp_path / "with", BALD(5, reliability=True))
    run(tmp_path / "without", BALD(5))
    assert [(row["round"], row["name"]) for row in rows(tmp_path / "with", "diagnostics.csv")] == [
        (round, name) for round in ("0", "1") for name in ("bald_rank_correlation", "bald_top_overlap")
    ]
    assert rows(tmp_path / "without", "diagnostics.csv") == []
    assert rows(tmp_path / "with", "queries.csv") == rows(tmp_path / "without", "queries.csv")


# ------------------------------------------------------------------------------------------------------------ round 0


@pytest.mark.parametrize("model", [DigitsMLP, lambda: MixMatch(64, 16, ramp_updates=5, augmentation=nn.Identity())])
def test_arms_with_the_same_seed_have_the_same_round_0(tmp_path: Path, model: Callable[[], L.LightningModule]) -> None:
    """Also with ``shared_dir``, by which runs used to share it, and which does nothing any longer."""
    shared = tmp_path / "round0"
    run(tmp_path / "entropy", Entropy(), model=model(), num_rounds=1)
    run(tmp_path / "alone", BADGE(), model=model())
    with pytest.warns(FutureWarning, match="`loop.shared_dir` is ignored"):
        run(tmp_path / "badge", BADGE(), model=model(), shared_dir=str(shared))
    assert not shared.exists()
    assert timeless(tmp_path / "badge")[0] == timeless(tmp_path / "entropy")[0]
    assert rows(tmp_path / "badge", "queries.csv")[:50] == rows(tmp_path / "entropy", "queries.csv")[:50]
    assert rows(tmp_path / "badge", "queries.csv")[50:] != rows(tmp_path / "entropy", "queries.csv")[50:]
    assert timeless(tmp_path / "badge") == timeless(tmp_path / "alone")
    for name in ("queries.csv", "calibration.csv"):
        assert rows(tmp_path / "badge", name) == rows(tmp_path / "alone", name)


def test_a_run_begun_with_a_shared_folder_goes_on_without_it(tmp_path: Path) -> None:
    with pytest.warns(FutureWarning, match="`loop.shared_dir` is ignored"):
        run(tmp_path / "run", shared_dir=str(tmp_path / "round0"), num_rounds=1)
    run(tmp_path / "run", num_rounds=2)
    assert len(rows(tmp_path / "run")) == 3


def test_a_run_says_on_which_hardware_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits are promised on the same hardware only."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
    run(tmp_path, Random(), num_rounds=0)
    made_with = json.loads((tmp_path / "commit.json").read_text())["made_with"]
    assert [row["hardware"] for row in made_with] == ["cpu another"]


def test_a_model_that_cannot_be_written_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(trainer: L.Trainer, path: Path, **kwargs: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device", "/elsewhere")

    run(tmp_path, num_rounds=0)
    monkeypatch.setattr(L.Trainer, "save_checkpoint", full)
    with pytest.raises(
        InputError, match=f"the last model to the run folder {tmp_path}, by way of .*, but got: No space left"
    ):
        run(tmp_path, num_rounds=1)
    assert not list(tmp_path.glob("*.new"))
    monkeypatch.undo()
    run(tmp_path, num_rounds=1)
    assert len(rows(tmp_path)) == 2


class Reporting(Random):
    """Reports a figure that need not be a float of Python."""

    def __init__(self, figure: object) -> None:
        self.figure = figure

    def diagnose(self, pool: PoolPredictor, query: Tensor) -> dict:
        return {"figure": self.figure}


def test_figures_of_a_strategy_are_written_as_numbers(tmp_path: Path) -> None:
    for number, figure in enumerate((torch.tensor(0.5), True, 2)):
        run(tmp_path / str(number), Reporting(figure), num_rounds=1)
        assert [float(row["value"]) for row in rows(tmp_path / str(number), "diagnostics.csv")] == [float(figure)]
    with pytest.raises(InputError, match=r"Expected Reporting\.diagnose to return numbers by name, but got"):
        run(tmp_path / "bad", Reporting("much"), num_rounds=1)
