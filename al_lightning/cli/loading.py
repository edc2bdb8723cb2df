"""Says that the program is loading, where somebody watches: torch takes seconds, and silence looks like a fault."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

CLEARED = "\r\033[K"
"""Returns to the beginning of a line of a terminal, and empties it."""


@contextmanager
def loading() -> Iterator[None]:
    """Shows ``Loading ...`` on the terminal of standard error, for as long as imports take."""
    watched = sys.stderr.isatty()
    if watched:
        print("Loading ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if watched:
            print(CLEARED, end="", file=sys.stderr, flush=True)
