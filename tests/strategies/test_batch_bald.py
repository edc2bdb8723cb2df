"""BatchBALD: equal to brute force over all joint answers, and what it says when its samples are spent."""

import itertools
import math
import warnings

import pytest
import torch
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.strategies import BatchBALD, batch_bald
from al_lightning.strategies.bald import bald_score
from al_lightning.strategies.base import top_k
from al_lightning.strategies.batch_bald import batch_bald_query
from tests.helpers import fitted_model, generator, make_pool, pool_inputs, random_probs


def random_samples(size: int, num_samples: int, num_classes: int, seed: int = 0, spread: float = 2.0) -> Tensor:
    """Probabilities of shape (N, T, C)."""
    return random_probs(size * num_samples, num_classes, seed, spread).view(size, num_samples, num_classes)


def joint_information(probs: Tensor) -> float:
    """I(y_1..n; w) of rows (n, T, C): entropy of all C^n answers, one after another, minus mean entropies; float64."""
    probs = probs.double()
    entropy = 0.0
    for answer in itertools.product(range(probs.shape[2]), repeat=len(probs)):
        joint = torch.stack([row[:, y] for row, y in zip(probs, answer, strict=True)]).prod(dim=0).mean().item()
        entropy -= joint * math.log(joint) if joint > 0 else 0.0
    return entropy - torch.special.entr(probs).sum(dim=2).mean(dim=1).sum().item()


def by_brute_force(probs: Tensor, query_size: int) -> list[int]:
    """Greedy over all rows by the joint information of all that are chosen."""
    chosen: list[int] = []
    for _ in range(query_size):
        left = [row for row in range(len(probs)) if row not in chosen]
        chosen.append(max(left, key=lambda row: round(joint_information(probs[[*chosen, row]]), 9)))
    return chosen


