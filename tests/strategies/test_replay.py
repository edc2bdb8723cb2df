"""Replay: another run buys the same labels, and is refused where it could not."""

import csv
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from torch import nn

from al_lightning import (
    ActiveLearningLoop,
    Classifier,
    Convergence,
    InputError,
    Margin,
    QueryStrategy,
    Random,
    Replay,
    Switch,
)
from al_lightning.data import Arrays
from al_lightning.inference import Known
from al_lightning.run_folder import SKIPPED, Query
from al_lightning.run_folder.tables import QUERIES, to_csv
from al_lightning.strategies.replay import positions_of, read_bought
from tests.digits import DigitsMLP, FlatDigits
from tests.helpers import generator, make_pool


def run(
    folder: Path,
    strategy: QueryStrategy,
    model: L.LightningModule | None = None,
    data: FlatDigits | None = None,
    query_size: int = 20,
    num_rounds: int = 2,
    seed: int = 0,
) -> list[dict[str, str]]:
    """Runs, and returns the rows of queries.csv."""
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[Convergence()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loop = ActiveLearningLoop(strategy, query_size, num_rounds, run_dir=str(folder), seed=seed)
    loop.run(trainer, DigitsMLP() if model is None else model, FlatDigits(num_initial=50) if data is None else data)
    with (folder / QUERIES).open() as file:
        return list(csv.DictReader(file))


def indices(rows: list[dict[str, str]]) -> list[int]:
    return [int(row["index"]) for row in rows]


@pytest.fixture(scope="module")
def margin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("margin")
    run(folder, Margin())
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / QUERIES).open() as file:
        return list(csv.DictReader(file))


# ------------------------------------------------------------------------------------------------------------ the runs


@pytest.mark.parametrize("is_file", [False, True], ids=["a folder", "a table"])
def test_the_same_model_buys_the_same_in_the_same_order(margin: Path, tmp_path: Path, is_file: bool) -> None:
    replayed = run(tmp_path, Replay(str(margin / QUERIES if is_file else margin)))
    columns = ("round", "order", "index", "label", "predicted", "confidence")
    assert [[row[name] for name in columns] for row in replayed] == [
        [row[name] for name in columns] for row in rows_of(margin)
    ]


def test_another_model_learns_from_the_same_labels(margin: Path, tmp_path: Path) -> None:
    network = Classifier(nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)))
    replayed = run(tmp_path, Replay(str(margin)), network)
    assert indices(replayed) == indices(rows_of(margin))
    assert [row["label"] for row in replayed] == [row["label"] for row in rows_of(margin)]


def test_queries_may_have_another_size(margin: Path, tmp_path: Path) -> None:
    replayed = run(tmp_path, Replay(str(margin)), query_size=15)
    assert indices(replayed) == indices(rows_of(margin))[:80]


def test_an_interrupted_replay_goes_on(margin: Path, tmp_path: Path) -> None:
    run(tmp_path, Replay(str(margin)), num_rounds=1)
    assert indices(run(tmp_path, Replay(str(margin)))) == indices(rows_of(margin))


def test_a_replay_may_be_the_first_of_two(margin: Path, tmp_path: Path) -> None:
    rows = run(tmp_path, Switch(Replay(str(margin)), Random(), at_labels=90), num_rounds=3)
    assert indices(rows)[:90] == indices(rows_of(margin))
    assert len(set(indices(rows))) == 110


# ----------------------------------------------------------------------------------------------------------- refusals


class OtherDigits(FlatDigits):
    def load(self) -> Arrays:
        arrays = super().load()
        return arrays._replace(train_targets=arrays.train_targets.flip(0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_rounds": 3}, "to have bought 60 more samples, for Replay, but it has 40"),
        ({"seed": 1}, r"Expected the initial set of the run in .* of its 50 samples are not labeled here, and \d+"),
        ({"data": FlatDigits(num_initial=40)}, "but 10 of its 50 samples are not labeled here, and 0 others are"),
        ({"data": FlatDigits(num_initial=60)}, "but 0 of its 50 samples are not labeled here, and 10 others are"),
        ({"data": OtherDigits(num_initial=50)}, r"data of the run in .*, but \d+ of 50 samples .* another class here"),
    ],
    ids=["too few", "another seed", "fewer", "more", "other data"],
)
def test_what_cannot_be_replayed_is_refused_before_the_first_fit(
    margin: Path, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path / "run", Replay(str(margin)), **arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["nowhere", "empty", "file.txt", "nowhere/queries.csv"])
def test_no_such_run_is_refused_before_the_first_fit(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"`run` of Replay to be a run folder or its queries.csv, but there is none"):
        run(tmp_path / "run", Replay(str(tmp_path / name)))
    assert not (tmp_path / "run").exists()


def test_a_pool_without_indices_is_refused(margin: Path) -> None:
    with pytest.raises(InputError, match="indices of all samples"):
        Replay(str(margin)).query(make_pool(), 5, generator())


def test_too_few_are_refused_when_queried(margin: Path) -> None:
    rows = rows_of(margin)
    initial = torch.tensor(indices(rows)[:50])
    labels = torch.tensor([int(row["label"]) for row in rows])[:50]
    rest = torch.tensor([i for i in range(400) if i not in set(initial.tolist())])
    known = Known(labels, rest, initial)
    left = int(torch.isin(rest, torch.tensor(indices(rows)[50:])).sum())
    pool = make_pool(known=known, inputs=torch.zeros(len(rest), 64), labeled=torch.zeros(50, 64))
    with pytest.raises(InputError, match=f"to have bought 100 more samples, for Replay, but it has {left}"):
        Replay(str(margin)).query(pool, 100, generator())


# ---------------------------------------------------------------------------------------------------------- the ledger


def test_skipped_samples_are_left_out(tmp_path: Path) -> None:
    """Their labels were never bought: no fit trained on them."""
    rows = [Query(0, 0, 7, 1), Query(0, 1, 3, SKIPPED), Query(1, 0, 9, SKIPPED), Query(1, 1, 2, 0), Query(2, 0, 5, 4)]
    (tmp_path / QUERIES).write_text(to_csv(QUERIES, rows))
    bought = read_bought(tmp_path)
    assert bought.initial.tolist() == [7]
    assert bought.initial_labels.tolist() == [1]
    assert bought.queried.tolist() == [2, 5]
    known = Known(torch.tensor([1]), torch.tensor([9, 5, 3, 2]), torch.tensor([7]))
    pool = make_pool(known=known, inputs=torch.zeros(4, 64), labeled=torch.zeros(1, 64))
    assert Replay(str(tmp_path)).query(pool, 2, generator()).tolist() == [3, 1]
    assert pool.seconds == 0  # never looks at the model


def test_a_run_without_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / QUERIES).write_text(to_csv(QUERIES, [Query(0, 0, 3, SKIPPED)]))
    with pytest.raises(InputError, match="a run with labels"):
        read_bought(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "values", "expected"),
    [([3, 1], [1, 2, 3], [2, 0]), ([9, 2], [2, 5], [0]), ([1], [], []), ([], [4], []), ([5, 4], [9, 4, 5], [2, 1])],
)
def test_positions_are_in_the_order_wanted(wanted: list[int], values: list[int], expected: list[int]) -> None:
    found = positions_of(torch.tensor(wanted, dtype=torch.int64), torch.tensor(values, dtype=torch.int64))
    assert found.tolist() == expected
