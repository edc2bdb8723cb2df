"""Monte Carlo dropout by whole passes: it is what dropout does, with masks that all samples share."""

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

from al_lightning import BALD
from al_lightning.errors import InputError
from al_lightning.inference.mc_dropout import MonteCarloDropout
from tests.helpers import fitted_model, generator, make_pool, pool_inputs


class TwoDropouts(nn.Module):
    """Dropout before the head and inside the body: samples need whole passes."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        mlp = copy.deepcopy(fitted_model())
        self.body = nn.Sequential(mlp.hidden, nn.ReLU(), nn.Dropout(p), nn.Linear(32, 16), nn.ReLU())
        self.dropout = nn.Dropout(p / 2)
        self.head = nn.Linear(16, 10)

    def embed(self, x: Tensor) -> Tensor:
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.embed(x)))


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(0.5)
        self.convolution = nn.Conv2d(1, 6, 3)
        self.head = nn.Linear(6, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.convolution(x.view(-1, 1, 8, 8))).mean(dim=(2, 3)))


class WithoutSampling(nn.Module):
    """The fitted model as one that says nothing of how to sample."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = copy.deepcopy(fitted_model())

    def embed(self, x: Tensor) -> Tensor:
        return self.mlp.embed(x)

    def head(self, embeddings: Tensor) -> Tensor:
        return self.mlp.head(embeddings)

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


def two_dropouts() -> TwoDropouts:
    torch.manual_seed(0)
    return TwoDropouts().eval()


def test_a_pass_is_that_of_the_layers_with_masks_between_them():
    model = two_dropouts()
    with torch.no_grad():
        logits = MonteCarloDropout(model, 3, generator())(pool_inputs(20))
        masks = generator()
        for t in range(3):
            hidden = model.body[1](model.body[0](pool_inputs(20)))
            hidden = hidden * (torch.rand(32, generator=masks) >= 0.5) / 0.5
            features = model.body[4](model.body[3](hidden))
            features = features * (torch.rand(16, generator=masks) >= 0.25) / 0.75
            torch.testing.assert_close(logits[:, t], model.head(features))


def test_whole_channels_are_dropped_by_dropout_of_channels():
    torch.manual_seed(0)
    model = Convolutions().eval()
    with torch.no_grad():
        logits = MonteCarloDropout(model, 5, generator())(pool_inputs(20))
        maps = model.convolution(pool_inputs(20).view(-1, 1, 8, 8)).mean(dim=(2, 3))
        masks = generator()
        for t in range(5):
            kept = (torch.rand(6, 1, 1, generator=masks) >= 0.5).view(6) / 0.5
            torch.testing.assert_close(logits[:, t], model.head(maps * kept))


def test_samples_vary_as_those_of_dropout_do():
    """Means and deviations over 4,000 samples against 4,000 passes in training mode."""
    model = two_dropouts()
    inputs = pool_inputs(3)
    with torch.no_grad():
        ours = MonteCarloDropout(model, 4000, generator())(inputs)
        torch.manual_seed(1)
        theirs = model.train()(inputs.repeat(4000, 1)).view(4000, 3, 10).transpose(0, 1)
    torch.testing.assert_close(ours.mean(dim=1), theirs.mean(dim=1), atol=0.05, rtol=0)
    torch.testing.assert_close(ours.std(dim=1), theirs.std(dim=1), atol=0.05, rtol=0)


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
def test_bald_by_passes_is_bald_by_folded_masks():
    """A model with its only dropout before the head: both ways draw the same masks in the same order."""
    folded, passes = make_pool(), make_pool(model=WithoutSampling())
    answers = [BALD(20).answer(pool, 30, generator()) for pool in (folded, passes)]
    torch.testing.assert_close(answers[1].scores, answers[0].scores, atol=2e-6, rtol=0)
    assert answers[0].positions.equal(answers[1].positions)


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
@pytest.mark.parametrize("block_size", [1, 7, 300])
def test_scores_do_not_depend_on_the_block_size(block_size):
    pool, whole = (make_pool(model=two_dropouts(), block_size=size) for size in (block_size, 1000))
    scores = [p.map(lambda batch: batch.mc_log_probs(4)) for p in (pool, whole)]
    torch.testing.assert_close(scores[0], scores[1], atol=1e-5, rtol=1e-5)


def test_the_model_is_left_as_it_was():
    model = two_dropouts().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.warns(UserWarning, match="Monte Carlo dropout takes 4 passes"):
        BALD(4).query(make_pool(model=model), 5, generator())
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_hooks_are_removed_after_an_error():
    model = two_dropouts()
    with pytest.raises(RuntimeError):
        MonteCarloDropout(model, 2, generator())(torch.zeros(3, 5))
    assert not any(module._forward_hooks for module in model.modules())


def test_it_is_said_once():
    inputs = pool_inputs()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            BALD(4).query(make_pool(inputs, two_dropouts()), 5, generator())
    assert [str(w.message)[:25] for w in caught] == ["Monte Carlo dropout takes"]
    assert "TwoDropouts has no `draw_masks`" in str(caught[0].message)


@pytest.mark.parametrize("p", [0.0, None])
def test_a_model_without_active_dropout_raises(p):
    model = nn.Sequential(nn.Linear(64, 10)) if p is None else TwoDropouts(p)
    with pytest.raises(InputError, match="active dropout.*but got (Sequential|TwoDropouts)"):
        MonteCarloDropout(model, 3, generator())


def test_all_dropped_is_no_division_by_zero():
    model = nn.Sequential(nn.Dropout(1.0), nn.Linear(64, 10)).eval()
    assert MonteCarloDropout(model, 2, generator())(pool_inputs(4)).isfinite().all()


def test_a_model_gets_masks_of_its_own_dtype():
    model = two_dropouts().double()
    pool = make_pool(model=model, transfer=lambda block: block.double())
    with pytest.warns(UserWarning, match="passes"):
        scores = pool.map(lambda batch: batch.mc_log_probs(2))
    assert scores.dtype == torch.float32


def test_a_module_in_two_places_has_a_mask_for_each():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.dropout(torch.ones_like(x)), self.dropout(torch.ones_like(x))], dim=1).flatten(1)

    masks = MonteCarloDropout(Twice().eval(), 3, generator())(torch.zeros(2, 64)).view(2, 3, 2, 64)
    assert masks[0].equal(masks[1])
    assert len({tuple(mask.tolist()) for mask in masks[0].flatten(0, 1)}) == 6


def test_another_kind_of_dropout_raises():
    model = nn.Sequential(nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.Linear(64, 10))
    with pytest.raises(InputError, match="but got AlphaDropout"):
        MonteCarloDropout(model, 3, generator())
