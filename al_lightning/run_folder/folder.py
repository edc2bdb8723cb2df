"""RunFolder: the files of a run, which no kill at any moment can damage.

::

    config.yaml      the resolved settings
    rounds.csv       one row for each round
    queries.csv      one row for each label, in the order bought
    asked.csv        one row for each sample that people are asked to label, until all are labeled
    answers.csv      one row for each answer of a person, and for each correction, in the order of import
    labels.csv       the labels as they are now, for people; no part of the commit
    pool.csv         one row for each sample of a training set that may grow
    waiting.csv      one row for each label that nobody asked for, until the next fit takes it
    calibration.csv  one row for each round and confidence bin: accuracy on the test set
    diagnostics.csv  one row for each round and figure that the strategy reports, or that the model logs besides
    commit.json      number of rounds in the files above, their SHA-256, fingerprints and versions of the run
    events.out.*     TensorBoard: learning curves; training curves are in fit/
    loggers.json     runs of the trainer's loggers, and their counts of steps
    model.ckpt       weights of the last fit
    initial.pt       weights before the first fit, if later rounds start from them
    warm<r>.pt       weights after the fit of round r, if later rounds start from them
    cache/           what the next start need not compute again, such as decoded images; may be deleted at any time

A commit has three steps:

1. It writes the new files beside the old ones, as ``*.new``, and syncs them.
2. It renames ``commit.json.new``. From this moment the round is committed.
3. It renames the other files.

A process that opens the folder finishes a commit that was interrupted after step 2, and ignores a commit that was
interrupted before. So at all times, either each file or its ``*.new`` is exactly as ``commit.json`` says. Any other
state does not come from this program, and is refused.
"""

import errno
import json
import operator
import os
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from al_lightning.errors import InputError
from al_lightning.run_folder.current_labels import current_labels
from al_lightning.run_folder.files import (
    keep_copy,
    new_name,
    read_committed,
    restore,
    sha256_of,
    sync_folder,
    write_synced,
)
from al_lightning.run_folder.fingerprint.differences import changed_callbacks, check_same, merged
from al_lightning.run_folder.flat import flatten
from al_lightning.run_folder.labels_file import write_labels
from al_lightning.run_folder.old_rule import with_old_rule
from al_lightning.run_folder.old_scoring import OLD, with_scoring, without_scoring
from al_lightning.run_folder.settings import (
    FILES_OF_DATA,
    SettingsOfObjects,
    check_same_metrics,
    comparable_settings,
    difference,
)
from al_lightning.run_folder.tables import (
    ANSWERS,
    ASKED,
    CALIBRATION,
    DIAGNOSTICS,
    POOL,
    QUERIES,
    ROUNDS,
    SKIP,
    SKIPPED,
    TABLES,
    WAITING,
    Answered,
    CalibrationBin,
    Diagnostic,
    Query,
    Round,
    RowT,
    Sample,
    Waiting,
    from_csv,
    grown_csv,
    to_csv,
)

CONFIG, COMMIT = "config.yaml", "commit.json"
CACHE = "cache"
"""Folder of results that the data module computed and that the next start may read; no part of the run."""
PATIENCE = 2.0
"""Seconds in which :meth:`RunFolder.edit` tries to lock a folder: a look of `fit --wait` holds the lock that long."""


class InUse(InputError):
    """Another process has the run folder open."""


