"""Denormal numbers are zero inside the context, and only there."""

import pytest
import torch

from al_lightning.errors import InputError
from al_lightning.models.denormals import are_flushed, flush_denormals


def halved() -> float:
    return float(torch.full((100,), 2.0**-126).div_(2).max())


@pytest.fixture
def flushed_by_user():
    if not torch.set_flush_denormal(True):
        pytest.skip("This CPU does not flush denormal numbers.")
    yield
    torch.set_flush_denormal(False)


def test_they_are_zero_within_and_only_there(flushed_by_user):
    torch.set_flush_denormal(False)
    assert not are_flushed()
    assert halved() == 2.0**-127
    with flush_denormals():
        assert are_flushed()
        assert halved() == 0
    assert not are_flushed()
    assert halved() == 2.0**-127


def test_what_the_user_has_set_stays(flushed_by_user):
    with flush_denormals():
        assert halved() == 0
    assert are_flushed()
    assert halved() == 0


def test_an_error_within_leaves_nothing_flushed():
    with pytest.raises(InputError), flush_denormals():
        raise InputError
    assert not are_flushed()
