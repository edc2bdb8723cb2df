"""MonteCarloMLP: tested with dropout left on."""

import pytest
import torch

from al_lightning import InputError, MonteCarloMLP
from tests.helpers import digits


def metrics_of(model: MonteCarloMLP, batch_size: int = 397) -> dict[str, float]:
    model.eval()
    model.on_test_start()
    inputs, targets = digits().test_inputs, digits().test_targets
    with torch.no_grad():
        for batch in zip(inputs.split(batch_size), targets.split(batch_size), strict=True):
            model.test_step(batch)
    result = {name: float(value) for name, value in model.test_metrics.compute().items()}
    model.test_metrics.reset()
    return result


def model(**kwargs) -> MonteCarloMLP:
    torch.manual_seed(0)
    return MonteCarloMLP(input_dim=64, hidden_dim=32, **kwargs)


def test_without_dropout_it_is_the_deterministic_model():
    stochastic = model(dropout=0.0, test_samples=3)
    inputs, targets = digits().test_inputs, digits().test_targets
    with torch.no_grad():
        accuracy = (stochastic(inputs).argmax(dim=1) == targets).float().mean()
    assert metrics_of(stochastic)["test_acc"] == pytest.approx(float(accuracy))


def test_one_pass_is_worse_than_the_mean_of_many_in_likelihood():
    assert metrics_of(model(test_samples=1))["test_nll"] > metrics_of(model(test_samples=50))["test_nll"]


def test_the_mean_is_over_probabilities_under_dropout():
    stochastic = model(test_samples=4)
    stochastic.eval()
    stochastic.on_test_start()
    inputs, targets = digits().test_inputs[:20], digits().test_targets[:20]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        stochastic.test_step((inputs, targets))
        hidden = stochastic.embed(inputs)
        masks = [(torch.rand(20, 32, generator=generator) >= 0.5) * 2.0 for _ in range(4)]
        probs = torch.stack([stochastic.head(hidden * mask).softmax(dim=1) for mask in masks]).mean(dim=0)
    expected = -probs[torch.arange(20), targets].log().mean()
    assert float(stochastic.test_metrics.compute()["test_nll"]) == pytest.approx(float(expected), abs=1e-6)


def test_every_test_is_the_same():
    stochastic = model(test_samples=2)
    assert metrics_of(stochastic) == metrics_of(stochastic)


def test_no_sample_is_refused():
    with pytest.raises(InputError, match="`model.test_samples` to be at least 1, but got 0"):
        MonteCarloMLP(test_samples=0)
