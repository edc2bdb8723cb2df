"""Missing parts of a model are reported before its first fit, and the query that finds them leaves no trace."""

import copy
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn

from al_lightning import InputError
from al_lightning.data.blocks import TensorBlocks
from al_lightning.fitting.model_contract import check_model
from al_lightning.inference import PoolPredictor
from tests.digits import DigitsMLP, FlatDigits
from tests.own_models import ForwardOnly, WithFeatureLayer, WithTypo
from tests.test_loop import PlainMLP, rows, run

# ---------------------------------------------------------------------------------------------------------- the model


@pytest.mark.parametrize("model", [ForwardOnly, WithFeatureLayer, PlainMLP, DigitsMLP])
def test_a_model_that_can_be_trained_and_asked_passes(model: type) -> None:
    check_model(model(), FlatDigits())


@pytest.mark.parametrize("method", ["forward", "training_step", "configure_optimizers"])
def test_a_model_without_what_lightning_needs_is_refused(method: str) -> None:
    lacking = type("Lacking", (ForwardOnly,), {method: getattr(L.LightningModule, method)})
    with pytest.raises(InputError, match=f"Expected the model Lacking to have `{method}`, but it has not."):
        check_model(lacking(), FlatDigits())


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="a layer of WithTypo, but got `net.fcc`; did you mean net.fc?"):
        check_model(WithTypo(), FlatDigits())


def test_inputs_that_a_model_does_not_take_are_refused() -> None:
    class Images(ForwardOnly):
        def forward(self, x: Tensor) -> Tensor:
            assert x.dim() == 4, "no images"
            return super().forward(x)

    with pytest.raises(InputError, match=r"the model Images to take inputs of shape \(64,\), but got: no images"):
        check_model(Images(), FlatDigits())


@pytest.mark.parametrize("num_outputs", [1, 9, 11])
def test_another_number_of_logits_is_refused(num_outputs: int) -> None:
    model = ForwardOnly()
    model.net.fc = nn.Linear(16, num_outputs)
    sentence = (
        "Expected the model ForwardOnly to return 10 logits for each sample, one for each of the classes of FlatDigits "
        f"(0, 1, 2, 3 and 6 more), but got {num_outputs}."
    )
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        check_model(model, FlatDigits())


def test_parts_that_are_not_the_forward_of_a_model_are_refused() -> None:
    """`embed` and `head` are names of many things."""

    class Other(PlainMLP):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.embed(x).relu() + 1)

    with pytest.raises(InputError, match=r"`head\(embed\(x\)\)` of the model Other to be its `forward`"):
        check_model(Other(), FlatDigits())


def test_a_model_in_parts_may_return_more_than_logits() -> None:
    class Pair(PlainMLP):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward(x), x

    check_model(Pair(), FlatDigits())


class TokensLike(ForwardOnly):
    """Has parts called `embed` and `head` that are not its features and its logits: one feature map a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Unflatten(1, (4, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x).mean(dim=1))


def test_an_embedding_of_tokens_is_not_taken_for_the_features(tmp_path: Path) -> None:
    model = TokensLike()
    check_model(model, FlatDigits())
    inputs = FlatDigits().load().test_inputs
    pool = PoolPredictor(model, TensorBlocks(inputs, block_size=100), TensorBlocks(inputs[:0]))
    logits, embeddings = pool.map(lambda batch: (batch.logits, batch.embeddings))
    with torch.no_grad():
        torch.testing.assert_close(logits, model(inputs))
        torch.testing.assert_close(embeddings, inputs.view(-1, 4, 16).mean(dim=1))


class Returning(ForwardOnly):
    """Returns a function of the logits."""

    def __init__(self, fn: Callable[[Tensor], object], num_outputs: int = 10) -> None:
        super().__init__()
        self.net.fc = nn.Linear(16, num_outputs)
        self.fn = fn

    def forward(self, x: Tensor) -> object:
        return self.fn(self.net(x))


def test_features_before_the_logits_are_refused() -> None:
    model = Returning(lambda logits: (logits.new_zeros(len(logits), 512), logits))
    with pytest.raises(InputError, match="return logits first, but the first part .* 512 columns, and part 2 has 10"):
        check_model(model, FlatDigits())


def test_features_after_the_logits_pass() -> None:
    check_model(Returning(lambda logits: (logits, logits.new_zeros(len(logits), 512))), FlatDigits())


@pytest.mark.parametrize(
    ("fn", "got"),
    [
        (lambda logits: logits.argmax(dim=1), "of a float dtype, but got torch.int64"),
        (lambda logits: logits.unsqueeze(1).repeat(1, 3, 1), r"shape \(B, C\) for B = 1 samples, but got \(1, 3, 10\)"),
        (lambda logits: {"out": logits}, "or a tuple that begins with them, but got dict with out"),
        (lambda logits: None, "but got NoneType"),
        (lambda logits: logits[:0], r"B = 1 samples, but got \(0, 10\)"),
    ],
)
def test_what_is_no_logits_is_refused(fn: Callable[[Tensor], object], got: str) -> None:
    with pytest.raises(InputError, match=f"^Expected the model Returning to return logits.*{got}"):
        check_model(Returning(fn), FlatDigits())


@pytest.mark.parametrize(
    "fn", [lambda z: z.softmax(dim=1), lambda z: z.softmax(dim=1).double(), lambda z: z.sigmoid()[..., None, None]]
)
def test_probabilities_are_warned_of_once_a_model(fn: Callable[[Tensor], object]) -> None:
    model = Returning(fn)
    with pytest.warns(UserWarning, match="^The model Returning returns probabilities in place of logits") as caught:
        [check_model(model, FlatDigits()) for _ in range(2)]
    assert len(caught) == 1


@pytest.mark.parametrize("fn", [lambda z: z.log_softmax(dim=1), lambda z: z, lambda z: z.softmax(dim=1).sqrt()])
def test_logits_are_not_warned_of(fn: Callable[[Tensor], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_model(Returning(fn), FlatDigits())


class Silent(WithFeatureLayer):
    """Tests another metric than accuracy."""

    def test_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.log("test_length", float(len(batch[0])))


@pytest.mark.parametrize("model", [ForwardOnly, Silent])
@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
def test_a_model_that_logs_no_accuracy_is_tested_by_its_logits(tmp_path: Path, model: type, precision: str) -> None:
    fitted = model()
    run(tmp_path, model=fitted, num_rounds=1, trainer={"max_epochs": 10, "precision": precision})
    arrays, last = FlatDigits().source, rows(tmp_path)[-1]
    before = copy.deepcopy(fitted.state_dict())
    fitted.float().eval()
    with torch.no_grad():
        logits = fitted(arrays.test_inputs)
    accuracy = float((logits.argmax(1) == arrays.test_targets).float().mean())
    nll = float(nn.functional.cross_entropy(logits, arrays.test_targets))
    tolerance = 0.02 if precision == "bf16-mixed" else 1e-6
    assert accuracy > 0.2
    assert float(last["test_acc"]) == pytest.approx(accuracy, abs=tolerance)
    assert float(last["test_nll"]) == pytest.approx(nll, abs=tolerance, rel=1e-5)
    assert int(before["net.body.2.num_batches_tracked"]) == 10  # batches of 60 labels, and none of a test
    bins = [row for row in rows(tmp_path, "calibration.csv") if row["round"] == "1"]
    right = sum(int(row["count"]) * float(row["accuracy"]) for row in bins)
    assert right / len(logits) == pytest.approx(float(last["test_acc"]), abs=1e-6)
