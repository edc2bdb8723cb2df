"""PoolPredictor and Predictions: modes, blocks, masks, precision, time."""

import copy
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import GoogLeNetOutputs

from al_lightning import BADGE, BALD, DropoutHead, DropoutMLP, Entropy, LeastConfidence, Margin
from al_lightning.data.blocks import TensorBlocks
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor, Predictions, evaluation_mode
from al_lightning.strategies.badge import badge_query
from al_lightning.strategies.geometry import GradientEmbeddings
from tests.digits import DigitsMLP
from tests.helpers import (
    digits,
    fitted_model,
    generator,
    labeled_inputs,
    make_pool,
    pool_inputs,
    pool_of_probs,
    probs_one_by_one,
    random_probs,
)

# ------------------------------------------------------------------------------------------------------ evaluation_mode


class Nested(nn.Module):
    """Some of its modules train and some do not."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout()).eval()
        self.mixed = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
        self.mixed.training = False


def training_flags(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("whole", [None, True, False], ids=["mixed", "training", "evaluation"])
def test_evaluation_mode_puts_every_flag_back(whole):
    model = Nested() if whole is None else Nested().train(whole)
    before = training_flags(model)
    with evaluation_mode(model):
        assert not any(training_flags(model))
    assert training_flags(model) == before


def test_evaluation_mode_puts_flags_back_after_an_error():
    model = Nested()
    before = training_flags(model)
    with pytest.raises(KeyError), evaluation_mode(model):
        raise KeyError
    assert training_flags(model) == before


# ---------------------------------------------------------------------------------------------------------------- map


def test_fn_runs_in_evaluation_and_inference_mode():
    seen = []
    pool = make_pool()
    pool.map(lambda batch: seen.append((pool.model.training, torch.is_inference_mode_enabled())) or batch.inputs)
    assert set(seen) == {(False, True)}
    assert pool.model.training
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("block_size", [1, 7, 150, 299, 300, 301])
def test_map_keeps_all_rows_in_pool_order(block_size):
    """Regression: the rows after the last whole block were dropped (ProbCover)."""
    sizes = []
    pool = make_pool(block_size=block_size)
    rows = pool.map(lambda batch: sizes.append(len(batch.inputs)) or batch.inputs)
    assert rows.equal(pool_inputs())
    assert sum(sizes) == len(pool) == 300
    assert all(size == block_size for size in sizes[:-1])


def test_map_returns_as_many_tensors_as_fn():
    pool = make_pool()
    probs, embeddings = pool.map(lambda batch: (batch.probs, batch.embeddings))
    assert probs.equal(pool.probs())
    assert embeddings.equal(pool.embeddings())
    single = pool.map(lambda batch: (batch.probs,))
    assert isinstance(single, tuple)
    assert len(single) == 1
    assert isinstance(pool.map(lambda batch: batch.probs), Tensor)


def test_map_goes_over_other_blocks_if_told():
    pool = make_pool()
    blocks = TensorBlocks(labeled_inputs(), block_size=30)
    assert pool.map(lambda batch: batch.inputs, over=blocks).equal(labeled_inputs())
    expected = torch.cat([fitted_model().embed(x[None]) for x in labeled_inputs()])
    torch.testing.assert_close(pool.labeled_embeddings(), expected.detach(), atol=1e-5, rtol=0)


def test_a_block_of_other_than_its_rows_raises():
    with pytest.raises(InputError, match=r"row for each of 300 samples, but got torch.float32 of shape \(1, 10\)"):
        make_pool(block_size=1000).map(lambda batch: batch.probs[:1])
    with pytest.raises(InputError, match=r"row for each of 300 samples, but got torch.float32 of shape \(\)"):
        make_pool(block_size=1000).map(lambda batch: batch.probs.sum())


class WrongLength(TensorBlocks):
    def __len__(self) -> int:
        return super().__len__() + self.extra


@pytest.mark.parametrize(("extra", "message"), [(5, "305 rows in all, but got 300"), (-5, "row for each")])
def test_blocks_of_other_than_their_number_of_rows_raise(extra, message):
    blocks = WrongLength(pool_inputs(), torch.arange(300))
    blocks.extra = extra
    with pytest.raises(InputError, match=message):
        make_pool().map(lambda batch: batch.probs, over=blocks)


@pytest.mark.parametrize("num_classes", [2, 10, 15, 16, 40])
def test_probs_are_the_softmax_of_the_logits_for_any_number_of_classes(num_classes):
    torch.manual_seed(0)
    inputs = pool_inputs()
    pool = PoolPredictor(DropoutMLP(64, 16, num_classes), TensorBlocks(inputs, block_size=70), TensorBlocks(inputs))
    logits, log_probs, probs = pool.map(lambda batch: (batch.logits, batch.log_probs, batch.probs))
    torch.testing.assert_close(log_probs, logits.log_softmax(dim=1), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(probs, logits.softmax(dim=1), atol=1e-6, rtol=1e-6)


def test_blocks_are_brought_to_the_model_by_transfer():
    pool = make_pool(transfer=lambda block: 2 * block)
    assert pool.map(lambda batch: batch.inputs).equal(2 * pool_inputs())
    assert pool.labeled_embeddings().equal(make_pool(labeled=2 * labeled_inputs()).labeled_embeddings())


def test_results_can_be_changed_and_take_part_in_autograd():
    probs = make_pool().probs()
    probs[0] = 0
    (probs * torch.ones(1, requires_grad=True)).sum().backward()


# -------------------------------------------------------------------------------------------------------- predictions


def test_probs_are_those_of_single_forward_passes_without_dropout():
    pool = make_pool()
    expected = probs_one_by_one()
    torch.testing.assert_close(pool.probs().double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(pool.map(lambda batch: batch.log_probs).double(), expected.log(), atol=1e-5, rtol=1e-5)
    logits = pool.map(lambda batch: batch.logits)
    torch.testing.assert_close(logits.log_softmax(dim=1), pool.map(lambda batch: batch.log_probs))


class CountingMLP(DigitsMLP):
    """Counts its calls, and remembers in which dtype it worked."""

    def __init__(self) -> None:
        super().__init__()
        self.load_state_dict(fitted_model().state_dict())
        self.num_embedded = 0
        self.dtypes: set[torch.dtype] = set()

    def embed(self, x: Tensor) -> Tensor:
        self.num_embedded += 1
        embeddings = super().embed(x)
        self.dtypes.add(embeddings.dtype)
        return embeddings


def test_a_block_is_embedded_once_whatever_is_asked_of_it():
    model = CountingMLP()
    pool = make_pool(model=model, block_size=100)
    pool.map(lambda batch: (batch.embeddings, batch.probs, batch.log_probs, batch.mc_log_probs(3), batch.logits))
    assert model.num_embedded == 3


def test_nothing_is_computed_that_is_not_asked_for():
    model = CountingMLP()
    make_pool(model=model).map(lambda batch: batch.inputs)
    assert model.num_embedded == 0


# ------------------------------------------------------------------------------------- models that are in one part


class OnePart(nn.Module):
    """The fitted model as one that has no `embed` and `head`; counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        mlp = copy.deepcopy(fitted_model())
        # the last layer is given its input before a ReLU that writes to it
        self.layers = nn.Sequential(mlp.hidden, nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.5), mlp.head))
        self.num_passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.num_passes += 1
        return self.layers(x)


