from pathlib import Path

import lightning.pytorch as L
import pytest
import torch

from al_lightning import ActiveLearningLoop
from al_lightning.errors import InputError
from al_lightning.strategies import BADGE, BALD, CoreSet, Entropy, Margin, Random, Replay, Switch
from tests.digits import DigitsMLP, FlatDigits
from tests.helpers import generator, labeled_inputs, make_pool

NUM_LABELED = len(labeled_inputs())


@pytest.mark.parametrize(
    ("at_labels", "expected"),
    [(NUM_LABELED + 1, Entropy()), (NUM_LABELED, Margin()), (1, Margin())],
    ids=["below", "at", "above"],
)
def test_the_number_of_labels_decides(at_labels, expected):
    strategy = Switch(Entropy(), Margin(), at_labels)
    assert strategy.query(make_pool(), 20, generator()).equal(expected.query(make_pool(), 20, generator()))


def test_a_query_that_crosses_is_whole():
    """One below the switch, a query of any size is the first strategy's."""
    strategy = Switch(Entropy(), Margin(), NUM_LABELED + 1)
    assert strategy.query(make_pool(), 200, generator()).equal(Entropy().query(make_pool(), 200, generator()))


def test_scores_are_those_of_the_active_strategy():
    answers = [Switch(CoreSet(), Entropy(), at).answer(make_pool(), 20, generator()) for at in (NUM_LABELED + 1, 1)]
    assert answers[0].scores is None
    assert answers[1].scores.equal(Entropy().scores(make_pool()))


def test_figures_are_those_of_the_active_strategy():
    strategies = [Switch(CoreSet(outliers=True), BALD(5, reliability=True), at) for at in (NUM_LABELED + 1, 1)]
    names = []
    for strategy in strategies:
        pool = make_pool()
        names.append(set(strategy.diagnose(pool, strategy.answer(pool, 20, generator()).positions)))
    assert names == [{"core_set_outlier_percentile"}, {"bald_rank_correlation", "bald_top_overlap"}]


def test_draws_are_those_of_the_active_strategy():
    strategy = Switch(BADGE(), Random(), NUM_LABELED + 1)
    expected = BADGE().query(make_pool(), 20, generator(5))
    assert torch.equal(strategy.query(make_pool(), 20, generator(5)), expected)


@pytest.mark.parametrize(("first", "expected"), [(CoreSet(), False), (Random(), False), (Margin(), True)])
def test_the_first_strategy_says_whether_predictions_are_needed(first, expected):
    assert Switch(first, Margin(), 10).needs_predictions is expected


def test_both_strategies_are_tried_before_the_first_fit(tmp_path: Path) -> None:
    """Otherwise what the second one needs is missing only after the rounds of the first."""
    assert [type(one) for one in Switch(Switch(Random(), BALD(), 5), Replay("run"), 9).rehearsed()] == [Random, BALD]
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    loop = ActiveLearningLoop(Switch(Random(), BALD(), 1000), 20, 2, run_dir=str(tmp_path / "run"))
    with pytest.raises(InputError, match="active dropout"):
        loop.run(trainer, DigitsMLP(dropout=0), FlatDigits(num_initial=50))
    assert not (tmp_path / "run").exists()


def test_without_labels_the_first_strategy_starts():
    pool = make_pool(labeled=labeled_inputs()[:0])
    expected = CoreSet().query(make_pool(labeled=labeled_inputs()[:0]), 10, generator())
    assert Switch(CoreSet(), Margin(), 10).query(pool, 10, generator()).equal(expected)


def test_bad_arguments_raise():
    with pytest.raises(InputError, match="`at_labels` of Switch to be at least 1, but got 0"):
        Switch(CoreSet(), Margin(), 0)
    with pytest.raises(InputError, match="`then` of Switch to be a query strategy, but got str"):
        Switch(CoreSet(), "Margin", 10)
