"""BADGE: exact gradients, and draws that are exactly those of k-means++ seeding."""

from collections import Counter
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.stats import chisquare, kstest
from torch import Tensor
from torch.nn import functional as F

from al_lightning.errors import InputError
from al_lightning.strategies import BADGE, badge, geometry
from al_lightning.strategies.badge import badge_query
from al_lightning.strategies.geometry import GradientEmbeddings
from tests.helpers import fitted_model, generator, make_pool, random_probs

P_VALUE = 1e-3


def gradients_by_hand(probs: Tensor, embeddings: Tensor, include_bias: bool = False) -> Tensor:
    """The outer products themselves, float64, shape (N, C * D) or (N, C * (D + 1))."""
    delta = probs.double() - F.one_hot(probs.argmax(dim=1), probs.shape[1])
    features = embeddings.double()
    if include_bias:
        features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    return (delta[:, :, None] * features[:, None, :]).flatten(1)


def sq_distances_by_hand(rows: Tensor, centres: Tensor) -> Tensor:
    return (rows[:, None] - centres[None]).square().sum(dim=2)


def draw_probabilities(gradients: Tensor, chosen: list[int], power: float = 2.0) -> Tensor:
    """Probability of each row to be the next centre, proportional to a power of its distance: 2 is k-means++."""
    distances = sq_distances_by_hand(gradients, gradients[chosen]).amin(dim=1).sqrt()
    weights = distances**power
    weights[chosen] = 0
    return weights / weights.sum()


@pytest.fixture(scope="module")
def digits_pool() -> tuple[Tensor, Tensor]:
    """Probabilities and features of real digits."""
    pool = make_pool()
    return pool.probs(), pool.embeddings()


def small_pool(size: int = 6) -> tuple[Tensor, Tensor]:
    return random_probs(size, 3, seed=5), torch.randn(size, 4, generator=generator(6))


# --------------------------------------------------------------------------------------------- gradient embeddings


@pytest.mark.parametrize("include_bias", [False, True])
def test_explicit_gradients_are_those_of_autograd(digits_pool, include_bias):
    probs, embeddings = (part[:20] for part in digits_pool)
    head = fitted_model().head
    for i, by_hand in enumerate(gradients_by_hand(probs, embeddings, include_bias)):
        head.zero_grad()
        logits = head(embeddings[i].clone())
        F.cross_entropy(logits, logits.argmax()).backward()
        parts = [head.weight.grad, head.bias.grad[:, None]] if include_bias else [head.weight.grad]
        torch.testing.assert_close(by_hand, torch.cat(parts, dim=1).flatten().double(), atol=1e-5, rtol=1e-4)
    head.zero_grad()


@pytest.mark.parametrize("include_bias", [False, True])
@pytest.mark.parametrize(("num_classes", "num_features"), [(2, 1), (3, 50), (10, 8), (100, 5)])
def test_factors_give_the_distances_of_explicit_gradients(monkeypatch, include_bias, num_classes, num_features):
    monkeypatch.setattr(geometry, "BLOCK_ROWS", 7)
    monkeypatch.setattr(geometry, "BLOCK_CENTRES", 3)
    probs = random_probs(40, num_classes)
    embeddings = torch.randn(40, num_features, generator=generator(1))
    factors = GradientEmbeddings(probs, embeddings, include_bias)
    explicit = gradients_by_hand(probs, embeddings, include_bias)
    centres = torch.tensor([3, 17, 3, 39])
    expected = sq_distances_by_hand(explicit, explicit[centres])
    scale = explicit.square().sum(dim=1).max().item()
    torch.testing.assert_close(factors.sq_norms, explicit.square().sum(dim=1), atol=1e-6 * scale, rtol=1e-5)
    torch.testing.assert_close(factors.sq_distances(slice(None), centres), expected, atol=2e-6 * scale, rtol=1e-5)
    nearest = factors.nearest_sq_distances(centres)
    torch.testing.assert_close(nearest, expected.amin(dim=1), atol=2e-6 * scale, rtol=1e-5)
    some = torch.tensor([5, 0, 5])
    torch.testing.assert_close(factors.sq_distances(some, centres), expected[some], atol=2e-6 * scale, rtol=1e-5)


