"""Core-Set: the lazy form picks what the plain one picks, and the plain one covers."""

from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from al_lightning.data.blocks import TensorBlocks
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.strategies import CoreSet, core_set, geometry
from al_lightning.strategies.core_set import farthest_rows, k_center_greedy
from al_lightning.strategies.geometry import nearest_sq_distances, upper_bounds
from tests.helpers import digits, fitted_model, generator, labeled_inputs, make_pool, pool_inputs


def plain_greedy(embeddings: Tensor, labeled: Tensor, query_size: int) -> list[int]:
    """Algorithm 1 of the paper: after each pick all rows are compared with it."""
    if len(labeled):
        distances = torch.stack([(embeddings - centre).square().sum(dim=1) for centre in labeled]).amin(dim=0)
    else:  # the row nearest to the mean is first
        distances = -(embeddings - embeddings.mean(dim=0)).square().sum(dim=1)
    picks: list[int] = []
    while len(picks) < query_size:
        pick = int(distances.argmax())
        if not len(labeled) and not picks:
            distances = torch.full_like(distances, torch.inf)
        picks.append(pick)
        distances = torch.minimum(distances, (embeddings - embeddings[pick]).square().sum(dim=1))
        distances[picks] = -1
    return picks


def radii(embeddings: Tensor, labeled: Tensor, picks: list[int]) -> list[float]:
    """Distance of each pick to the nearest centre before it, and of the farthest row after the last."""
    result = []
    for k in range(len(picks) + 1):
        centres = torch.cat([labeled, embeddings[picks[:k]]]).double()
        rows = embeddings[picks[k : k + 1] or slice(None)].double()
        result.append(float((rows[:, None] - centres).norm(dim=2).amin(dim=1).max()))
    return result