class Named(OnePart):
    feature_layer = "layers.1.2"


def test_a_model_with_forward_alone_has_the_same_probabilities():
    expected = make_pool().map(lambda batch: (batch.logits, batch.probs))
    parts = make_pool(model=OnePart()).map(lambda batch: (batch.logits, batch.probs))
    assert all(part.equal(other) for part, other in zip(parts, expected, strict=True))


def test_a_model_whose_logits_are_no_layers_output_has_no_embeddings():
    class Scaled(OnePart):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    with pytest.raises(
        InputError,
        match="^Expected the model Scaled to have `embed` and `head`, or `feature_layer`, the name of its last layer, "
        "for embeddings, but it has neither, and its logits are no linear layer's output.$",
    ):
        make_pool(model=Scaled()).embeddings()


@pytest.mark.parametrize("first", ["logits", "embeddings"])
def test_without_a_name_the_embedding_is_what_goes_into_the_linear_layer_that_makes_the_logits(first):
    """The layer is found by two passes more over the first block."""
    model = OnePart()
    pool = make_pool(model=model, block_size=100)
    parts = pool.map(lambda batch: (getattr(batch, first), batch.embeddings, batch.logits, batch.probs))
    assert model.num_passes == (5 if first == "logits" else 4)
    expected = make_pool(block_size=100).map(lambda batch: (batch.embeddings, batch.logits))
    assert parts[1].equal(expected[0])
    assert parts[2].equal(expected[1])
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


