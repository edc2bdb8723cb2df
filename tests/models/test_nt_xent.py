"""NT-Xent against its formula, term by term."""

import math

import pytest
import torch
from torch import Tensor

from al_lightning import InputError
from al_lightning.models.nt_xent import nt_xent
from tests.helpers import generator


def slow(a: Tensor, b: Tensor, temperature: float) -> float:
    """The formula of the paper: one term for each of the 2B embeddings."""
    z = [vector / vector.norm() for vector in (*a.double(), *b.double())]
    losses = []
    for i in range(len(z)):
        other = (i + len(a)) % len(z)
        total = sum(math.exp(float(z[i] @ z[k]) / temperature) for k in range(len(z)) if k != i)
        losses.append(-math.log(math.exp(float(z[i] @ z[other]) / temperature) / total))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_it_is_the_formula(temperature: float) -> None:
    a, b = torch.randn(2, 5, 3, generator=generator(1))
    assert float(nt_xent(a, b, temperature)) == pytest.approx(slow(a, b, temperature), rel=1e-5)


def test_equal_views_of_orthogonal_images() -> None:
    a = torch.eye(4)
    assert float(nt_xent(a, a, 1.0)) == pytest.approx(math.log(math.e + 6) - 1, rel=1e-6)


def test_neither_the_order_of_the_views_nor_lengths_matter() -> None:
    a, b = torch.randn(2, 6, 4, generator=generator(2))
    expected = nt_xent(a, b)
    torch.testing.assert_close(nt_xent(b, a), expected)
    torch.testing.assert_close(nt_xent(a * torch.arange(1.0, 7)[:, None], 3 * b), expected)


def test_a_low_temperature_overflows_nothing() -> None:
    a, b = torch.randn(2, 6, 4, generator=generator(2))
    assert math.isfinite(float(nt_xent(a, b, 1e-3)))


def test_half_precision_is_computed_in_float32() -> None:
    a, b = torch.randn(2, 6, 4, generator=generator(3))
    expected = nt_xent(a.bfloat16().float(), b.bfloat16().float(), 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert nt_xent(a.bfloat16(), b.bfloat16(), 0.1).equal(expected)


@pytest.mark.parametrize(
    ("a", "b", "temperature", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(4, 2), 1.0, r"two views, both of shape \(B, D\).*\(3, 2\) and \(4, 2\)"),
        (torch.zeros(1, 2), torch.zeros(1, 2), 1.0, "B at least 2"),
        (torch.zeros(3), torch.zeros(3), 1.0, "B at least 2"),
        (torch.zeros(3, 2), torch.zeros(3, 2), 0.0, "`temperature` to be greater than 0, but got 0.0"),
        (torch.zeros(3, 2), torch.zeros(3, 2), math.nan, "`temperature` to be greater than 0, but got nan"),
    ],
)
def test_bad_input_is_refused(a: Tensor, b: Tensor, temperature: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        nt_xent(a, b, temperature)
