"""Strategies and models that a user adds from outside: gradients, a second input, an ensemble, a posterior.

Each value is compared with one that is computed in another way: by the chain rule on paper, or one member at a time.
"""

import copy
import math

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning import BALD, ActiveLearningLoop, Margin, PoolPredictor, QueryStrategy, ScoreStrategy, top_k
from al_lightning.errors import InputError
from al_lightning.inference import Predictions
from al_lightning.strategies.base import check_query_size
from tests.digits import DigitsMLP, FlatDigits
from tests.helpers import fitted_model, generator, make_pool, pool_inputs
from tests.inference.test_predictor import Named
from tests.strategies.test_bald import bald_by_hand

# --------------------------------------------------------------------------------- a strategy that needs gradients


class InputGradient(QueryStrategy):
    """Asks for the samples whose predicted label is most sensitive to the input."""

    def query(self, pool, query_size, generator):
        check_query_size(query_size, len(pool))

        def sensitivity(batch: Predictions) -> Tensor:
            loss = -batch.log_probs.amax(dim=1).sum()
            return torch.autograd.grad(loss, batch.inputs)[0].flatten(1).norm(dim=1)

        scores = pool.map(sensitivity, grad=True)
        return top_k(scores, query_size), scores


class ExpectedGradientLength(QueryStrategy):
    """Asks for the samples whose label will change the head most (Settles, Craven and Ray, 2008)."""

    def query(self, pool, query_size, generator):
        check_query_size(query_size, len(pool))

        def expected_length(batch: Predictions) -> Tensor:
            lengths = [
                torch.stack([self.length(batch, -batch.log_probs[row, label]) for label in range(10)])
                for row in range(len(batch))
            ]
            return (batch.probs * torch.stack(lengths)).sum(dim=1)

        scores = pool.map(expected_length, grad=True)
        return top_k(scores, query_size), scores

    def length(self, batch: Predictions, loss: Tensor) -> Tensor:
        return torch.autograd.grad(loss, batch.model.head.weight, retain_graph=True)[0].norm()


def test_gradients_of_the_inputs_are_those_of_the_chain_rule():
    scores = InputGradient().answer(make_pool(block_size=70), 10, generator()).scores
    model = fitted_model()
    with torch.no_grad():
        hidden = model.hidden(pool_inputs())
        probs = model.head(hidden.relu()).softmax(dim=1)
        delta = probs - F.one_hot(probs.argmax(dim=1), 10)
        expected = ((delta @ model.head.weight) * (hidden > 0)) @ model.hidden.weight
    torch.testing.assert_close(scores, expected.norm(dim=1), atol=1e-5, rtol=1e-4)


def test_gradients_of_parameters_are_those_of_the_outer_product():
    scores = ExpectedGradientLength().answer(make_pool(pool_inputs(20), block_size=7), 5, generator()).scores
    pool = make_pool(pool_inputs(20))
    probs, lengths = pool.probs(), pool.embeddings().norm(dim=1)
    expected = sum(probs[:, y] * (probs - torch.eye(10)[y]).norm(dim=1) * lengths for y in range(10))
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-4)


def backward(batch: Predictions) -> Tensor:
    """Leaves all gradients that a strategy can leave."""
    assert all(parameter.grad is None for parameter in batch.model.parameters())
    batch.model.head.bias.requires_grad_(True)
    batch.log_probs.sum().backward()
    assert batch.model.head.bias.grad is not None
    return batch.inputs.grad.flatten(1).norm(dim=1) + 0 * batch.probs[:, 0]


