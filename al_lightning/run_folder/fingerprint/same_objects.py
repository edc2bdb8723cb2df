"""Descriptions of objects at the beginning of a run, for later runs with the same objects.

A fit changes objects: a model counts its steps, and a precision of 16 bits changes its weights. In a notebook, the same
model may go to a second run that continues the first one. If an object has not changed since the end of the first run,
its description from the beginning of that run counts.
"""

import weakref
from collections.abc import Mapping
from typing import Any

Described = Mapping[str, Any]

_known: dict[tuple[int, str], tuple[weakref.ref, Described, Described]] = {}
"""By object and purpose: descriptions at the beginning and at the end of the object's last run."""


def as_begun(thing: object, purpose: str, now: Described) -> dict[str, Any]:
    """Returns the description of an object at the beginning of its last run, with changes since the end of that run.

    Args:
        thing: The object.
        purpose: The kind of the description.
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
    """Keeps the descriptions of an object at the beginning and at the end of a run, as long as the object exists."""
    key = (id(thing), purpose)
    try:
        reference = weakref.ref(thing, lambda _: _known.pop(key, None))
    except TypeError:  # its class has slots
        return
    _known[key] = (reference, dict(first), dict(last))
