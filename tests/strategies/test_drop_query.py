"""DropQuery: candidates by dropout of features, and a query spread over them."""

import warnings

import pytest
import torch
from scipy.stats import binom, chisquare
from torch import Tensor, nn

from al_lightning.errors import InputError
from al_lightning.strategies import DropQuery, drop_query as module
from al_lightning.strategies.drop_query import count_changes, drop_query
from tests.helpers import fitted_model, generator, make_pool

P_VALUE = 1e-3


def changes_by_hand(embeddings: Tensor, head: nn.Linear, draws: Tensor, dropout: float) -> list[int]:
    """One row and one draw at a time, with the numbers that decide what is dropped: (N, M, D)."""
    counts = []
    for row, numbers in zip(embeddings.double(), draws, strict=True):
        weight, bias = head.weight.double(), head.bias.double()
        predicted = int((weight @ row + bias).argmax())
        kept = [[float(value) if u >= dropout else 0.0 for value, u in zip(row, us, strict=True)] for us in numbers]
        logits = [weight @ torch.tensor(values, dtype=torch.float64) / (1 - dropout) + bias for values in kept]
        counts.append(sum(int(one.argmax()) != predicted for one in logits))
    return counts


@pytest.mark.parametrize(("num_draws", "dropout"), [(3, 0.75), (5, 0.3)])
def test_changes_are_those_of_a_loop_over_rows_and_draws(monkeypatch, num_draws, dropout):
    monkeypatch.setattr(module, "BLOCK_ROWS", 16)
    embeddings, head = make_pool().embeddings()[:40], fitted_model().head
    found = count_changes(embeddings, head, generator(7), num_draws, dropout)
    shared = generator(7)
    parts = [torch.rand(num_draws, len(rows), 32, generator=shared).transpose(0, 1) for rows in embeddings.split(16)]
    with torch.no_grad():
        assert found.tolist() == changes_by_hand(embeddings, head, torch.cat(parts), dropout)
    assert found.unique().numel() > 2


def test_each_row_has_masks_of_its_own():
    """The first class wins if the only feature is dropped: a binomial number of changes, and not one for all rows."""
    head = nn.Linear(1, 2)
    head.weight.data, head.bias.data = torch.tensor([[0.0], [1.0]]), torch.tensor([1.0, 0.0])
    counts = count_changes(torch.full((5000, 1), 2.0), head, generator(), 3, 0.75).bincount(minlength=4)
    assert chisquare(counts.numpy(), [5000 * binom.pmf(k, 3, 0.75) for k in range(4)]).pvalue > P_VALUE


# --------------------------------------------------------------------------------------------------------- candidates


def candidates(monkeypatch: pytest.MonkeyPatch, changes: list[int], query_size: int, **kwargs: int) -> list[int]:
    """The candidates that the query is spread over, given how often each prediction changes."""
    seen = []

    def spread(embeddings: Tensor, candidates: Tensor, *rest: object) -> Tensor:
        seen.append(candidates.tolist())
        return candidates

    monkeypatch.setattr(module, "count_changes", lambda *args: torch.tensor(changes))
    monkeypatch.setattr(module, "spread_over", spread)
    drop_query(torch.zeros(len(changes), 2), nn.Linear(2, 2), query_size, generator(), **kwargs)
    return seen[0]


def test_more_than_half_of_the_draws_must_change(monkeypatch):
    assert candidates(monkeypatch, [0, 1, 2, 3, 2, 0], 1, candidates_per_pick=3) == [3, 2, 4]
    assert candidates(monkeypatch, [2, 3, 4, 1], 1, num_draws=4, candidates_per_pick=2) == [2, 1]
    assert candidates(monkeypatch, [1, 0, 1], 1, num_draws=1, candidates_per_pick=2) == [0, 2]


def test_fewer_changes_are_enough_if_there_are_too_few_candidates(monkeypatch):
    assert candidates(monkeypatch, [0, 1, 2, 3, 2, 0], 1, candidates_per_pick=4) == [3, 2, 4, 1]
    assert candidates(monkeypatch, [0, 1, 2, 3, 2, 0], 2, candidates_per_pick=2) == [3, 2, 4, 1]
    assert candidates(monkeypatch, [5, 4, 3, 2, 1, 0], 1, num_draws=5, candidates_per_pick=4) == [0, 1, 2, 3]


def test_rows_that_never_change_are_no_candidates(monkeypatch):
    assert candidates(monkeypatch, [0, 1, 0], 2) == [1]
    assert candidates(monkeypatch, [0, 0, 0], 2) == []


# ---------------------------------------------------------------------------------------------------------- the query


