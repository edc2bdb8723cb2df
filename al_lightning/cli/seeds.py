"""``--seeds``, as of ``al-lightning sweep`` and ``report``."""

import re

from al_lightning.errors import InputError

MAX_SEEDS = 10_000


def parse_seeds(value: object) -> list[int]:
    """Reads the option ``--seeds``.

    Args:
        value: Text or an integer: a number n for 0 to n-1, a range ``0-4``, or several of these ``0,3,5-7``; or a list.

    Raises:
        InputError: If it is none of that, or the seeds are not 1 to 10,000 different ones from 0 to 2**32 - 1.

    Example:
        >>> parse_seeds("3"), parse_seeds("0,3,5-7")
        ([0, 1, 2], [0, 3, 5, 6, 7])
    """
    bad = InputError(
        f"Expected `--seeds` to be a number n for 0 to n-1, a list, or a range such as 0-4, but got `{value}`."
    )
    seeds: list[int] = []
    text = str(value).strip()
    if isinstance(value, list):
        if not all(type(seed) is int for seed in value):
            raise bad
        seeds = value
    elif isinstance(value, bool) or re.search(r"\d{20}", text):  # Python reads no number of 5,000 digits
        raise bad
    elif re.fullmatch(r"\d+", text):
        if 1 <= int(text) <= MAX_SEEDS:
            seeds = list(range(int(text)))
    else:
        for part in text.split(","):
            match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
            if not match:
                raise bad
            first, last = int(match[1]), int(match[2] or match[1])
            if last - first >= MAX_SEEDS:
                raise bad
            seeds += range(first, last + 1)
    if not seeds or len(seeds) > MAX_SEEDS:
        raise InputError(f"Expected `--seeds` to be from 1 to {MAX_SEEDS} seeds, but got `{value}`.")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"Expected `--seeds` to differ, but got `{value}`.")
    if not all(0 <= seed < 2**32 for seed in seeds):
        raise InputError(f"Expected `--seeds` to be from 0 to 2**32 - 1, but got `{value}`.")
    return seeds