def test_a_linear_layer_is_its_own_head():
    torch.manual_seed(0)
    layer = nn.Linear(64, 10)
    images = pool_inputs().view(-1, 8, 8)
    for model, inputs in [(layer, pool_inputs()), (nn.Sequential(nn.Flatten(), layer), images)]:
        assert make_pool(inputs, model=model).embeddings().equal(pool_inputs())


@pytest.mark.parametrize("first", ["logits", "embeddings"])
def test_the_input_of_the_named_layer_is_the_embedding_and_takes_one_pass(first):
    model = Named()
    pool = make_pool(model=model, block_size=100)
    parts = pool.map(lambda batch: (getattr(batch, first), batch.embeddings, batch.logits, batch.probs))
    assert model.num_passes == 3
    assert parts[1].equal(make_pool(block_size=100).embeddings())
    torch.testing.assert_close(parts[3], make_pool().probs())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_embedding_is_what_the_layer_was_given_and_flat():
    model = Named()
    model.feature_layer = "layers.1"
    embeddings = make_pool(model=model).embeddings()
    assert embeddings.min() < 0  # before the ReLU
    images = make_pool(pool_inputs().view(-1, 8, 8), model=nn.Sequential(nn.Flatten(), model))
    images.model.feature_layer = "0"
    assert images.embeddings().equal(pool_inputs())


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
@pytest.mark.parametrize("model", [OnePart, Named])
def test_monte_carlo_samples_of_a_model_in_one_part_are_those_of_whole_passes(model):
    log_probs = make_pool(model=model()).map(lambda batch: batch.mc_log_probs(4))
    expected = make_pool().map(lambda batch: batch.mc_log_probs(4))
    torch.testing.assert_close(log_probs, expected, atol=1e-5, rtol=1e-5)


def test_a_layer_that_is_never_called_raises():
    class Unused(Named):
        feature_layer = "unused"

        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(3, 3)

    with pytest.raises(InputError, match="`feature_layer` unused to be given the features of each sample when Unused"):
        make_pool(model=Unused()).probs()


def test_a_layer_that_is_not_there_raises():
    model = Named()
    model.feature_layer = "layers.1.3"
    with pytest.raises(InputError, match="`feature_layer` to be a layer of Named, but got `layers.1.3`; did you mean"):
        make_pool(model=model).probs()


class Dressed(OnePart):
    """Returns its logits in something else."""

    def __init__(self, dress) -> None:
        super().__init__()
        self.dress = dress

    def forward(self, x: Tensor) -> object:
        return self.dress(super().forward(x))


