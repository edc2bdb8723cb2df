"""Classifier: any network, trained, tested and asked for embeddings."""

import copy

import lightning.pytorch as L
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from al_lightning import BADGE, Classifier, CoreSet, InputError, Margin
from al_lightning.data.blocks import BatchLoader, MinibatchLoader, TensorBlocks, TensorRows
from al_lightning.models.metrics import NAMES
from al_lightning.models.reset import reset_parameters
from tests.digits import FlatDigits
from tests.helpers import digits, generator, make_pool, pool_inputs
from tests.own_models import Net
from tests.test_loop import make_loop, make_trainer, rows as read_rows, run


def test_embeddings_are_what_goes_into_the_layer():
    torch.manual_seed(0)
    network = Net()
    pool = make_pool(model=Classifier(network, feature_layer="fc"))
    embeddings, logits = pool.map(lambda batch: (batch.embeddings, batch.logits))
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(embeddings, network.body(pool_inputs()))
        torch.testing.assert_close(logits, network(pool_inputs()))


@pytest.mark.parametrize(("name", "message"), [("fcc", "did you mean fc?"), ("network.fc", "did you mean")])
def test_a_layer_that_is_not_there_is_refused_by_the_name_that_was_given(name, message):
    with pytest.raises(InputError, match=f"`feature_layer` to be a layer of Net, but got `{name}`; {message}"):
        Classifier(Net(), feature_layer=name)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="`model.num_classes` to be at least 2, but got 1"):
        Classifier(Net(), num_classes=1)


def test_an_optimizer_that_cannot_be_made_is_refused():
    model = Classifier(Net(), optimizer=lambda params: torch.optim.Adam(params, lr=-1))
    with pytest.raises(InputError, match="`model.optimizer` to make an optimizer, but got: .*-1"):
        model.configure_optimizers()


def test_weights_drawn_anew_are_those_of_the_network():
    model = Classifier(Net())
    torch.manual_seed(1)
    reset_parameters(model)
    torch.manual_seed(1)
    expected = Net()
    assert all(value.equal(expected.state_dict()[name]) for name, value in model.network.state_dict().items())


@pytest.mark.filterwarnings("ignore::Warning")
def test_a_fit_is_the_plain_loop_to_the_bit_and_a_test_has_all_metrics():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    model = Classifier(copy.deepcopy(plain), optimizer=lambda params: torch.optim.SGD(params, lr=0.1))
    inputs, targets = digits().train_inputs[:100], digits().train_targets[:100]
    trainer = L.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(model, MinibatchLoader(TensorRows(inputs), targets, 32, generator=generator(7)))
    optimizer, shuffle = torch.optim.SGD(plain.parameters(), lr=0.1), generator(7)
    for _ in range(2):
        losses = []
        for rows in torch.randperm(100, generator=shuffle).split(32):
            loss = F.cross_entropy(plain(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss) * len(rows))
    assert all(p.equal(q) for p, q in zip(model.network.parameters(), plain.parameters(), strict=True))
    assert float(trainer.callback_metrics["train_loss"]) == pytest.approx(sum(losses) / 100, rel=1e-5)
    (metrics,) = trainer.test(
        model, BatchLoader(TensorBlocks(digits().test_inputs), digits().test_targets), verbose=False
    )
    assert set(metrics) == {f"test_{name}" for name in NAMES}
    with torch.no_grad():
        accuracy = (plain(digits().test_inputs).argmax(dim=1) == digits().test_targets).float().mean()
    assert metrics["test_acc"] == pytest.approx(float(accuracy))


class Halves(FlatDigits):
    """Digits below 5 and the others: two classes."""

    def load(self):
        arrays = super().load()
        return arrays._replace(
            train_targets=(arrays.train_targets > 4).long(), test_targets=(arrays.test_targets > 4).long()
        )


def test_one_logit_is_trained_by_the_binary_cross_entropy_and_tested_by_its_sigmoid(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 1), nn.Flatten(0))  # logits (B,)
    model = Classifier(network, num_classes=2)
    inputs, targets = digits().train_inputs[:50], (digits().train_targets[:50] > 4).long()
    loss = model.losses(inputs, targets)["train_loss"]
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(network(inputs), targets.float()))
    loop = make_loop(tmp_path, Margin(), num_rounds=1)
    loop.run(make_trainer(loop), model, Halves(num_initial=40))
    model.eval()
    arrays = Halves().load()
    with torch.no_grad():
        p = torch.sigmoid(network(arrays.test_inputs).double())
    truth = arrays.test_targets.double()
    last = read_rows(tmp_path)[-1]
    assert float(last["test_acc"]) == pytest.approx(float(((p > 0.5) == (truth > 0.5)).double().mean()), abs=1e-6)
    assert float(last["test_nll"]) == pytest.approx(float(F.binary_cross_entropy(p, truth)), abs=1e-5)
    assert float(last["test_brier"]) == pytest.approx(float(2 * (p - truth).square().mean()), abs=1e-5)
    torch.testing.assert_close(model.predict_step((arrays.test_inputs, None))[:, 1].double(), p, atol=1e-6, rtol=0)


@pytest.mark.parametrize("strategy", [BADGE(), CoreSet()])
def test_a_bare_linear_layer_is_asked_for_its_inputs(tmp_path, strategy):
    run(tmp_path, strategy, model=Classifier(nn.Linear(64, 10)), num_rounds=1)
    assert len(read_rows(tmp_path)) == 2


def test_auxiliary_outputs_of_torchvision_are_left_out_of_the_loss():
    torch.manual_seed(0)
    network = models.googlenet(weights=None, aux_logits=True, init_weights=False, num_classes=3)
    model = Classifier(network, num_classes=3)
    inputs, targets = torch.randn(2, 3, 64, 64), torch.tensor([0, 2])
    torch.manual_seed(1)
    loss = model.losses(inputs, targets)["train_loss"]
    torch.manual_seed(1)
    torch.testing.assert_close(loss, F.cross_entropy(network(inputs).logits, targets))


def test_a_network_of_transformers_returns_an_object():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4,
        num_channels=1, num_labels=10,
    )  # fmt: skip
    network = transformers.ViTForImageClassification(config)
    images = pool_inputs().view(-1, 1, 8, 8)
    pool = make_pool(images, model=Classifier(network))
    logits, embeddings = pool.map(lambda batch: (batch.logits, batch.embeddings))
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(logits, network(pixel_values=images).logits, atol=1e-5, rtol=1e-5)
        hidden = network.vit(images).last_hidden_state[:, 0]
    torch.testing.assert_close(embeddings, hidden, atol=1e-5, rtol=1e-5)
