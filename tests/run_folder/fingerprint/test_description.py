"""Descriptions of objects: the same in each process, but different for another experiment."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, StepLR

from al_lightning.errors import InputError
from al_lightning.run_folder.fingerprint.description import (
    attributes_of,
    codes_of,
    configured_optimizers,
    lines_of,
    schedule_of,
    settings_of,
    text_of,
)
from al_lightning.run_folder.fingerprint.differences import check_same


def schedule(cls: Any, *args: Any) -> str:
    return schedule_of(cls(SGD([torch.zeros(1, requires_grad=True)], lr=0.1), *args))


DIFFERENT = [
    (nn.ReLU(), nn.Tanh()),
    (nn.ReLU(), F.relu),
    (F.relu, F.gelu),
    (torch.relu, torch.tanh),
    (nn.Dropout(0.5), nn.Dropout(0.2)),
    (nn.LeakyReLU(), nn.LeakyReLU(0.3)),
    (nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3, padding=1)),
    (nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3, stride=2)),
    (nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3, groups=2)),
    (nn.Linear(2, 3), nn.Linear(2, 3, bias=False)),
    (nn.Linear(2, 3), nn.Linear(2, 3, dtype=torch.float64)),
    (nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 4)),
    (nn.TransformerEncoderLayer(8, 2), nn.TransformerEncoderLayer(8, 2, activation="gelu")),
    (nn.TransformerEncoderLayer(8, 2), nn.TransformerEncoderLayer(8, 2, norm_first=True)),
    (nn.BatchNorm1d(3), nn.BatchNorm1d(3, momentum=0.01)),
    (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1)),
    (nn.CrossEntropyLoss(torch.tensor([1.0, 2])), nn.CrossEntropyLoss(torch.tensor([1.0, 3]))),
    (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Sequential(nn.ReLU(), nn.Linear(2, 2))),
    (nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)),
    (torch.tensor([1.0]), torch.tensor([1.0000001])),
    (torch.zeros(2, 3), torch.zeros(3, 2)),
    (np.zeros(3), np.zeros(3, np.float32)),
    (1, 1.0),
    (True, 1),
    ("1", 1),
    (None, "None"),
    ([1], (1,)),
    ({"a": 1}, {"a": 2}),
    (partial(F.cross_entropy, label_smoothing=0.1), partial(F.cross_entropy, label_smoothing=0.2)),
    (lambda x: x + 1, lambda x: x + 2),
    (SGD([torch.zeros(1)], lr=0.1), SGD([torch.zeros(1)], lr=0.1, momentum=0.9)),
    (torch.float32, torch.float64),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=[str(i) for i in range(len(DIFFERENT))])
def test_other_things_are_told_apart(one: Any, other: Any) -> None:
    assert text_of(one) == text_of(one) != text_of(other)


def test_weights_do_not_count_but_those_of_a_loss() -> None:
    assert text_of(nn.Linear(5, 5)) == text_of(nn.Linear(5, 5))
    norm = nn.BatchNorm1d(3)
    before = text_of(norm)
    norm(torch.randn(4, 3))  # moves its statistics
    assert text_of(norm) == before


def test_schedules() -> None:
    texts = [
        schedule(StepLR, 3),
        schedule(StepLR, 4),
        schedule(CosineAnnealingLR, 3),
        schedule(LambdaLR, lambda e: 0.9**e),
        schedule(LambdaLR, lambda e: 0.8**e),
    ]
    assert len(set(texts)) == len(texts)
    assert schedule(StepLR, 3) == texts[0]


def test_attributes_of_callbacks_are_their_arguments() -> None:
    assert attributes_of(GradientAccumulationScheduler({0: 1, 4: 2})) == {"scheduling": "{0: 1, 4: 2}"}
    assert attributes_of(StochasticWeightAveraging(0.1, annealing_epochs=3))["annealing_epochs"] == "3"
    assert "annealing_epochs" not in attributes_of(StochasticWeightAveraging(0.1))


class Own(L.LightningModule):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(2, width)
        self.act, self.alpha, self._hidden = F.relu, 0.5, 1
        self.class_weights = torch.tensor([1.0, 2.0])


def test_a_module_of_ones_own() -> None:
    lines = lines_of(Own())
    name = f"{__name__}.Own"
    assert lines["self"] == f"{name}()"
    assert lines["self.act"] == "torch.nn.functional.relu"
    assert lines["self.alpha"] == "0.5"
    assert lines["layer"] == "torch.Linear(in_features=2, out_features=3); weight [3, 2] float32; bias [3] float32"
    assert lines.keys() == {"self", "self.act", "self.alpha", "self.class_weights", "layer"}
    assert codes_of(Own()).keys() == {name}
    other = Own()
    other.class_weights[1] = 3
    assert [key for key, line in lines_of(other).items() if line != lines[key]] == ["self.class_weights"]


class Asking(L.LightningModule):
    """Has schedules that only a trainer can know."""

    def configure_optimizers(self) -> Any:
        optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        return [optimizer], [StepLR(optimizer, int(self.trainer.estimated_stepping_batches))]


def test_optimizers_that_ask_the_trainer_are_the_same_after_a_fit() -> None:
    model = Asking()
    before = configured_optimizers(model)
    assert before == "not known before a fit: RuntimeError"
    trainer = L.Trainer(max_steps=3, logger=False, enable_checkpointing=False, accelerator="cpu")
    model.trainer = trainer
    assert configured_optimizers(model) == before
    assert model.trainer is trainer


def test_a_configuration_of_hugging_face_is_told_key_by_key() -> None:
    transformers = pytest.importorskip("transformers")

    def lines(**changes: Any) -> dict[str, str]:
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        config = transformers.BertConfig(vocab_size=20, **{**sizes, **changes})
        return lines_of(transformers.BertForSequenceClassification(config))

    assert lines() == lines()
    for name, value in {"num_attention_heads": 4, "hidden_act": "relu", "layer_norm_eps": 0.5}.items():
        before, after = lines(), lines(**{name: value})
        assert f"self.config.{name}" in [key for key in before | after if before.get(key) != after.get(key)]
    before, after = lines(), lines(num_attention_heads=4)
    assert [key for key in before | after if before.get(key) != after.get(key)] == ["self.config.num_attention_heads"]


class Odd:
    __slots__ = ("value",)


def test_settings_stay_as_they_were_and_have_no_addresses() -> None:
    plain = {"a": 1, "b": "x", "c": (0.9, 0.999), "d": [1], "e": None, "f": nn.Linear(1, 1), "g": torch.float32}
    assert settings_of(plain) == {
        **{name: plain[name] for name in "abe"},
        "c": "(0.9, 0.999)",
        "d": "[1]",
        "f": "Linear(in_features=1, out_features=1, bias=True)",
        "g": "torch.float32",
    }
    odd = {"f": lambda x: x, "o": Odd(), "m": Own().forward, "p": partial(F.relu), "i": iter([]), "t": print}
    assert not [text for text in settings_of(odd).values() if "0x" in text]


SCRIPT = """
from functools import partial
from torch import nn
from torch.nn import functional as F
from al_lightning.run_folder.fingerprint.description import text_of, settings_of
class Thing:
    def __init__(self): self.names = {"b", "a", "c", "d"}; self.f = lambda x: x in {"u", "v", "w"}
    def call(self, x): return x
