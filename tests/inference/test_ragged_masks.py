"""Masks of sequences of any length: a longer one begins with the shorter one, and they drop as dropout does."""

import torch
from torch import Tensor, nn

from al_lightning.inference.mc_dropout import MonteCarloDropout
from al_lightning.inference.ragged_masks import RaggedMasks, uniform
from tests.helpers import generator


def splitmix(state: int) -> int:
    """The finaliser of SplitMix64 in Python's own integers (Steele, Lea and Flood, 2014)."""
    state %= 2**64
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


def test_the_numbers_are_those_of_splitmix() -> None:
    steps = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
    expected = [
        [splitmix(-12345 + (i + 1) * steps[0] + (j + 1) * steps[1]) // 2**40 / 2**24 for j in range(4)]
        for i in range(3)
    ]
    assert uniform((3, 4), -12345).tolist() == expected


def test_the_numbers_are_uniform_and_do_not_hang_together() -> None:
    numbers = uniform((300, 400), 7).double()
    assert abs(float(numbers.mean()) - 0.5) < 0.005
    counts = (numbers.flatten() * 16).long().bincount(minlength=16).double()
    assert float(((counts - 7500) ** 2 / 7500).sum()) < 40  # chi-squared of 15 degrees of freedom, p of about 0.0005
    centred = numbers - 0.5
    for one, other in ((centred[1:], centred[:-1]), (centred[:, 1:], centred[:, :-1])):
        assert abs(float((one * other).mean()) * 12) < 0.012  # four standard deviations of a correlation


def test_a_longer_mask_begins_with_the_shorter_one_in_whatever_order_they_are_asked_for() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    masks, others = RaggedMasks(generator()), RaggedMasks(generator())
    short, long = masks.mask((0, 1), (2, 3, 5), 0.3, like), masks.mask((0, 1), (4, 7, 5), 0.3, like)
    assert long[:2, :3].equal(short)
    assert others.mask((0, 1), (4, 7, 5), 0.3, like).equal(long)
    assert others.mask((0, 1), (2, 3, 5), 0.3, like).equal(short)
    assert sorted({round(value, 6) for value in long.flatten().tolist()}) == [0.0, round(1 / 0.7, 6)]
    assert not masks.mask((0, 2), (4, 7, 5), 0.3, like).equal(long)


class Tokens(nn.Module):
    """Sums what dropout leaves of each token, but for padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(50, 6, padding_idx=0)
        self.dropout = nn.Dropout(0.4)
        self.head = nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head((self.dropout(self.embed_tokens(ids)) * (ids > 0)[..., None]).sum(dim=1))


def test_samples_do_not_depend_on_the_length_that_a_block_is_padded_to() -> None:
    torch.manual_seed(0)
    model = Tokens().eval()
    ids = torch.randint(1, 50, (5, 4))
    padded = torch.cat([ids, torch.zeros(5, 3, dtype=torch.int64)], dim=1)
    with torch.no_grad():
        dropout = MonteCarloDropout(model, 6, generator(), is_ragged=True)
        torch.testing.assert_close(dropout(ids), dropout(padded))
        assert dropout(ids).std(dim=1).min() > 0
        each_length = MonteCarloDropout(model, 6, generator())
        assert not each_length(ids).allclose(each_length(padded))  # which is why