DRESSES = {
    "object": lambda logits: SimpleNamespace(logits=logits, loss=None),
    "dict": lambda logits: {"loss": None, "logits": logits},
    "tuple": lambda logits: (logits, logits.new_zeros(len(logits), 512)),
    "list": lambda logits: [logits],
    "namedtuple": lambda logits: GoogLeNetOutputs(logits=logits, aux_logits2=-logits, aux_logits1=-logits),
    "map": lambda logits: logits[:, :, None, None],
    "float64": lambda logits: logits.double(),
}


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
@pytest.mark.parametrize("dress", DRESSES)
def test_logits_are_found_in_what_a_model_returns(dress):
    parts = make_pool(model=Dressed(DRESSES[dress])).map(
        lambda batch: (batch.logits, batch.probs, batch.embeddings, batch.mc_log_probs(3))
    )
    expected = make_pool().map(lambda batch: (batch.logits, batch.probs, batch.embeddings, batch.mc_log_probs(3)))
    assert parts[0].equal(expected[0])
    assert parts[2].equal(expected[2])
    torch.testing.assert_close(parts[3], expected[3], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dress", [lambda logits: logits[:1], lambda logits: logits.T, lambda logits: logits.sum()])
def test_other_logits_than_a_row_for_each_sample_are_refused(dress):
    with pytest.raises(InputError, match=r"the model Dressed to return logits of shape \(B, C\) for B = 64 samples"):
        make_pool(model=Dressed(dress)).probs()


# ------------------------------------------------------------------------------------------ one logit for two classes


class OneLogit(nn.Module):
    """A network of two classes with one logit; `shape` is how it returns them."""

    def __init__(self, shape=lambda z: z) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.5))
        self.fc = nn.Linear(16, 1)
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return self.shape(self.fc(self.body(x)))