class RunFolder:
    """The folder of one run, locked as long as it is open.

    Use :meth:`open`. ``rounds``, ``queries`` and the other tables hold the committed rows.

    Raises:
        InputError: If the folder cannot be used. The message names the folder or the file in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rounds: list[Round] = []
        self.queries: list[Query] = []
        self._committed_queries: tuple[Query, ...] = ()
        self.calibration: list[CalibrationBin] = []
        self.diagnostics: list[Diagnostic] = []
        self.asked: list[Query] = []
        self.answers: list[Answered] = []
        self.pool: list[Sample] = []
        self.waiting: list[Waiting] = []
        self.identity: dict[str, Any] = {}
        """Fingerprints of the run besides its settings, see
        :func:`~al_lightning.run_folder.fingerprint.fingerprints.fingerprints`. Empty in runs of version 0.1; without
        digests of networks in some later runs."""
        self.made_with: list[dict[str, Any]] = []
        """Versions and hardware, with their first round, ``from_round``. Each change adds a row. For rounds before the
        first row, they are not known."""
        self.drawn_by: str | None = None
        """Name of the maker of each round's weights: see :mod:`~al_lightning.fitting.model_maker`. Early runs do not
        record it."""
        self.settings_of_old_rule: dict[str, Any] | None = None
        """The settings with the run's old stopping rule, if the given settings have another one. The run keeps its
        rule: see :func:`~al_lightning.run_folder.old_rule.with_old_rule`."""
        self.settings: Mapping[str, Any] = {}
        """What the next commit writes to config.yaml."""
        self._versions: dict[str, str] = {}
        self._changed_callbacks: list[str] = []
        self._contents: dict[str, str] = {}
        self._lock = FileLock(path / ".lock")

    @classmethod
    def open(
        cls,
        path: Path,
        settings: Mapping[str, Any],
        identity: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> "RunFolder":
        """Opens a folder to begin or to continue the run with these settings.

        Args:
            path: The folder. A missing folder is made.
            settings: The resolved settings, nested mappings of plain values.
            identity: Fingerprints of the run besides its settings, plain values; not checked if not given.
            versions: Versions and hardware of the next rounds, by name; not recorded if not given.
        """
        folder = cls(path)
        folder._acquire()
        try:
            folder._recover()
            free = getattr(settings, "free", ())
            settings = folder._in_own_form(settings)
            old = folder._check_settings(settings, free)
            if identity is not None:
                folder.check_identity(identity)
            folder._versions = dict(versions or {})
            folder.settings_of_old_rule = old
            kept = dict(old or settings)
            if isinstance(settings, SettingsOfObjects):  # the config names the folder for `fit --config`
                kept["loop"] = {**kept["loop"], "run_dir": str(path)}
            folder.settings = kept
            folder._contents[CONFIG] = yaml.safe_dump(kept, sort_keys=False)
        except BaseException:
            folder.close()
            raise
        return folder

    @classmethod
    def edit(cls, path: Path) -> "RunFolder":
        """Opens the folder of a run, to add answers to it."""
        if not (path / COMMIT).is_file():
            raise InputError(f"Expected a run folder, but there is no {path / COMMIT}.")
        folder = cls(path)
        folder._acquire(PATIENCE)
        try:
            folder._recover()
            folder._write_labels(over_edited=False)  # after a kill it may be of the commit before
        except BaseException:
            folder.close()
            raise
        return folder

    def _acquire(self, seconds: float = 0) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=seconds)
        except Timeout:
            raise InUse(f"Expected the run folder {self.path} to be free, but another process is using it.") from None
        except OSError as error:
            raise InputError(f"Expected a writable run folder {self.path}, but got: {error.strerror}.") from error

    @classmethod
    def peek(cls, path: Path, settings: Mapping[str, Any], free: Collection[str] = ()) -> "RunFolder":
        """Reads a folder as :meth:`glance` does, and refuses the run of other settings.

        Args:
            path: The folder; it need not exist.
            settings: The resolved settings, see :meth:`open`.
            free: Settings that may differ besides :data:`FREE_SETTINGS`.
        """
        folder = cls.glance(path)
        free = (*free, *getattr(settings, "free", ()))
        folder._check_settings(folder._in_own_form(settings), free)
        return folder

    @classmethod
    def glance(cls, path: Path) -> "RunFolder":
        """Reads a folder without locking or changing it, even while it is in use.

        An incomplete run counts as not begun.

        Args:
            path: The folder; it need not exist.
        """
        folder = cls(path)
        for _ in range(20):  # a process may be committing at this moment
            try:
                state = json.loads((path / COMMIT).read_bytes())
                sha256, identity = dict(state["sha256"]), dict(state.get("data", {}))
                names = (CONFIG, ROUNDS, QUERIES, *(name for name in (ASKED, ANSWERS, POOL, WAITING) if name in sha256))
                contents = {name: read_committed(path / name, sha256[name]) for name in names}
            except (OSError, ValueError, KeyError, TypeError):
                return folder
            whole = {name: text for name, text in contents.items() if text is not None}
            if whole.keys() == contents.keys():
                folder.identity = identity
                folder._parse(whole)
                return folder
            time.sleep(0.02)
        return folder

    def close(self) -> None:
        """Lets other processes use the folder."""
        self._lock.release()

    # ----------------------------------------------------------------------------------------------------- writing

    def commit(
        self,
        rounds: Iterable[Round] = (),
        queries: Iterable[Query] = (),
        calibration: Iterable[CalibrationBin] = (),
        diagnostics: Iterable[Diagnostic] = (),
        asked: Iterable[Query] = (),
        answers: Iterable[Answered] = (),
        pool: Iterable[Sample] | None = None,
        waiting: Iterable[Waiting] | None = None,
    ) -> None:
        """Adds rows atomically: after a kill at any moment, either all rows are there or none.

        ``asked`` replaces the open questions: all questions that are not settled yet. ``pool`` and ``waiting`` replace
        pool.csv and waiting.csv, which stay if they are not given.

        Raises:
            InputError: If the disk is full or the folder cannot be written. Earlier commits stay valid.
        """
        all_rounds, all_queries = [*self.rounds, *rounds], [*self.queries, *queries]
        all_bins, all_diagnostics = [*self.calibration, *calibration], [*self.diagnostics, *diagnostics]
        contents = {
            CONFIG: self._contents[CONFIG],
            ROUNDS: to_csv(ROUNDS, all_rounds),
            QUERIES: self._queries_with(all_queries),
            CALIBRATION: to_csv(CALIBRATION, all_bins),
            DIAGNOSTICS: to_csv(DIAGNOSTICS, all_diagnostics),
        }
        all_asked, all_answers = list(asked), [*self.answers, *answers]
        new_pool = self.pool if pool is None else list(pool)
        new_waiting = self.waiting if waiting is None else list(waiting)
        if all_asked:
            contents[ASKED] = to_csv(ASKED, all_asked)
        if all_answers:
            contents[ANSWERS] = to_csv(ANSWERS, all_answers)
        if new_pool:
            contents[POOL] = self._contents[POOL] if pool is None else to_csv(POOL, new_pool)
        if new_waiting:
            contents[WAITING] = to_csv(WAITING, new_waiting)
        made_with = [row for row in self.made_with if row["from_round"] < len(self.rounds)]  # others are repeated
        if self._versions and len(all_rounds) > len(self.rounds) and _versions(made_with) != self._versions:
            made_with.append({"from_round": len(self.rounds), **self._versions})
        state = {
            "rounds": len(all_rounds),
            "data": self.identity,
            "made_with": made_with,
            **({"drawn_by": self.drawn_by} if self.drawn_by else {}),
            "sha256": {name: sha256_of(text) for name, text in contents.items()},
        }
        written = [name for name in contents if name != POOL or pool is not None]  # pool.csv may be large
        try:
            for name in written:
                write_synced(self._new(name), contents[name])
            write_synced(self._new(COMMIT), json.dumps(state, indent=1) + "\n")
        except OSError as error:
            for name in (*contents, COMMIT):  # frees the space
                self._new(name).unlink(missing_ok=True)
            reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
            what = f"round {len(all_rounds) - 1}" if all_rounds else "the initial set"
            raise InputError(
                f"Expected to write {what} to the run folder {self.path}, but got: {reason}; "
                f"the {len(self.rounds)} rounds before it are safe."
            ) from error
        sync_folder(self.path)  # the new files reach the disk before the commit, even in a power cut
        os.replace(self._new(COMMIT), self.path / COMMIT)  # the commit
        sync_folder(self.path)
        for name in written:
            os.replace(self._new(name), self.path / name)
        for name in {ASKED, WAITING} - contents.keys():
            (self.path / name).unlink(missing_ok=True)
        sync_folder(self.path)
        self.rounds, self._contents = all_rounds, contents
        self.queries = all_queries
        self._committed_queries = tuple(all_queries)
        self.calibration, self.diagnostics, self.asked = all_bins, all_diagnostics, all_asked
        self.answers, self.pool, self.waiting = all_answers, new_pool, new_waiting
        self.made_with = made_with
        if all_asked or all_answers:  # a run of people, who open its tables
            for name in written:
                if name in TABLES:
                    keep_copy(self.path / name, contents[name])
        self._write_labels()

    def _queries_with(self, queries: list[Query]) -> str:
        """The text of queries.csv."""
        size = len(self._committed_queries)
        if len(queries) < size or not all(map(operator.is_, self._committed_queries, queries)):
            return to_csv(QUERIES, queries)  # rows have changed, or a run that never finished a round was forgotten
        return grown_csv(QUERIES, self._contents.get(QUERIES, ""), queries[:size], queries[size:])

    def _write_labels(self, over_edited: bool = True) -> None:
        if self.answers:  # a run of people
            write_labels(self.path, [*self.queries, *self.asked], self.answers, self.pool, over_edited)

    def _new(self, name: str) -> Path:
        return new_name(self.path / name)

    # ----------------------------------------------------------------------------------------------------- reading

    def _recover(self) -> None:
        """Reads the committed rows, and finishes an interrupted commit.

        Raises:
            InputError: If a file is missing or differs from the commit.
        """
        commit_path = self.path / COMMIT
        names = (CONFIG, *TABLES)
        if not commit_path.exists():
            found = [name for name in names if (self.path / name).exists()]
            if found:
                raise InputError(
                    f"Expected {commit_path} beside {found[0]}, but it is missing: this is not a whole run folder; "
                    "choose another `loop.run_dir`."
                )
            return
        try:
            state = json.loads(commit_path.read_text())
            sha256, self.identity = state["sha256"], dict(state.get("data", {}))
            self.made_with = [{**row, "from_round": int(row["from_round"])} for row in state.get("made_with", [])]
            self.drawn_by = state.get("drawn_by")
            # runs of version 0.1 have no calibration.csv and no diagnostics.csv
            expected = {name: sha256[name] for name in names if name in sha256 or name in (CONFIG, ROUNDS, QUERIES)}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"Expected {commit_path} as it was written, but it was edited or is torn.") from error
        for name, digest in expected.items():
            path, new = self.path / name, self._new(name)
            if not (path.exists() and sha256_of(path.read_bytes()) == digest):
                if new.exists() and sha256_of(new.read_bytes()) == digest:
                    os.replace(new, path)
                elif restore(path, digest):
                    continue
                elif path.exists():
                    raise InputError(f"Expected {path} as it was committed, but it was edited or is torn.")
                else:
                    raise InputError(f"Expected {path} as it was committed, but it is missing.")
            new.unlink(missing_ok=True)
        for name in {COMMIT, ASKED, ANSWERS, POOL, WAITING} - expected.keys():
            self._new(name).unlink(missing_ok=True)
        for name in {ASKED, WAITING} - expected.keys():
            (self.path / name).unlink(missing_ok=True)
        self._parse({name: (self.path / name).read_bytes().decode() for name in expected})

    def _parse(self, contents: dict[str, str]) -> None:
        self._contents = contents
        self.rounds = self._rows(ROUNDS, Round)
        self.queries = self._rows(QUERIES, Query)
        self._committed_queries = tuple(self.queries)
        self.calibration = self._rows(CALIBRATION, CalibrationBin)
        self.diagnostics = self._rows(DIAGNOSTICS, Diagnostic)
        self.asked = self._rows(ASKED, Query)
        self.answers = self._rows(ANSWERS, Answered)
        self.pool = self._rows(POOL, Sample)
        self.waiting = self._rows(WAITING, Waiting)

    def _rows(self, name: str, row_type: type[RowT]) -> list[RowT]:
        return from_csv(row_type, self._contents.get(name, ""))

    def _in_own_form(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Settings in the form of an earlier version, if such a version began this run."""
        if not self.is_kept:
            return settings
        config = self.config
        if isinstance(settings, SettingsOfObjects):
            settings = settings.in_form_of(config)
        return without_scoring(settings, config)

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the run, nested; empty if there is no run."""
        return yaml.safe_load(self._contents.get(CONFIG, "")) or {}

    @property
    def is_kept(self) -> bool:
        """Whether the next command goes on with the run: it has a round, or questions for people."""
        return bool(self.rounds) or self.asks_people

    def _check_settings(self, settings: Mapping[str, Any], free: Collection[str] = ()) -> dict[str, Any] | None:
        """Raises :class:`InputError` if a run in this folder was made with other settings.

        If the run never finished a round, it is forgotten instead, because its first command may have been a mistake.
        Questions that people were asked are kept.

        Returns:
            The settings with the stopping rule of an old run, if the run keeps it.
        """
        if CONFIG not in self._contents:
            return None
        config = self.config
        old = with_old_rule(settings, config)
        stored, given = (comparable_settings(with_scoring(one, OLD)) for one in (config, old or settings))
        if not self.is_kept:
            self.queries, self.pool, self.waiting, self.identity = [], [], [], {}
            return None
        check_same_metrics(self.path, config, settings)
        if stored.get("loop.oracle") is not None or (settings.get("loop") or {}).get("pool_may_grow"):
            free = (*free, *FILES_OF_DATA)  # the fingerprints of the samples guard these
        details = difference(stored, given, free)
        if details:
            raise InputError(
                f"Expected the settings of the run in {self.path}, but these differ: {details}; "
                "choose another `loop.run_dir`, or `--out` of a sweep, for another run."
            )
        return old

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Raises :class:`InputError` if the run has another model, or other data with another meaning of indices."""
        check_same(self.path, self.identity, identity)
        self._changed_callbacks = changed_callbacks(self.identity, identity)
        self.identity = merged(self.identity, identity)

    @property
    def changed_versions(self) -> str | None:
        """Describes changes of versions and hardware since the last rounds; ``None`` without changes.

        The same bits are promised only for the same hardware and versions.
        """
        if not self.rounds:
            return None
        was, now = _versions(self.made_with), self._versions
        differing = [name for name in {**was, **now} if was.get(name) != now.get(name)] if was and now else []
        changed = [f"{name} ({was.get(name)} there, {now.get(name)} here)" for name in differing]
        return ", ".join(changed + self._changed_callbacks) or None

    @property
    def labels(self) -> list[int]:
        """Class index of each of the queries as it is now, after all corrections; -1 for a skipped sample."""
        return current_labels(self.queries, self.answers, self.class_names)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes; empty in runs of version 0.1."""
        return list(self.identity.get("classes", []))

    def name_of(self, label: int | None) -> str:
        """Name of a class by its index; ``skip`` for a skipped sample."""
        return SKIP if label == SKIPPED or label is None else self.class_names[label]

    @property
    def asks_people(self) -> bool:
        """Whether an oracle answers the questions of the run, and not its data set."""
        return comparable_settings(self.config).get("loop.oracle") is not None

    @property
    def root(self) -> str | None:
        """The folder of the data; ``None`` if the data have no folder."""
        root = flatten(self.config).get("data.root")
        return root if isinstance(root, str) else None

    @property
    def next_round(self) -> int:
        """The first unfinished round: its labels are bought, but its model has not bought new ones yet."""
        return self.queries[-1].round

    def reopen_last_round(self) -> None:
        """Forgets, in memory, the row of a last round that asked for no labels. The next commit replaces this row."""
        last = self.next_round
        self.rounds = self.rounds[:last]
        self.calibration = [row for row in self.calibration if row.round < last]
        self.diagnostics = [row for row in self.diagnostics if row.round < last]


def _versions(made_with: list[dict[str, Any]]) -> dict[str, Any]:
    """The versions of the last rounds, without ``from_round``; empty if they are not known."""
    return {name: value for name, value in made_with[-1].items() if name != "from_round"} if made_with else {}


def read_identity(path: Path) -> dict[str, Any]:
    """The fingerprints of a run; empty if the folder has no run, or an incomplete one."""
    try:
        return dict(json.loads((path / COMMIT).read_bytes()).get("data", {}))
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
