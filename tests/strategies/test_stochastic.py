"""Stochastic: draws of exactly the published distribution, and refusals where others buy in silence."""

from itertools import permutations
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.stats import chisquare
from torch import Tensor

from al_lightning import ActiveLearningLoop, Convergence, Digits, DropoutMLP
from al_lightning.cli import main
from al_lightning.errors import InputError
from al_lightning.strategies import BALD, CoreSet, Entropy, LeastConfidence, Margin, Random, Stochastic
from al_lightning.strategies.base import top_k
from al_lightning.strategies.stochastic import stochastic_top_k
from tests.helpers import generator, make_pool

P_VALUE = 1e-3
FORMS = ("power", "softmax", "softrank")


def weights_by_hand(scores: list[float], beta: float, form: str) -> list[float]:
    """The weights as the paper has them, one at a time."""
    if form == "power":
        return [score**beta for score in scores]
    if form == "softmax":
        return [torch.e ** (beta * score) for score in scores]
    return [(1 + sum(other > score for other in scores)) ** -beta for score in scores]


def plackett_luce(weights: list[float], k: int) -> dict[tuple[int, ...], float]:
    """Probability of each sequence of k draws without replacement, by going through all of them."""
    found = {}
    for picks in permutations(range(len(weights)), k):
        probability, left = 1.0, sum(weights)
        for pick in picks:
            probability *= weights[pick] / left
            left -= weights[pick]
        found[picks] = probability
    return found


def drawn(scores: list[float], k: int, beta: float, form: str, times: int = 2000) -> dict[tuple[int, ...], int]:
    shared = generator()
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(times):
        picks = tuple(stochastic_top_k(scores, k, shared, beta, form).tolist())
        counts[picks] = counts.get(picks, 0) + 1
    return counts


def test_a_score_of_three_beats_one_in_three_quarters():
    counts = drawn([3.0, 1.0], 1, 1.0, "power")
    assert chisquare([counts[0,], counts[1,]], [1500, 500]).pvalue > P_VALUE


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_two_picks_are_drawn_as_one_after_the_other(form, beta):
    scores = [0.2, 1.5, 0.9, 0.6]
    joint = plackett_luce(weights_by_hand(scores, beta, form), 2)
    counts = drawn(scores, 2, beta, form)
    expected = {picks: 2000 * probability for picks, probability in joint.items()}
    likely = [picks for picks in joint if expected[picks] > 5]
    observed = [counts.get(picks, 0) for picks in likely]
    rest = 2000 - sum(observed), 2000 - sum(expected[picks] for picks in likely)
    more = rest[1] > 5
    cells = [*observed, rest[0]] if more else observed
    of = [*(expected[picks] for picks in likely), rest[1]] if more else [expected[picks] for picks in likely]
    scale = sum(cells) / sum(of)
    assert chisquare(cells, [value * scale for value in of]).pvalue > P_VALUE


def test_the_check_above_tells_other_forms_apart():
    joint = plackett_luce(weights_by_hand([0.2, 1.5, 0.9, 0.6], 1.0, "softmax"), 2)
    counts = drawn([0.2, 1.5, 0.9, 0.6], 2, 1.0, "power")
    assert chisquare([counts.get(picks, 0) for picks in joint], [2000 * p for p in joint.values()]).pvalue < 1e-6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beta", [1e6, 1e300, torch.inf])
def test_a_large_beta_takes_the_highest(form, beta):
    scores = torch.rand(200, generator=generator(1))
    assert stochastic_top_k(scores, 50, generator(), beta, form).equal(top_k(scores, 50))


@pytest.mark.parametrize("form", FORMS)
def test_a_small_beta_draws_uniformly(form):
    counts = drawn([5.0, 0.1, 1.0, 1e-9], 1, 1e-300, form)
    assert chisquare([counts[i,] for i in range(4)]).pvalue > P_VALUE


