"""Models with lazy layers: shapes and weights are there before the first fit, and can be trained."""

from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from al_lightning import BADGE, InputError
from al_lightning.fitting.lazy import has_lazy_layers, materialise
from al_lightning.fitting.model_contract import check_model
from tests.digits import FlatDigits
from tests.test_loop import rows, run


class Lazy(L.LightningModule):
    """Does not know the shape of its inputs."""

    feature_layer = "net.3"

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.LazyLinear(16), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(10))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def test_weights_are_drawn_as_torch_draws_them_and_can_be_trained() -> None:
    model, inputs = Lazy(), torch.randn(4, 64)
    torch.manual_seed(3)
    materialise(model, inputs)
    torch.manual_seed(3)
    drawn = [nn.Linear(64, 16), nn.Linear(16, 10)]  # LazyLinear draws as Linear does, in the order of the calls
    assert model.net[0].weight.equal(drawn[0].weight)
    assert model.net[3].weight.equal(drawn[1].weight)
    assert model.training
    assert int(model.net[1].num_batches_tracked) == 0
    model.training_step((inputs, torch.arange(4))).backward()
    assert all(parameter.grad is not None and not parameter.is_inference() for parameter in model.parameters())


def test_the_check_of_a_model_uses_no_global_generator() -> None:
    before = torch.get_rng_state()
    model = Lazy()
    check_model(model, FlatDigits())
    assert not has_lazy_layers(model)
    assert torch.get_rng_state().equal(before)


def test_a_lazy_layer_that_forward_does_not_use_is_refused() -> None:
    model = Lazy()
    model.other = nn.LazyLinear(3)
    with pytest.raises(InputError, match="`forward` of Lazy to use all its lazy layers"):
        check_model(model, FlatDigits())


@pytest.mark.parametrize("reinit", ["initial", "scratch"])
def test_a_run_with_lazy_layers(tmp_path: Path, reinit: str) -> None:
    run(tmp_path, BADGE(), model=Lazy(), num_rounds=1, reinit=reinit, trainer={"max_epochs": 20})
    assert all(float(row["test_acc"]) > 0.3 for row in rows(tmp_path))