@pytest.mark.parametrize("block_size", [1, 7, 64])
@pytest.mark.parametrize(
    "shape", [lambda z: z, lambda z: z.squeeze(1), lambda z: z.squeeze(), lambda z: z[:, :, None, None]]
)
def test_one_logit_is_that_of_the_second_of_two_classes(shape, block_size):
    model = OneLogit(shape)
    pool = make_pool(pool_inputs(50), model=model, block_size=block_size)
    probs, log_probs, embeddings = pool.map(lambda batch: (batch.probs, batch.log_probs, batch.embeddings))
    model.eval()
    with torch.no_grad():
        second = torch.sigmoid(model.fc(model.body(pool_inputs(50))).double()).squeeze(1)
        torch.testing.assert_close(embeddings, model.body(pool_inputs(50)))
    expected = torch.stack([1 - second, second], dim=1)
    torch.testing.assert_close(probs.double(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(log_probs.double(), expected.log(), atol=1e-6, rtol=0)


@pytest.mark.filterwarnings("ignore:Monte Carlo dropout takes")
def test_scores_of_one_logit_are_those_of_its_sigmoid():
    model, inputs = OneLogit(), pool_inputs(50)
    pool = make_pool(inputs, model=model, block_size=7)
    scores = [pool.map(strategy.score) for strategy in (LeastConfidence(), Margin(), Entropy(), BALD(5))]
    model.eval()
    with torch.no_grad():
        features = model.body(inputs)
        p = torch.sigmoid(model.fc(features)).double().squeeze(1)
        masks = pool.monte_carlo(5)
        samples = torch.sigmoid(masks(inputs)).double().squeeze(2)  # (N, T)

    def entropy(p: Tensor) -> Tensor:
        return -(p * p.log() + (1 - p) * (1 - p).log())

    torch.testing.assert_close(scores[0].double(), torch.minimum(p, 1 - p), atol=1e-6, rtol=0)
    torch.testing.assert_close(scores[1].double(), -(2 * p - 1).abs(), atol=1e-6, rtol=0)
    torch.testing.assert_close(scores[2].double(), entropy(p), atol=1e-6, rtol=0)
    mutual = entropy(samples.mean(dim=1)) - entropy(samples).mean(dim=1)
    torch.testing.assert_close(scores[3].double(), mutual, atol=1e-6, rtol=0)


def test_badge_with_one_logit_queries_as_with_its_gradients():
    """The gradient of the one row of weights at the predicted class, by autograd, is what the distances are of."""
    model, inputs = OneLogit(), pool_inputs(40)
    query = BADGE().query(make_pool(inputs, model=model), 12, generator(3))
    model.eval()
    gradients = []
    for x in inputs:
        z = model(x[None])
        loss = nn.functional.binary_cross_entropy_with_logits(z, (z > 0).float())
        gradients.append(torch.autograd.grad(loss, model.fc.weight)[0].flatten())
    gradients = torch.stack(gradients).double()
    assert int(query[0]) == int(gradients.norm(dim=1).argmax())
    with torch.no_grad():
        probs = torch.sigmoid(model(inputs))
        expected = badge_query(torch.cat([1 - probs, probs], dim=1), model.body(inputs), 12, generator(3))
    assert query.equal(expected)
    distances = GradientEmbeddings(torch.cat([1 - probs, probs], dim=1), model.body(inputs).detach())
    ratio = distances.sq_distances(torch.arange(1, 40), torch.tensor([0])) / (
        (gradients[1:] - gradients[:1]).square().sum(dim=1, keepdim=True)
    )
    torch.testing.assert_close(ratio, torch.full_like(ratio, 2.0), atol=1e-3, rtol=0)  # a factor changes no draw


class OneLogitInParts(DropoutHead):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(64, 1)

    def embed(self, x: Tensor) -> Tensor:
        return x


def test_monte_carlo_samples_from_embeddings_have_two_classes_for_one_logit():
    pool = make_pool(model=OneLogitInParts())
    log_probs, probs = pool.map(lambda batch: (batch.mc_log_probs(4), batch.probs))
    model, masks = pool.model, pool.monte_carlo(4)
    with torch.no_grad():
        samples = torch.sigmoid(torch.cat([model.head(pool_inputs() * mask) for mask in masks], dim=1))
        second = torch.sigmoid(model.head(pool_inputs()))
    torch.testing.assert_close(log_probs.exp(), torch.stack([1 - samples, samples], dim=2), atol=1e-5, rtol=0)
    torch.testing.assert_close(probs, torch.cat([1 - second, second], dim=1), atol=1e-6, rtol=0)


def test_probabilities_are_warned_of_on_a_block():
    with pytest.warns(UserWarning, match="Dressed returns probabilities in place of logits: each row is positive and"):
        make_pool(model=Dressed(lambda logits: logits.softmax(dim=1))).probs()


def test_a_model_in_one_part_works_in_the_precision_of_the_trainer():
    low, high = make_pool(model=Named(), precision=autocast), make_pool(model=Named())
    parts = low.map(lambda batch: (batch.embeddings, batch.logits))
    assert {part.dtype for part in parts} == {torch.float32}
    assert parts[1].equal(parts[1].bfloat16().float())
    torch.testing.assert_close(low.probs(), high.probs(), atol=0.05, rtol=0)


# -------------------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("block_size", [1, 7, 300])
def test_mc_probs_are_distributions_for_any_block_size(block_size):
    """Regression: a softmax over a flattened batch makes probabilities depend on its size (modAL)."""
    log_probs = make_pool(block_size=block_size).map(lambda batch: batch.mc_log_probs(5))
    assert log_probs.shape == (300, 5, 10)
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(dim=2), torch.ones(300, 5))
    whole = make_pool(block_size=1000).map(lambda batch: batch.mc_log_probs(5))
    torch.testing.assert_close(log_probs, whole, atol=1e-5, rtol=1e-5)


def test_masks_are_drawn_once_and_shared_by_all_blocks():
    inputs = pool_inputs(1).repeat(50, 1)
    pool = make_pool(inputs, block_size=7)
    log_probs = pool.map(lambda batch: batch.mc_log_probs(6))
    torch.testing.assert_close(log_probs, log_probs[:1].expand_as(log_probs), atol=1e-5, rtol=0)
    assert not torch.allclose(log_probs[0, 0], log_probs[0, 1])
    assert pool.monte_carlo(6).equal(fitted_model().draw_masks(6, generator(0)))
    assert pool.map(lambda batch: batch.mc_log_probs(6)).equal(log_probs)


def test_masks_of_another_number_are_drawn_anew():
    pool = make_pool()
    assert pool.monte_carlo(3).shape == (3, 32)
    assert pool.monte_carlo(4).shape == (4, 32)
    assert pool.monte_carlo(3) is pool.monte_carlo(3)


def test_two_pools_without_a_mask_generator_share_their_masks():
    blocks = TensorBlocks(pool_inputs())
    pools = [PoolPredictor(fitted_model(), blocks, blocks) for _ in range(2)]
    assert pools[0].monte_carlo(3).equal(pools[1].monte_carlo(3))


# ---------------------------------------------------------------------------------------------------------- precision


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def test_in_mixed_precision_only_the_embedding_is_low():
    model = CountingMLP()
    pool = make_pool(model=model, precision=autocast)
    parts = pool.map(
        lambda batch: (batch.embeddings, batch.logits, batch.log_probs, batch.probs, batch.mc_log_probs(4))
    )
    assert model.dtypes == {torch.bfloat16}
    assert {part.dtype for part in parts} == {torch.float32}
    embeddings, logits = parts[:2]
    with torch.no_grad():
        torch.testing.assert_close(logits, model.head(embeddings), atol=1e-5, rtol=0)
    torch.testing.assert_close(parts[3].double(), probs_one_by_one(), atol=0.05, rtol=0)


def test_mixed_precision_gives_scores_that_do_not_tie():
    """In bfloat16 all the way a few hundred distinct values are left of a pool of thousands."""
    pool = make_pool(digits().train_inputs, precision=autocast)
    scores = pool.map(lambda batch: batch.probs.amax(dim=1))
    low = scores.bfloat16()
    assert len(scores.unique()) > 2 * len(low.unique())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_in_another_dtype(dtype):
    model = copy.deepcopy(fitted_model()).to(dtype)
    pool = make_pool(model=model, transfer=lambda block: block.to(dtype))
    probs, log_probs = pool.map(lambda batch: (batch.probs, batch.mc_log_probs(4)))
    assert probs.dtype == log_probs.dtype == torch.float32
    tolerance = 1e-6 if dtype == torch.float64 else 0.05
    torch.testing.assert_close(probs.double(), probs_one_by_one(), atol=tolerance, rtol=0)
    expected = make_pool().map(lambda batch: batch.mc_log_probs(4)).exp()
    torch.testing.assert_close(log_probs.exp(), expected, atol=2 * tolerance, rtol=0)


# ------------------------------------------------------------------------------------------------- what is kept of it


def test_seconds_of_all_maps_are_counted():
    def slowly(batch: Predictions) -> Tensor:
        time.sleep(0.01)
        return batch.inputs

    pool = make_pool(block_size=100)
    assert pool.seconds == 0
    pool.map(slowly)
    first = pool.seconds
    assert first >= 0.03
    pool.map(slowly, over=TensorBlocks(pool_inputs(), block_size=1000))
    assert pool.seconds >= first + 0.01


def test_slow_blocks_are_counted_too():
    class Slow:
        def __iter__(self) -> Iterator[Tensor]:
            time.sleep(0.02)
            yield pool_inputs(3)

        def __len__(self) -> int:
            return 3

    pool = PoolPredictor(fitted_model(), Slow(), Slow())
    assert len(pool) == 3
    pool.probs()
    assert pool.seconds >= 0.02


def test_known_probabilities_pass_through():
    probs = random_probs(20, 4)
    torch.testing.assert_close(pool_of_probs(probs).probs(), probs)
