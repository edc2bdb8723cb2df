"""LinearProbe: a fit is one step to the optimum, whatever the weights before it."""

from pathlib import Path

import lightning.pytorch as L
import pytest
import torch

from al_lightning import BALD, ActiveLearningLoop, Convergence, InputError, LinearProbe, Margin
from al_lightning.fitting.model_maker import ByConstructor, maker_of
from al_lightning.models.logistic_regression import auto_weight_decay, fit_logistic_regression
from tests.digits import FlatDigits
from tests.helpers import digits, generator
from tests.test_loop import Spy, make_trainer, rows, run, timeless


def fit(*callbacks: L.Callback, num: int = 100, model: LinearProbe | None = None, **trainer) -> LinearProbe:
    data, model = FlatDigits(num_initial=num, batch_size=16), model or LinearProbe()
    data.set_labeled(data.draw_initial(generator()))
    model.suit_data(10, digits().train_inputs[:1])
    make_trainer(*callbacks, **{"max_epochs": 50, **trainer}).fit(model, datamodule=data)
    return model


def test_one_step_finds_the_optimum_of_all_labeled_samples() -> None:
    steps = Spy(lambda trainer, module: trainer.global_step)
    model = fit(steps)
    data = FlatDigits(num_initial=100)
    labeled = data.draw_initial(generator()).sort().values
    features, targets = digits().train_inputs[labeled], digits().train_targets[labeled]
    expected = fit_logistic_regression(features, targets, 10, auto_weight_decay(features))
    assert steps.results == [1]
    assert model.solved
    assert model.head.weight.equal(expected.weight.float())
    assert model.head.bias.equal(expected.bias.float())
    inputs = digits().test_inputs
    assert model(inputs).equal(model.head(model.embed(inputs)))
    assert model.embed(inputs.view(-1, 1, 8, 8)).equal(inputs)


def test_the_fit_reports_its_objective_and_its_weight_decay() -> None:
    logged = Spy(lambda trainer, module: {k: float(v) for k, v in trainer.callback_metrics.items()})
    fit(logged, model=LinearProbe(weight_decay=0.25))
    (metrics,) = logged.results
    assert metrics["weight_decay"] == 0.25
    assert 0 < metrics["train_loss"] < 2.31


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_any_precision_fits(precision: str) -> None:
    model = fit(precision=precision)
    exact = fit()
    assert model.head.weight.dtype == (torch.float64 if precision == "64-true" else model.dtype)
    torch.testing.assert_close(model.head.weight.float(), exact.head.weight, rtol=0.05, atol=0.02)


def test_before_the_first_fit_all_classes_are_equally_probable() -> None:
    model = LinearProbe(input_dim=4, num_classes=3)
    assert model(torch.randn(5, 4)).count_nonzero() == 0
    assert model.solved is None
    assert isinstance(maker_of(model), ByConstructor)


@pytest.mark.parametrize("kwargs", [{"weight_decay": 0}, {"weight_decay": -1.0}, {"input_dim": 0}, {"num_classes": 1}])
def test_arguments_out_of_range_are_refused(kwargs: dict) -> None:
    with pytest.raises(InputError, match=f"`model.{next(iter(kwargs))}`"):
        LinearProbe(**kwargs)


# ----------------------------------------------------------------------------------------------------------------- runs


def run_probe(path: Path, *callbacks: L.Callback, **kwargs) -> list[dict[str, str]]:
    run(path, Margin(), *(callbacks or (Convergence(),)), model=LinearProbe(), **kwargs)
    return timeless(path)


def test_rounds_are_one_epoch_and_converged_whatever_ends_a_fit(tmp_path: Path) -> None:
    for name, callback, limits in [
        ("loss", Convergence(), {"max_epochs": -1}),
        ("none", Spy(lambda *_: None), {"max_epochs": 7}),
        ("monitor", Convergence(monitor="train_acc", stopping_threshold=0.999), {"max_epochs": 7}),
        ("steps", Convergence(), {"max_epochs": -1, "max_steps": 100}),
    ]:
        found = run_probe(tmp_path / name, callback, trainer=limits)
        assert [row["epochs"] for row in found] == ["1"] * 3
        assert [row["converged"] for row in found] == ["True"] * 3
        assert found == timeless(tmp_path / "loss")
    assert float(found[-1]["test_acc"]) > 0.8


def test_all_starting_weights_give_the_same_run(tmp_path: Path) -> None:
    runs = [run_probe(tmp_path / reinit, reinit=reinit) for reinit in ("scratch", "initial", "warm")]
    assert runs[0] == runs[1] == runs[2]
    assert rows(tmp_path / "scratch", "queries.csv") == rows(tmp_path / "warm", "queries.csv")


def test_a_run_that_goes_on_is_the_same_to_the_bit(tmp_path: Path) -> None:
    whole = run_probe(tmp_path / "whole", num_rounds=3)
    run_probe(tmp_path / "parts", num_rounds=1)
    assert run_probe(tmp_path / "parts", num_rounds=3) == whole
    assert rows(tmp_path / "parts", "queries.csv") == rows(tmp_path / "whole", "queries.csv")


def test_the_checkpoint_of_a_run_has_the_optimum(tmp_path: Path) -> None:
    model = LinearProbe(weight_decay=1e-3)
    run(tmp_path / "run", Margin(), Convergence(), model=model, num_rounds=1)
    read = LinearProbe.load_from_checkpoint(tmp_path / "run" / "model.ckpt", weights_only=True)
    assert read.hparams == {"input_dim": 64, "num_classes": 10, "weight_decay": 1e-3}
    assert read.head.weight.equal(model.head.weight)


def test_a_tiny_run_leaves_nothing_behind(tmp_path: Path) -> None:
    loop = ActiveLearningLoop(Margin(), query_size=5, num_rounds=1, run_dir=str(tmp_path / "run"))
    loop.run(make_trainer(loop, fast_dev_run=True), LinearProbe(), FlatDigits(num_initial=20))
    assert not (tmp_path / "run").exists()


def test_bald_names_the_way_out_of_missing_dropout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="or `loop.strategy.posterior` laplace, which needs neither"):
        run(tmp_path / "run", BALD(), Convergence(), model=LinearProbe())


def test_one_class_among_the_labels_is_a_round_like_any_other(tmp_path: Path) -> None:
    """The first labels of people are often of one class."""

    class OneClass(FlatDigits):
        def draw_initial(self, generator: torch.Generator, may_be_all: bool = False) -> torch.Tensor:
            return (self.train_targets == 3).nonzero().squeeze(1)[:4]

    loop = ActiveLearningLoop(Margin(), query_size=20, num_rounds=1, run_dir=str(tmp_path / "run"))
    with pytest.warns(UserWarning, match="share the acquisition score"):
        loop.run(make_trainer(loop, Convergence()), LinearProbe(), OneClass(num_initial=4))
    first, second = timeless(tmp_path / "run")
    assert (first["train_acc"], first["converged"]) == ("1.0", "True")
    assert float(second["test_acc"]) > 0.2
