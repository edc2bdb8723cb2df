"""What objects were like when a run began with them, for runs that are given the same objects later on.

A fit leaves its traces on objects: a model counts its steps, a precision of 16 bits changes its weights. In a notebook
the same model is given to a second run, which continues the first one and is of the same experiment. So what has not
changed since the end of the first run counts as it was at its beginning.
"""

import weakref
from collections.abc import Mapping
from typing import Any

Described = Mapping[str, Any]

_known: dict[tuple[int, str], tuple[weakref.ref, Described, Described]] = {}
"""By object and by what is described of it: descriptions at the beginning and at the end of its last run."""


def as_begun(thing: object, purpose: str, now: Described) -> dict[str, Any]:
    """Returns a description of an object as it was when its last run began, but for what changed since that ended.

    Args:
        thing: The object.
        purpose: What is described.
        now: Its description.
    """
    known = _known.get((id(thing), purpose))
    if known is None or known[0]() is not thing:
        return dict(now)
    _, first, last = known
    unchanged = {name for name in {*first, *now, *last} if now.get(name) == last.get(name)}
    kept = {name: first[name] for name in first if name in unchanged}
    return kept | {name: text for name, text in now.items() if name not in unchanged}


def remember(thing: object, purpose: str, first: Described, last: Described) -> None:
    """Keeps the descriptions of an object at the beginning and at the end of a run, as long as the object lives."""
    key = (id(thing), purpose)
    try:
        reference = weakref.ref(thing, lambda _: _known.pop(key, None))
    except TypeError:  # of a class with slots
        return
    _known[key] = (reference, dict(first), dict(last))
