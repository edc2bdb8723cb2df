"""Reads run folders: the settings of a run, and the tables that it has written so far."""

import io
import json
import lzma
import re
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pandas.api.types import is_integer_dtype, is_numeric_dtype

from al_lightning.errors import InputError
from al_lightning.run_folder.current_labels import current_labels
from al_lightning.run_folder.files import read_committed
from al_lightning.run_folder.flat import flatten
from al_lightning.run_folder.folder import COMMIT, CONFIG
from al_lightning.run_folder.settings import comparable_settings
from al_lightning.run_folder.tables import (
    ANSWERS,
    ASKED,
    CALIBRATION,
    COLUMNS,
    CORRECTION,
    DIAGNOSTICS,
    POOL,
    QUERIES,
    ROUNDS,
    Answered,
    Query,
    Sample,
    from_csv,
)

FILES = (CONFIG, ROUNDS, QUERIES, CALIBRATION, DIAGNOSTICS)
LEDGER = (ASKED, ANSWERS, POOL)
"""Files of runs of people, which count only if the commit names them."""
FOLDERS = ("data.root", "loop.run_dir")
"""Settings that name folders. They do not identify a run, but they lead to its data."""
MAX_CLASSES = 100_000
"""Larger labels are refused: tables of classes are as wide as the largest label."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast as the other, where PyYAML has it: parsing settings is a large part of reading many runs."""

ORIGIN = "origin.json"
"""File of a published run in place of commit.json: its data, and the versions that its rounds were made with."""


