"""EPIG: two bits of which one matters, equality with the definition, and where the targets come from."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from al_lightning.data.blocks import TensorBlocks
from al_lightning.errors import InputError
from al_lightning.inference import Known
from al_lightning.strategies import BALD, EPIG, epig
from al_lightning.strategies.bald import bald_score
from al_lightning.strategies.base import top_k
from al_lightning.strategies.epig import epig_score
from al_lightning.testing.small_models import Ensemble
from tests.helpers import digits, fitted_model, generator, make_pool, pool_inputs, random_probs


def random_samples(size: int, num_samples: int, num_classes: int, seed: int = 0, spread: float = 2.0) -> Tensor:
    """Probabilities of shape (N, T, C)."""
    return random_probs(size * num_samples, num_classes, seed, spread).view(size, num_samples, num_classes)


def by_hand(probs: Tensor, targets: Tensor) -> Tensor:
    """The mean over targets of H(y) + H(y*) - H(y, y*), by the joint distribution of each pair, float64."""
    probs, targets = probs.double(), targets.double()
    joint = torch.einsum("ntc,mtk->nmck", probs, targets) / probs.shape[1]
    entropies = [torch.special.entr(part.mean(dim=1)).sum(dim=1) for part in (probs, targets)]
    return (entropies[0][:, None] + entropies[1] - torch.special.entr(joint).sum(dim=(2, 3))).mean(dim=1)


# ------------------------------------------------------------------------------------------------------- epig_score

SURE = torch.eye(2)
FIRST_BIT, SECOND_BIT = SURE[[0, 0, 1, 1]], SURE[[0, 1, 0, 1]]
"""Predictions of four models, (4, 2)."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_only_the_bit_that_targets_depend_on_counts(dtype):
    rows = torch.stack([FIRST_BIT, SECOND_BIT]).to(dtype).log()
    scores = epig_score(rows, FIRST_BIT[None].to(dtype).log())
    assert scores.dtype == dtype
    torch.testing.assert_close(bald_score(rows), torch.full((2,), math.log(2), dtype=dtype))  # BALD sees no difference
    torch.testing.assert_close(scores, torch.tensor([math.log(2), 0.0], dtype=dtype), atol=1e-6, rtol=0)


def test_targets_that_no_model_disagrees_on_score_zero():
    targets = random_probs(5, 3)[:, None].expand(-1, 4, -1)
    assert epig_score(random_samples(20, 4, 3).log(), targets.log()).max() < 1e-6


def test_a_target_itself_scores_the_information_of_its_own_label():
    """I(y; y*) for y* = y given the model is less than BALD, unless each model is certain."""
    rows = random_samples(6, 5, 3)
    for row in rows:
        scores = epig_score(row[None].log(), row[None].log())
        torch.testing.assert_close(scores.double(), by_hand(row[None], row[None]), atol=1e-6, rtol=0)
        assert scores < bald_score(row[None].log())


@pytest.mark.parametrize(("num_samples", "num_classes"), [(2, 2), (20, 10), (5, 30), (100, 3)])
@pytest.mark.parametrize("values", [1, 50, 2**17])
def test_equals_the_definition(monkeypatch, num_samples, num_classes, values):
    monkeypatch.setattr(epig, "JOINT_VALUES", values)  # blocks of a pair, of some pairs, of all
    rows, targets = random_samples(9, num_samples, num_classes), random_samples(7, num_samples, num_classes, seed=1)
    expected = by_hand(rows, targets)
    torch.testing.assert_close(epig_score(rows.log(), targets.log()).double(), expected, atol=3e-6, rtol=0)
    doubles = epig_score(rows.double().log(), targets.double().log())
    torch.testing.assert_close(doubles, by_hand(*map(normalised, (rows, targets))), atol=1e-12, rtol=0)


def normalised(probs: Tensor) -> Tensor:
    probs = probs.double()
    return probs / probs.sum(dim=2, keepdim=True)


@settings(max_examples=20, deadline=None)
@given(
    num_samples=st.integers(2, 8), num_classes=st.integers(2, 6), seed=st.integers(0, 10**6), spread=st.floats(0, 30)
)
def test_is_at_least_0_and_at_most_bald_and_the_mean_bald_of_targets(num_samples, num_classes, seed, spread):
    """y and y* depend on each other through the models alone; epig's own check allows up to 2 log C."""
    rows = random_samples(8, num_samples, num_classes, seed, spread).double()
    targets = random_samples(5, num_samples, num_classes, seed + 1, spread).double()
    scores, of_targets = epig_score(rows.log(), targets.log()), bald_score(targets.log())
    assert (scores >= 0).all()
    assert (scores <= bald_score(rows.log()) + 1e-9).all()
    assert (scores <= of_targets.mean() + 1e-9).all()
    least = torch.minimum(bald_score(rows.log())[:, None], of_targets).mean(dim=1)
    assert (scores <= least + 1e-9).all()


