"""ClusterMargin: candidates of small margins, and a round robin over their clusters."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.strategies import ClusterMargin, cluster_margin
from al_lightning.strategies.cluster_margin import average_linkage, cluster_margin_query, round_robin
from al_lightning.strategies.feature_space import FeatureSpace
from al_lightning.strategies.margin import margin_score
from tests.helpers import generator, make_pool, pool_inputs, random_probs


def by_turns(members: list[int], num_rows: int) -> list[int]:
    """The round robin of the paper, with lists that are emptied; the first row of a list instead of a random one."""
    clusters: dict[int, list[int]] = {}
    for row, member in enumerate(members):
        clusters.setdefault(member, []).append(row)
    order = sorted(clusters.values(), key=lambda rows: (len(rows), rows[0]))
    taken: list[int] = []
    while len(taken) < num_rows:
        for rows in order:
            if rows and len(taken) < num_rows:
                taken.append(rows.pop(0))
    return taken


def by_mean_distances(rows: Tensor, num_clusters: int) -> set[frozenset[int]]:
    """Average linkage by its definition: all pairs of clusters, all pairs of rows."""
    clusters = [frozenset([i]) for i in range(len(rows))]
    while len(clusters) > num_clusters:
        pairs = [(a, b) for i, a in enumerate(clusters) for b in clusters[:i]]
        a, b = min(pairs, key=lambda pair: torch.cdist(rows[list(pair[0])], rows[list(pair[1])]).mean())
        clusters = [c for c in clusters if c not in (a, b)] + [a | b]
    return set(clusters)


def as_sets(members: Tensor) -> set[frozenset[int]]:
    return {frozenset((members == m).nonzero().flatten().tolist()) for m in members.unique()}


@settings(max_examples=200)
@given(members=st.lists(st.integers(0, 6), min_size=1, max_size=30), data=st.data())
def test_round_robin_equals_lists_that_are_emptied(members, data):
    num_rows = data.draw(st.integers(0, len(members)))
    assert round_robin(torch.tensor(members), num_rows).tolist() == by_turns(members, num_rows)


@settings(max_examples=40)
@given(data=st.data(), seed=st.integers(0, 10**6), dim=st.integers(1, 4))
def test_average_linkage_is_that_of_all_pairs(data, seed, dim):
    size = data.draw(st.integers(1, 14), "size")
    rows = torch.randn(size, dim, generator=generator(seed), dtype=torch.float64)
    num_clusters = data.draw(st.integers(1, size), "num_clusters")
    members = average_linkage(rows, num_clusters)
    assert len(members.unique()) == num_clusters
    assert as_sets(members) == by_mean_distances(rows, num_clusters)


def test_known_answer_of_two_clusters():
    """Of four candidates in clusters of 3 and 1, the single one is first, and then the smallest margin of the three."""
    probs = torch.tensor([[0.5, 0.5], [0.52, 0.48], [0.51, 0.49], [0.53, 0.47], [0.9, 0.1], [0.95, 0.05]])
    embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [1.1, 0.0], [-8.0, 3.0], [40.0, 0.0], [80.0, 0.0]])
    assert cluster_margin_query(probs, embeddings, 2, oversample=2).tolist() == [3, 0]
    assert cluster_margin_query(probs, embeddings, 3, oversample=4 / 3, num_clusters=2).tolist() == [3, 0, 2]
    assert cluster_margin_query(probs, embeddings, 4, oversample=1, num_clusters=2).tolist() == [3, 0, 2, 1]
    assert cluster_margin_query(probs, embeddings, 2, oversample=1).tolist() == [0, 2]  # no more than Margin's


def test_of_duplicates_the_smallest_margin_is_chosen():
    """80 candidates for 64 rows, 16 of which have a twin."""
    features = torch.randn(64, 5, generator=generator())
    twins = torch.cat([features, features[:16] + 1e-4])
    probs = random_probs(80, 4)
    query = cluster_margin_query(probs, twins, 64)
    margins = margin_score(probs)
    kept = {i if margins[i] >= margins[64 + i] else 64 + i for i in range(16)} | set(range(16, 64))
    assert set(query.tolist()) == kept


def test_candidates_are_the_smallest_margins():
    probs, embeddings = random_probs(200, 5), torch.randn(200, 4, generator=generator())
    query = cluster_margin_query(probs, embeddings, 20)
    smallest = margin_score(probs).argsort(descending=True, stable=True)[:25]
    assert torch.isin(query, smallest).all()
    assert len(query.unique()) == 20
    assert query.tolist() != smallest[:20].tolist()


def test_many_candidates_are_clustered_by_k_means(monkeypatch):
    centres = 100 * torch.randn(6, 3, generator=generator())
    kinds = torch.arange(60) % 6
    embeddings = centres[kinds] + torch.randn(60, 3, generator=generator(1))
    probs = random_probs(60, 3)
    expected = cluster_margin_query(probs, embeddings, 12, oversample=5, num_clusters=6)
    monkeypatch.setattr(cluster_margin, "MOST_LINKED", 59)
    asked = []
    kmeans = cluster_margin.kmeans
    monkeypatch.setattr(cluster_margin, "kmeans", lambda *args: asked.append(args[1]) or kmeans(*args))
    query = cluster_margin_query(probs, embeddings, 60, generator(), num_clusters=20)
    assert sorted(query.tolist()) == list(range(60))
    assert asked == [20]
    found = cluster_margin_query(probs, embeddings, 12, generator(1), oversample=5, num_clusters=6)
    again = cluster_margin_query(probs, embeddings, 12, generator(1), oversample=5, num_clusters=6)
    assert found.equal(again)
    assert kinds[expected[:6]].unique().tolist() == list(range(6))  # linkage finds the six kinds


@pytest.mark.parametrize("most_linked", [0, 2000])
def test_rows_that_coincide_fill_the_query(monkeypatch, most_linked):
    monkeypatch.setattr(cluster_margin, "MOST_LINKED", most_linked)
    query = cluster_margin_query(random_probs(20, 3), torch.ones(20, 2), 9, generator())
    assert len(query.unique()) == 9


def test_the_pool_may_be_the_query():
    probs, embeddings = random_probs(7, 3), torch.randn(7, 2, generator=generator())
    assert sorted(cluster_margin_query(probs, embeddings, 7).tolist()) == list(range(7))
    assert cluster_margin_query(probs, embeddings, 0).tolist() == []


def test_strategy_equals_the_function_and_takes_features_of_candidates_only(monkeypatch):
    pool = make_pool()
    expected = cluster_margin_query(pool.probs(), pool.embeddings(), 30)
    rows = []
    of_rows = FeatureSpace.of_rows
    monkeypatch.setattr(FeatureSpace, "of_rows", lambda self, p, at: rows.append(len(at)) or of_rows(self, p, at))
    assert ClusterMargin().query(pool, 30, generator()).equal(expected)
    assert rows == [38]


def test_features_may_be_inputs():
    pool = make_pool()
    expected = cluster_margin_query(pool.probs(), pool_inputs(), 30)
    assert ClusterMargin(features="inputs").query(pool, 30, generator()).equal(expected)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"oversample": 0.9}, "`oversample` of ClusterMargin to be a finite number of at least 1, but got 0.9"),
        ({"oversample": math.inf}, "but got inf"),
        ({"num_clusters": 0}, "`num_clusters` of ClusterMargin to be at least 1, but got 0"),
    ],
)
def test_bad_options_raise(kwargs, message):
    with pytest.raises(InputError, match=message):
        ClusterMargin(**kwargs)
    with pytest.raises(InputError, match=message):
        cluster_margin_query(random_probs(5, 3), torch.ones(5, 2), 2, **kwargs)


def test_bad_arguments_raise():
    probs, embeddings = random_probs(5, 3), torch.ones(5, 2)
    with pytest.raises(InputError, match="a row of embeddings for each of 5 rows of probabilities, but got 4"):
        cluster_margin_query(probs, embeddings[:4], 2)
    with pytest.raises(InputError, match="pool size 5, but got 6"):
        cluster_margin_query(probs, embeddings, 6)
    for name, given_ in (("probabilities", (probs.clone(), embeddings)), ("embeddings", (probs, embeddings.clone()))):
        given_[0 if name == "probabilities" else 1][2] = torch.nan
        with pytest.raises(InputError, match=f"finite {name}, but got NaN or infinity in 1 of 5"):
            cluster_margin_query(*given_, 2)
