"""Every config runs through the command line, on the real data."""

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from al_lightning import DropoutMLP, strategies
from al_lightning.cli import main
from al_lightning.cli.parser import KNOWN_CLASSES
from al_lightning.sweep.plan import Arm, read_plan
from al_lightning.sweep.settings_of_arms import check

STUDY, ROUND_0 = Path("configs/study.yaml"), Path("configs/round0.yaml")
PLANTED, WHY_CORE_SET = Path("configs/planted.yaml"), Path("configs/core_set_why.yaml")
LOW_BUDGET, STARTS = Path("configs/low_budget.yaml"), Path("configs/low_budget_starts.yaml")  # parsed by test_docs.py
STUDIES = (STUDY, PLANTED, WHY_CORE_SET)
DIGITS = Path("configs/digits.yaml")  # a demonstration on other data: see test_own_data.py
FEATURES = Path("configs/features.yaml")  # needs a file of features: see cli/test_people.py
PRETRAINING = Path("configs/simclr.yaml")  # of another command: see cli/test_pretrain.py
CONFIGS = sorted(
    path
    for path in Path("configs").glob("*.yaml")
    if path not in (*STUDIES, ROUND_0, LOW_BUDGET, STARTS, DIGITS, FEATURES, PRETRAINING)
)
STRATEGY_CONFIGS = [path for path in CONFIGS if path.stem != "trainer"]
STUDIED = {
    "badge",
    "bald",
    "consistency_supervised",
    "core_set",
    "csal",
    "entropy",
    "least_confidence",
    "margin",
    "margin_mixmatch",
    "random",
    "random_mixmatch",
}
"""The configs of the published study. Later strategies have no arm in it."""


# what takes long on 60,000 images
FEWER: dict[type, int] = {strategies.BatchBALD: 10}
SMALLER: dict[type, dict[str, object]] = {
    strategies.Consistency: {"--loop.strategy.num_augmentations": 5},
    strategies.TypiClust: {"--loop.strategy.max_clusters": 50},
    strategies.BatchBALD: {"--loop.strategy.num_samples": 10, "--loop.strategy.num_configurations": 20},
    strategies.ProbCover: {"--loop.strategy.radius": 0.05},
    strategies.MaxHerding: {"--loop.strategy.reference_size": 2000},
    strategies.UHerding: {"--loop.strategy.reference_size": 2000},
}


@pytest.mark.parametrize("config", [path for path in CONFIGS if path.stem != "replay"], ids=lambda path: path.stem)
def test_a_config_runs(config: Path, tmp_path: Path) -> None:
    strategy = _strategy(config)
    size = FEWER.get(strategy, 100)
    flags = ["--loop.query_size", str(size)] if strategy in FEWER else []
    flags += [word for argument, value in SMALLER.get(strategy, {}).items() for word in (argument, str(value))]
    flags += ["--loop.num_rounds", "1", "--trainer.max_epochs", "3", "--loop.run_dir", str(tmp_path)]
    main(["fit", "--config", str(config), *flags])
    with (tmp_path / "rounds.csv").open() as file:
        rounds = list(csv.DictReader(file))
    assert [row["num_labeled"] for row in rounds] == ["500", str(500 + size)]
    assert all(float(row["test_acc"]) > 0.6 for row in rounds)
    with (tmp_path / "queries.csv").open() as file:
        queries = list(csv.DictReader(file))
    assert len({q["index"] for q in queries}) == 500 + size
    scored = issubclass(strategy, strategies.ScoreStrategy | strategies.Stochastic)
    assert all(bool(q["score"]) == scored for q in queries[500:])


def with_checkpoint(arm: Arm, folder: Path) -> Arm:
    """The arm with a checkpoint that there is, in place of the one that its config tells how to make."""
    path = folder / "model.ckpt"
    torch.save({"state_dict": DropoutMLP().state_dict()}, path)
    return replace(arm, flags=tuple(str(path) if word == "runs/all_labels/model.ckpt" else word for word in arm.flags))


@pytest.fixture(scope="module")
def all_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, dict[str, dict]]:
    """For each study the settings of its arms by name: all arms parse, in one process for all studies."""
    folder = tmp_path_factory.mktemp("checkpoint")
    arms = {path: [with_checkpoint(arm, folder) for arm in read_plan(["--config", str(path)]).arms] for path in STUDIES}
    settings = check([replace(arm, name=f"{path}:{arm.name}") for path in STUDIES for arm in arms[path]])
    return {path: {arm.name: settings[f"{path}:{arm.name}"] for arm in arms[path]} for path in STUDIES}


def test_the_study_has_the_arms_that_were_published(all_settings: dict[Path, dict[str, dict]]) -> None:
    settings = all_settings[STUDY]
    assert {name for name in settings if "_dropout" not in name} == STUDIED
    assert {path.stem for path in STRATEGY_CONFIGS} > STUDIED
    for name in settings:
        query, _, suffix = name.partition("_dropout")
        assert settings[name]["loop"] == settings[query]["loop"], name
        assert settings[name]["model"]["init_args"]["dropout"] == (0.0 if suffix else 0.5), name


