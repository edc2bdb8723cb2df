"""ScoreStrategy and the checks that all strategies share."""

import warnings

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from al_lightning.errors import InputError
from al_lightning.inference import Predictions
from al_lightning.strategies import Entropy, LeastConfidence, Margin
from al_lightning.strategies.base import QueryStrategy, ScoreStrategy, check_finite, check_query_size, top_k
from tests.helpers import generator, make_pool, pool_inputs, pool_of_probs

TIES = ".*share the acquisition score at the cut"


def top_k_by_hand(scores: list[float], k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]


@pytest.mark.filterwarnings(f"ignore:{TIES}")
@given(scores=st.lists(st.integers(-3, 3), min_size=1, max_size=40), data=st.data())
def test_top_k_is_a_stable_sort(scores, data):
    k = data.draw(st.integers(1, len(scores)))
    assert top_k(torch.tensor(scores).float(), k).tolist() == top_k_by_hand(scores, k)


def test_top_k_of_many_distinct_scores():
    scores = torch.randn(5000, generator=generator())
    assert top_k(scores, 100).tolist() == top_k_by_hand(scores.tolist(), 100)


def test_top_k_of_negative_zero_ties_with_zero():
    with pytest.warns(UserWarning, match=TIES):
        assert top_k(torch.tensor([-0.0, 0.0, -0.0]), 2).tolist() == [0, 1]


def test_top_k_of_equal_scores_goes_to_the_lowest_positions():
    with pytest.warns(UserWarning, match="More samples of the pool share"):
        assert top_k(torch.full((50,), 0.25), 7).tolist() == list(range(7))


@pytest.mark.parametrize(("scores", "k"), [([3, 2, 1, 0], 2), ([1, 1, 0, 0], 2), ([2, 1, 1, 0], 3), ([2, 2, 2, 2], 4)])
def test_top_k_is_silent_when_all_that_tie_at_the_cut_are_queried(scores, k):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert top_k(torch.tensor(scores).float(), k).tolist() == list(range(k))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("position", [0, 2, 4])
def test_top_k_raises_on_a_score_that_is_not_finite(value, position):
    """NaN is the highest for some sorts and the lowest for others: acl21 and ALFM buy it first."""
    scores = torch.arange(5.0)
    scores[position] = value
    with pytest.raises(InputError, match=r"Expected finite acquisition scores, .* in 1 of 5 samples"):
        top_k(scores, 1)


def test_check_finite_counts_samples_not_values():
    values = torch.zeros(6, 3, 2)
    values[1] = torch.nan
    values[4, 0, 1] = -torch.inf
    with pytest.raises(InputError, match=r"finite features, but got NaN or infinity in 2 of 6 samples"):
        check_finite(values, "features")
    check_finite(torch.zeros(0, 3), "features")


@pytest.mark.parametrize("query_size", [0, 1, 5])
def test_check_query_size_accepts_up_to_the_pool(query_size):
    check_query_size(query_size, 5)


@pytest.mark.parametrize("query_size", [-1, 6])
def test_check_query_size_refuses_the_rest(query_size):
    with pytest.raises(InputError, match=f"from 0 to the pool size 5, but got {query_size}"):
        check_query_size(query_size, 5)


class FirstPixels(ScoreStrategy):
    """A strategy as a user would write one."""

    def score(self, batch: Predictions) -> Tensor:
        return batch.inputs[:, 10]


@pytest.mark.filterwarnings(f"ignore:{TIES}")
def test_score_strategy_queries_the_highest_scores_of_all_blocks():
    pool = make_pool(block_size=7)
    scores = pool_inputs()[:, 10]
    answer = FirstPixels().answer(pool, 25, generator())
    assert answer.positions.tolist() == top_k_by_hand(scores.tolist(), 25)
    assert answer.scores.equal(scores)
    assert FirstPixels().scores(pool).equal(scores)
    assert FirstPixels().query(pool, 25, generator()).equal(answer.positions)
    assert FirstPixels().answer(pool, 0, generator()).scores is None


def test_a_strategy_must_say_how_it_scores():
    with pytest.raises(TypeError, match="abstract"):
        ScoreStrategy()
    with pytest.raises(TypeError, match="abstract"):
        QueryStrategy()


