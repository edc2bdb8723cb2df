"""A run from Python writes the settings that `al-lightning fit --config` continues, or refuses by name."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn

from al_lightning import (
    BALD,
    ActiveLearningLoop,
    Classifier,
    Consistency,
    Convergence,
    CoreSet,
    DropoutMLP,
    FileOracle,
    InputError,
    MixMatch,
    MonteCarloMLP,
    loop as loop_module,
    strategies,
)
from al_lightning.cli import main
from al_lightning.cli.parser import KNOWN_CLASSES
from al_lightning.fitting.old_form import describe_in_old_form
from al_lightning.fitting.settings_of_objects import describe
from al_lightning.run_folder.fingerprint.arguments import arguments_of, import_path
from al_lightning.run_folder.settings import ONLY_IN_PYTHON
from al_lightning.strategies import QueryStrategy
from tests.digits import DigitsMLP, FlatDigits
from tests.helpers import make_strategy

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Network(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10))


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


class Forgetful(strategies.Random):
    def __init__(self, size: int = 3) -> None:
        self.doubled = size * 2


def trainer_of(*callbacks: L.Callback, **options: Any) -> L.Trainer:
    return L.Trainer(**{"max_epochs": 3, "callbacks": list(callbacks), "accelerator": "cpu", **QUIET, **options})


def run_in_python(
    path: Path, num_rounds: int, model: L.LightningModule, strategy: QueryStrategy | None = None, **options: Any
) -> None:
    torch.set_num_threads(1)
    loop = ActiveLearningLoop(strategy or BALD(5), query_size=10, num_rounds=num_rounds, run_dir=str(path), seed=3)
    loop.run(trainer_of(Convergence(), **options), model, FlatDigits(num_initial=30))


def bits(path: Path) -> tuple[list[dict[str, str]], bytes]:
    with (path / "rounds.csv").open() as file:
        rounds = [{key: value for key, value in row.items() if "seconds" not in key} for row in csv.DictReader(file)]
    return rounds, (path / "queries.csv").read_bytes()


MODELS: dict[str, Callable[[], L.LightningModule]] = {
    "default": lambda: DigitsMLP(),
    "another optimizer": lambda: DropoutMLP(64, optimizer=partial(torch.optim.SGD, lr=0.05)),
    "more arguments": lambda: MixMatch(64, augmentation=Scaled(0.5), min_updates_per_epoch=2, ramp_updates=4),
    "network": lambda: Classifier(Network(), feature_layer="4"),
}


@pytest.mark.parametrize("name", MODELS)
def test_fit_continues_a_run_from_python_to_the_same_bits(tmp_path: Path, name: str) -> None:
    options = {"gradient_clip_val": 1.0} if name == "network" else {}
    run_in_python(tmp_path / "whole", 2, MODELS[name](), **options)
    run_in_python(tmp_path / "begun", 1, MODELS[name](), **options)
    main(["fit", "--config", str(tmp_path / "begun" / "config.yaml"), "--loop.num_rounds", "2"])
    assert bits(tmp_path / "begun") == bits(tmp_path / "whole")
    assert len(bits(tmp_path / "begun")[0]) == 3


def test_a_run_goes_on_from_python_after_the_command_line(tmp_path: Path) -> None:
    run_in_python(tmp_path / "begun", 0, DigitsMLP())
    main(["fit", "--config", str(tmp_path / "begun" / "config.yaml"), "--loop.num_rounds", "1"])
    run_in_python(tmp_path / "begun", 2, DigitsMLP())
    run_in_python(tmp_path / "whole", 2, DigitsMLP())
    assert bits(tmp_path / "begun") == bits(tmp_path / "whole")


def test_test_and_predict_take_a_config_from_python(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run_in_python(tmp_path / "run", 0, DigitsMLP())
    for command in ("test", "predict"):
        words = [command, "--config", str(tmp_path / "run" / "config.yaml")]
        main([*words, "--ckpt_path", str(tmp_path / "run" / "model.ckpt")])
    out, err = capsys.readouterr()
    assert bits(tmp_path / "run")[0][0]["test_acc"][:8] in out
    assert "Note" not in err
    assert (tmp_path / "run" / "predictions.csv").is_file()


def test_an_object_that_only_python_has_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def model() -> DropoutMLP:
        return DropoutMLP(64, optimizer=lambda params: torch.optim.Adam(params, lr=0.01))

    run_in_python(tmp_path / "begun", 1, model())
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(tmp_path / "begun" / "config.yaml")])
    assert stop.value.code == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith("al-lightning: error: Expected `model.optimizer` in ")
    assert sentence.count("\n") == 1
    run_in_python(tmp_path / "begun", 2, model())
    run_in_python(tmp_path / "whole", 2, model())
    assert bits(tmp_path / "begun") == bits(tmp_path / "whole")


def test_a_run_in_the_form_of_earlier_versions_goes_on_from_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(loop_module, "describe", describe_in_old_form)
        run_in_python(tmp_path / "begun", 1, DigitsMLP())
    config = yaml.safe_load((tmp_path / "begun" / "config.yaml").read_text())
    assert "optimizer" in config
    assert isinstance(config["convergence"], list)
    with pytest.raises(InputError, match=r"`model.dropout` \(0\.5 there, 0\.1 here\)"):
        run_in_python(tmp_path / "begun", 2, DigitsMLP(dropout=0.1))
    run_in_python(tmp_path / "begun", 2, DigitsMLP())
    run_in_python(tmp_path / "whole", 2, DigitsMLP())
    assert bits(tmp_path / "begun") == bits(tmp_path / "whole")


def described(trainer: L.Trainer) -> dict[str, Any]:
    return describe(0, {"strategy": BALD(), "oracle": None}, trainer, DigitsMLP(), FlatDigits(num_initial=30))


def test_a_stopping_rule_that_no_config_has_is_a_text() -> None:
    told = described(trainer_of(Convergence("train_loss", 0.1, "min")))["convergence"]
    assert told == {
        "monitor": "train_loss",
        "stopping_threshold": 0.1,
        "mode": "min",
        "patience": 10**6,
        "min_delta": 0.0,
    }
    for callbacks in ([EarlyStopping("train_loss")], [Convergence(), EarlyStopping("train_loss")], []):
        assert described(trainer_of(*callbacks))["convergence"].startswith(ONLY_IN_PYTHON)


def test_the_trainer_is_described_as_its_arguments() -> None:
    trainer = described(trainer_of(Convergence(), num_sanity_val_steps=-1, gradient_clip_algorithm="value"))["trainer"]
    assert trainer["num_sanity_val_steps"] == -1
    assert trainer["gradient_clip_algorithm"] == "value"
    assert trainer["accelerator"] == "cpu"
    assert trainer["callbacks"] is None
    assert trainer.keys() <= set(L.Trainer.__init__.__wrapped__.__annotations__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", KNOWN_CLASSES["loop.strategy"])
def test_all_strategies_keep_their_arguments(name: str) -> None:
    arguments = arguments_of(make_strategy(name))
    assert not any(ONLY_IN_PYTHON in str(value) for value in arguments.values())


def test_arguments_are_written_as_a_config_has_them() -> None:
    assert arguments_of(CoreSet("inputs", trim=0.1)) == {"features": "inputs", "trim": 0.1, "outliers": False}
    shift = {"class_path": "al_lightning.RandomShift", "init_args": {"max_shift": 1, "mirror": 0.0}}
    assert arguments_of(Consistency()) == {"num_augmentations": 50, "augmentation": shift}
    assert arguments_of(FileOracle("x/{path}")) == {"image_url": "x/{path}"}
    sizes = {"input_dim": 64, "hidden_dim": 256, "num_classes": 10, "dropout": 0.5, "fused": "auto"}
    assert arguments_of(MonteCarloMLP(input_dim=64)) == {"test_samples": 20, **sizes}
    sgd = arguments_of(DropoutMLP(64, optimizer=torch.optim.SGD))["optimizer"]  # type: ignore[arg-type]
    assert sgd["class_path"] == "torch.optim.SGD"
    assert sgd["init_args"]["momentum"] == 0


def test_what_a_config_cannot_say_is_a_text() -> None:
    unsaid = {
        "network": Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 10))),
        "optimizer": DropoutMLP(optimizer=lambda params: torch.optim.SGD(params, lr=1)),
    }
    for name, model in unsaid.items():
        assert arguments_of(model)[name].startswith(ONLY_IN_PYTHON)
    assert arguments_of(Forgetful()) == {"size": f"{ONLY_IN_PYTHON}Forgetful does not keep this argument"}


def test_import_paths_are_those_that_import(tmp_path: Path) -> None:
    assert import_path(torch.optim.Adam) == "torch.optim.Adam"
    assert import_path(Network) == f"{__name__}.Network"
    assert import_path(lambda: None) is import_path(type("Local", (), {})) is import_path(np.int64(1)) is None