@pytest.mark.parametrize(("num_samples", "num_classes", "query_size"), [(8, 2, 4), (6, 3, 3), (20, 4, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_brute_force(num_samples, num_classes, query_size, seed):
    probs = random_samples(12, num_samples, num_classes, seed)
    assert batch_bald_query(probs.log(), query_size).tolist() == by_brute_force(probs, query_size)


def test_gains_add_up_to_the_joint_information():
    probs = random_samples(4, 6, 3).double()
    answers = batch_bald._Answers(6, 10**6, None)
    total = 0.0
    for i, row in enumerate(probs):
        gains, errors = answers.gains(row[None].log())
        total += gains.item()
        assert errors.item() == 0
        assert total == pytest.approx(joint_information(probs[: i + 1]), abs=1e-6)
        answers.add(row.log())


def test_drawn_answers_estimate_the_exact_gains():
    probs = random_samples(30, 10, 4, spread=1.0).double()
    exact, drawn = batch_bald._Answers(10, 10**6, None), batch_bald._Answers(10, 2000, generator())
    for row in probs[:6]:  # 4^6 = 4,096 answers
        exact.add(row.log())
        drawn.add(row.log())
    assert drawn.are_drawn
    assert not exact.are_drawn
    (expected, _), (found, errors) = exact.gains(probs.log()), drawn.gains(probs.log())
    assert (errors > 0).all()
    assert ((found - expected).abs() < 4.5 * errors).all()
    assert ((found - expected).abs() / expected).max() < 0.15


@pytest.mark.parametrize("most", [10_000, 60])
def test_lazy_greedy_equals_plain_greedy(monkeypatch, most):
    """With all answers, and with drawn ones, whose gains are uncertain."""
    probs = random_samples(200, 30, 3, spread=1.0)
    found = batch_bald_query(probs.log(), 6, most, generator())
    monkeypatch.setattr(batch_bald, "BLOCK_ROWS", 200)
    monkeypatch.setattr(batch_bald, "DEVIATIONS", 1e9)  # the bounds of earlier picks never count
    assert found.tolist() == batch_bald_query(probs.log(), 6, most, generator()).tolist()
    for size in (6, 50):
        monkeypatch.setattr(batch_bald, "FIRST_CANDIDATES", size)
        assert found.tolist() == batch_bald_query(probs.log(), 6, most, generator()).tolist()


def test_few_rows_are_looked_at():
    probs = random_samples(5000, 20, 4)
    asked: list[int] = []

    def logits_at(rows: Tensor) -> Tensor:
        asked.extend(rows.tolist())
        return probs[rows].log()

    query = batch_bald._choose(bald_score(probs.log()), logits_at, 3, 10_000, generator())
    assert query.tolist() == batch_bald_query(probs.log(), 3, 10_000, generator()).tolist()
    assert len(asked) == len(set(asked)) < 5000


# ----------------------------------------------------------------------------------------------------- known answers

BIT = torch.eye(2)
FIRST, SECOND = BIT[[0, 0, 1, 1]], BIT[[0, 1, 0, 1]]
"""Predictions of four models, (4, 2)."""


def test_a_row_that_tells_the_same_is_left_for_one_that_tells_less():
    probs = torch.stack([FIRST, FIRST, 0.8 * SECOND + 0.1])
    assert top_k(bald_score(probs.log()), 2).tolist() == [0, 1]
    assert batch_bald_query(probs.log(), 2).tolist() == [0, 2]


def test_duplicates_come_last():
    """Regression: duplicates are chosen with few samples (batchbald_redux issue #16)."""
    probs = torch.stack([FIRST] * 3 + [SECOND] * 3)
    with pytest.warns(UserWarning, match="BatchBALD chooses the rest"):
        assert batch_bald_query(probs.log(), 4).tolist() == [0, 3, 1, 2]


def test_ties_go_to_the_lowest_row():
    probs = random_samples(1, 8, 3).repeat(50, 1, 1)
    assert batch_bald_query(probs.log(), 3).tolist() == [0, 1, 2]


def test_information_is_bounded_by_the_logarithm_of_the_number_of_samples():
    probs = random_samples(40, 4, 3, spread=3.0)
    with pytest.warns(UserWarning, match=r"with T = 4 samples of the model, a query tells at most log T = 1.39 nats"):
        query = batch_bald_query(probs.log(), 30)
    assert len(query.unique()) == 30
    num_picked = next(n for n in range(1, 30) if joint_information(probs[query[:n]]) > 0.99 * math.log(4))
    assert num_picked < 8
    assert joint_information(probs[query[:8]]) < math.log(4) + 1e-9
    rest = query[-15:]
    scores = bald_score(probs.log())
    assert (scores[rest].diff() <= 0).all()  # top BALD of the rest
    free = torch.ones(40, dtype=torch.bool)
    free[query] = False
    assert scores[free].max() <= scores[rest].min()


def test_nothing_is_said_where_the_models_agree_or_the_query_is_small():
    agree = random_probs(20, 3)[:, None].expand(-1, 10, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert batch_bald_query(agree.log(), 5).sort().values.diff().min() > 0
        batch_bald_query(random_samples(20, 100, 3, spread=0.5).log(), 3)


# ------------------------------------------------------------------------------------------------- bugs of others


def test_impossible_classes_are_finite():
    """Regression: 0 log 0 is NaN (batchbald_redux), log(p + 1e-9) is above 0 at p = 1 (dal-toolbox)."""
    sure = torch.eye(3)[torch.randint(3, (10, 8), generator=generator(2))]  # (10, 8, 3), one-hot
    assert batch_bald_query(sure.log(), 2).tolist() == by_brute_force(sure, 2)
    drawn = batch_bald_query(sure.log(), 2, 8, generator())
    assert drawn[0] == by_brute_force(sure, 1)[0]


def test_each_model_draws_many_answers():
    """Regression: one answer drawn for each sample of the model (dal-toolbox passes M = K)."""
    answers = batch_bald._Answers(10, 200, generator())
    row = random_samples(1, 10, 5)[0].double().log()
    for _ in range(5):
        answers.add(row)
    assert answers._models is not None
    assert answers._models.bincount().tolist() == [20] * 10


def test_many_rows_in_blocks_are_the_same(monkeypatch):
    """Regression: the last block lost, or chunks that share a buffer."""
    probs = random_samples(50, 10, 4)
    expected = batch_bald_query(probs.log(), 5, 100, generator())
    for rows, values in ((1, 1), (7, 500)):
        monkeypatch.setattr(batch_bald, "BLOCK_ROWS", rows)
        monkeypatch.setattr(batch_bald, "BLOCK_VALUES", values)
        monkeypatch.setattr(batch_bald, "SCORE_ROWS", rows)
        assert batch_bald_query(probs.log(), 5, 100, generator()).tolist() == expected.tolist()


def test_the_first_pick_has_the_highest_bald_and_is_kept():
    """Regression: the best pick is dropped when joint scores, which rise, are ranked (baal)."""
    probs = random_samples(50, 20, 4)
    assert batch_bald_query(probs.log(), 5)[0] == bald_score(probs.log()).argmax()


# ------------------------------------------------------------------------------------------------------ the class


@pytest.mark.parametrize("block_size", [7, 1000])
def test_the_strategy_chooses_what_the_function_does(monkeypatch, block_size):
    monkeypatch.setattr(batch_bald, "FIRST_CANDIDATES", 32)  # the pool is asked again
    model = fitted_model()
    masks = model.draw_masks(100, generator(3))
    with torch.no_grad():
        embeddings = model.embed(pool_inputs())
        log_probs = torch.stack([model.head(embeddings * mask).log_softmax(dim=1) for mask in masks], dim=1)
    expected = batch_bald_query(log_probs, 8, 1000, generator(5))
    strategy = BatchBALD(num_configurations=1000)
    query = strategy.query(make_pool(mask_seed=3, block_size=block_size), 8, generator(5))
    assert query.tolist() == expected.tolist()


def test_laplace_gives_joint_samples():
    query = BatchBALD(20, 500, posterior="laplace").query(make_pool(), 4, generator())
    assert len(query.unique()) == 4


def test_wrong_arguments_raise():
    with pytest.raises(InputError, match="`num_samples` of BatchBALD to be at least 2, but got 1"):
        BatchBALD(1)
    with pytest.raises(InputError, match="`num_configurations` of BatchBALD to be at least 1, but got 0"):
        BatchBALD(num_configurations=0)
    with pytest.raises(InputError, match=r"log-probabilities of shape \(N, T, C\), but got \(2, 3\)"):
        batch_bald_query(torch.zeros(2, 3), 1)
    logits = torch.zeros(5, 4, 3)
    logits[2, 1, 0] = torch.nan
    with pytest.raises(InputError, match="finite BALD scores, but got NaN or infinity in 1 of 5 samples"):
        batch_bald_query(logits, 2)
