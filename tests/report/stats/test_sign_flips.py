"""All flips, once each; or random ones and the observed signs."""

from itertools import product

import pytest

from al_lightning.report.stats.sign_flips import sign_flips


@pytest.mark.parametrize("num_seeds", [1, 2, 5, 10])
def test_all_flips_once(num_seeds):
    rows = [tuple(row) for row in sign_flips(num_seeds).tolist()]
    assert len(rows) == 2**num_seeds
    assert set(rows) == set(product([1.0, -1.0], repeat=num_seeds))
    assert rows[0] == (1.0,) * num_seeds


def test_more_seeds_than_can_be_enumerated():
    flips = sign_flips(17, seed=3)
    assert flips.shape == (2**16, 17)
    assert (flips[0] == 1).all()
    assert set(flips.ravel()) == {-1.0, 1.0}
    assert abs(flips.mean(axis=0)).max() < 5 / 2**8  # five standard errors of a fair coin
    assert (flips == sign_flips(17, seed=3)).all()
    assert not (flips == sign_flips(17, seed=4)).all()
