"""Which word was meant."""

import difflib
import unicodedata
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word that is most like the given one, whatever their case; ``None`` if none is.

    Example:
        >>> nearest("bagde", ["BALD", "BADGE", "Random"])
        'BADGE'
    """
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence: ``; did you mean BADGE?``, or a full stop."""
    name = nearest(word, known)
    return f"; did you mean {name}?" if name else "."


def composed(name: str) -> str:
    r"""The one way to write a name: `é` as one character, also where a system wrote it as `e` and an accent.

    Example:
        >>> composed("cafe\u0301") == "caf\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name)
