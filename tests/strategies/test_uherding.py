"""UHerding: MaxHerding with weights, whose bandwidth and temperature come from the labeled samples."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.models.logistic_regression import fit_logistic_regression
from al_lightning.strategies import UHerding, temperature as module
from al_lightning.strategies.max_herding import max_herding
from al_lightning.strategies.temperature import labeled_temperature, ridge_scores
from al_lightning.strategies.uherding import labeled_bandwidth, uherding_query
from tests.helpers import digits, generator, make_pool, pool_inputs, probs_one_by_one


def of_labeled(size: int = 100) -> tuple[Tensor, Tensor, Tensor]:
    """Features, classes and logits of labeled digits."""
    pool = make_pool()
    logits = pool.map_labeled(lambda batch: batch.logits)
    return pool.labeled_embeddings()[:size], pool.labeled_targets[:size], logits[:size]


def plain_greedy(values: Tensor, labeled: Tensor, weights: Tensor, query_size: int) -> list[int]:
    """Greedy picks by the value of the whole sum, with no short cut."""
    picks: list[int] = []
    for _ in range(query_size):
        sums = [
            -1.0 if i in picks else float((torch.cat([labeled, values[[*picks, i]]]).amax(dim=0) * weights).sum())
            for i in range(len(values))
        ]
        picks.append(sums.index(max(sums)))
    return picks


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), num_labeled=st.integers(0, 4), bandwidth=st.sampled_from([0.2, 0.7]))
def test_picks_equal_brute_force(seed: int, num_labeled: int, bandwidth: float) -> None:
    rows = torch.randn(30 + num_labeled, 3, generator=generator(seed), dtype=torch.float64)
    logits = 3 * torch.randn(30 + num_labeled, 4, generator=generator(seed + 1), dtype=torch.float64)
    targets = torch.arange(num_labeled) % 4
    found = uherding_query(
        logits[:30], rows[:30], logits[30:], rows[30:], targets, 5, bandwidth=bandwidth, temperature=2.0
    )
    unit = rows / rows.norm(dim=1, keepdim=True)
    values = (-((unit[:, None] - unit[None, :30]).norm(dim=2) / bandwidth).square()).exp()
    weights = torch.tensor([1 - (max(row) - sorted(row)[-2]) for row in (logits[:30] / 2).softmax(dim=1).tolist()])
    assert found.tolist() == plain_greedy(values[:30], values[30:], weights.double(), 5)


def test_the_strategy_is_max_herding_with_weights() -> None:
    pool = make_pool()
    top = probs_one_by_one().topk(2).values
    expected = max_herding(
        pool.embeddings(), pool.labeled_embeddings(), 9, 0.4, weights=1 - (top[:, 0] - top[:, 1]).float()
    )
    assert UHerding(0.4, 1.0).query(pool, 9, generator()).equal(expected)
    assert not max_herding(pool.embeddings(), pool.labeled_embeddings(), 9, 0.4).equal(expected)


def test_the_strategy_asks_the_labels_for_bandwidth_and_temperature() -> None:
    embeddings, targets, logits = of_labeled()
    assert labeled_temperature(embeddings, targets, logits) < 1  # the features were trained on the labels
    expected = UHerding(labeled_bandwidth(embeddings), 1.0).query(make_pool(), 9, generator())
    assert UHerding().query(make_pool(), 9, generator()).equal(expected)
    assert not UHerding(1.0, 1.0).query(make_pool(), 9, generator()).equal(expected)
    pool = make_pool()
    sharper = 3 * pool.map(lambda batch: batch.logits), pool.embeddings(), 3 * logits, embeddings, targets, 9
    temperature = labeled_temperature(embeddings, targets, 3 * logits)
    assert temperature > 1.5
    expected = uherding_query(*sharper, temperature=temperature)
    assert uherding_query(*sharper).equal(expected)
    assert not uherding_query(*sharper, temperature=1.0).equal(expected)


def test_references_and_features_are_those_asked_for() -> None:
    pool = make_pool()
    references = torch.randperm(300, generator=generator(7))[:40].sort().values
    logits = pool.map(lambda batch: batch.logits)
    arguments = logits, pool_inputs().flatten(1), [], [], torch.tensor([]), 9
    expected = uherding_query(*arguments, references=references)
    unlabeled = make_pool(labeled=pool_inputs()[:0])
    assert UHerding(reference_size=40, features="inputs").query(unlabeled, 9, generator(7)).equal(expected)


# ------------------------------------------------------------------------------------------------------- the bandwidth


def test_the_bandwidth_is_the_median_of_nearest_distances() -> None:
    embeddings = of_labeled()[0]
    unit = F.normalize(embeddings.double())
    distances = (unit[:, None] - unit[None]).norm(dim=2).fill_diagonal_(torch.inf)
    assert labeled_bandwidth(embeddings) == pytest.approx(float(distances.amin(dim=1).quantile(0.5)), rel=1e-6)
    order = torch.randperm(len(embeddings), generator=generator(1))
    assert labeled_bandwidth(3 * embeddings[order]) == pytest.approx(labeled_bandwidth(embeddings), rel=1e-6)


def test_one_pair_of_near_duplicates_moves_the_bandwidth_little() -> None:
    """Regression: the smallest distance of two labeled samples collapses (uherding)."""
    embeddings = of_labeled()[0]
    before = labeled_bandwidth(embeddings)
    close = torch.cat([embeddings, embeddings[:1] + 0.01 * embeddings[:1].roll(1, dims=1)])
    unit = F.normalize(close.double())
    assert float((unit[0] - unit[-1]).norm()) < 0.1 * before
    assert labeled_bandwidth(close) == pytest.approx(before, rel=0.05)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (torch.empty(0, 2), 1.0),
        ([[1.0, 0.0]], 1.0),
        ([[1.0, 0.0], [5.0, 0.0]], 1.0),  # they coincide
        ([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], 2**0.5),  # the last two coincide
        ([[1.0, 0.0], [1.0, 0.01]], 0.05),  # the least bandwidth
    ],
)
def test_known_bandwidths(rows: list, expected: float) -> None:
    assert labeled_bandwidth(rows) == pytest.approx(expected)


@pytest.mark.parametrize("num_labeled", range(5))
def test_few_labels_are_enough(num_labeled: int) -> None:
    """Regression: with fewer than 4 labels the part for the temperature is empty (uherding, train_al.py:272-274)."""
    embeddings, targets, logits = of_labeled(num_labeled)
    pool = make_pool()
    picks = uherding_query(pool.map(lambda batch: batch.logits), pool.embeddings(), logits, embeddings, targets, 5)
    assert len(picks.unique()) == 5
    assert labeled_temperature(embeddings, targets, logits) == 1


# ----------------------------------------------------------------------------------------------------- the temperature


@pytest.mark.parametrize("size", [30, 100])
def test_scores_of_ridge_regression_equal_fits_without_each_row(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RIDGES", [0.01])
    rows = digits().train_inputs[:size].flatten(1).double()
    targets = digits().train_targets[:size]
    ridge = 0.01 * float((rows - rows.mean(dim=0)).square().sum() / size)
    extended = torch.cat([rows, torch.ones(size, 1)], dim=1)
    penalty = ridge * torch.eye(rows.shape[1] + 1, dtype=torch.float64)
    penalty[-1, -1] = 0
    classes = F.one_hot(targets, 10).double()

    def weights(keep: Tensor) -> Tensor:
        return torch.linalg.solve(extended[keep].T @ extended[keep] + penalty, extended[keep].T @ classes[keep])

    everything = torch.arange(size)
    fit, left_out = ridge_scores(rows, targets, 10)
    torch.testing.assert_close(fit, extended @ weights(everything), atol=1e-7, rtol=0)
    expected = torch.stack([extended[i] @ weights(everything[everything != i]) for i in range(size)])
    torch.testing.assert_close(left_out, expected, atol=1e-7, rtol=0)


def test_the_temperature_grows_as_the_logits_do() -> None:
    embeddings, targets, logits = of_labeled()
    temperature = labeled_temperature(embeddings, targets, logits)
    assert labeled_temperature(embeddings, targets, 2 * logits) == pytest.approx(2 * temperature)
    assert labeled_temperature(7 * embeddings, targets, logits + 5) == pytest.approx(temperature, rel=1e-5)


def test_the_order_of_labels_does_not_matter() -> None:
    """Regression: the temperature is that of the labels queried last (uherding, train_al.py:272-274)."""
    embeddings, targets, logits = of_labeled()
    expected = labeled_temperature(embeddings, targets, logits)
    for order in (torch.arange(100).flip(0), targets.argsort()):
        assert labeled_temperature(embeddings[order], targets[order], logits[order]) == pytest.approx(expected)


@pytest.mark.parametrize("weight_decay", [1e-5, 0.1], ids=["too sure", "too unsure"])
@pytest.mark.parametrize("num_labeled", [30, 100, 400])
def test_the_temperature_is_near_the_best_of_the_pool(num_labeled: int, weight_decay: float) -> None:
    """On given features, which have not seen the labels."""
    order = torch.randperm(len(digits().train_targets), generator=generator())  # each person wrote several in a row
    inputs, targets = digits().train_inputs.flatten(1)[order], digits().train_targets[order]
    labeled, pool = slice(0, num_labeled), slice(num_labeled, None)
    head = fit_logistic_regression(inputs[labeled], targets[labeled], 10, weight_decay)
    logits = inputs @ head.weight.T.to(inputs) + head.bias.to(inputs)

    def loss(temperature: float) -> float:
        return float(F.cross_entropy(logits[pool] / temperature, targets[pool]))

    found = labeled_temperature(inputs[labeled], targets[labeled], logits[labeled])
    best = min((2 ** (step / 8) for step in range(-32, 64)), key=loss)
    assert best / 1.5 < found < best * 1.5
    assert loss(found) < loss(best) + 0.02 < loss(1.0)
    if weight_decay < 0.1:
        assert found > 1.2


def test_nothing_to_tell_classes_by_leaves_logits_as_they_are() -> None:
    embeddings, targets, logits = of_labeled()
    assert labeled_temperature(embeddings, torch.zeros_like(targets), logits) == 1
    assert labeled_temperature(embeddings, targets, torch.zeros_like(logits)) == 1
    equal = torch.ones(100, 4)
    assert labeled_temperature(equal, torch.arange(100) % 2, logits) == 1
    assert labeled_temperature(embeddings[:19], targets[:19], logits[:19]) == 1
    assert labeled_temperature(embeddings[:20], targets[:20], logits[:20]) != 1


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "median", True])
@pytest.mark.parametrize("argument", ["bandwidth", "temperature"])
def test_a_wrong_number_raises(argument: str, value: object) -> None:
    with pytest.raises(
        InputError, match=f"`{argument}` of UHerding to be auto or a positive number, but got {value!r}"
    ):
        UHerding(**{argument: value})


def test_arguments_that_do_not_go_together_raise() -> None:
    rows, targets = torch.eye(3), torch.arange(3)
    with pytest.raises(InputError, match="logits of each of 3 rows of embeddings, but got 2"):
        uherding_query(rows[:2], rows, rows, rows, targets, 1)
    with pytest.raises(InputError, match="classes of labeled samples, but got 3, 3 and 2"):
        uherding_query(rows, rows, rows, rows, targets[:2], 1)
    with pytest.raises(InputError, match="from 0 to 2, as the model has logits, but got 1 to 3"):
        uherding_query(rows, rows, rows, rows, targets + 1, 1)
    with pytest.raises(InputError, match="finite logits"):
        uherding_query(rows.log(), rows, rows, rows, targets, 1)