@pytest.mark.parametrize("fails", [False, True])
def test_a_map_with_gradients_leaves_no_trace(fails):
    model = copy.deepcopy(fitted_model()).train()
    model.head.bias.requires_grad_(False)
    model.head.weight.grad = kept = torch.ones_like(model.head.weight)
    inputs = pool_inputs()
    pool = make_pool(inputs, model)
    if fails:
        with pytest.raises(ZeroDivisionError):
            pool.map(lambda batch: backward(batch) / (1 // 0), grad=True)
    else:
        assert not pool.map(backward, grad=True).requires_grad
    assert model.head.weight.grad is kept
    assert kept.eq(1).all()
    assert model.hidden.weight.grad is None
    assert [parameter.requires_grad for parameter in model.parameters()] == [True, True, True, False]
    assert model.training
    assert not inputs.requires_grad
    assert inputs.equal(pool_inputs())


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
def test_gradients_work_within_inference_mode_and_after_maps_in_it():
    expected = make_pool().map(backward, grad=True)
    pool = make_pool()
    with torch.inference_mode():
        assert pool.map(backward, grad=True).equal(expected)

    def of_samples(batch: Predictions) -> Tensor:
        return torch.autograd.grad(batch.mc_log_probs(4).amax(), batch.inputs)[0].flatten(1)

    for model in (None, Named()):
        pool = make_pool(model=model, block_size=1000)
        pool.map(lambda batch: batch.mc_log_probs(4))  # draws the masks without gradients
        assert pool.map(of_samples, grad=True).any()


@pytest.mark.parametrize("model", [None, Named()], ids=["in parts", "in one part"])
def test_the_gradient_of_the_features_is_that_of_the_head(model):
    def gradient(batch: Predictions) -> Tensor:
        features = batch.embeddings
        return torch.autograd.grad(batch.logits[:, 3].sum(), features)[0]

    gradients = make_pool(model=model).map(gradient, grad=True)
    torch.testing.assert_close(gradients, fitted_model().head.weight[3].detach().expand(300, -1))


def test_labeled_samples_have_gradients_too():
    gradients = make_pool().map_labeled(backward, grad=True)
    assert gradients.shape == (100,)
    assert gradients.any()


# ------------------------------------------------------------------------------------- a second input for each sample


class TwoViews(ScoreStrategy):
    """Asks where the predictions for two photos of one thing differ; the model takes one photo."""

    def score(self, batch: Predictions) -> Tensor:
        return (batch.probs - batch.of(batch.given[1]).probs).abs().sum(dim=1)


class MirroredToo(ScoreStrategy):
    """Asks where the prediction for the mirrored image differs."""

    def score(self, batch: Predictions) -> Tensor:
        return (batch.probs - batch.of(batch.inputs.flip(-1)).probs).abs().sum(dim=1)


@pytest.mark.parametrize("block_size", [7, 1000])
def test_a_second_input_has_predictions_of_its_own(block_size):
    images, others = pool_inputs(), pool_inputs().flip(0)
    expected = (make_pool(images).probs() - make_pool(others).probs()).abs().sum(dim=1)
    pool = PoolPredictor(fitted_model(), (images, others))
    torch.testing.assert_close(TwoViews().scores(pool), expected, atol=1e-6, rtol=0)
    mirrored = (make_pool(images).probs() - make_pool(images.flip(-1)).probs()).abs().sum(dim=1)
    scores = MirroredToo().scores(make_pool(images, block_size=block_size))
    torch.testing.assert_close(scores, mirrored, atol=1e-6, rtol=0)


def test_other_inputs_are_brought_to_the_model():
    model = copy.deepcopy(fitted_model()).double()
    pool = PoolPredictor(model, pool_inputs())
    others = pool.map(lambda batch: batch.of(pool_inputs()[: len(batch)]).probs)
    torch.testing.assert_close(others, make_pool().probs()[:300], atol=1e-6, rtol=0)


class NoisyInputs(ScoreStrategy):
    """Asks where noise that the whole pool shares changes the prediction."""

    def score(self, batch: Predictions) -> Tensor:
        noise = batch.draw("noise", lambda generator: torch.randn(64, generator=generator))
        return (batch.probs - batch.of(batch.inputs + noise).probs).abs().sum(dim=1)


def test_a_draw_is_the_same_for_all_blocks_and_comes_from_the_stream_of_the_query():
    pools = [make_pool(block_size=size, view_generator=generator(5)) for size in (7, 1000)]
    scores = [NoisyInputs().scores(pool) for pool in pools]
    torch.testing.assert_close(*scores, atol=1e-6, rtol=0)
    noise = torch.randn(64, generator=generator(5))
    noisy = make_pool(pool_inputs() + noise).probs()
    torch.testing.assert_close(scores[0], (make_pool().probs() - noisy).abs().sum(dim=1), atol=1e-6, rtol=0)
    drawn = pools[0].draw("noise", lambda generator: torch.zeros(0))
    assert drawn.equal(noise)
    assert pools[0].draw("noise", lambda generator: torch.zeros(0), "masks").numel() == 0


# --------------------------------------------------------------------------------- another source of samples


class FromOutside(L.LightningModule):
    """Networks that are fitted side by side."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.members = nn.ModuleList([nn.Sequential(nn.Flatten(), nn.Linear(64, 10)) for _ in range(size)])

    def sample_logits(self, x: Tensor, num_samples: int) -> Tensor:
        return torch.stack([member(x) for member in self.members], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.sample_logits(x, 0).log_softmax(dim=-1).logsumexp(dim=1)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return sum(F.cross_entropy(member(batch[0]), batch[1]) for member in self.members)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class VoteEntropy(ScoreStrategy):
    """Asks where the members of an ensemble vote for different classes."""

    def score(self, batch: Predictions) -> Tensor:
        votes = F.one_hot(batch.mc_log_probs(3).argmax(dim=2), 10).float().mean(dim=1)  # (B, C)
        return torch.special.entr(votes).sum(dim=1)


def ensemble() -> FromOutside:
    torch.manual_seed(0)
    return FromOutside()


@pytest.mark.parametrize("block_size", [1, 7, 1000])
def test_bald_asks_an_ensemble_as_it_asks_dropout(block_size):
    model = ensemble()
    scores = BALD().scores(make_pool(model=model, block_size=block_size))
    with torch.no_grad():
        members = [member(pool_inputs()).softmax(dim=1) for member in model.members]
    torch.testing.assert_close(scores.double(), bald_by_hand(torch.stack(members, dim=1)), atol=2e-6, rtol=0)


@pytest.mark.filterwarnings("ignore:More samples of the pool share the acquisition score")
def test_a_strategy_counts_the_votes_of_an_ensemble():
    model = ensemble()
    scores = VoteEntropy().scores(make_pool(model=model, block_size=70))
    with torch.no_grad():
        votes = torch.stack([member(pool_inputs()).argmax(dim=1) for member in model.members], dim=1)
    entropies = {1: 0.0, 2: math.log(3) - 2 / 3 * math.log(2), 3: math.log(3)}  # by the number of distinct votes
    expected = torch.tensor([entropies[len(row.unique())] for row in votes])
    assert len(expected.unique()) > 1
    torch.testing.assert_close(scores, expected)


class Posterior(DigitsMLP):
    """Draws the weights of its head from a normal distribution around those that were fitted."""

    def sample_logits(self, x: Tensor, num_samples: int) -> Tensor:
        weights = self.head.weight + 0.1 * torch.randn(num_samples, *self.head.weight.shape)
        return torch.einsum("bd,tcd->btc", self.embed(x), weights) + self.head.bias


def posterior() -> Posterior:
    model = Posterior()
    model.load_state_dict(fitted_model().state_dict())
    return model


@pytest.mark.parametrize("block_size", [1, 7, 1000])
def test_draws_from_a_posterior_are_the_same_for_the_whole_pool(block_size):
    pool, state = make_pool(model=posterior(), block_size=block_size), torch.get_rng_state()
    scores = BALD(6).scores(pool)
    assert torch.get_rng_state().equal(state)
    model = posterior()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator(0))))
        samples = model.sample_logits(pool_inputs(), 6).softmax(dim=2)
    torch.testing.assert_close(scores.double(), bald_by_hand(samples), atol=2e-6, rtol=0)


def test_the_reliability_of_bald_compares_two_draws_from_a_posterior():
    pool, strategy = make_pool(model=posterior()), BALD(6, reliability=True)
    figures = strategy.diagnose(pool, strategy.query(pool, 30, generator()))
    assert 0.2 < figures["bald_rank_correlation"] < 0.999


@pytest.mark.parametrize("wrong", [lambda s: s[:, 0], lambda s: s[1:], lambda s: s.long(), lambda s: s.tolist()])
def test_samples_of_another_shape_are_refused(wrong):
    class Wrong(Posterior):
        def sample_logits(self, x: Tensor, num_samples: int) -> Tensor:
            return wrong(super().sample_logits(x, num_samples))

    with pytest.raises(InputError, match=r"`sample_logits` of Wrong to return floats of shape \(64, T, C\), but got"):
        BALD().scores(make_pool(model=Wrong()))


def test_a_run_asks_an_ensemble(tmp_path):
    torch.manual_seed(0)
    loop = ActiveLearningLoop(BALD(), query_size=10, num_rounds=1, run_dir=str(tmp_path / "run"))
    trainer = L.Trainer(max_epochs=3, accelerator="cpu", callbacks=[loop], logger=False, enable_checkpointing=False)
    loop.run(trainer, FromOutside, FlatDigits())
    rows = (tmp_path / "run" / "queries.csv").read_text().splitlines()
    column = rows[0].split(",").index("score")
    scores = [float(row.split(",")[column]) for row in rows if row.startswith("1,")]
    assert len(scores) == 10
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] <= scores[0] <= math.log(3) + 1e-6


# ------------------------------------------------------------------------------------------ several processes, time


class OneOfTwo:
    """One of two processes, which run one after the other: what both send is known when it is asked for."""

    size = 2

    def __init__(self, rank: int, sent: dict[int, object], waits: bool) -> None:
        self.rank, self.sent, self.waits = rank, sent, waits

    def gather(self, value):
        self.sent[self.rank] = value
        if self.waits:
            raise StopAsyncIteration
        return [self.sent[rank] for rank in range(2)]


@pytest.mark.parametrize("num_pool", [40, 9], ids=["two blocks each", "one process has nothing"])
@pytest.mark.parametrize(
    "strategy", [InputGradient(), NoisyInputs(), BALD(4), Margin()], ids=lambda s: type(s).__name__
)
def test_two_processes_find_what_one_finds(strategy, num_pool):
    def pool(shards: OneOfTwo | None) -> PoolPredictor:
        return make_pool(pool_inputs(num_pool), posterior(), block_size=10, shards=shards)

    expected = strategy.answer(pool(None), 5, generator())
    sent: dict[int, object] = {}
    for rank in range(2):
        with pytest.raises(StopAsyncIteration):
            strategy.answer(pool(OneOfTwo(rank, sent, waits=True)), 5, generator())
    for rank in range(2):
        both = pool(OneOfTwo(rank, sent, waits=False))
        answer = strategy.answer(both, 5, generator())
        assert answer.positions.equal(expected.positions)
        assert answer.scores.equal(expected.scores)
        assert both.seconds > 0