@pytest.mark.parametrize("include_bias", [False, True])
def test_distance_to_itself_and_to_a_duplicate_is_exactly_zero(digits_pool, include_bias):
    probs, embeddings = (torch.cat([part, part.flip(0)]) for part in digits_pool)
    distances = GradientEmbeddings(probs, embeddings, include_bias).sq_distances(slice(None), torch.arange(300))
    assert (distances >= 0).all()
    assert (distances.diagonal() == 0).all()
    assert (distances[300:].flip(0).diagonal() == 0).all()
    assert (distances > 0).float().mean() > 0.9


def test_norm_is_a_lower_bound_over_labels(digits_pool):
    """Proposition 1 of the paper: no label gives a smaller gradient than the predicted one."""
    probs, embeddings = digits_pool
    norms = GradientEmbeddings(probs, embeddings).sq_norms
    for label in range(10):
        delta = probs - F.one_hot(torch.tensor(label), 10)
        assert (norms <= (delta.square().sum(dim=1) * embeddings.square().sum(dim=1)) * (1 + 1e-5) + 1e-6).all()


# ---------------------------------------------------------------------------------------------------------- the draws


@pytest.mark.parametrize("include_bias", [False, True])
def test_first_pick_has_the_largest_gradient(digits_pool, include_bias):
    expected = int(gradients_by_hand(*digits_pool, include_bias).norm(dim=1).argmax())
    for seed in range(5):
        assert badge_query(*digits_pool, 3, generator(seed), include_bias)[0] == expected


def second_picks(probs: Tensor, embeddings: Tensor, include_bias: bool = False) -> Tensor:
    picks = torch.stack([badge_query(probs, embeddings, 2, generator(seed), include_bias)[1] for seed in range(2000)])
    return picks.bincount(minlength=len(probs))


def chi_square(counts: Tensor, probabilities: Tensor) -> float:
    possible = probabilities > 0
    assert counts[~possible].sum() == 0
    return float(chisquare(counts[possible].numpy(), (probabilities[possible] * counts.sum()).numpy()).pvalue)


@pytest.mark.parametrize("include_bias", [False, True])
def test_second_pick_is_drawn_by_squared_distance(include_bias):
    """Regression: ports draw by distance, by its fourth power, or with a phantom centre at 0 (scikit-activeml)."""
    probs, embeddings = small_pool(5)
    gradients = gradients_by_hand(probs, embeddings, include_bias)
    first = [int(gradients.norm(dim=1).argmax())]
    counts = second_picks(probs, embeddings, include_bias)
    assert chi_square(counts, draw_probabilities(gradients, first)) > P_VALUE
    for power in (0, 1, 4):
        assert chi_square(counts, draw_probabilities(gradients, first, power)) < 1e-6
    phantom = torch.minimum(gradients.square().sum(dim=1), sq_distances_by_hand(gradients, gradients[first]).squeeze(1))
    assert chi_square(counts, phantom / phantom.sum()) < 1e-6


def joint_probabilities(gradients: Tensor, query_size: int) -> dict[tuple[int, ...], float]:
    """Probability of each sequence of picks, by going through all of them."""
    first = int(gradients.norm(dim=1).argmax())
    joint = {}
    for rest in permutations([i for i in range(len(gradients)) if i != first], query_size - 1):
        probability, chosen = 1.0, [first]
        for pick in rest:
            probability *= float(draw_probabilities(gradients, chosen)[pick])
            chosen.append(pick)
        joint[tuple(chosen)] = probability
    return joint