def test_the_arms_of_low_budgets_are_of_one_protocol() -> None:
    """A chosen start adds one flag to the arm of its strategy."""
    low_budget, starts = (read_plan(["--config", str(path)]).arms for path in (LOW_BUDGET, STARTS))
    flags = {arm.name: list(arm.flags) for arm in (*low_budget, *starts)}
    assert len(flags) == len(low_budget) + len(starts)
    for name, found in flags.items():
        strategy, _, start = name.partition("_from_")
        assert found == flags[strategy] + (["--data.initial", start] if start else [])


def test_the_factorial_of_round_0_is_complete() -> None:
    """Six lengths of training; without dropout there is one way to test, with 0.25 and 0.5 there are three.

    Inputs of two other scales have three cells for each length.
    """
    names = ("--trainer.max_epochs", "--model.dropout", "--model.test_samples", "--data.scaling")
    arms = [
        dict(zip(arm.flags[::2], arm.flags[1::2], strict=True)) for arm in read_plan(["--config", str(ROUND_0)]).arms
    ]
    assert len(arms) == 6 * (1 + 2 * 3) + 6 * 2 * 3
    assert len({tuple(flags.get(name) for name in names) for flags in arms}) == len(arms)
    assert all(flags["--loop.num_rounds"] == "0" for flags in arms)


def test_the_planted_pools_are_those_of_one_protocol(all_settings: dict[Path, dict[str, dict]]) -> None:
    settings = all_settings[PLANTED]
    assert {s["data"]["class_path"] for s in settings.values()} == {"al_lightning.PlantedFashionMNIST"}
    assert {s["loop"]["strategy"]["class_path"].split(".")[-1] for s in settings.values()} >= {"BALD", "Entropy"}


def test_the_arms_that_explain_core_set_differ_from_it_in_one_thing_each(
    all_settings: dict[Path, dict[str, dict]],
) -> None:
    strategies = {name: s["loop"]["strategy"]["init_args"] for name, s in all_settings[WHY_CORE_SET].items()}
    usual = {"features": "penultimate", "trim": 0.0, "outliers": True}
    network = strategies["core_set_oracle"]["features"]
    assert network["class_path"] == "al_lightning.PretrainedMLP"
    assert Path(network["init_args"]["checkpoint"]).name == "model.ckpt"
    assert strategies == {
        "core_set_outliers": usual,
        "core_set_inputs": usual | {"features": "inputs"},
        "core_set_oracle": usual | {"features": network},
        "core_set_trimmed": usual | {"trim": 0.01},
    }


# the others are no more than a config
ARMS = [arm for arm in read_plan(["--config", str(STUDY)]).arms if "--model.dropout" in arm.flags]
ARMS += [arm for arm in read_plan(["--config", str(ROUND_0)]).arms if arm.name == "epochs1_dropout50_test20"]
ARMS += [arm for arm in read_plan(["--config", str(PLANTED)]).arms if arm.name == "bald"]
ARMS += read_plan(["--config", str(WHY_CORE_SET)]).arms


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_an_arm_of_the_study_runs(arm: Arm, tmp_path: Path) -> None:
    flags = with_checkpoint(arm, tmp_path).flags
    main(
        ["fit", *flags, "--loop.num_rounds", "1", "--trainer.max_epochs", "1", "--loop.run_dir", str(tmp_path / "run")]
    )
    assert (tmp_path / "run" / "rounds.csv").read_text().count("\n") == 3


def _strategy(config: Path) -> type:
    settings = yaml.safe_load(config.read_text())
    return getattr(strategies, settings["loop"].get("strategy", {"class_path": "Random"})["class_path"])


def test_every_strategy_has_a_config_of_its_name() -> None:
    configs = {name: [path.stem for path in STRATEGY_CONFIGS if _strategy(path).__name__ == name] for name in _names()}
    for name, stems in configs.items():
        snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        assert (f"{snake_case}_supervised" if name == "Consistency" else snake_case) in stems


def _names() -> list[str]:
    return KNOWN_CLASSES["loop.strategy"]


def test_csal_and_its_controls_differ_in_one_thing_each() -> None:
    """Two by two: how it is trained, and what is queried."""
    csal, random, margin = (
        yaml.safe_load(Path(f"configs/{name}.yaml").read_text())
        for name in ("csal", "random_mixmatch", "margin_mixmatch")
    )
    queries = [config.pop("loop")["strategy"]["class_path"] for config in (csal, random, margin)]
    assert queries == ["Consistency", "Random", "Margin"]
    assert csal == random == margin
    supervised = yaml.safe_load(Path("configs/consistency_supervised.yaml").read_text())
    assert supervised.keys() == {"loop"}


def test_the_protocol_config_states_the_defaults(capsys: pytest.CaptureFixture) -> None:
    printed = []
    for flags in ([], ["--config", "configs/trainer.yaml"]):
        with pytest.raises(SystemExit):
            main(["fit", *flags, "--print_config"])
        printed.append(capsys.readouterr().out)
    # short class names are resolved differently from full ones
    defaults, stated = map(yaml.safe_load, printed)
    rule = {"monitor": "train_acc", "mode": "max", "stopping_threshold": 0.99, "patience": 1_000_000, "min_delta": 0.0}
    assert stated.pop("convergence") == rule  # which `auto` is for the network of the protocol
    assert set(defaults.pop("convergence").values()) <= {"auto", 0.0}
    assert stated == defaults


def test_configs_are_short() -> None:
    assert all(4 <= len(path.read_text().splitlines()) <= 12 for path in STRATEGY_CONFIGS)