def test_ranks_are_those_of_the_scores():
    """Regression: a rank of the order in place of the scores, [2, 0, 1, 3] of these, draws others (epig)."""
    counts = drawn([1.0, 3.0, 2.0, 0.0], 1, 2.0, "softrank")  # ranks 3, 1, 2, 4
    weights = [1 / 9, 1.0, 1 / 4, 1 / 16]
    expected = [2000 * weight / sum(weights) for weight in weights]
    assert chisquare([counts[i,] for i in range(4)], expected).pvalue > P_VALUE


def test_equal_scores_are_drawn_equally_often():
    """Ranks by position would draw the first of the pool most often."""
    counts = drawn([1.0, 1.0, 1.0, 1.0], 1, 2.0, "softrank")
    assert chisquare([counts[i,] for i in range(4)]).pvalue > P_VALUE
    counts = drawn([2.0, 1.0, 1.0], 1, 1.0, "softrank")  # ranks 1, 2.5, 2.5
    assert chisquare([counts[i,] for i in range(3)], [2000 / 1.8, 800 / 1.8, 800 / 1.8]).pvalue > P_VALUE


# ------------------------------------------------------------------------------------------ zero, negative, not finite


def test_zeros_come_after_all_others_in_random_order():
    """Regression: with fewer positive weights than picks, all samples are drawn uniformly (baal)."""
    counts = drawn([0.0, 1e-30, 0.0, 5.0, 0.0], 3, 1.0, "power")
    assert {frozenset(picks[:2]) for picks in counts} == {frozenset({1, 3})}
    lasts = [sum(count for picks, count in counts.items() if picks[2] == zero) for zero in (0, 2, 4)]
    assert sum(lasts) == 2000
    assert chisquare(lasts).pvalue > P_VALUE


def test_only_zeros_are_drawn_uniformly():
    counts = drawn([0.0, 0.0, 0.0], 1, 1.0, "power")
    assert chisquare([counts[i,] for i in range(3)]).pvalue > P_VALUE


def test_a_zero_rounded_below_is_a_zero():
    """Regression: the logarithm of a BALD rounded below 0 is NaN, which argsort puts last: bought first (ALFM)."""
    for seed in range(50):
        assert set(stochastic_top_k([-1e-8, 1e-3, 2e-3], 2, generator(seed)).tolist()) == {1, 2}


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_finite_raises(value, form):
    with pytest.raises(InputError, match="finite acquisition scores, .* in 1 of 3"):
        stochastic_top_k([1.0, value, 2.0], 2, generator(), 1.0, form)


def test_negative_scores_need_another_form():
    scores = [-0.5, -0.1, 0.0]
    with pytest.raises(InputError, match=r"at least 0 for the form power, but got -0.5; .* softmax and softrank"):
        stochastic_top_k(scores, 2, generator())
    for form in ("softmax", "softrank"):
        assert len(stochastic_top_k(scores, 2, generator(), 1.0, form)) == 2


@pytest.mark.parametrize("beta", [0.0, -1.0, torch.nan])
def test_beta_is_above_0(beta):
    with pytest.raises(InputError, match="`beta` of Stochastic to be above 0, but got"):
        stochastic_top_k([1.0, 2.0], 1, generator(), beta)
    with pytest.raises(InputError, match="`beta` of Stochastic"):
        Stochastic(Entropy(), beta)


def test_another_form_raises():
    with pytest.raises(InputError, match="one of power, softmax, softrank, but got `gumbel`"):
        stochastic_top_k([1.0, 2.0], 1, generator(), 1.0, "gumbel")
    with pytest.raises(InputError, match="`form` of Stochastic"):
        Stochastic(Entropy(), 1.0, "gumbel")