@dataclass(frozen=True)
class Run:
    """One run: an arm with one seed."""

    path: Path
    arm: str
    seed: int
    settings: Mapping[str, Any]
    """By dotted name, without settings that change nothing, such as folders."""
    rounds: pd.DataFrame
    """The table rounds.csv with all its metrics. A missing value is NaN."""
    queries: pd.DataFrame
    """The rows of :attr:`current_queries` that have a label."""
    all_queries: pd.DataFrame
    """The table queries.csv, with the skipped samples. A missing value is NaN."""
    current_queries: pd.DataFrame
    """The table queries.csv with the labels of today, after all corrections of answers.csv."""
    files: Mapping[int, str]
    """Names of samples by training-set index, where answers.csv or pool.csv have them."""
    calibration: pd.DataFrame
    """The table calibration.csv. It is empty if the run has none."""
    diagnostics: pd.DataFrame
    """The table diagnostics.csv. It is empty if the run has none."""
    asked: pd.DataFrame
    """The table asked.csv: the questions that people have not settled yet. It is empty if there are none."""
    num_rounds: int
    """Number of planned rounds: each is one fit. Without a planned end these are the rounds so far."""
    class_names: tuple[str, ...] | None
    """Names of the classes by their index, if the run has recorded them."""
    made_with: tuple[Mapping[str, Any], ...]
    """Versions and hardware, each row with the first round that they made, ``from_round``."""
    folders: Mapping[str, str]
    """``data.root`` and ``loop.run_dir`` as they were given, where they were."""

    @property
    def is_of_people(self) -> bool:
        """Whether people answered, and not the labels of the data set."""
        return self.settings.get("loop.oracle") is not None


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Returns the run folders at or below some folders, sorted. Hidden folders are left out.

    Raises:
        InputError: If a folder does not exist or has no run.
    """
    found: set[Path] = set()
    for path in paths:
        if not path.is_dir():
            what = f"{path} is a file" if path.exists() else f"there is no folder {path}"
            raise InputError(f"Expected a run folder or a folder of them, but {what}.")
        files = (file.relative_to(path) for name in (CONFIG, ROUNDS, COMMIT) for file in path.rglob(name))
        # A run folder has copies of its tables in a hidden folder.
        below = {path / file.parent for file in files if not any(part.startswith(".") for part in file.parts)}
        if not below:
            raise InputError(f"Expected runs in {path}, but found no {ROUNDS} in it or below.")
        found |= below
    return sorted(found)


def read_run(path: Path) -> Run:
    """Reads a run folder. A process may be working on it, and tables may be compressed as ``*.csv.xz``.

    Raises:
        InputError: If a file is missing, torn, or not one of a run.
    """
    return parse_run(path, read_texts(path))


def parse_run(path: Path, contents: Mapping[str, str]) -> Run:
    """Reads a run from the texts of its files.

    Args:
        path: The run folder.
        contents: The texts by file name, from :func:`read_texts`.

    Raises:
        InputError: If a file is not a file of a run.
    """
    try:
        config = yaml.load(contents[CONFIG], Loader=_LOADER)
        settings, flat = comparable_settings(config), flatten(config)
        seed, num_queries = int(settings["seed_everything"]), config["loop"]["num_rounds"]
        num_rounds = None if num_queries is None else int(num_queries) + 1
        if int(settings["loop.query_size"]) < 1 or not all(isinstance(name, str) for name in settings):
            raise ValueError("not settings that a run can have")
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"Expected {path / CONFIG} to have the settings of a run, but got something else.") from error
    rounds = _table(path, ROUNDS, contents, list(COLUMNS[ROUNDS]))
    queries = _table(path, QUERIES, contents, ["round", "order", "index", "label"])
    answers, pool = _ledger(path, contents)
    _check_rounds(path, rounds, must_ascend=not any(row.kind == CORRECTION for row in answers))
    _check_queries(path, queries, len(rounds))
    origin = _origin_if_whole(path, contents)
    class_names = tuple(map(str, origin.get("data", {}).get("classes") or ()))
    current = _with_corrections(path, queries, answers, class_names)
    return Run(
        path=path,
        arm=arm_of(path),
        seed=seed,
        settings=settings,
        rounds=rounds,
        queries=current[current["label"] >= 0],
        all_queries=queries,
        current_queries=current,
        files={row.index: row.file for row in answers} | {row.index: row.file for row in pool},
        calibration=_table(path, CALIBRATION, contents, ["round", "bin", "count", "confidence", "accuracy"]),
        diagnostics=_table(path, DIAGNOSTICS, contents, ["round", "name", "value"]),
        asked=_table(path, ASKED, contents, ["round", "order", "index", "label"]),
        num_rounds=len(rounds) if num_rounds is None else num_rounds,  # without an end, it has all it was to have
        class_names=class_names or None,
        made_with=tuple(origin.get("made_with", ())),
        folders={name: str(value) for name in FOLDERS if (value := flat.get(name)) is not None},
    )


def parse_origin(path: Path, contents: Mapping[str, str]) -> dict[str, Any]:
    """Returns the origin of a run: ``data`` and ``made_with``, as in commit.json.

    Args:
        path: The run folder, for messages.
        contents: The texts by file name, from :func:`read_texts`.

    Raises:
        InputError: If commit.json or origin.json is not as it was written.
    """
    name = COMMIT if COMMIT in contents else ORIGIN
    try:
        state = json.loads(contents.get(name, "{}"))
        made_with = [{**row, "from_round": int(row["from_round"])} for row in state.get("made_with", [])]
        origin = {"data": dict(state.get("data", {})), "made_with": made_with}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"Expected {path / name} as it was written, but it was edited or is torn.") from error
    return {name: value for name, value in origin.items() if value}


def arm_of(path: Path) -> str:
    """Returns the arm of a run: ``badge`` for ``runs/badge/seed0``. Any other folder is an arm by its own name."""
    path = path.resolve()
    return path.parent.name if re.fullmatch(r"seed\d+", path.name) else path.name


def has_no_round(path: Path) -> bool:
    """Whether a run has not finished its first round yet."""
    sha256 = _sha256_of(_read(path / COMMIT))
    # a kill may have left the first round in rounds.csv.new
    text = read_committed(path / ROUNDS, sha256[ROUNDS]) if ROUNDS in sha256 else None
    return len((text or _read(path / ROUNDS) or "").split()) < 2


def read_texts(path: Path) -> dict[str, str]:
    """Reads the files of a run, all of one moment: a process may be committing the next round.

    Raises:
        InputError: If a file is missing or torn.
    """
    for _ in range(50):
        commit = _read(path / COMMIT)
        sha256 = _sha256_of(commit)
        committed = {name: read_committed(path / name, sha256[name]) for name in (*FILES, *LEDGER) if name in sha256}
        whole = {name: text for name, text in committed.items() if text is not None}
        contents = {name: text for name in FILES if (text := _read(path / name)) is not None} | whole
        for name in (CONFIG, ROUNDS, QUERIES):
            if name not in contents:
                raise InputError(f"Expected {name} in the run folder {path}, but it is missing.")
        if commit is None:  # published results have none
            origin = _read(path / ORIGIN)
            return contents if origin is None else {**contents, ORIGIN: origin}
        if sha256 and whole.keys() == committed.keys():
            return {**contents, COMMIT: commit}
        time.sleep(0.05)
    raise InputError(f"Expected the files in {path} as they were committed, but one was edited or is torn.")


def _origin_if_whole(path: Path, contents: Mapping[str, str]) -> dict[str, Any]:
    """Returns :func:`parse_origin`, or nothing if the file was edited: the tables are whole, and a report goes on."""
    try:
        return parse_origin(path, contents)
    except InputError:
        return {}


def _sha256_of(commit: str | None) -> dict[str, str]:
    """Returns the digests by file name. There are none without a commit, or if commit.json is torn."""
    try:
        return dict(json.loads(commit or "")["sha256"])
    except (ValueError, KeyError, TypeError):
        return {}


def _read(path: Path) -> str | None:
    compressed = path.with_name(f"{path.name}.xz")
    file = compressed if compressed.exists() and not path.exists() else path
    try:
        if not file.exists():
            return None
        content = file.read_bytes()
        return (lzma.decompress(content) if file == compressed else content).decode()
    except (OSError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise InputError(f"Expected {file} to be a file of a run, but it cannot be read: {error}.") from error


def _table(path: Path, name: str, contents: Mapping[str, str], columns: list[str]) -> pd.DataFrame:
    text = contents.get(name)
    if text is None:
        return pd.DataFrame(columns=columns)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # pandas would drop surplus values
            table = pd.read_csv(io.StringIO(text), dtype={"name": str}, index_col=False)
    except (ValueError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        what = " ".join(str(error).split())
        raise InputError(f"Expected {path / name} to be a table of a run, but it cannot be read: {what}.") from error
    for column in columns:
        if column not in table:
            raise InputError(f"Expected the column `{column}` in {path / name}, but it has {', '.join(table.columns)}.")
    for column in table.columns if name == ROUNDS else columns:  # further columns are metrics
        if column == "name" and name == DIAGNOSTICS:
            if table[column].isna().any():
                raise InputError(f"Expected a `name` in each row of {path / name}, but one has none.")
        elif len(table) and not is_numeric_dtype(table[column]):
            raise InputError(f"Expected numbers in the column `{column}` of {path / name}, but got something else.")
    return table


def _ledger(path: Path, contents: Mapping[str, str]) -> tuple[list[Answered], list[Sample]]:
    """Returns the answers of people and the samples of a pool that may grow, where the run has them."""
    try:
        return from_csv(Answered, contents.get(ANSWERS, "")), from_csv(Sample, contents.get(POOL, ""))
    except ValueError as error:
        raise InputError(f"Expected {ANSWERS} and {POOL} in {path} as they were written, but got: {error}.") from error


def _with_corrections(
    path: Path, queries: pd.DataFrame, answers: Sequence[Answered], class_names: Sequence[str]
) -> pd.DataFrame:
    """Returns the queries with the labels of today."""
    if not any(row.kind == CORRECTION for row in answers):
        return queries
    bought = [Query(0, 0, index, label) for index, label in zip(queries["index"], queries["label"], strict=True)]
    try:
        return queries.assign(label=current_labels(bought, answers, class_names))
    except KeyError as error:
        raise InputError(f"Expected names of classes in {path / ANSWERS}, but got {error}.") from error


def _check_rounds(path: Path, rounds: pd.DataFrame, must_ascend: bool) -> None:
    """Raises :class:`InputError` unless all rounds are there, in order, with valid accuracies and times.

    Labels may become fewer only if labels were corrected to skips.
    """
    where = path / ROUNDS
    if not len(rounds):
        raise InputError(f"Expected a finished round in {path}, but its {ROUNDS} has none yet.")
    if rounds["round"].tolist() != list(range(len(rounds))):
        raise InputError(f"Expected the rounds 0 to {len(rounds) - 1} in {where}, but one is missing or out of place.")
    accuracy = rounds["test_acc"]
    if not (accuracy.between(0, 1).all() or accuracy.isna().all()):  # without a test set, all are NaN
        raise InputError(f"Expected test accuracies from 0 to 1 in {where}, but one is not.")
    more = np.diff(rounds["num_labeled"], prepend=0)
    if (
        not is_integer_dtype(rounds["num_labeled"]) or more[0] <= 0 or (must_ascend and (more < 0).any())
    ):  # people may skip a whole query
        raise InputError(f"Expected as many or more labels in each round of {where}, but they descend.")
    seconds = rounds[[name for name in rounds if str(name).startswith("seconds_")]].to_numpy(float)
    if not (np.isfinite(seconds) & (seconds >= 0)).all():
        raise InputError(f"Expected seconds from 0 on in {where}, but a value is missing, negative or infinite.")


def _check_queries(path: Path, queries: pd.DataFrame, num_rounds: int) -> None:
    """Raises :class:`InputError` unless the queried samples differ, are in the order bought, and have labels."""
    where = path / QUERIES
    for column in ("round", "index", "label"):
        if len(queries) and not is_integer_dtype(queries[column]):
            raise InputError(f"Expected whole numbers in the column `{column}` of {where}, but got something else.")
    if (queries["index"] < 0).any() or queries["index"].duplicated().any():
        raise InputError(f"Expected indices in {where} from 0 on, each once, but one is negative or there twice.")
    if not queries["label"].between(-1, MAX_CLASSES - 1).all():
        raise InputError(f"Expected labels in {where} from -1, none, to {MAX_CLASSES - 1}, but one is not.")
    if (np.diff(queries["round"], prepend=0, append=num_rounds) < 0).any():
        raise InputError(f"Expected rounds in {where} that ascend from 0 to {num_rounds} at most, but they do not.")
