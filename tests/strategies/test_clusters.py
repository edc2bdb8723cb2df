"""K-means: Lloyd's iterations, the same as a slow form, for any number of threads."""

import pytest
import torch
from torch import Tensor

from al_lightning.strategies.clusters import kmeans, nearest_to_centres
from tests.helpers import generator, make_pool


def lloyd_by_hand(rows: Tensor, first: Tensor, num_iterations: int) -> tuple[Tensor, Tensor]:
    """Centres and members, in float64, where no cluster becomes empty."""
    rows, centres = rows.double(), rows[first].double()
    for _ in range(num_iterations):
        members = (rows[:, None] - centres[None]).square().sum(dim=2).argmin(dim=1)
        centres = torch.stack([rows[members == k].mean(dim=0) for k in range(len(centres))])
    return centres, (rows[:, None] - centres[None]).square().sum(dim=2).argmin(dim=1)


def test_kmeans_is_lloyds_iteration():
    rows = make_pool().embeddings()
    first = torch.randperm(len(rows), generator=generator(3))[:7]
    centres, members = lloyd_by_hand(rows, first, 30)
    found = kmeans(rows, 7, generator(3), 30)
    assert torch.equal(found.members, members)
    torch.testing.assert_close(found.centres, centres.float(), atol=1e-4, rtol=1e-4)
    distances = (rows - found.centres[members]).square().sum(dim=1)
    torch.testing.assert_close(found.sq_distances, distances, atol=1e-2, rtol=1e-3)


def test_kmeans_does_not_depend_on_threads():
    rows = torch.randn(5000, 16, generator=generator(1))
    before, found = torch.get_num_threads(), []
    try:
        for num in (1, 2):
            torch.set_num_threads(num)
            found.append(kmeans(rows, 30, generator(2)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].members, found[1].members)
    assert torch.equal(found[0].centres, found[1].centres)


@pytest.mark.parametrize("num_clusters", [1, 4, 10])
def test_rows_that_coincide_leave_clusters_empty_and_no_more(num_clusters):
    rows = torch.tensor([[0.0], [1.0], [5.0]]).repeat(4, 1)[:10]
    clusters = kmeans(rows, num_clusters, generator())
    assert len(clusters.members.unique()) == min(3, num_clusters)
    nearest = nearest_to_centres(clusters)
    assert len(nearest.unique()) == len(nearest) == min(3, num_clusters)


def test_each_row_is_a_cluster_of_its_own_if_there_are_as_many():
    rows = torch.randn(20, 3, generator=generator(5))
    clusters = kmeans(rows, 20, generator())
    assert sorted(clusters.members.tolist()) == list(range(20))
    assert clusters.sq_distances.max() < 1e-5


def test_the_nearest_rows_are_of_their_clusters():
    rows = make_pool().embeddings()
    clusters = kmeans(rows, 12, generator())
    nearest = nearest_to_centres(clusters)
    assert clusters.members[nearest].tolist() == list(range(12))
    for k, row in enumerate(nearest.tolist()):
        inside = (clusters.members == k).nonzero().squeeze(1)
        assert row == int(inside[clusters.sq_distances[inside].argmin()])