@pytest.mark.parametrize("strategy", [Entropy(), LeastConfidence(), Margin()])
def test_one_hot_probabilities_rank_last(strategy):
    """Regression: 0 log 0 = NaN was bought first (entropy of acl21, ALFM and Gal et al.'s code)."""
    probs = torch.eye(4)
    probs[2] = torch.tensor([0.4, 0.3, 0.2, 0.1])
    pool = pool_of_probs(probs)
    positions, scores = strategy.answer(pool, 1, generator())
    assert positions.tolist() == [2]
    assert scores.isfinite().all()


@pytest.mark.parametrize(("strategy", "expected"), [(Margin(), 0), (LeastConfidence(), 1), (Entropy(), 1)])
def test_two_rows_that_tell_margin_from_the_others(strategy, expected):
    pool = pool_of_probs(torch.tensor([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3]]))
    assert strategy.query(pool, 1, generator()).tolist() == [expected]


def test_with_two_classes_least_confidence_margin_and_entropy_agree():
    first = torch.rand(200, generator=generator())
    probs = torch.stack([first, 1 - first], dim=1)
    orders = [s.query(pool_of_probs(probs), 50, generator()) for s in (Entropy(), LeastConfidence(), Margin())]
    assert orders[0].equal(orders[1])
    assert orders[1].equal(orders[2])


@pytest.mark.parametrize(
    "wrong", [lambda p: p[1:, 0], lambda p: p, lambda p: p[:, :1], lambda p: 0.5, lambda p: p[:, 0] > 0]
)
def test_scores_of_another_shape_are_refused(wrong):
    class Wrong(ScoreStrategy):
        def score(self, batch):
            return wrong(batch.probs)

    with pytest.raises(InputError, match="Wrong.score to return a float tensor of shape"):
        Wrong().query(make_pool(), 3, generator(0))


# ----------------------------------------------------------------------------------------------------- answers


class CountsScores(FirstPixels):
    """Knows how many blocks it scored."""

    def __init__(self) -> None:
        self.num_blocks = 0

    def score(self, batch: Predictions) -> Tensor:
        self.num_blocks += 1
        return super().score(batch)


@pytest.mark.filterwarnings(f"ignore:{TIES}")
def test_positions_and_scores_come_from_one_scoring():
    strategy = CountsScores()
    strategy.answer(make_pool(block_size=100), 25, generator())
    assert strategy.num_blocks == 3


class SecondBest(FirstPixels):
    """Has a query of its own, as old strategies have it: it also writes to what it was given."""

    def query(self, pool, query_size, generator):
        pool.scores = self.scores(pool)
        return super().query(pool, query_size + 1, generator)[1:]


@pytest.mark.filterwarnings(f"ignore:{TIES}")
def test_a_query_of_its_own_is_the_answer():
    best = FirstPixels().query(make_pool(), 4, generator())
    answer = SecondBest().answer(make_pool(), 3, generator())
    assert answer.positions.equal(best[1:])
    assert answer.scores is None


class Pair(QueryStrategy):
    """Returns positions and scores."""

    def __init__(self, scores: object) -> None:
        self.scores = scores

    def query(self, pool, query_size, generator):
        return torch.arange(query_size), self.scores


def test_a_strategy_may_return_positions_and_scores():
    scores = torch.rand(300, generator=generator())
    answer = Pair(scores).answer(make_pool(), 3, generator())
    assert answer.positions.tolist() == [0, 1, 2]
    assert answer.scores is scores
    assert Pair(None).answer(make_pool(), 3, generator()).scores is None


@pytest.mark.parametrize("scores", [torch.rand(299), torch.rand(300, 1), torch.arange(300), [0.5] * 300])
def test_scores_that_are_not_one_float_for_each_sample_are_refused(scores):
    with pytest.raises(
        InputError, match=r"Expected Pair.query to return scores, a float tensor of shape \(300,\), but got"
    ):
        Pair(scores).answer(make_pool(), 3, generator())


def test_whatever_is_no_pair_is_left_to_the_one_who_asks():
    class Numbers(QueryStrategy):
        def query(self, pool, query_size, generator):
            return (3, 1)

    assert Numbers().answer(make_pool(), 2, generator()) == ((3, 1), None)
