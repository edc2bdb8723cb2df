"""Settings of a run by dotted name: the settings that identify a run, and differences between two runs."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError
from al_lightning.run_folder.defaults import with_defaults
from al_lightning.run_folder.fingerprint.watching import callbacks_that_count
from al_lightning.run_folder.flat import flatten, normalized

FREE_SETTINGS = frozenset(
    {
        "config",
        "data.num_workers",
        "data.root",
        "loop.metrics",
        "loop.num_rounds",
        "loop.oracle.image_url",
        "loop.oracle.images",
        "loop.oracle.project",
        "loop.oracle.url",
        "loop.pool_may_grow",
        "loop.run_dir",
        "loop.shared_dir",
        "model.fused",
        "trainer.default_root_dir",
        "trainer.enable_checkpointing",
        "trainer.enable_model_summary",
        "trainer.enable_progress_bar",
        "trainer.log_every_n_steps",
        "trainer.logger",
        "trainer.profiler",
    }
)
"""Settings that may change when a run is continued, because they do not change a round."""

FILES_OF_DATA = (
    "data.corrupt",
    "data.labels",
    "data.path",
    "data.test_inputs",
    "data.test_targets",
    "data.train_inputs",
    "data.train_targets",
)
"""Settings that may change when a run whose pool may grow is continued, because new samples come."""
SIZES = ("model.input_dim", "model.num_classes")
"""Settings that a model takes from the data if they are null. The fingerprints of a run contain the data."""

ONLY_IN_PYTHON = "only in Python: "
"""Beginning of the text that replaces a value that a config cannot hold."""


class SettingsOfObjects(dict[str, Any]):
    """Settings of a run that was started from Python, as the command line writes them.

    Args:
        settings: Nested mappings of plain values.
        free: Settings that may change when the run is continued, because its fingerprints contain them.
        before: Makes the settings in the form of earlier versions, to compare them with a run that such a version
            began.
    """

    def __init__(
        self, settings: Mapping[str, Any], free: Collection[str], before: Callable[[], dict[str, Any]]
    ) -> None:
        super().__init__(settings)
        self.free = tuple(free)
        self._before = before

    def in_form_of(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings in the form of the settings that a run began with."""
        return self._before() if isinstance(stored.get("convergence"), list) else self


def comparable_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted name, without the free ones. Values with the same meaning have the same form."""
    flat = flatten(_without_watchers(settings))
    return normalized({name: value for name, value in flat.items() if not _is_free(name)})


def differing(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Returns the settings that differ between two runs, by name, with both values.

    A setting that one run lacks counts as the default of its class: see
    :func:`~al_lightning.run_folder.defaults.with_defaults`. A size that is null equals each number.

    Args:
        stored: Settings of one run, see :func:`comparable_settings`.
        given: Settings of the other run.
    """
    there, here = with_defaults(stored, given), with_defaults(given, stored)
    pairs = {name: (there.get(name), here.get(name)) for name in sorted(there.keys() | here.keys())}
    return {
        name: (was, now)
        for name, (was, now) in pairs.items()
        if was != now and not (name in SIZES and None in (was, now))
    }


def difference(stored: Mapping[str, Any], given: Mapping[str, Any], free: Collection[str] = ()) -> str:
    """Describes the settings that differ between two runs; empty if there are none.

    Args:
        stored: Settings of the run when it began, see :func:`comparable_settings`.
        given: Settings of today.
        free: Settings that may differ besides :data:`FREE_SETTINGS`.
    """
    found = differing(stored, given)
    return ", ".join(f"`{name}` ({_told(was, now)})" for name, (was, now) in found.items() if name not in free)


def check_same_metrics(path: Path, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raises :class:`InputError` if a name in ``loop.metrics`` has another metric than in the run so far.

    New names may come, and names may go: they are columns of their own.

    Args:
        path: The run folder.
        stored: The config of the run, nested.
        given: The settings of today, nested.
    """
    was, now = ((one.get("loop") or {}).get("metrics") or {} for one in (stored, given))
    changed = [name for name in was if name in now and was[name] != now[name]]
    if changed:
        raise InputError(
            f"Expected `loop.metrics.{changed[0]}` to be {was[changed[0]]}, as in the run in {path}, but got "
            f"{now[changed[0]]}; give another metric another name."
        )


def _told(was: Any, now: Any) -> str:
    """Describes how two settings differ. Of long texts, only the lines that differ."""
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
    """Leaves out the callbacks of a trainer that only watch, because they do not change a round."""
    trainer = settings.get("trainer")
    if not isinstance(trainer, Mapping) or "callbacks" not in trainer:
        return dict(settings)
    return {**settings, "trainer": {**trainer, "callbacks": callbacks_that_count(trainer["callbacks"])}}
