"""Describes how the fingerprints of a run differ, in one sentence that says what to do."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError
from al_lightning.run_folder.fingerprint.sketched import differs

ELSE = "choose another `loop.run_dir`"
MOST_NAMED = 2
PARTS = {
    "model": "the model",
    "trainer": "the settings of the trainer",
    "callbacks": "the callbacks",
    "optimizer": "the optimizer",
    "augmentation": "the augmentation",
}
"""Fingerprints that are texts by name."""
MOST_CHARACTERS = 160
HYPERPARAMETER = re.compile(r"hparams\.(\w+)=.*?(?:, (?=[\w.]+=)|(?=\)(?:;|$)))")
"""A hyperparameter in the text of a model, and its value."""


def check_same(path: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises :class:`InputError` if a run now has other data, another model or other networks than before.

    An older version may have recorded fewer fingerprints. Missing ones are not compared.

    Args:
        path: The run folder.
        was: The earlier fingerprints, see :func:`~al_lightning.run_folder.fingerprint.fingerprints.fingerprints`.
        now: The fingerprints of today.
    """
    known = {name for name in now if name in was}
    data = [name for name in now if name in ("samples", "classes") and name in known and was[name] != now[name]]
    if data:
        raise InputError(
            f"Expected the data of the run in {path}, but their {' and '.join(data)} changed: samples "
            f"were added, removed or renamed; {ELSE}."
        )
    if "networks" in known and was["networks"] != now["networks"]:
        before, after = was["networks"], now["networks"]
        names = [f"`loop.strategy.{n}`" for n in sorted({*before, *after}) if before.get(n) != after.get(n)]
        raise InputError(
            f"Expected {' and '.join(names)} to have the weights that it had in the run in {path}, but they "
            f"changed; {ELSE}."
        )
    if "inputs" in known and (difference := differs(was["inputs"], now["inputs"])):
        raise InputError(f"Expected the training inputs of the run in {path}, but {difference}; {ELSE}.")
    if "test" in known and (difference := _test_set(was["test"], now["test"])):
        raise InputError(
            f"Expected the test set of the run in {path}, but {difference}; put back what it was, or {ELSE}."
        )
    for part, words in PARTS.items():
        before, after = (was[part], now[part]) if part in known else ({}, {})
        if part == "model":
            before, after = _without_new_hyperparameters(before, after), _without_new_hyperparameters(after, before)
        if difference := _texts(before, after, is_complete=part != "trainer"):
            raise InputError(f"Expected {words} of the run in {path}, but {difference}; {ELSE}.")
    if "code" in known:
        changed = [name for name in was["code"] if now["code"].get(name, was["code"][name]) != was["code"][name]]
        if changed:
            raise InputError(
                f"Expected the code of the run in {path}, but that of {' and '.join(changed[:MOST_NAMED])} was "
                f"edited; {ELSE}."
            )


def merged(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The fingerprints to keep for an unchanged run: the earlier ones, and new ones that were missing."""
    codes = {**now.get("code", {}), **was.get("code", {})}
    changing = {name: now[name] for name in ("own_callbacks",) if name in now}
    return {**now, **was, **({"code": codes} if codes else {}), **changing}


def changed_callbacks(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names the user's callbacks that were added, removed or changed.

    They are not refused, because they may only watch.
    """
    before, after = was.get("own_callbacks", {}), now.get("own_callbacks", {})
    if "own_callbacks" not in was or "own_callbacks" not in now:
        return []
    words = {
        (True, False): "there, not here",
        (False, True): "here, not there",
        (True, True): "other arguments or code",
    }
    return [
        f"callback {name.rsplit('.', 1)[-1]} ({words[name in before, name in after]})"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def test_set_differs(was: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Describes how the test set differs from the run's test set; ``None`` if it does not, or if this is not known."""
    return _test_set(was["test"], now["test"]) if "test" in was else None


def _test_set(was: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    if was.get("names") != now.get("names") and "names" in was and "names" in now:
        gone, new = ([n for n in a["names"] if n not in set(b["names"])] for a, b in ((was, now), (now, was)))
        told = [f"{_listed(names)} {verb}" for names, verb in ((gone, "went"), (new, "came")) if names]
        return f"of its files {' and '.join(told)}" if told else "its files are in another order"
    if was["size"] != now["size"]:
        return f"it had {was['size']} samples and has {now['size']}"
    if was.get("files") != now.get("files"):
        return "it has other files"
    if was["targets"] != now["targets"]:
        return "its classes changed"
    difference = differs(was["inputs"], now["inputs"])
    return f"of its inputs {difference}" if difference else None


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _without_new_hyperparameters(texts: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """Leaves out hyperparameters that the same model lacks in other texts.

    The command line and a constructor in Python know different hyperparameters, and a new version of a class may have
    more. If such an argument does not have its default, the settings differ.
    """
    found = {}
    for name, text in texts.items():
        known = set(HYPERPARAMETER.findall(others.get(name, text)))
        for match in list(HYPERPARAMETER.finditer(text)):
            if match[1] not in known:
                text = text.replace(match[0], "", 1)
        found[name] = text.replace(", )", ")")
    return found


def _texts(was: Mapping[str, str], now: Mapping[str, str], is_complete: bool) -> str | None:
    """The first few names that differ. If a list is not complete, only common names are compared."""
    names = [*was, *(name for name in now if name not in was)] if is_complete else [name for name in was if name in now]
    differing = [name for name in names if was.get(name) != now.get(name)]
    if not differing:
        return None
    told = [f"`{name}` {_change(was.get(name), now.get(name))}" for name in differing[:MOST_NAMED]]
    more = f", and {len(differing) - MOST_NAMED} more differ" if len(differing) > MOST_NAMED else ""
    return ", ".join(told) + more


def _change(was: str | None, now: str | None) -> str:
    if was is None or now is None:
        return f"is new: {_short(str(now))}" if was is None else f"is missing: {_short(was)}"
    start = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
    start = max(0, start - 40) if start > 80 else 0  # the texts begin to differ there
    return f"was {_short(was[start:], start > 0)} and is {_short(now[start:], start > 0)}"


def _short(text: str, is_cut: bool = False) -> str:
    text = f"...{text}" if is_cut else text
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."
