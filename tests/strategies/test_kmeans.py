"""KMeans: the rows nearest to the centres, and enough of them."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.strategies import KMeans
from al_lightning.strategies.clusters import kmeans
from al_lightning.strategies.kmeans import kmeans_query
from tests.helpers import generator, make_pool, pool_inputs

BLOBS = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])


def plain(rows: Tensor, query_size: int, seed: int) -> list[int]:
    """Rounds over the clusters, the largest first; each gives its row that is nearest to the mean and not yet given."""
    clusters = kmeans(rows, query_size, generator(seed))
    members = clusters.members.tolist()
    left = {k: [i for i, member in enumerate(members) if member == k] for k in range(query_size)}
    order = sorted(left, key=lambda k: -len(left[k]))
    picks: list[int] = []
    while len(picks) < query_size:
        for k in order:
            if left[k] and len(picks) < query_size:
                distances = [round(float((rows[i] - clusters.centres[k]).double().norm()), 4) for i in left[k]]
                picks.append(left[k].pop(distances.index(min(distances))))
    return picks


@settings(max_examples=60)
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_the_query_is_that_of_the_plain_form(data: st.DataObject, seed: int) -> None:
    size, num_distinct = data.draw(st.integers(1, 40), "size"), data.draw(st.integers(1, 40), "distinct")
    query_size = data.draw(st.integers(0, size), "query_size")
    rows = torch.randn(num_distinct, 3, generator=generator(seed))
    rows = rows[torch.randint(num_distinct, (size,), generator=generator(seed + 1))]
    assert kmeans_query(rows, query_size, generator(seed)).tolist() == (
        plain(rows, query_size, seed) if query_size else []
    )


def test_separate_clusters_give_the_row_next_to_their_mean() -> None:
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    rows = torch.cat([blob + corners for blob in BLOBS])[torch.randperm(20, generator=generator(4))]
    expected = [i for i, row in enumerate(rows.tolist()) if row in BLOBS.tolist()]
    found = [sorted(kmeans_query(rows, 4, generator(seed)).tolist()) for seed in range(10)]
    assert found.count(expected) >= 9  # from some first centres Lloyd's iterations end with a blob in two parts
    assert kmeans_query(rows, 1, generator()).tolist() == [int((rows - rows.mean(dim=0)).norm(dim=1).argmin())]


def test_rows_that_coincide_do_not_leave_the_query_short() -> None:
    rows = torch.tensor([[0.0], [9.0]]).repeat(10, 1)
    query = kmeans_query(rows, 7, generator()).tolist()
    assert len(set(query)) == 7
    assert {row % 2 for row in query[:2]} == {0, 1}
    assert sorted(query) == [0, 1, 2, 3, 4, 5, 6]


def test_all_rows_are_queried_if_as_many_are_asked_for() -> None:
    rows = torch.randn(30, 2, generator=generator(1))
    assert sorted(kmeans_query(rows, 30, generator()).tolist()) == list(range(30))


@pytest.mark.parametrize("size", [11, -1])
def test_a_wrong_size_raises(size: int) -> None:
    with pytest.raises(InputError, match=f"pool size 10, but got {size}"):
        kmeans_query(torch.zeros(10, 2), size, generator())


def test_nan_raises() -> None:
    with pytest.raises(InputError, match="finite embeddings, but got NaN or infinity in 1 of 3"):
        kmeans_query([[0.0], [float("nan")], [1.0]], 1, generator())


def test_the_strategy_clusters_the_features_asked_for() -> None:
    assert KMeans().query(make_pool(), 9, generator(3)).equal(kmeans_query(make_pool().embeddings(), 9, generator(3)))
    inputs = KMeans("inputs").query(make_pool(), 9, generator(3))
    assert inputs.equal(kmeans_query(pool_inputs().flatten(1), 9, generator(3)))


def test_the_strategy_needs_no_label_and_no_logits() -> None:
    class NoLogits(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("the strategy asks for logits")

    pool = make_pool(model=NoLogits(), labeled=pool_inputs()[:0])
    assert len(KMeans("inputs").query(pool, 9, generator(3)).unique()) == 9
    assert not KMeans.needs_predictions
