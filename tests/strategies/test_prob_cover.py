"""ProbCover: the plain cover, what comes after full cover, and the radius."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.strategies import ProbCover, ball_graph, prob_cover
from al_lightning.strategies.clusters import kmeans
from al_lightning.strategies.max_herding import max_herding
from al_lightning.strategies.prob_cover import prob_cover_query, purity_radius
from tests.helpers import generator, make_pool, pool_inputs

LINE = torch.tensor([[0.0], [1.0], [2.0], [10.0]])


def plain_cover(pool: Tensor, labeled: Tensor, query_size: int, radius: float) -> list[int]:
    """Counts what each ball covers after each pick."""
    everything = torch.cat([pool, labeled]).double()
    inside = (everything[:, None] - everything[None]).norm(dim=2) <= radius * (1 + 1e-6)
    size = len(pool)
    inside, covered = inside[:, :size], inside[size:, :size].any(dim=0)
    picks: list[int] = []
    while len(picks) < query_size:
        counts = (inside[:size] & ~covered).sum(dim=1)
        counts[picks] = -1
        if counts.max() <= 0:
            covered = torch.zeros(size, dtype=torch.bool)
            continue
        picks.append(int(counts.argmax()))
        covered = covered | inside[picks[-1]]
    return picks


@settings(max_examples=100)
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_the_query_is_that_of_the_plain_form(data: st.DataObject, seed: int) -> None:
    size, num_labeled = data.draw(st.integers(1, 50), "size"), data.draw(st.integers(0, 10), "labeled")
    query_size = data.draw(st.integers(0, size), "query_size")
    rows = 2 * torch.randn(size + num_labeled, data.draw(st.integers(1, 3), "dim"), generator=generator(seed))
    if data.draw(st.booleans(), "lattice"):
        rows = rows.round()  # many distances are exactly the radius
    radius = data.draw(st.sampled_from([0.0, 0.7, 1.0, 2.0, 30.0]), "radius")
    offset = data.draw(st.sampled_from([0.0, 1024.0]), "offset")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(ball_graph, "SEARCH_ROWS", data.draw(st.integers(1, 20), "SEARCH_ROWS"))
        found = prob_cover_query(rows[:size] + offset, rows[size:] + offset, query_size, radius).tolist()
    assert found == plain_cover(rows[:size] + offset, rows[size:] + offset, query_size, radius)


def test_the_query_is_that_of_the_plain_form_on_digits() -> None:
    pool = make_pool()
    embeddings, labeled = pool.embeddings(), pool.labeled_embeddings()
    for radius in (0.5, 1.5, 3.0):
        for rows in (labeled, labeled[:0]):
            assert prob_cover_query(embeddings, rows, 60, radius).tolist() == plain_cover(embeddings, rows, 60, radius)


def test_on_rows_of_unit_length_it_is_the_tophat_of_max_herding() -> None:
    rows = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator(1)))
    for labeled in (rows[:0], rows[190:]):
        picks = prob_cover_query(rows[:190], labeled, 12, 0.3)
        assert picks.equal(max_herding(rows[:190], labeled, 12, 0.3, "tophat"))


# ------------------------------------------------------------------------------------- what public versions get wrong


def test_it_covers_and_does_not_count_neighbours() -> None:
    """Regression: only the edges of the pick were removed, so the picks were those of most neighbours (small-text)."""
    rows = torch.tensor([[0.0], [0.1], [0.2], [0.3], [10.0], [10.1]])
    assert prob_cover_query(rows, [], 2, 1.0).tolist() == [0, 4]


def test_nothing_is_repeated_after_full_cover() -> None:
    """Regression: all degrees were 0, and argmax gave row 0 again and again (ProbCover of its authors)."""
    assert prob_cover_query(LINE, [], 4, 1.1).tolist() == [1, 3, 0, 2]
    assert prob_cover_query(LINE, LINE, 4, 1.1).tolist() == [1, 3, 0, 2]
    assert sorted(prob_cover_query(LINE, [], 4, 100.0).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [1, 6])
def test_rows_that_coincide_are_queried_once_each(size: int) -> None:
    """A ball of radius 0 has its centre in it, also where that is the origin of the search."""
    for labeled in ([], torch.ones(2, 3)):
        for radius in (0.0, 1.0):
            assert prob_cover_query(torch.ones(size, 3), labeled, size, radius).tolist() == list(range(size))


def test_the_last_rows_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the last batch was lost where batches do not divide the rows (authors, DCoM, dal-toolbox)."""
    monkeypatch.setattr(ball_graph, "SEARCH_ROWS", 4)
    rows = torch.cat([torch.arange(4.0), 100 + torch.arange(5.0) / 10])[:, None]
    assert prob_cover_query(rows, [], 1, 1.0).tolist() == [4]
    assert prob_cover_query(rows, rows[4:9], 1, 1.0).tolist() == [1]


