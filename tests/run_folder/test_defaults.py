"""A setting that a config lacks counts as the default of its class today."""

import sys
from pathlib import Path
from typing import Any

import pytest

from al_lightning.errors import InputError
from al_lightning.run_folder import Query, Round, RunFolder, comparable_settings, differing
from al_lightning.run_folder.defaults import GROUPS, defaults_of, with_defaults


class Old:
    def __init__(self, a: int = 1) -> None:
        self.a = a


class New(Old):
    """Has one more argument than before."""

    def __init__(self, b: tuple[float, float] = (0.5, 1.0), **kwargs: int) -> None:
        super().__init__(**kwargs)
        self.b = b


def of(cls: type, **init_args: Any) -> dict[str, Any]:
    part = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": init_args}
    return {"seed_everything": 0, "loop": {"strategy": part, "num_rounds": 1}}


def names(stored: dict[str, Any], given: dict[str, Any]) -> list[str]:
    return list(differing(comparable_settings(stored), comparable_settings(given)))


def test_a_new_argument_counts_as_its_default() -> None:
    assert names(of(New, a=1), of(New, a=1, b=[0.5, 1.0])) == []
    assert names(of(New, a=1, b=[0.5, 1.0]), of(New)) == []
    assert names(of(New, a=1), of(New, a=1, b=[0.5, 2.0])) == ["loop.strategy.b"]
    assert names(of(New), of(New, a=2)) == ["loop.strategy.a"]


def test_what_is_no_argument_with_a_default_differs() -> None:
    assert names(of(New), of(New, other=None)) == []  # a missing value and None are the same
    assert names(of(New), of(New, other=1)) == ["loop.strategy.other"]
    assert names(of(Old), of(New, b=[0.5, 1.0])) == ["loop.strategy", "loop.strategy.b"]


def test_arguments_of_the_loop_the_trainer_and_the_stopping_rule_have_defaults() -> None:
    old = {"loop": {"query_size": 100}, "trainer": {"max_steps": -1}, "convergence": {"monitor": "auto"}}
    new = {
        "loop": {"query_size": 100, "reinit": "scratch", "oracle": None},
        "trainer": {"max_steps": -1, "model_registry": None, "inference_mode": True},
        "convergence": {"monitor": "auto", "patience": "auto"},
    }
    assert names(old, new) == names(new, old) == []
    new["loop"]["reinit"] = "warm"  # type: ignore[index]
    assert names(old, new) == ["loop.reinit"]


def test_an_argument_that_is_a_class_has_a_default_as_a_whole() -> None:
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.0003, "fused": True}}
    with_optimizer = {"model": {"class_path": "al_lightning.DropoutMLP", "init_args": {"optimizer": adam}}}
    without = {"model": {"class_path": "al_lightning.models.dropout_mlp.DropoutMLP", "init_args": {"dropout": 0.5}}}
    assert names(without, with_optimizer) == []
    adam["init_args"]["lr"] = 0.001  # type: ignore[index]
    assert names(without, with_optimizer) == ["model.optimizer.lr"]


def test_an_oracle_that_answers_at_once_is_none() -> None:
    for path in ("al_lightning.SimulatedOracle", "al_lightning.oracles.SimulatedOracle"):
        assert names({"loop": {"oracle": path}}, {"loop": {"oracle": None}}) == []
    assert names({"loop": {"oracle": "al_lightning.FileOracle"}}, {"loop": {"oracle": None}}) == ["loop.oracle"]


def test_the_groups_are_classes() -> None:
    assert all(defaults_of(path) for path in GROUPS.values())
    assert defaults_of("al_lightning.Nothing") == defaults_of("nothing.Nothing") == defaults_of("Nothing") == {}


def test_nothing_is_imported_where_the_names_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonargparse", None)  # an import would fail
    settings = {"model": "my.Model", "model.width": 3}
    assert with_defaults(settings, settings | {"model.width": 4}) == settings
    assert with_defaults(settings, {"model": "other.Model", "model.depth": 1}) == settings
    with pytest.raises(ImportError):
        with_defaults(settings, settings | {"model.depth": 1})


def test_a_run_goes_on_when_its_strategy_has_a_new_argument(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, of(New, a=1))
    row = Round(0, 1, 0.5, 1.0, 0.5, 0.1, 0.9, 3, True, 0.0, 0.0, 0.0, 0.0)
    folder.commit(rounds=[row], queries=[Query(0, 0, 5, 1)])
    folder.close()
    with pytest.raises(InputError, match=r"differ: `loop.strategy.b` \(\[0\.5, 1\.0\] there, \[0\.5, 3\.0\] here"):
        RunFolder.open(tmp_path, of(New, a=1, b=[0.5, 3.0]))
    again = RunFolder.open(tmp_path, of(New, a=1, b=[0.5, 1.0]))
    again.close()
    assert again.rounds == [row]
