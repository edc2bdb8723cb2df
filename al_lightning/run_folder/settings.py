"""Settings of a run, by dotted name: which of them say what a run is, and how two of them differ."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from al_lightning.run_folder.fingerprint.watching import callbacks_that_count

FREE_SETTINGS = frozenset(
    {
        "config",
        "data.num_workers",
        "data.root",
        "loop.num_rounds",
        "loop.oracle.image_url",
        "loop.run_dir",
        "loop.shared_dir",
        "trainer.default_root_dir",
        "trainer.enable_checkpointing",
        "trainer.enable_model_summary",
        "trainer.enable_progress_bar",
        "trainer.log_every_n_steps",
        "trainer.logger",
        "trainer.profiler",
    }
)
"""Settings that a run may be continued without: they do not change what a round is."""

LATER_SETTINGS: dict[str, tuple[Any, ...]] = {
    "loop.reinit": ("scratch",),
    "loop.oracle": (None, "al_lightning.SimulatedOracle", "al_lightning.oracles.SimulatedOracle"),
    "loop.strategy.features": ("penultimate",),
    "loop.strategy.trim": (0,),
    "loop.strategy.outliers": (False,),
    "data.scaling": ("standard",),
    "data.label_key": (None,),
    "data.image_key": (None,),
    "data.text_key": (None,),
}
"""Settings that came later, with the values that mean what was done before: published runs have none of them, and are
to go on."""


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns nested mappings into one with dotted names, as on the command line: without ``init_args``.

    Example:
        >>> flatten({"loop": {"strategy": {"class_path": "BALD", "init_args": {"num_samples": 20}}, "query_size": 100}})
        {'loop.strategy': 'BALD', 'loop.strategy.num_samples': 20, 'loop.query_size': 100}
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        path = prefix if name in ("class_path", "init_args") else f"{prefix}.{name}" if prefix else name
        if isinstance(value, Mapping) and (value or name == "init_args"):
            flat |= flatten(value, path)
        else:
            flat[path] = value
    return flat


def comparable_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted name, without the free ones, and later ones where they change nothing.

    A class of ours is the same by its short and its full name.
    """
    return {
        name: f"al_lightning.{value.rsplit('.', 1)[1]}" if str(value).startswith("al_lightning.") else _lasting(value)
        for name, value in flatten(_without_watchers(settings)).items()
        if not _is_free(name) and value not in LATER_SETTINGS.get(name, ())
    }


def difference(stored: Mapping[str, Any], given: Mapping[str, Any], free: Collection[str] = ()) -> str:
    """In words, the settings in which two runs differ; empty if they do not.

    Args:
        stored: Of the run as it was begun, as of :func:`comparable_settings`.
        given: Of today.
        free: Settings that may differ besides :data:`FREE_SETTINGS`.
    """
    names = sorted(stored.keys() | given.keys())
    differing = [name for name in names if name not in free and stored.get(name) != given.get(name)]
    return ", ".join(f"`{name}` ({_told(stored.get(name), given.get(name))})" for name in differing)


def _lasting(value: Any) -> Any:
    """A setting without addresses in memory, which older versions wrote down of functions: they change each time."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", value) if isinstance(value, str) else value


def _told(was: Any, now: Any) -> str:
    """How two settings differ; of texts of several lines, the lines that do."""
    if isinstance(was, str) and isinstance(now, str) and "\n" in was + now:
        there, here = was.splitlines(), now.splitlines()
        was, now = (
            ", ".join(line.strip() for line in lines if line not in others)
            for lines, others in ((there, here), (here, there))
        )
    return f"{was} there, {now} here"


def _is_free(name: str) -> bool:
    """Whether a setting is one of FREE_SETTINGS, or an argument of one, such as ``trainer.logger.name``."""
    parts = name.split(".")
    return any(".".join(parts[:stop]) in FREE_SETTINGS for stop in range(1, len(parts) + 1))


def _without_watchers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out the callbacks of a trainer that only watch: they do not change what a round is."""
    trainer = settings.get("trainer")
    if not isinstance(trainer, Mapping) or "callbacks" not in trainer:
        return dict(settings)
    return {**settings, "trainer": {**trainer, "callbacks": callbacks_that_count(trainer["callbacks"])}}