@pytest.mark.parametrize(
    ("num_proposals", "min_accepted"), [(64, 16), (1, 1), (3, 1), (3, 2), (8, 9)], ids=lambda value: str(value)
)
def test_all_picks_together_are_drawn_as_one_after_the_other(monkeypatch, num_proposals, min_accepted):
    monkeypatch.setattr(badge, "NUM_PROPOSALS", num_proposals)
    monkeypatch.setattr(badge, "MIN_ACCEPTED", min_accepted)
    monkeypatch.setattr(geometry, "BLOCK_ROWS", 4)
    probs, embeddings = small_pool(5)
    joint = joint_probabilities(gradients_by_hand(probs, embeddings), 4)
    assert sum(joint.values()) == pytest.approx(1)
    draws = Counter(tuple(badge_query(probs, embeddings, 4, generator(seed)).tolist()) for seed in range(2000))
    assert set(draws) <= set(joint)
    counts = torch.tensor([float(draws[picks]) for picks in joint], dtype=torch.float64)
    expected = torch.tensor(list(joint.values()), dtype=torch.float64)
    likely = expected > 5 / 2000  # the rare sequences go into one cell
    counts = torch.cat([counts[likely], counts[~likely].sum(0, keepdim=True)])
    expected = torch.cat([expected[likely], expected[~likely].sum(0, keepdim=True)])
    assert chi_square(counts, expected) > P_VALUE


def ranks_in_exact_distribution(
    pool: tuple[Tensor, Tensor], query_size: int, seeds: int, power: float = 2.0
) -> list[float]:
    """Where each pick falls in the exact distribution given those before, rows sorted by distance: uniform if right."""
    gradients = gradients_by_hand(*pool)
    noise = generator(99)
    ranks = []
    for seed in range(seeds):
        query = badge_query(*pool, query_size, generator(seed)).tolist()
        for k in range(1, query_size):
            probabilities = draw_probabilities(gradients, query[:k], power)
            order = probabilities.argsort()
            cumulative = probabilities[order].cumsum(0)
            position = int((order == query[k]).nonzero())
            jitter = float(torch.rand((), generator=noise, dtype=torch.float64))
            ranks.append(float(cumulative[position] - jitter * probabilities[query[k]]))
    return ranks


@pytest.mark.parametrize(("num_proposals", "min_accepted"), [(64, 16), (64, 60), (16, 1)])
def test_many_picks_from_real_digits_are_drawn_by_squared_distance(
    monkeypatch, digits_pool, num_proposals, min_accepted
):
    monkeypatch.setattr(badge, "NUM_PROPOSALS", num_proposals)
    monkeypatch.setattr(badge, "MIN_ACCEPTED", min_accepted)
    monkeypatch.setattr(geometry, "BLOCK_ROWS", 4)
    pool = tuple(part[:150] for part in digits_pool)
    assert kstest(ranks_in_exact_distribution(pool, 60, seeds=10), "uniform").pvalue > P_VALUE


@pytest.mark.parametrize("power", [1, 4])
def test_the_check_above_tells_other_powers_apart(digits_pool, power):
    pool = tuple(part[:150] for part in digits_pool)
    assert kstest(ranks_in_exact_distribution(pool, 60, seeds=10, power=power), "uniform").pvalue < 1e-6


def test_bounds_are_refreshed_and_several_rows_drawn_at_a_time(monkeypatch, digits_pool):
    drawn = []
    draw = badge._draw
    monkeypatch.setattr(badge, "_draw", lambda *args: drawn.append(draw(*args)) or drawn[-1])
    query = badge_query(*digits_pool, 100, generator())
    assert 1 < len(drawn) < 50
    assert torch.cat(drawn).equal(query[1:])


# --------------------------------------------------------------------------------------------------- degenerate pools


@pytest.mark.parametrize("seed", range(20))
def test_duplicates_are_never_both_chosen_while_distance_is_left(digits_pool, seed):
    """Regression: in float32 the distance to a duplicate is not 0, so it keeps a chance (distil, realistic-al)."""
    distinct = tuple(part[:30] for part in digits_pool)
    probs, embeddings = (part.repeat(4, 1) for part in distinct)
    query = badge_query(probs, embeddings, 40, generator(seed))
    assert len((query[:30] % 30).unique()) == 30
    assert len(query.unique()) == 40