@pytest.mark.filterwarnings("ignore:More samples of the pool share")  # equal scores, and a very large beta
@settings(max_examples=50, deadline=None)
@given(
    scores=st.lists(st.floats(0, 1e300) | st.sampled_from([0.0, 1.0, 5e-324]), min_size=1, max_size=30),
    beta=st.floats(1e-320, 1e308),
    form=st.sampled_from(FORMS),
    data=st.data(),
)
def test_picks_are_distinct_and_a_smaller_query_is_the_beginning(scores, beta, form, data):
    everything = stochastic_top_k(scores, len(scores), generator(), beta, form).tolist()
    assert sorted(everything) == list(range(len(scores)))
    k = data.draw(st.integers(0, len(scores)))
    assert stochastic_top_k(scores, k, generator(), beta, form).tolist() == everything[:k]


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_left_as_they_were(form):
    """Regression: weights divided in place change the scores of the caller (baal)."""
    scores = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64)
    stochastic_top_k(scores, 2, generator(), 2.0, form)
    assert scores.tolist() == [0.5, 0.0, 2.0]


# ----------------------------------------------------------------------------------------------------- the strategy


@pytest.mark.parametrize("base", [BALD(5), Entropy(), LeastConfidence()], ids=lambda base: type(base).__name__)
def test_strategy_draws_by_the_scores_of_its_base(base):
    scores = base.scores(make_pool())
    positions, written = Stochastic(base, 2.0).answer(make_pool(), 20, generator(3))
    assert written.equal(scores)
    assert positions.equal(stochastic_top_k(scores, 20, generator(3), 2.0))
    assert not positions.equal(top_k(scores, 20))


def test_margin_needs_another_form():
    with pytest.raises(InputError, match="softmax and softrank"):
        Stochastic(Margin()).query(make_pool(), 10, generator())
    positions = Stochastic(Margin(), 8.0, "softmax").answer(make_pool(), 10, generator()).positions
    assert len(positions.unique()) == 10


@pytest.mark.parametrize("base", [Random(), CoreSet(), None, Margin])
def test_a_base_without_scores_raises(base):
    with pytest.raises(InputError, match="`base` of Stochastic to be a strategy with scores, but got"):
        Stochastic(base)


def test_figures_of_the_base_are_reported():
    pool = make_pool()
    strategy = Stochastic(BALD(5, reliability=True))
    figures = strategy.diagnose(pool, torch.as_tensor(strategy.answer(pool, 10, generator()).positions))
    assert figures.keys() == {"bald_rank_correlation", "bald_top_overlap"}


def mean_rank(query: Tensor, scores: Tensor) -> float:
    return float(scores.argsort(descending=True).argsort()[query].float().mean())


def test_a_larger_beta_is_nearer_to_the_highest_scores():
    pool = make_pool()
    scores = Entropy().scores(pool)
    ranks = [
        mean_rank(Stochastic(Entropy(), beta).answer(pool, 50, generator()).positions, scores)
        for beta in (1e-3, 1.0, 8.0, torch.inf)
    ]
    assert ranks == sorted(ranks, reverse=True)
    assert ranks[-1] == 24.5


def test_a_run_from_python_goes_on_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, callbacks=[Convergence()]
    )
    run = str(tmp_path / "run")
    loop = ActiveLearningLoop(Stochastic(BALD(5), 2.0, "softrank"), 20, 1, run_dir=run)
    loop.run(trainer, DropoutMLP(input_dim=64), Digits(num_initial=50))
    with pytest.raises(SystemExit):
        main(["fit", run, "--loop.num_rounds", "2", "--loop.strategy.base.num_samples", "6"])
    assert "`loop.strategy.base.num_samples` (5 there, 6 here)" in capsys.readouterr().err
    main(["fit", run, "--loop.num_rounds", "2"])
    assert (tmp_path / "run" / "rounds.csv").read_text().count("\n") == 4


def test_a_base_without_scores_is_refused_by_the_command_line(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--loop.strategy", "Stochastic", "--loop.strategy.base", "CoreSet"])
    message = capsys.readouterr().err
    assert "Expected `loop.strategy.base` to be one of BALD, " in message
    assert "but got `CoreSet`" in message
