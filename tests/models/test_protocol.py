"""What a model may have: one page, with defaults and meanings."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from al_lightning import models
from al_lightning.models import Classifier, DropoutMLP, MixMatch
from al_lightning.models.protocol import Traits, traits

NAMES = [name for name in vars(Traits) if not name.startswith("_")]


def test_each_name_has_a_default_and_a_meaning() -> None:
    (page,) = (node for node in ast.parse(Path("al_lightning/models/protocol.py").read_text()).body if is_page(node))
    lines = page.body[1:]
    declared = [line.target.id for line in lines[::2]]
    assert declared == NAMES
    assert all(line.value is not None for line in lines[::2])
    assert all(isinstance(line.value.value, str) and len(line.value.value) > 40 for line in lines[1::2])


def is_page(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and node.name == "Traits"


def test_a_plain_network_has_the_defaults() -> None:
    has = traits(nn.ReLU())
    assert all(getattr(has, name) == getattr(Traits, name) for name in NAMES)
    assert traits(None).minibatches_per_step is None


def test_what_a_model_has_takes_the_place_of_the_default() -> None:
    mlp, mixmatch = DropoutMLP(), MixMatch()
    assert (traits(mlp).takes_pairs, traits(mlp).ends_by_train_acc, traits(mlp).needs_unlabeled) == (True, True, False)
    assert traits(mlp).minibatches_per_step == 16
    assert traits(mlp).head is mlp.head
    assert traits(mixmatch).needs_unlabeled
    assert traits(mixmatch).stream_purposes == ("augmentation", "mixup")
    assert traits(Classifier(nn.Linear(2, 3), 3)).passes_inputs_to == "network"


def test_a_property_is_asked_each_time() -> None:
    model = MixMatch()
    has = traits(model)
    assert has.warming_up
    model.num_updates = model.ramp_updates
    assert not has.warming_up


def test_a_name_that_is_not_on_the_page_raises() -> None:
    with pytest.raises(AttributeError, match="hidden"):
        traits(DropoutMLP()).hidden  # noqa: B018
    with pytest.raises(AttributeError, match="module 'al_lightning.models' has no attribute 'Perceptron'"):
        models.Perceptron  # noqa: B018


def test_the_page_is_imported_without_the_models() -> None:
    code = "import sys, al_lightning.models.protocol; print('lightning' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


def test_streams_have_a_place_by_default() -> None:
    assert traits(nn.ReLU()).streams == {}
    assert set(traits(MixMatch()).streams) == {"augmentation", "mixup"}
    assert all(isinstance(stream, torch.Generator) for stream in traits(MixMatch()).streams.values())
