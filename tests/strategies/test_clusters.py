"""K-means: Lloyd's iterations, the same as a slow form, for any number of threads."""

import pytest
import torch
from torch import Tensor

from al_lightning.strategies import clusters
from al_lightning.strategies.clusters import first_centres, kmeans, nearest_to_centres, ranks
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
    first = first_centres(rows, 7, generator(3))
    centres, members = lloyd_by_hand(rows, first, 30)
    found = kmeans(rows, 7, generator(3), 30, tolerance=0)
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


def test_the_first_centres_are_drawn_by_their_squared_distances() -> None:
    """From 0, 1 and 3: of the two orders of each pair, by hand."""
    rows = torch.tensor([[0.0], [1.0], [3.0]])
    chances = {(0, 1): 1 / 10, (0, 2): 9 / 10, (1, 0): 1 / 5, (1, 2): 4 / 5, (2, 0): 9 / 13, (2, 1): 4 / 13}
    draws, num_draws = generator(1), 3000
    counts = dict.fromkeys(chances, 0)
    for _ in range(num_draws):
        first, second = first_centres(rows, 2, draws).tolist()
        counts[first, second] += 1
    for pair, chance in chances.items():
        expected = num_draws * chance / 3
        assert abs(counts[pair] - expected) < 4.5 * expected**0.5, pair


def test_the_first_centres_of_many_rows_are_drawn_from_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "SEED_ROWS", 10)
    rows = torch.arange(1000.0)[:, None]
    sampled = torch.randperm(1000, generator=generator(2))
    assert set(first_centres(rows, 1, generator(2)).tolist()) <= set(sampled[:10].tolist())
    found = first_centres(rows, 20, generator(2)).tolist()
    assert len(set(found)) == 20
    assert set(found) <= set(sampled[:160].tolist())


def test_separate_clusters_are_found_from_most_first_centres() -> None:
    """Uniform draws hit each of ten clusters in one of 2,800 cases, and Lloyd's iterations do not repair it."""
    rows = torch.randn(500, 4, generator=generator(1)) + 100 * torch.eye(10, 4).roll(1, 0).repeat(50, 1)
    rows += 300 * (torch.arange(500) % 10).float()[:, None]
    found = [kmeans(rows, 10, generator(seed)).members for seed in range(20)]
    whole = [len({(int(m), i % 10) for i, m in enumerate(members)}) == 10 for members in found]
    assert sum(whole) >= 12


@pytest.mark.parametrize("num_clusters", [1, 4, 10])
def test_rows_that_coincide_leave_clusters_empty_and_no_more(num_clusters):
    rows = torch.tensor([[0.0], [1.0], [5.0]]).repeat(4, 1)[:10]
    found = kmeans(rows, num_clusters, generator())
    assert len(found.members.unique()) == min(3, num_clusters)
    nearest = nearest_to_centres(found)
    assert len(nearest.unique()) == len(nearest) == min(3, num_clusters)


def test_each_row_is_a_cluster_of_its_own_if_there_are_as_many():
    rows = torch.randn(20, 3, generator=generator(5))
    found = kmeans(rows, 20, generator())
    assert sorted(found.members.tolist()) == list(range(20))
    assert found.sq_distances.max() == 0


def test_the_nearest_rows_are_of_their_clusters():
    rows = make_pool().embeddings()
    found = kmeans(rows, 12, generator())
    nearest = nearest_to_centres(found)
    assert found.members[nearest].tolist() == list(range(12))
    for k, row in enumerate(nearest.tolist()):
        inside = (found.members == k).nonzero().squeeze(1)
        assert row == int(inside[found.sq_distances[inside].argmin()])


def test_ranks_take_rounding_for_a_tie() -> None:
    """The two rows of a cluster are as near to their mean: rounding must not decide which is nearest."""
    members = torch.tensor([1, 0, 0, 1, 1])
    values = torch.tensor([2.0, 1.0 + 1e-6, 1.0, 2.0 - 1e-6, 1.9])
    assert ranks(members, values).tolist() == [1, 0, 1, 2, 0]
    assert ranks(torch.tensor([0, 0, 0]), torch.tensor([3e-9, 0.0, 1e-9])).tolist() == [2, 0, 1]
