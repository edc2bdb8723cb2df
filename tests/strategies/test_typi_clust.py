"""TypiClust: the plain form, the rule for clusters that hold labels, and what public versions get wrong."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.strategies import TypiClust, typi_clust
from al_lightning.strategies.clusters import kmeans
from al_lightning.strategies.typi_clust import typiclust_query
from tests.helpers import generator, labeled_inputs, make_pool, pool_inputs

LINE = torch.tensor([[0.0], [1.0], [2.0], [10.0], [12.0]])


def plain(
    pool: Tensor, labeled: Tensor, query_size: int, seed: int, max_clusters: int = 500, num_neighbors: int = 20
) -> list[int]:
    """One cluster after the other, and all distances in it, in float64."""
    if query_size == 0:
        return []
    rows = torch.cat([pool, labeled])
    num_clusters = min(len(labeled) + query_size, max_clusters, len(rows))
    members = kmeans(rows, num_clusters, generator(seed)).members.tolist()
    between = torch.cdist(rows.double(), rows.double(), compute_mode="donot_use_mm_for_euclid_dist").tolist()
    inside = {k: [i for i, member in enumerate(members) if member == k] for k in range(num_clusters)}
    labels = {k: sum(i >= len(pool) for i in inside[k]) for k in inside}
    picks: list[int] = []
    while True:
        for k in sorted(inside, key=lambda k: (labels[k], -len(inside[k]))):
            best = None
            for i in inside[k]:
                if i < len(pool) and i not in picks:
                    others = sorted(between[i][j] for j in inside[k] if j != i)
                    mean = sum(others[:num_neighbors]) / max(1, len(others[:num_neighbors]))
                    if best is None or mean < best[0] - 1e-9:
                        best = mean, i
            if best is not None:
                picks.append(best[1])
                labels[k] += 1
            if len(picks) == query_size:
                return picks


@settings(max_examples=50)
@given(data=st.data(), seed=st.integers(0, 10**6), lattice=st.booleans())
def test_the_query_is_that_of_the_plain_form(data: st.DataObject, seed: int, lattice: bool) -> None:
    size, num_labeled = data.draw(st.integers(1, 40), "size"), data.draw(st.integers(0, 20), "labeled")
    query_size = data.draw(st.integers(0, size), "query_size")
    options = data.draw(st.integers(1, 12), "max_clusters"), data.draw(st.integers(1, 6), "num_neighbors")
    rows = torch.randn(size + num_labeled, 2, generator=generator(seed))
    if lattice:
        rows = rows.mul(2).round()[:, :1]  # on a line all distances are whole numbers: many tie, and rows coincide
    pool, labeled = rows[:size], rows[size:]
    found = typiclust_query(pool, labeled, query_size, generator(seed), *options).tolist()
    assert found == plain(pool, labeled, query_size, seed, *options)


def test_the_query_is_that_of_the_plain_form_on_digits() -> None:
    pool = make_pool()
    embeddings, labeled = pool.embeddings(), pool.labeled_embeddings()
    for query_size, max_clusters in ((30, 500), (30, 50), (30, 7)):
        found = typiclust_query(embeddings, labeled, query_size, generator(1), max_clusters).tolist()
        assert found == plain(embeddings, labeled, query_size, 1, max_clusters)


@pytest.mark.parametrize("seed", range(10))
def test_the_middle_of_the_larger_cluster_is_first(seed: int) -> None:
    """Regression: of half the members as neighbours, all of 0, 1 and 2 are as typical (TypiClust of its authors)."""
    assert typiclust_query(LINE, [], 2, generator(seed)).tolist() == [1, 3]


# ------------------------------------------------------------------------------------------ clusters that hold labels


@pytest.mark.parametrize("seed", range(5))
def test_it_is_not_random_where_all_clusters_hold_labels(seed: int) -> None:
    """Regression: the query was drawn at random then (dal-toolbox), or raised (scikit-activeml)."""
    blobs = torch.cat([LINE[:3], LINE[:3] + 100, LINE[:3] + 100.5])  # 3 members, and 6
    labeled = torch.tensor([[0.2], [0.3], [100.3], [100.4]])
    query = typiclust_query(blobs, labeled, 2, generator(seed), max_clusters=2, num_neighbors=3).tolist()
    # as many labels in both: the larger cluster is first. 100.5 is next to 100, 100.3, 100.4, and 0 to 0.2, 0.3, 1
    assert query == [6, 0]


def test_clusters_with_fewer_labels_come_first_whatever_their_size() -> None:
    blobs = torch.cat([torch.arange(9.0), 100 + torch.arange(4.0), 200 + torch.arange(7.0)])[:, None]
    labeled = torch.tensor([[4.2], [4.3], [203.1]])
    query = typiclust_query(blobs, labeled, 3, generator(0), max_clusters=3, num_neighbors=2)
    assert [int(blobs[row]) // 100 for row in query] == [1, 2, 0]


def test_a_second_round_takes_the_next_typical_member() -> None:
    rows = torch.tensor([[0.0], [1.0], [2.0], [4.0], [100.0], [101.0]])
    query = typiclust_query(rows, [], 6, generator(0), max_clusters=2, num_neighbors=2)
    # mean distances 1.5, 1, 1.5, 2.5 and 1, 1
    assert query.tolist() == [1, 4, 0, 5, 2, 3]


def test_labeled_members_count_as_neighbours() -> None:
    """Labels do not change where the data are dense."""
    rows = torch.tensor([[0.0], [1.0], [5.0]])
    assert typiclust_query(rows, [], 1, generator(), num_neighbors=1).tolist() == [0]
    labeled = torch.tensor([[5.1], [5.2]])
    assert typiclust_query(rows, labeled, 1, generator(), max_clusters=1, num_neighbors=1).tolist() == [2]


def test_labeled_samples_are_never_queried() -> None:
    inputs = torch.cat([labeled_inputs(), pool_inputs()[:50]])
    pool = make_pool(pool_inputs()[:50], labeled=inputs[:100])
    assert sorted(TypiClust().query(pool, 50, generator()).tolist()) == list(range(50))


# ------------------------------------------------------------------------------------- what public versions get wrong


def test_distances_are_not_squared() -> None:
    """Regression: faiss's distances are squared, and the largest typicality is another (TypiClust of its authors)."""
    rows = torch.tensor([[0.0], [0.0], [3.0], [5.0], [7.0]])
    # of two neighbours: 0 has mean distance 1.5 and mean square 4.5, and 5 has 2 and 4
    assert typiclust_query(rows, [], 1, generator(), num_neighbors=2).tolist() == [0]