@settings(max_examples=50)
@given(size=st.integers(1, 40), distinct=st.integers(1, 5), num_classes=st.integers(2, 4), seed=st.integers(0, 1000))
def test_any_size_of_query_is_distinct(size, distinct, num_classes, seed):
    rows = torch.randint(distinct, (size,), generator=generator(seed))
    probs, embeddings = random_probs(distinct, num_classes, seed)[rows], random_probs(distinct, 3, seed + 1)[rows]
    query = badge_query(probs, embeddings, size, generator(seed))
    assert sorted(query.tolist()) == list(range(size))


def test_what_coincides_with_a_centre_is_drawn_uniformly():
    """Regression: 0 / 0 ended in NaN, in a debugger or in an endless resampling (authors' code)."""
    probs, embeddings = torch.tensor([[0.5, 0.5]]).repeat(6, 1), torch.ones(6, 3)
    counts = second_picks(probs, embeddings)
    assert counts[0] == 0
    assert chisquare(counts[1:].numpy()).pvalue > P_VALUE


def test_one_hot_rows_coincide_so_that_one_of_them_at_most_is_drawn():
    probs, embeddings = torch.cat([torch.eye(3), random_probs(4, 3)]), torch.ones(7, 4)
    assert (GradientEmbeddings(probs, embeddings).sq_norms[:3] == 0).all()
    for seed in range(50):
        assert (badge_query(probs, embeddings, 5, generator(seed)) < 3).sum() == 1


def test_bias_keeps_rows_without_features_apart():
    probs = random_probs(6, 3)
    without, with_bias = (GradientEmbeddings(probs, torch.zeros(6, 4), bias) for bias in (False, True))
    assert (without.sq_norms == 0).all()
    assert (with_bias.sq_norms > 0).all()
    assert badge_query(probs, torch.zeros(6, 4), 1, generator(), include_bias=True) == with_bias.sq_norms.argmax()


# --------------------------------------------------------------------------------------------------------- invariances


@pytest.mark.parametrize(
    "same",
    [
        lambda probs, h: (probs, 4 * h),
        lambda probs, h: (probs, h @ torch.linalg.qr(torch.randn(32, 32, generator=generator()))[0]),
        lambda probs, h: (probs[:, torch.randperm(10, generator=generator())], h),
        lambda probs, h: (probs, torch.cat([h, torch.zeros(len(h), 7)], dim=1)),
    ],
    ids=["scale of features", "rotation of features", "order of classes", "dead features"],
)
def test_query_does_not_depend_on(digits_pool, same):
    expected = badge_query(*digits_pool, 50, generator())
    assert badge_query(*same(*digits_pool), 50, generator()).equal(expected)


@pytest.mark.parametrize("name", ["probabilities", "embeddings"])
def test_nan_raises(name):
    probs, embeddings = small_pool()
    (probs if name == "probabilities" else embeddings)[2, 1] = torch.nan
    with pytest.raises(InputError, match=f"finite {name}, .* in 1 of 6"):
        badge_query(probs, embeddings, 2, generator())


def test_arguments_are_left_as_they_were(digits_pool):
    before = tuple(part.clone() for part in digits_pool)
    badge_query(*digits_pool, 100, generator())
    assert all(part.equal(copy) for part, copy in zip(digits_pool, before, strict=True))


@pytest.mark.parametrize("include_bias", [False, True])
def test_strategy_queries_by_probabilities_and_features_of_the_pool(digits_pool, include_bias):
    expected = badge_query(*digits_pool, 50, generator(1), include_bias)
    assert BADGE(include_bias).query(make_pool(), 50, generator(1)).equal(expected)


def test_labeled_samples_are_no_centres():
    expected = BADGE().query(make_pool(), 20, generator())
    assert BADGE().query(make_pool(labeled=torch.zeros(1, 64)), 20, generator()).equal(expected)


def test_features_too_large_to_square_are_refused() -> None:
    probs = torch.randn(50, 10, generator=generator(0)).softmax(1)
    embeddings = torch.randn(50, 16, generator=generator(1)) * 2e19
    with pytest.raises(InputError, match="finite distances"):
        badge_query(probs, embeddings, 10, generator(2))
