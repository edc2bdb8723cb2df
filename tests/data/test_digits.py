"""The digits of scikit-learn, without a download."""

import torch

from al_lightning.data import Digits
from tests.helpers import digits


def test_digits_are_those_of_scikit_learn() -> None:
    data = Digits()
    assert data.sample_inputs(3).shape == (3, 1, 8, 8)
    assert data.source.train_inputs.flatten(1).equal(digits().train_inputs)
    assert data.test_targets.equal(digits().test_targets)
    everything = torch.cat([data.source.train_inputs, data.source.test_inputs])
    assert abs(float(everything.mean())) < 1e-5
    assert data.count_classes() == 10