def test_more_labels_than_the_most_clusters_make_no_more_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: 10,000 labels made 10,100 clusters (scikit-activeml)."""
    made: list[int] = []
    monkeypatch.setattr(typi_clust, "kmeans", lambda rows, k, *args: made.append(k) or kmeans(rows, k, *args))
    rows = torch.randn(80, 3, generator=generator())
    for num_labeled, query_size in ((0, 4), (3, 4), (40, 10), (0, 30)):
        typiclust_query(rows[:40], rows[40 : 40 + num_labeled], query_size, generator(), max_clusters=20)
    assert made == [4, 7, 20, 20]


def test_a_query_larger_than_the_most_clusters_is_whole() -> None:
    rows = torch.randn(60, 3, generator=generator())
    assert sorted(typiclust_query(rows, [], 60, generator(), max_clusters=7).tolist()) == list(range(60))


@pytest.mark.parametrize("num_labeled", [0, 3])
def test_rows_that_coincide_are_queried_once_each(num_labeled: int) -> None:
    rows = torch.tensor([[1000.0], [1001.0]]).repeat(15, 1)
    query = typiclust_query(rows, rows[:num_labeled], 25, generator())
    assert len(query.unique()) == 25


def test_the_query_does_not_depend_on_threads() -> None:
    rows = torch.randn(3000, 8, generator=generator(1))
    before, found = torch.get_num_threads(), []
    try:
        for num in (1, 2):
            torch.set_num_threads(num)
            found.append(typiclust_query(rows[200:], rows[:200], 30, generator(2), max_clusters=40))
    finally:
        torch.set_num_threads(before)
    assert found[0].equal(found[1])


def test_the_same_query_from_numbers_of_any_type_and_far_from_zero() -> None:
    rows = torch.randn(100, 4, generator=generator(1)).mul(64).round().div(64)
    expected = typiclust_query(rows[20:], rows[:20], 10, generator())
    assert typiclust_query(rows[20:].double() + 2**40, rows[:20].double() + 2**40, 10, generator()).equal(expected)
    assert typiclust_query(rows[20:].numpy(), rows[:20].tolist(), 10, generator()).equal(expected)


# -------------------------------------------------------------------------------------------------------- the strategy


def test_the_strategy_clusters_the_features_asked_for() -> None:
    pool = make_pool()
    expected = typiclust_query(pool.embeddings(), pool.labeled_embeddings(), 9, generator(3), 30, 4)
    assert TypiClust(30, 4).query(pool, 9, generator(3)).equal(expected)
    expected = typiclust_query(pool_inputs().flatten(1), labeled_inputs().flatten(1), 9, generator(3))
    assert TypiClust(features="inputs").query(pool, 9, generator(3)).equal(expected)


def test_the_strategy_needs_no_label_and_no_logits() -> None:
    class NoLogits(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("the strategy asks for logits")

    pool = make_pool(model=NoLogits(), labeled=pool_inputs()[:0])
    assert len(TypiClust(features="inputs").query(pool, 9, generator(3)).unique()) == 9
    assert not TypiClust.needs_predictions


@pytest.mark.parametrize("name", ["max_clusters", "num_neighbors"])
@pytest.mark.parametrize("value", [0, 1.5])
def test_a_wrong_number_raises(name: str, value: float) -> None:
    for make in (TypiClust, lambda **options: typiclust_query(LINE, [], 1, generator(), **options)):
        with pytest.raises(InputError, match=f"`{name}` of TypiClust to be an integer of at least 1, but got {value}"):
            make(**{name: value})


def test_broken_features_raise() -> None:
    with pytest.raises(InputError, match="as many features of labeled samples as of the pool, 1, but got 2"):
        typiclust_query(LINE, torch.zeros(1, 2), 1, generator())
    with pytest.raises(InputError, match="labeled samples, but got NaN or infinity in 1 of 1"):
        typiclust_query(LINE, [[torch.nan]], 1, generator())