def test_is_the_mean_over_targets_and_logits_will_do():
    rows, targets = torch.randn(9, 4, 3, generator=generator(0)), torch.randn(6, 4, 3, generator=generator(1))
    each = torch.stack([epig_score(rows, target[None]) for target in targets])
    torch.testing.assert_close(epig_score(rows, targets), each.mean(dim=0), atol=1e-6, rtol=0)
    log_probs = [part.log_softmax(dim=2) for part in (rows, targets)]
    torch.testing.assert_close(epig_score(*log_probs), epig_score(rows, targets), atol=1e-6, rtol=0)


def test_samples_of_different_models_would_give_other_scores():
    """Regression: a draw of its own for the targets breaks the joint distribution."""
    rows, targets = random_samples(9, 5, 3), random_samples(7, 5, 3, seed=1)
    both = [order(targets) for order in (lambda t: t, lambda t: t.flip(1))]
    scores = [epig_score(rows.log(), one.log()) for one in both]
    assert not torch.allclose(*scores, atol=1e-3)
    torch.testing.assert_close(epig_score(rows.flip(1).log(), both[1].log()), scores[0], atol=1e-6, rtol=0)


def test_impossible_classes_are_finite():
    rows = torch.tensor([[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]])
    torch.testing.assert_close(epig_score(rows.log(), rows.log()).double(), by_hand(rows, rows), atol=1e-6, rtol=0)


def test_arrays_and_lists_will_do_and_no_rows_score_nothing():
    rows = random_samples(3, 4, 2).log()
    torch.testing.assert_close(epig_score(rows.numpy(), rows.tolist()), epig_score(rows, rows), atol=1e-6, rtol=0)
    assert epig_score(rows[:0], rows).shape == (0,)


@pytest.mark.parametrize("shape", [(0, 4, 3), (5, 3, 3), (5, 4, 2)])
def test_other_shapes_raise(shape):
    with pytest.raises(InputError, match=r"of as many samples and classes as the pool's, \(N\*, 4, 3\), but got"):
        epig_score(torch.zeros(2, 4, 3), torch.zeros(shape))


def test_nan_in_a_target_raises():
    targets = torch.zeros(5, 4, 3)
    targets[2, 1, 0] = torch.nan
    with pytest.raises(InputError, match="finite log-probabilities of targets, but got NaN or infinity in 1 of 5"):
        epig_score(torch.zeros(2, 4, 3), targets)


# ------------------------------------------------------------------------------------------------------------- EPIG


def log_probs_of_masks(inputs: Tensor, num_samples: int, seed: int = 0) -> Tensor:
    """Log-probabilities (N, T, C) of inputs under the masks of a pool, one pass of the head after the other."""
    model = fitted_model()
    masks = model.draw_masks(num_samples, generator(seed))
    with torch.no_grad():
        embeddings = model.embed(inputs)
        return torch.stack([model.head(embeddings * mask).log_softmax(dim=1) for mask in masks], dim=1)


def expected_scores(targets: Tensor, num_samples: int = 20, seed: int = 0) -> Tensor:
    rows = log_probs_of_masks(pool_inputs(), num_samples, seed).exp()
    return by_hand(rows[:40], log_probs_of_masks(targets, num_samples, seed).exp())


def drawn(size: int, num_targets: int, seed: int = 0) -> Tensor:
    return torch.randperm(size, generator=generator(seed))[:num_targets]


def test_equals_the_definition_with_targets_drawn_from_the_pool():
    query, scores = EPIG(num_targets=30).answer(make_pool(mask_seed=3), 15, generator(5))
    assert scores is not None
    expected = expected_scores(pool_inputs()[drawn(300, 30, seed=5)], seed=3)
    torch.testing.assert_close(scores[:40].double(), expected, atol=5e-6, rtol=0)
    assert query.tolist() == top_k(scores, 15).tolist()
    assert EPIG(num_targets=30).query(make_pool(mask_seed=3), 15, generator(5)).tolist() == query.tolist()


