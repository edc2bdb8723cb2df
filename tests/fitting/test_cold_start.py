"""A cold start: a strategy chooses the initial set from features alone, the same for all arms of a seed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from al_lightning import BADGE, ActiveLearningLoop, DatasetPool, Entropy, InputError, LinearProbe, Margin, Random
from al_lightning.data.features_file import FeaturesFile, Part, write_features
from al_lightning.fitting.cold_start import cold_start, first_strategy
from al_lightning.inference import PoolPredictor
from al_lightning.random_streams import stream
from al_lightning.strategies import CoreSet, KMeans, QueryStrategy
from al_lightning.strategies.core_set import k_center_greedy
from al_lightning.strategies.kmeans import kmeans_query
from tests.digits import DigitsMLP, FlatDigits
from tests.helpers import digits
from tests.test_loop import make_trainer, rows, timeless


class FirstRows(QueryStrategy):
    """An own strategy: it takes the first samples, and notes what it saw."""

    needs_predictions = False
    seen: list[PoolPredictor] = []

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        FirstRows.seen.append(pool)
        return torch.arange(query_size)


class Twice(FirstRows):
    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(query_size, dtype=torch.int64)


def chosen(data: FlatDigits, model: DigitsMLP | None = None, seed: int = 0, query_size: int = 7) -> Tensor:
    with cold_start(data, model or DigitsMLP(), make_trainer(), query_size):
        return data.draw_initial(stream(seed, "initial"))


def run_arm(path: Path, strategy: QueryStrategy, data: FlatDigits, seed: int = 0, query_size: int = 10) -> list[int]:
    """Runs a round and returns the indices of the initial set."""
    loop = ActiveLearningLoop(strategy, query_size=query_size, num_rounds=1, run_dir=str(path), seed=seed)
    loop.run(make_trainer(loop), LinearProbe(), data)
    return [int(row["index"]) for row in rows(path, "queries.csv") if row["round"] == "0"]


# ----------------------------------------------------------------------------------------------------------- the choice


def test_the_initial_set_is_the_query_of_the_strategy_on_all_inputs() -> None:
    inputs = digits().train_inputs
    expected = kmeans_query(inputs, 20, stream(3, "initial"))
    assert chosen(FlatDigits(20, "kmeans"), seed=3).equal(expected)
    assert chosen(FlatDigits(20, "CoreSet"), seed=3).equal(k_center_greedy(inputs, torch.empty(0, 64), 20))
    assert len(chosen(FlatDigits(20, "typiclust")).unique()) == 20


def test_the_strategy_sees_features_and_neither_classes_nor_predictions() -> None:
    FirstRows.seen.clear()
    path = "tests.fitting.test_cold_start.FirstRows"
    assert chosen(FlatDigits(5, path)).tolist() == [0, 1, 2, 3, 4]
    (pool,) = FirstRows.seen
    assert pool.embeddings().equal(digits().train_inputs)
    assert (pool.num_labeled, len(pool)) == (0, 1400)
    assert len(pool.labeled_targets) == 0
    assert pool.known.test_blocks is None
    assert pool.map(lambda batch: batch.probs).unique().tolist() == pytest.approx([0.1])


def test_classes_of_the_samples_do_not_matter() -> None:
    class Relabeled(FlatDigits):
        def load(self):
            arrays = super().load()
            return arrays._replace(train_targets=arrays.train_targets.flip(0))

    assert chosen(Relabeled(20, "typiclust")).equal(chosen(FlatDigits(20, "typiclust")))


def test_images_are_flattened_and_samples_that_left_are_not_chosen() -> None:
    images = digits().train_inputs.view(-1, 1, 8, 8)
    data = DatasetPool([(image, 0) for image in images[:50]], [(images[0], 1)], num_initial=5, initial="kmeans")
    flat = kmeans_query(images[:50].flatten(1), 5, stream(0, "initial"))
    assert chosen(data).equal(flat)
    data._there = torch.arange(50) != int(flat[0])
    there = data.indices_there
    assert chosen(data).equal(there[kmeans_query(images[:50].flatten(1)[there], 5, stream(0, "initial"))])


@pytest.mark.parametrize(("name", "kind"), [("kmeans", KMeans), ("core_set", CoreSet), ("KMeans", KMeans)])
def test_any_spelling_names_a_strategy(name: str, kind: type) -> None:
    assert type(first_strategy(name)) is kind


# --------------------------------------------------------------------------------------------------------- the features


def test_the_features_of_a_model_are_those_before_its_first_fit() -> None:
    torch.manual_seed(0)
    model = DigitsMLP()
    with pytest.warns(UserWarning, match="the features of DigitsMLP before its first fit, and its weights are random"):
        found = chosen(FlatDigits(20, "kmeans", initial_features="model"), model)
    with torch.no_grad():
        expected = kmeans_query(model.embed(digits().train_inputs), 20, stream(0, "initial"))
    assert found.equal(expected)


def test_the_features_of_a_probe_are_the_inputs_and_no_reason_to_warn(recwarn: pytest.WarningsRecorder) -> None:
    model = LinearProbe(64, 10)
    assert chosen(FlatDigits(20, "kmeans", initial_features="model"), model).equal(chosen(FlatDigits(20, "kmeans")))
    assert not [one for one in recwarn if "random" in str(one.message)]


@pytest.mark.parametrize("form", ["npy", "npz", "named npz", "features"])
def test_a_file_has_a_row_for_each_sample(tmp_path: Path, form: str) -> None:
    features = np.random.default_rng(0).normal(size=(1400, 6)).astype(np.float32)
    path = tmp_path / ("rows.npy" if form == "npy" else "rows.npz")
    if form == "npy":
        np.save(path, features)
    elif form == "npz":
        np.savez(path, features)
    elif form == "named npz":
        np.savez(path, features=features, targets=np.zeros(1400))
    else:
        write_features(path, FeaturesFile(Part(features, np.zeros(1400, dtype=np.int64))))
    found = chosen(FlatDigits(10, "kmeans", initial_features=str(path)))
    assert found.equal(kmeans_query(features, 10, stream(0, "initial")))


def test_rows_of_named_files_are_found_by_name(tmp_path: Path) -> None:
    class Named(FlatDigits):
        def file_of(self, index: int) -> str:
            return f"{index:04}.png"

    features = np.random.default_rng(0).normal(size=(1401, 6)).astype(np.float32)
    order = np.random.default_rng(1).permutation(1401)
    names = [f"{index:04}.png" for index in order]
    path = tmp_path / "rows.npz"
    write_features(path, FeaturesFile(Part(features[order], np.zeros(1401, dtype=np.int64), files=names)))
    found = chosen(Named(10, "kmeans", initial_features=str(path)))
    assert found.equal(kmeans_query(features[:1400], 10, stream(0, "initial")))
    lacking = [name for name in names if name not in ("0003.png", "0009.png")]
    few = Part(features[: len(lacking)], np.zeros(len(lacking), dtype=np.int64), files=lacking)
    write_features(path, FeaturesFile(few))
    with pytest.raises(InputError, match="all 1400 training samples, but it has none of 0003.png and 1 more"):
        chosen(Named(10, "kmeans", initial_features=str(path)))


# ----------------------------------------------------------------------------------------------------------------- runs


def test_arms_of_a_seed_share_the_initial_set_whatever_their_strategy_and_query(tmp_path: Path) -> None:
    arms = {
        "margin": run_arm(tmp_path / "margin", Margin(), FlatDigits(15, "typiclust")),
        "badge": run_arm(tmp_path / "badge", BADGE(), FlatDigits(15, "typiclust"), query_size=4),
        "other": run_arm(tmp_path / "other", Random(), FlatDigits(15, "typiclust"), seed=1),
    }
    assert arms["margin"] == arms["badge"]
    assert len(set(arms["margin"])) == 15
    assert arms["margin"] != arms["other"]
    # the first round trains on the same labels to the same bits
    first = [timeless(tmp_path / name)[0] for name in ("margin", "badge")]
    assert first[0] == first[1]


def test_without_a_number_the_initial_set_is_a_query(tmp_path: Path) -> None:
    for initial in ("random", "balanced", "kmeans"):
        found = run_arm(tmp_path / initial, Margin(), FlatDigits(0, initial), query_size=12)
        assert [row["num_labeled"] for row in rows(tmp_path / initial)] == ["12", "24"]
        assert len(found) == 12
    assert run_arm(tmp_path / "twelve", Margin(), FlatDigits(12, "kmeans")) == found


def test_a_run_that_goes_on_does_not_choose_again(tmp_path: Path) -> None:
    """On another machine, k-means may choose others: the initial set is that of the run."""
    FirstRows.seen.clear()
    data = FlatDigits(5, "tests.fitting.test_cold_start.FirstRows")
    first = run_arm(tmp_path / "run", Margin(), data)
    loop = ActiveLearningLoop(Margin(), query_size=10, num_rounds=2, run_dir=str(tmp_path / "run"))
    loop.run(make_trainer(loop), LinearProbe(), FlatDigits(5, data.initial))
    assert len(FirstRows.seen) == 1
    assert [row["num_labeled"] for row in rows(tmp_path / "run")] == ["5", "15", "25"]
    whole = ActiveLearningLoop(Margin(), query_size=10, num_rounds=2, run_dir=str(tmp_path / "whole"))
    whole.run(make_trainer(whole), LinearProbe(), FlatDigits(5, data.initial))
    assert rows(tmp_path / "run", "queries.csv") == rows(tmp_path / "whole", "queries.csv")
    assert first == [0, 1, 2, 3, 4]


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial": "kmean"}, r"random, balanced or a strategy .*KMeans.*, but got `kmean`; did you mean KMeans\?"),
        ({"initial": "margin"}, "but Margin needs the predictions of a fitted model"),
        ({"initial": "QueryStrategy"}, "but got `QueryStrategy`"),
        ({"initial": "no_such_module.First"}, "dotted path of a strategy, but got `no_such_module.First`"),
        ({"initial": "pathlib.Path"}, "a subclass of QueryStrategy, but got `pathlib.Path`"),
        ({"initial": "tests.fitting.test_cold_start.Twice"}, "Twice.query to return 9 distinct positions from 0 to"),
        ({"num_initial": 1401}, "`data.num_initial` to be at most the training set size 1400, but got 1401"),
        ({"num_initial": 0}, "`loop.query_size` to be at most the training set size 1400, but got 5000"),
        ({"initial_features": "rows.txt"}, "inputs, model, or a file .npy or .npz, but got rows.txt"),
        ({"initial_features": "rows.npy"}, "but there is no rows.npy"),
    ],
)
def test_what_cannot_be_chosen_is_one_sentence(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen(FlatDigits(**{"num_initial": 9, "initial": "kmeans", **arguments}), query_size=5000)


def test_features_of_another_length_or_not_finite_are_refused(tmp_path: Path) -> None:
    for features, message in [
        (
            np.zeros((3, 2)),
            r"each of the 1400 training samples, but got float64 of shape \(3, 2\)",
        ),
        (np.full((1400, 2), np.nan), "finite features for `data.initial` kmeans"),
        (np.full((1400, 2), "a"), "a row of numbers for each"),
    ]:
        np.save(tmp_path / "rows.npy", features)
        with pytest.raises(InputError, match=message):
            chosen(FlatDigits(9, "kmeans", initial_features=str(tmp_path / "rows.npy")))


def test_features_without_a_strategy_are_refused() -> None:
    with pytest.raises(InputError, match="a strategy such as typiclust with `data.initial_features` model, but got"):
        FlatDigits(9, "random", initial_features="model")


def test_data_alone_do_not_choose() -> None:
    with pytest.raises(InputError, match="random or balanced without a loop, but got kmeans"):
        FlatDigits(9, "kmeans").draw_initial(torch.Generator())
    with pytest.raises(InputError, match="at least 1 without a loop, but got 0"):
        FlatDigits(0).draw_initial(torch.Generator())


def test_the_default_is_what_it_was(tmp_path: Path) -> None:
    expected = torch.randperm(1400, generator=stream(0, "initial"))[:11].tolist()
    assert run_arm(tmp_path / "run", Entropy(), FlatDigits(11)) == expected
