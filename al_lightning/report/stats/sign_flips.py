"""Sign flips: the randomisation distribution of paired differences."""

import numpy as np

from al_lightning.report.stats.checks import Floats

MAX_EXACT = 16  # seeds


def sign_flips(num_seeds: int, seed: int = 0) -> Floats:
    """Signs by which paired differences are multiplied when two methods trade places on some of the seeds.

    If the methods do not differ, each difference is as likely as its negative, so that all flips are equally likely.
    Up to 16 seeds these are all 2^S flips, and a share of them is an exact p-value. For more seeds they are the
    observed signs and 2^16 - 1 random flips. Their share is then the Monte Carlo p-value with its +1 correction,
    (count + 1) / (draws + 1), which is valid and never 0.

    Args:
        num_seeds: Number of seeds, S, at least 1.
        seed: Seed of the random flips; not used up to 16 seeds.

    Returns:
        Array of shape ``(F, S)`` of 1 and -1, F = 2^min(S, 16). Its first row, the observed signs, is all 1.

    Reference:
        Fisher, "The Design of Experiments", 1935, section 21; Phipson and Smyth, "Permutation P-values Should Never Be
        Zero", 2010.

    Example:
        >>> sign_flips(2).tolist()
        [[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]
    """
    if num_seeds <= MAX_EXACT:
        bits = np.arange(2**num_seeds)[:, None] >> np.arange(num_seeds) & 1
    else:
        bits = np.random.default_rng(seed).integers(2, size=(2**MAX_EXACT, num_seeds))
        bits[0] = 0
    return np.where(bits == 0, 1.0, -1.0)
