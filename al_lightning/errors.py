"""The exceptions of this package: bad input of the user, and a request to stop.

Also suggestions for misspelled words.
"""

import difflib
import signal
import unicodedata
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: a flag, a file or a run folder with a wrong value.

    The message is one sentence that names the flag or the file, the expected value and the given value. The command
    line prints it without a traceback and exits with code 2.
    """


class Interrupted(BaseException):
    """A signal asked the program to stop. Committed rounds are safe, and the same command continues the run.

    The exception is raised at the current line of the program. Lightning swallows KeyboardInterrupt, but not this
    exception.

    Args:
        signum: Number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"{signal.Signals(signum).name} stopped the run; the same command continues it.")
        self.signum = signum


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word that is most similar, in upper or lower case; ``None`` if no word is similar.

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
    r"""The standard Unicode form of a name: `é` is one character, even if a system wrote `e` and an accent.

    Example:
        >>> composed("cafe\u0301") == "caf\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name)


def visible(name: str) -> str:
    r"""What people see of a name: plain blanks, and no characters without a width, which texts of web pages have.

    Example:
        >>> visible("red\u00a0fox\u200b ")
        'red fox'
    """
    return " ".join("".join(one for one in composed(name) if unicodedata.category(one) != "Cf").split())