def rows(kind: str, size: int, dim: int, seed: int) -> Tensor:
    noise = torch.randn(size, dim, generator=generator(seed))
    if kind == "lattice":  # integers: all distances are exact, and most of them tie
        return (1.5 * noise).round()
    if kind == "clusters":
        return 0.01 * noise + torch.randint(4, (size, 1), generator=generator(seed)).float()
    if kind == "duplicates":
        return noise[torch.randint(1 + size // 3, (size,), generator=generator(seed))]
    return noise


KINDS = ["random", "clusters", "duplicates", "lattice"]


# ------------------------------------------------------------------------------------- the same picks as the plain form


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(data=st.data(), dim=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_lazy_equals_plain_pick_by_pick(kind, data, dim, seed):
    size, num_labeled = data.draw(st.integers(1, 50), "size"), data.draw(st.integers(0, 40), "labeled")
    query_size = data.draw(st.integers(0, size), "query_size")
    everything = rows(kind, size + num_labeled, dim, seed)
    embeddings, labeled = everything[:size], everything[size:]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(core_set, "FIRST_CENTRES", data.draw(st.integers(1, 10), "FIRST_CENTRES"))
        monkeypatch.setattr(core_set, "BLOCK_ROWS", data.draw(st.integers(1, 12), "BLOCK_ROWS"))
        assert k_center_greedy(embeddings, labeled, query_size).tolist() == plain_greedy(
            embeddings, labeled, query_size
        )


@pytest.mark.parametrize(("first_centres", "block_rows"), [(1024, 1024), (10, 100), (64, 7)])
def test_lazy_equals_plain_on_digits(monkeypatch, first_centres, block_rows):
    monkeypatch.setattr(core_set, "FIRST_CENTRES", first_centres)
    monkeypatch.setattr(core_set, "BLOCK_ROWS", block_rows)
    features = make_pool(digits().train_inputs).embeddings()
    embeddings, labeled = features[200:], features[:200]
    assert k_center_greedy(embeddings, labeled, 150).tolist() == plain_greedy(embeddings, labeled, 150)


def test_many_distances_to_labeled_rows_are_never_computed(monkeypatch):
    monkeypatch.setattr(core_set, "FIRST_CENTRES", 100)
    monkeypatch.setattr(core_set, "BLOCK_ROWS", 50)
    pairs = []
    search = geometry.search
    monkeypatch.setattr(
        geometry, "search", lambda r, c, *args, **k: pairs.append(len(r) * len(c)) or search(r, c, *args, **k)
    )
    features = make_pool(digits().train_inputs).embeddings()
    k_center_greedy(features[400:], features[:400], 30)
    assert sum(pairs) < 0.6 * 1000 * 400


def test_blocks_grow_where_all_rows_coincide(monkeypatch):
    """The bounds are above 0 by rounding: a block at a time, they would be put right one thousandth at a time."""
    monkeypatch.setattr(core_set, "BLOCK_ROWS", 10)
    blocks = []
    split = core_set._split
    monkeypatch.setattr(core_set, "_split", lambda bounds, size: blocks.append(size) or split(bounds, size))
    labeled = pool_inputs(1).repeat(3, 1)
    picks = k_center_greedy(pool_inputs(1).repeat(5000, 1), labeled, 20)
    assert picks.tolist() == list(range(20))
    assert len(blocks) < 15


@settings(max_examples=100)
@given(
    dim=st.sampled_from([1, 3, 64, 500]),
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
    offset=st.sampled_from([0.0, 1.0, 1000.0]),
    seed=st.integers(0, 10**6),
)
def test_upper_bounds_are_never_below_the_distances_and_close_to_them(dim, scale, offset, seed):
    values = scale * (torch.randn(70, dim, generator=generator(seed)) + offset)
    queries, centres = values[:50], torch.cat([values[50:], values[:10]])
    bounds, distances = upper_bounds(queries, centres), nearest_sq_distances(queries, centres)
    every = torch.stack([(queries - centre).square().sum(dim=1) for centre in centres]).amin(dim=0)
    assert (bounds >= distances).all()
    assert (bounds >= every).all()
    spread = float((values - values.mean(dim=0)).square().sum(dim=1).max())
    assert (bounds - distances <= 2e-5 * dim**0.5 * spread + 5e-6 * dim * spread + 1e-6 * distances).all()


def test_doubles_are_taken_too():
    features = make_pool().embeddings()
    picks = k_center_greedy(features.double(), features[:20].double(), 10)
    assert picks.equal(k_center_greedy(features, features[:20], 10))


@pytest.mark.parametrize("dim", [1, 16, 64, 256])
@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_nearest_distances_are_those_of_all_pairs(dim, offset):
    """Distances by |a|^2 + |b|^2 - 2ab would be off by 0.02 at offset 10, those of duplicates too."""
    queries, centres = (torch.randn(n, dim, generator=generator(n)) + offset for n in (500, 200))
    centres = torch.cat([centres, queries[:50]])
    expected = torch.stack([(queries.double() - centre).square().sum(dim=1) for centre in centres]).amin(dim=0)
    result = nearest_sq_distances(queries, centres)
    torch.testing.assert_close(result.double(), expected, atol=1e-6, rtol=1e-3)
    assert (result[:50] == 0).all()


# ----------------------------------------------------------------------------------------------------- what it promises


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), query_size=st.integers(1, 3), num_labeled=st.integers(1, 3))
def test_radius_is_at_most_twice_the_best_there_is(kind, seed, query_size, num_labeled):
    everything = rows(kind, 8 + num_labeled, 2, seed)
    embeddings, labeled = everything[:8], everything[8:]
    best = min(radii(embeddings, labeled, list(chosen))[-1] for chosen in combinations(range(8), query_size))
    picks = k_center_greedy(embeddings, labeled, query_size).tolist()
    assert radii(embeddings, labeled, picks)[-1] <= 2 * best + 1e-5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_radii_never_grow(kind, seed):
    everything = rows(kind, 80, 3, seed)
    picks = k_center_greedy(everything[20:], everything[:20], 60).tolist()
    result = radii(everything[20:], everything[:20], picks)
    assert all(later <= earlier * (1 + 1e-5) for earlier, later in pairwise(result))
    assert result[-1] == 0


def test_line_of_integers():
    line = torch.arange(11.0)[:, None]
    assert k_center_greedy(line[1:], line[:1], 3).add(1).tolist() == [10, 5, 2]
    assert k_center_greedy(line[1:], line[:1], 5).add(1).tolist() == [10, 5, 2, 7, 1]


@pytest.mark.parametrize("block_rows", [1, 3, 1024])
def test_ties_go_to_the_lowest_row(monkeypatch, block_rows):
    monkeypatch.setattr(core_set, "BLOCK_ROWS", block_rows)
    circle = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    assert k_center_greedy(circle, torch.zeros(1, 2), 4).tolist() == [0, 1, 2, 3]


def test_without_labeled_rows_the_row_nearest_to_the_mean_is_first():
    """Regression: the start without labeled samples was row 0, whatever it was (google/active-learning)."""
    line = torch.tensor([[0.0], [10.0], [4.0], [9.0]])
    assert k_center_greedy(line, torch.empty(0, 1), 4).tolist() == [2, 1, 0, 3]


# ------------------------------------------------------------------------------------------------------ degenerate rows


@pytest.mark.parametrize("block_rows", [4, 1024])
def test_a_duplicate_of_a_labeled_row_comes_last(monkeypatch, block_rows):
    monkeypatch.setattr(core_set, "BLOCK_ROWS", block_rows)
    embeddings = torch.randn(30, 5, generator=generator())
    labeled = torch.cat([torch.randn(10, 5, generator=generator(1)), embeddings[[12, 3]]])
    assert k_center_greedy(embeddings, labeled, 30)[-2:].tolist() == [3, 12]


@pytest.mark.parametrize("block_rows", [4, 1024])
def test_full_coverage_goes_on_with_rows_not_picked_yet(monkeypatch, block_rows):
    """Regression: where all distances are 0, argmax returns row 0 for ever (distil, LabelBench, acl21, ProbCover)."""
    monkeypatch.setattr(core_set, "BLOCK_ROWS", block_rows)
    embeddings = torch.randn(5, 3, generator=generator()).repeat(4, 1)
    picks = k_center_greedy(embeddings, torch.randn(2, 3, generator=generator(1)), 20)
    assert sorted((picks[:5] % 5).tolist()) == list(range(5))
    assert sorted(picks.tolist()) == list(range(20))
    assert picks[5:].tolist() == sorted(picks[5:].tolist())


@pytest.mark.parametrize("offset", [0.0, 10.0, 1000.0])
def test_duplicates_give_no_nan(offset):
    """Regression: |a|^2 + |b|^2 - 2ab is negative for duplicates, its root NaN, and NaN the maximum (DeepAL, badge)."""
    distinct = torch.randn(20, 64, generator=generator()) + offset
    embeddings = distinct.repeat(3, 1)
    distances = nearest_sq_distances(embeddings, distinct)
    assert (distances >= 0).all()
    picks = k_center_greedy(embeddings, distinct[:1], 60)
    assert len((picks[:19] % 20).unique()) == 19
    assert sorted(picks.tolist()) == list(range(60))


@pytest.mark.parametrize("size", [10, 100], ids=["fewer rows than features", "more rows than features"])
def test_more_than_the_pool_raises(size):
    """Regression: the size was compared with the number of features (Core-Set of ALFM)."""
    embeddings = torch.randn(size, 32, generator=generator())
    assert len(k_center_greedy(embeddings, embeddings[:1], size)) == size
    with pytest.raises(InputError, match=f"pool size {size}, but got {size + 1}"):
        k_center_greedy(embeddings, embeddings[:1], size + 1)


@pytest.mark.parametrize("name", ["embeddings", "embeddings of labeled samples"])
def test_nan_raises(name):
    embeddings, labeled = torch.zeros(5, 3), torch.zeros(4, 3)
    (embeddings if name == "embeddings" else labeled)[2, 1] = torch.nan
    with pytest.raises(InputError, match=f"finite {name}, but got NaN or infinity in 1 of"):
        k_center_greedy(embeddings, labeled, 2)


# ---------------------------------------------------------------------------------------- invariances and the strategy


@pytest.mark.parametrize(
    "same",
    [
        lambda x: x + 5,
        lambda x: 4 * x,
        lambda x: x @ torch.linalg.qr(torch.randn(32, 32, generator=generator()))[0],
        lambda x: torch.cat([x, torch.zeros(len(x), 9)], dim=1),
    ],
    ids=["translation", "scale", "rotation", "dead features"],
)
def test_picks_do_not_depend_on(same):
    pool = make_pool()
    embeddings, labeled = pool.embeddings(), pool.labeled_embeddings()
    assert k_center_greedy(same(embeddings), same(labeled), 40).equal(k_center_greedy(embeddings, labeled, 40))


def test_arguments_are_left_as_they_were():
    embeddings, labeled = (torch.randn(n, 3, generator=generator(n)) for n in (30, 10))
    before = embeddings.clone(), labeled.clone()
    k_center_greedy(embeddings, labeled, 20)
    assert embeddings.equal(before[0])
    assert labeled.equal(before[1])


def test_strategy_covers_with_features_without_dropout():
    model = fitted_model()
    with torch.no_grad():
        embeddings, labeled = (model.embed(pool) for pool in (pool_inputs(), labeled_inputs()))
    assert CoreSet().query(make_pool(), 40, generator()).tolist() == plain_greedy(embeddings, labeled, 40)


def test_strategy_takes_labeled_samples_for_covered():
    inputs = digits().train_inputs[:200]
    query = CoreSet().query(make_pool(inputs, labeled=inputs[:50]), 150, generator())
    assert (query >= 50).all()


def test_strategy_raises_on_nan_in_a_labeled_sample():
    labeled = labeled_inputs().clone()
    labeled[3] = torch.nan
    with pytest.raises(InputError, match="labeled samples, but got NaN or infinity in 1 of 100"):
        CoreSet().query(make_pool(labeled=labeled), 10, generator())


def test_a_common_offset_changes_no_pick() -> None:
    pool, labeled = torch.randn(1500, 256, generator=generator(0)), torch.randn(200, 256, generator=generator(1))
    offset = 1024.0  # a power of two, and the points on a grid: adding it is exact
    pool, labeled = (x.mul(64).round().div(64) for x in (pool, labeled))
    assert torch.equal(k_center_greedy(pool + offset, labeled + offset, 100), k_center_greedy(pool, labeled, 100))


def test_a_query_without_labeled_samples_works() -> None:
    inputs = pool_inputs()[:20]
    predictor = PoolPredictor(fitted_model(), TensorBlocks(inputs), TensorBlocks(inputs[:0]))
    query = CoreSet().query(predictor, 3, generator(0))
    assert len(query.unique()) == 3


# ----------------------------------------------------------------------------------------- other features, and outliers


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100)
@given(data=st.data(), dim=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_farthest_rows_are_those_of_all_distances(kind, data, dim, seed):
    size, num_labeled = data.draw(st.integers(1, 50), "size"), data.draw(st.integers(1, 40), "labeled")
    num_rows = data.draw(st.integers(0, size), "num_rows")
    everything = rows(kind, size + num_labeled, dim, seed)
    embeddings, labeled = everything[:size], everything[size:]
    distances = torch.stack([(embeddings - centre).square().sum(dim=1) for centre in labeled]).amin(dim=0)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(core_set, "FIRST_CENTRES", data.draw(st.integers(1, 10), "FIRST_CENTRES"))
        monkeypatch.setattr(core_set, "BLOCK_ROWS", data.draw(st.integers(0, 12), "BLOCK_ROWS"))
        found = farthest_rows(embeddings, labeled, num_rows)
    assert found.tolist() == distances.argsort(descending=True, stable=True)[:num_rows].tolist()


def test_inputs_may_be_the_features():
    query = CoreSet(features="inputs").query(make_pool(), 30, generator())
    assert query.tolist() == plain_greedy(pool_inputs(), labeled_inputs(), 30)
    assert query.tolist() != CoreSet().query(make_pool(), 30, generator()).tolist()


def test_inputs_need_no_model_with_features():
    class Plain(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    images = TensorBlocks(pool_inputs().reshape(-1, 1, 8, 8))
    predictor = PoolPredictor(Plain(), images, TensorBlocks(labeled_inputs().reshape(-1, 1, 8, 8)))
    query = CoreSet(features="inputs").query(predictor, 30, generator())
    assert query.tolist() == plain_greedy(pool_inputs(), labeled_inputs(), 30)


def test_another_network_may_make_the_features():
    network = torch.nn.Sequential(torch.nn.Linear(64, 5), torch.nn.Dropout(0.9)).train()
    strategy = CoreSet(features=network)
    query = strategy.query(make_pool(), 30, generator())
    with torch.no_grad():
        embeddings, labeled = (network[0](inputs) for inputs in (pool_inputs(), labeled_inputs()))
    assert query.tolist() == plain_greedy(embeddings, labeled, 30)
    assert network[1].training  # it is left as it was
    assert strategy.query(make_pool(), 30, generator()).equal(query)


def test_the_network_has_a_precision_of_its_own():
    network = torch.nn.Linear(64, 5)
    expected = CoreSet(features=network).query(make_pool(), 30, generator())
    doubled = PoolPredictor(
        fitted_model(),
        TensorBlocks(pool_inputs()),
        TensorBlocks(labeled_inputs()),
        transfer=lambda block: block.double(),
    )
    assert CoreSet(features=network).query(doubled, 30, generator()).equal(expected)


class Flat(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum(dim=1)


class Pair(torch.nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (torch.nn.Linear(784, 5), "but Linear fails: .*multiplied"),
        (Flat(), r"but Flat returns shape \(\d+,\)"),
        (Pair(), "but Pair returns tuple"),
    ],
)
def test_a_network_that_makes_no_features_raises(network, message):
    with pytest.raises(InputError, match=rf"`features` of CoreSet to map inputs of shape .* to \(B, D\), {message}"):
        CoreSet(features=network).query(make_pool(), 5, generator())


def test_what_is_trimmed_is_not_queried():
    pool, size = make_pool(), len(pool_inputs())
    outliers = farthest_rows(pool.embeddings(), pool.labeled_embeddings(), size // 10)
    query = CoreSet(trim=0.1).query(pool, 40, generator())
    inside = [i for i in range(size) if i not in set(outliers.tolist())]
    picks = plain_greedy(pool.embeddings()[inside], pool.labeled_embeddings(), 40)
    assert query.tolist() == [inside[i] for i in picks]
    assert CoreSet().query(pool, 1, generator()).item() in outliers


def test_a_planted_outlier_is_queried_first_and_trimmed_if_so_wanted():
    inputs = pool_inputs().clone()
    inputs[7] *= 10
    assert CoreSet().query(make_pool(inputs), 1, generator()).tolist() == [7]
    assert 7 not in CoreSet(trim=0.01).query(make_pool(inputs), 100, generator()).tolist()


@pytest.mark.parametrize("trim", [0.5, 0.99])
def test_no_more_is_trimmed_than_leaves_a_query(trim):
    size = len(pool_inputs())
    query = CoreSet(trim=trim).query(make_pool(), size, generator())
    assert sorted(query.tolist()) == list(range(size))


def test_nothing_is_trimmed_if_nothing_is_labeled():
    predictor = PoolPredictor(fitted_model(), TensorBlocks(pool_inputs()), TensorBlocks(pool_inputs()[:0]))
    query = CoreSet().query(predictor, 5, generator())
    assert CoreSet(trim=0.5).query(predictor, 5, generator()).equal(query)


def test_trimming_raises_on_nan():
    labeled = labeled_inputs().clone()
    labeled[3] = torch.nan
    with pytest.raises(InputError, match="labeled samples, but got NaN or infinity in 1 of 100"):
        CoreSet(trim=0.1).query(make_pool(labeled=labeled), 10, generator())


def test_how_far_out_a_query_lies_is_reported_if_so_wanted():
    pool = make_pool()
    query = CoreSet().query(pool, 40, generator())
    assert CoreSet().diagnose(pool, query) == {}
    found = CoreSet(outliers=True).diagnose(pool, query)
    assert found.keys() == {"core_set_outlier_percentile"}
    random = torch.randperm(len(pool), generator=generator())[:200]
    usual = CoreSet(outliers=True).diagnose(pool, random)
    assert found["core_set_outlier_percentile"] > 0.62
    assert 0.4 < usual["core_set_outlier_percentile"] < 0.6


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"features": "pixels"}, "`features` of CoreSet to be penultimate, inputs or a network, but got 'pixels'"),
        ({"trim": 1.0}, "`trim` of CoreSet to be from 0 to less than 1, but got 1.0"),
        ({"trim": -0.1}, "but got -0.1"),
        ({"trim": float("nan")}, "but got nan"),
    ],
)
def test_bad_arguments_raise(kwargs, message):
    with pytest.raises(InputError, match=message):
        CoreSet(**kwargs)