def test_a_query_is_spread_over_the_candidates():
    """Two directions of candidates, and many rows whose prediction never changes."""
    directions = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    lengths = torch.linspace(0.5, 5, 20)[:, None, None]
    rows = (lengths * directions + 0.01 * torch.randn(20, 2, 3, generator=generator())).flatten(0, 1)
    rows[:, 2] = 0.05
    sure = torch.tensor([[0.0, 0.0, -9.0]]).repeat(50, 1)
    head = nn.Linear(3, 2)
    head.weight.data, head.bias.data = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([0.02, 0.0])
    embeddings = torch.cat([sure, rows])  # only what has 0.05 at the end is of the second class, until it is dropped
    found = set()
    for seed in range(5):
        query = drop_query(embeddings, head, 8, generator(seed))
        assert (query >= 50).all()
        found.add(len({int(i - 50) % 2 for i in query}))
    assert found == {2}


def test_a_head_of_zeros_has_no_candidate():
    head = nn.Linear(3, 4)
    nn.init.zeros_(head.weight)
    counts, shared = torch.zeros(6), generator()

    def draw() -> None:
        for _ in range(600):
            counts[drop_query(torch.randn(6, 3, generator=shared), head, 2, shared)] += 1

    with pytest.warns(UserWarning, match="DropQuery finds fewer candidates than are queried"):
        draw()
    assert counts.sum() == 1200
    assert chisquare(counts.numpy()).pvalue > P_VALUE


def test_all_candidates_are_queried_if_they_are_too_few(monkeypatch):
    monkeypatch.setattr(module, "count_changes", lambda *args: torch.tensor([0, 1, 0, 3, 0, 0, 2]))
    embeddings = torch.randn(7, 2, generator=generator())
    with pytest.warns(UserWarning, match="fewer candidates"):
        queries = [drop_query(embeddings, nn.Linear(2, 2), 5, generator(seed)).tolist() for seed in range(20)]
    assert {tuple(query[:3]) for query in queries} == {(3, 6, 1)}
    assert {i for query in queries for i in query} == set(range(7))
    assert all(len(set(query)) == 5 for query in queries)


def test_enough_candidates_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DropQuery().query(make_pool(), 10, generator())


def test_candidates_that_coincide_are_queried_before_others(monkeypatch):
    """Clusters of equal rows are empty: the other candidates take their places, and not rows drawn at random."""
    monkeypatch.setattr(module, "count_changes", lambda *args: torch.tensor([0] * 20 + [3] * 10))
    embeddings = torch.ones(30, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        query = drop_query(embeddings, nn.Linear(2, 2), 6, generator())
    assert len(query.unique()) == 6
    assert (query >= 20).all()


def test_length_of_features_does_not_count(monkeypatch):
    """Features are scaled to unit length: two directions of any lengths are two clusters."""
    monkeypatch.setattr(module, "count_changes", lambda embeddings, *args: torch.ones(len(embeddings)).long())
    lengths = torch.tensor([1e-3, 1.0, 1e3, 1e6])
    embeddings = torch.cat([lengths[:, None] * torch.tensor([1.0, 0.0]), lengths[:, None] * torch.tensor([0.0, 1.0])])
    for seed in range(10):
        query = drop_query(embeddings, nn.Linear(2, 2), 2, generator(seed))
        if query.tolist() != sorted(query.tolist(), key=lambda i: i // 4):
            query = query.flip(0)
        assert [int(i) // 4 for i in query] == [0, 1]


# ------------------------------------------------------------------------------------------------------ bad arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_draws": 0}, "`num_draws` of DropQuery to be at least 1, but got 0"),
        ({"candidates_per_pick": 0}, "`candidates_per_pick` of DropQuery to be at least 1, but got 0"),
        ({"dropout": 0.0}, "`dropout` of DropQuery to be above 0 and below 1, but got 0.0"),
        ({"dropout": 1.0}, "`dropout` of DropQuery to be above 0 and below 1, but got 1.0"),
    ],
)
def test_bad_arguments_raise(arguments, message):
    with pytest.raises(InputError, match=message):
        DropQuery(**arguments)
    with pytest.raises(InputError, match=message):
        drop_query(torch.zeros(3, 2), nn.Linear(2, 2), 1, generator(), **arguments)


def test_nan_raises():
    head = nn.Linear(2, 2)
    with pytest.raises(InputError, match="finite embeddings, .* in 1 of 3"):
        drop_query(torch.tensor([[0.0, 1.0], [torch.nan, 0.0], [1.0, 1.0]]), head, 1, generator())
    nn.init.constant_(head.weight, torch.nan)
    with pytest.raises(InputError, match="finite logits"):
        drop_query(torch.ones(3, 2), head, 1, generator())


# ------------------------------------------------------------------------------------------------------- the strategy


def test_strategy_queries_by_features_and_the_head():
    expected = drop_query(make_pool().embeddings(), fitted_model().head, 20, generator(2), 5, 0.5, 3)
    assert DropQuery(5, 0.5, 3).query(make_pool(), 20, generator(2)).equal(expected)
    assert not DropQuery().query(make_pool(), 20, generator(2)).equal(expected)