thing = Thing()
values = [thing, thing.call, thing.f, partial(F.relu, inplace=True), {1: thing}, frozenset("xyz"), nn.ReLU(), object()]
print([text_of(value) for value in values], settings_of({"f": thing.f, "t": thing}))
"""


@pytest.mark.parametrize("how", ["a file", "standard input"])
def test_two_processes_say_the_same(tmp_path: Any, how: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, "script.py"] if how == "a file" else [sys.executable, "-"]
    told = {
        subprocess.run(
            words,
            input=SCRIPT if how == "standard input" else "",
            cwd=tmp_path,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    (text,) = told
    assert "0x" not in text


def test_hyperparameters_that_only_one_text_has_are_not_compared() -> None:
    def check(was: str, now: str) -> None:
        check_same(Path("run"), {"model": {"self": was}}, {"model": {"self": now}})

    check("M(a=1, hparams.x=(1, 2), hparams.y='a, b'); w [3]", "M(a=1, hparams._new='z', hparams.x=(1, 2)); w [3]")
    with pytest.raises(InputError, match=r"hparams\.x=2"):
        check("M(hparams.x=1)", "M(hparams.x=2, hparams.y=3)")
    with pytest.raises(InputError, match=r"w \[4\]"):
        check("M(hparams.x=1); w [3]", "M(); w [4]")
