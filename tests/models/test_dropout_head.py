"""DropoutHead: a user's module has the fast samples of DropoutMLP, but only where they are right."""

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

from al_lightning import BALD, DropoutHead
from tests.helpers import fitted_model, generator, make_pool, pool_inputs


class Own(DropoutHead):
    """The fitted model, written by a user."""

    def __init__(self, body_dropout: float = 0.0) -> None:
        super().__init__()
        mlp = copy.deepcopy(fitted_model())
        self.body = nn.Sequential(mlp.hidden, nn.ReLU(), nn.Dropout(body_dropout))
        self.dropout = nn.Dropout(0.5)
        self.head = mlp.head

    def embed(self, x: Tensor) -> Tensor:
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.embed(x)))


def test_a_users_module_has_the_samples_of_the_mlp_to_the_bit():
    ours, theirs = make_pool(), make_pool(model=Own())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no whole passes
        answers = [BALD(20).answer(pool, 30, generator()) for pool in (ours, theirs)]
    assert answers[0].positions.equal(answers[1].positions)
    assert answers[0].scores.equal(answers[1].scores)


def test_other_active_dropout_makes_samples_take_whole_passes():
    model = Own(body_dropout=0.4)
    with pytest.warns(UserWarning, match="Own has no `draw_masks`.* or has other dropout than before the head"):
        log_probs = make_pool(model=model).map(lambda batch: batch.mc_log_probs(3))
    model.eval()
    masks = generator()
    with torch.no_grad():
        for t in range(3):
            # those of the body are drawn first
            hidden = model.embed(pool_inputs()) * (torch.rand(32, generator=masks) >= 0.4) / 0.6
            logits = model.head(hidden * (torch.rand(32, generator=masks) >= 0.5) / 0.5)
            torch.testing.assert_close(log_probs[:, t], logits.log_softmax(dim=1))


@pytest.mark.parametrize(("p", "fast"), [(0.0, True), (0.1, False)])
def test_dropout_that_drops_nothing_does_not_count(p, fast):
    assert Own(body_dropout=p).samples_from_embeddings is fast


def test_dropout_of_channels_counts():
    model = Own()
    model.channels = nn.Dropout2d(0.1)
    assert not model.samples_from_embeddings
