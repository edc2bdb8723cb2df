"""The precision of scoring, apart from that of the fits: what `auto` is, what is refused, and what the model sees."""

from types import SimpleNamespace
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor

from al_lightning.data.blocks import TensorBlocks
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor
from al_lightning.inference.precision import ScoringPrecision, check_scoring_precision, settled
from al_lightning.testing.small_models import fitted_model
from tests.helpers import pool_inputs

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def trainer_of(precision: Any = "32-true") -> L.Trainer:
    return L.Trainer(accelerator="cpu", precision=precision, **QUIET)


def on_device(device: str, precision: str = "32-true") -> Any:
    """What is asked of a trainer on a device that this machine need not have."""
    return SimpleNamespace(precision=precision, strategy=SimpleNamespace(root_device=torch.device(device)))


def logits(trainer: str, scoring: ScoringPrecision, inputs: Tensor | None = None) -> Tensor:
    blocks = TensorBlocks(pool_inputs() if inputs is None else inputs)
    pool = PoolPredictor.of_trainer(trainer_of(trainer), fitted_model(), blocks, blocks, precision=scoring)
    return pool.map(lambda batch: batch.logits)


@pytest.mark.parametrize(
    ("device", "precision", "has_bf16", "expected"),
    [
        ("cuda:0", "32-true", True, "bf16-mixed"),
        ("cuda:0", "32-true", False, "trainer"),
        ("cuda:0", "64-true", True, "trainer"),
        ("cuda:0", "16-mixed", True, "trainer"),
        ("mps", "32-true", True, "trainer"),
        ("cpu", "32-true", True, "trainer"),
    ],
)
def test_auto_is_bf16_on_gpus_that_have_it(
    monkeypatch: pytest.MonkeyPatch, device: str, precision: str, has_bf16: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)
    assert settled("auto", on_device(device, precision)) == expected
    assert settled("32-true", on_device(device, precision)) == "32-true"


@pytest.mark.parametrize("trainer", ["32-true", "bf16-mixed"])
def test_the_model_computes_in_the_precision_of_scoring(trainer: str) -> None:
    plain, low = logits("32-true", "trainer"), logits("bf16-mixed", "trainer")
    assert not plain.equal(low)
    assert logits(trainer, "32-true").equal(plain)
    assert logits(trainer, "bf16-mixed").equal(low)
    assert logits(trainer, "trainer").equal(low if trainer == "bf16-mixed" else plain)
    assert logits(trainer, "auto").equal(logits(trainer, "trainer"))


def test_16_mixed_rounds_less_than_bf16_mixed() -> None:
    plain = logits("32-true", "trainer")
    bf16, fp16 = ((logits("32-true", name) - plain).abs().max() for name in ("bf16-mixed", "16-mixed"))
    assert 0 < 2 * fp16 < bf16 < 0.2  # 10 bits of the fraction, and 7


def test_half_inputs_of_a_mixed_trainer_are_widened_for_float32() -> None:
    half = pool_inputs().half()
    assert logits("bf16-mixed", "32-true", half).equal(logits("32-true", "trainer", half.float()))


@pytest.mark.parametrize("trainer", ["64-true", "bf16-true"])
def test_weights_that_are_not_float32_score_as_they_are(trainer: str) -> None:
    for precision in ("auto", "trainer", trainer):
        check_scoring_precision(precision, trainer_of(trainer))  # type: ignore[arg-type]
    for precision in ("32-true", "bf16-mixed", "16-mixed"):
        with pytest.raises(InputError) as refused:
            check_scoring_precision(precision, trainer_of(trainer))  # type: ignore[arg-type]
        assert str(refused.value) == (
            f"Expected `loop.scoring_precision` to be trainer with `trainer.precision` {trainer}, whose weights are "
            f"not float32, but got {precision}."
        )


def test_a_device_that_lacks_a_precision_is_refused() -> None:
    """Torch has no autocast for the device `meta`. It has one for the CPU, in both precisions."""
    for precision in ("bf16-mixed", "16-mixed"):
        check_scoring_precision(precision, trainer_of())  # type: ignore[arg-type]
        with pytest.raises(InputError, match=f"that torch has on the device meta, but got {precision}"):
            check_scoring_precision(precision, on_device("meta"))  # type: ignore[arg-type]
    check_scoring_precision("32-true", on_device("meta"))
