"""Classifier: any network, trained, tested and asked for embeddings."""

import copy

import lightning.pytorch as L
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from al_lightning import Classifier, InputError
from al_lightning.data.blocks import BatchLoader, MinibatchLoader, TensorBlocks, TensorRows
from al_lightning.models.reset import reset_parameters
from tests.helpers import digits, generator, make_pool, pool_inputs
from tests.own_models import Net


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
    assert set(metrics) == {"test_acc", "test_nll", "test_brier", "test_ece"}
    with torch.no_grad():
        accuracy = (plain(digits().test_inputs).argmax(dim=1) == digits().test_targets).float().mean()
    assert metrics["test_acc"] == pytest.approx(float(accuracy))