def test_a_row_at_the_radius_is_inside_however_far_from_zero() -> None:
    for offset in (0.0, 2.0**20):
        assert prob_cover_query(LINE + offset, [], 3, 1.0).tolist() == [1, 3, 0]
        assert prob_cover_query(LINE + offset, [], 3, 0.99).tolist() == [0, 1, 2]


def test_too_many_pairs_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ball_graph, "MOST_PAIRS", 2000)
    rows = torch.randn(100, 2, generator=generator())
    assert len(prob_cover_query(rows, [], 5, 0.1)) == 5
    with pytest.raises(InputError, match=r"at most 2,000 pairs of samples lie.*but got 50, which has about 1e\+04"):
        prob_cover_query(rows, [], 5, 50.0)


# ---------------------------------------------------------------------------------------------------------- the radius


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("purity", [0.5, 0.95, 1.0])
def test_the_radius_is_the_largest_of_pure_balls(seed: int, purity: float) -> None:
    rows = torch.randn(150, 2, generator=generator(seed))
    labels = kmeans(rows, 4, generator(seed)).members
    distances = (rows[:, None] - rows[None]).double().norm(dim=2)

    def share(radius: float) -> float:
        return float(((distances > radius) | (labels[:, None] == labels)).all(dim=1).double().mean())

    radius = purity_radius(rows, 4, generator(seed), purity)
    assert share(radius) >= purity - 1e-9 > share(radius * 1.0001) - 1e-6


def test_the_radius_of_a_line_by_hand() -> None:
    assert purity_radius(LINE, 2, generator(), 1.0) == pytest.approx(8, rel=1e-4)
    assert purity_radius(LINE, 2, generator(), 0.75) == pytest.approx(8, rel=1e-4)  # of 2 and of 10
    assert purity_radius(LINE, 2, generator(), 0.5) == pytest.approx(9, rel=1e-4)
    assert purity_radius(torch.ones(7, 2), 3, generator()) == 0


def test_of_many_rows_some_balls_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(3000, 2, generator=generator(1))
    every = purity_radius(rows, 5, generator(2))
    monkeypatch.setattr(prob_cover, "SAMPLE", 1000)
    assert purity_radius(rows, 5, generator(2)) == pytest.approx(every, rel=0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": -1.0}, "`radius` of ProbCover to be auto, or a number of at least 0, but got -1.0"),
        ({"radius": "large"}, "`radius` of ProbCover to be auto, or a number of at least 0, but got 'large'"),
        ({"num_classes": 1}, "`num_classes` of ProbCover to be an integer of at least 2, but got 1"),
        ({"purity": 0.0}, "`purity` of ProbCover to be more than 0, up to 1, but got 0.0"),
    ],
)
def test_bad_arguments_raise(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ProbCover(**options)


def test_the_function_finds_no_radius() -> None:
    with pytest.raises(InputError, match="`radius` of prob_cover_query to be a number .* of purity_radius, .* 'auto'"):
        prob_cover_query(LINE, [], 1, "auto")  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------- the strategy


def test_the_strategy_takes_the_number_of_classes_from_the_model() -> None:
    pool = make_pool()
    embeddings, labeled = pool.embeddings(), pool.labeled_embeddings()
    for strategy, num_classes in ((ProbCover(), 10), (ProbCover(num_classes=3), 3)):
        radius = purity_radius(embeddings, num_classes, generator(3))
        expected = prob_cover_query(embeddings, labeled, 20, radius)
        assert strategy.query(pool, 20, generator(3)).equal(expected)
    assert ProbCover(2.0).query(pool, 20, generator()).equal(prob_cover_query(embeddings, labeled, 20, 2.0))


@pytest.mark.parametrize(("query_size", "num_classes"), [(1, 2), (9, 9)])
def test_without_a_fitted_model_there_are_as_many_pseudo_labels_as_samples_asked_for(
    query_size: int, num_classes: int
) -> None:
    class NoLogits(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise AssertionError("the strategy asks for logits")

    pool = make_pool(model=NoLogits(), labeled=pool_inputs()[:0])
    inputs = pool_inputs().flatten(1)
    expected = prob_cover_query(inputs, [], query_size, purity_radius(inputs, num_classes, generator(3)))
    assert ProbCover(features="inputs").query(pool, query_size, generator(3)).equal(expected)
    assert not ProbCover.needs_predictions