def test_few_samples_are_all_targets_and_nothing_is_drawn():
    given = generator()
    before = given.get_state()
    scores = EPIG(num_targets=300).answer(make_pool(), 15, given).scores
    assert scores is not None
    assert torch.equal(given.get_state(), before)
    torch.testing.assert_close(scores[:40].double(), expected_scores(pool_inputs()), atol=5e-6, rtol=0)


def test_test_inputs_are_targets():
    test = digits().test_inputs
    pool = make_pool(known=Known(test_blocks=lambda: TensorBlocks(test)))
    scores = EPIG(targets="test").answer(pool, 15, generator()).scores
    assert scores is not None
    torch.testing.assert_close(scores[:40].double(), expected_scores(test[drawn(len(test), 100)]), atol=5e-6, rtol=0)


def test_inputs_of_a_file_are_targets(tmp_path: Path) -> None:
    path = tmp_path / "targets.npy"
    targets = digits().test_inputs[:50]
    np.save(path, targets.numpy())
    for num_targets in (50, 20):
        scores = EPIG(num_targets=num_targets, targets=str(path)).answer(make_pool(), 15, generator()).scores
        assert scores is not None
        chosen = targets if num_targets == 50 else targets[drawn(50, 20)]
        torch.testing.assert_close(scores[:40].double(), expected_scores(chosen), atol=5e-6, rtol=0)


def test_a_sample_unlike_all_targets_scores_low():
    """What BALD likes best: a sample on which models disagree, and which nothing else has in common."""
    head = torch.nn.Linear(3, 2)
    head.weight.data = torch.zeros(2, 3)
    head.bias.data.zero_()
    labeled = torch.zeros(5, 3)
    others = torch.randn(50, 2, generator=generator(0)) @ torch.eye(2, 3)
    inputs = torch.cat([torch.tensor([[0.0, 0.0, 6.0]]), others])
    pool = make_pool(inputs, head, labeled=labeled)
    kwargs = {"num_samples": 1000, "posterior": "laplace", "prior_precision": 1.0}
    assert BALD(**kwargs).scores(pool).argmax() == 0
    scores = EPIG(**kwargs).scores(pool)
    assert scores[0] < 0.5 * scores.median()


def test_laplace_and_members_of_an_ensemble_are_joint_samples():
    for pool in (make_pool(), make_pool(model=small_ensemble())):
        strategy = EPIG(posterior="laplace") if pool.in_parts else EPIG()
        query, scores = strategy.answer(pool, 30, generator())
        assert scores is not None
        assert len(query.unique()) == 30
        assert 0 <= float(scores.min()) < float(scores.max()) < math.log(10)


def small_ensemble() -> Ensemble:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Ensemble(32, 10)


def test_scores_without_a_generator_are_those_of_targets_that_the_pool_draws_once():
    pool = make_pool(view_generator=generator(7))
    strategy = EPIG(num_targets=30)
    scores = strategy.scores(pool)
    assert torch.equal(strategy.scores(pool), scores)
    expected = expected_scores(pool_inputs()[drawn(300, 30, seed=7)])
    torch.testing.assert_close(scores[:40].double(), expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("text", ["nowhere.npy", "labels.csv"])
def test_what_is_no_file_of_inputs_raises(tmp_path, text):
    path = tmp_path / text
    if text.endswith(".csv"):
        path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="`targets` of EPIG to be pool, test or an .npy file of inputs, but got"):
        EPIG(targets=str(path)).query(make_pool(), 5, generator())


def test_no_test_set_and_no_targets_raise(tmp_path):
    with pytest.raises(InputError, match="to have `test_blocks` for `targets` test of EPIG, but got none"):
        EPIG(targets="test").query(make_pool(), 5, generator())
    np.save(tmp_path / "none.npy", np.zeros((0, 64), np.float32))
    with pytest.raises(InputError, match=r"Expected at least one target of EPIG, but `targets` .*none.npy has none"):
        EPIG(targets=str(tmp_path / "none.npy")).query(make_pool(), 5, generator())


def test_wrong_arguments_raise():
    with pytest.raises(InputError, match="`num_samples` of EPIG to be at least 2, but got 1"):
        EPIG(1)
    with pytest.raises(InputError, match="`num_targets` of EPIG to be at least 1, but got 0"):
        EPIG(num_targets=0)
    with pytest.raises(InputError, match="`scores` or `query` of EPIG to be called, but got `score`"):
        make_pool().map(EPIG().score)
