"""Makes a file of features: a network goes over all samples once, in blocks, and goes on after an interruption."""

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from al_lightning.cli.feature_samples import Samples
from al_lightning.data import Arrays, Datasets, PoolDataModule
from al_lightning.data.blocks import Blocks, OneBlock, TensorBlocks
from al_lightning.data.features_file import FeaturesFile, Part, check_finite, read_features, write_features
from al_lightning.data.partial_rows import PartialRows
from al_lightning.errors import InputError
from al_lightning.inference import PoolPredictor

MAKER = ("model", "weights", "inputs", "precision", "device", "dtype")
"""What decides on the features of a sample."""
ROWS = 4096


@dataclass(frozen=True)
class Job:
    """What is to be made."""

    train: Samples
    test: Samples | None
    classes: tuple[str, ...]
    made_with: Mapping[str, Any]
    """Plain values; all of :data:`MAKER`, and more."""
    block_size: int
    dtype: str

    def identity(self) -> dict[str, Any]:
        """What a file must have been made with, to be the same."""
        test = None if self.test is None else self.test.digest()
        of_samples = {"samples": self.train.digest(), "test samples": test, "classes": list(self.classes)}
        return {**{name: self.made_with[name] for name in MAKER}, "block_size": self.block_size, **of_samples}


def make_features(
    trainer: L.Trainer, model: L.LightningModule, data: PoolDataModule, job: Job, out: Path, overwrite: bool = False
) -> int:
    """Writes a file of features.

    Rows are kept beside the file until all are there. So a command that was stopped goes on, to the same bits.

    Args:
        trainer: Its precision is used.
        model: The network, on the trainer's device.
        data: The data, as they are scored.
        job: What is to be made.
        out: The file.
        overwrite: Whether to replace another file. Samples that it has of the same network are taken from it.

    Returns:
        Number of samples that went through the network.

    Raises:
        InputError: If there is another file, or features are not finite.
    """
    identity = job.identity()
    old = _old(out, identity, overwrite)
    if old is not None and old.made_with.get("job") == identity:
        return 0
    found = {} if old is None else _known(old, identity)
    parts = [part for part in (job.train, job.test) if part is not None]
    todo = [_missing(part, found) for part in parts]
    positions = np.concatenate(todo)
    of_partial = {**identity, "rows left to do": hashlib.sha256(positions.tobytes()).hexdigest()}
    rows = PartialRows(out.with_name(f"{out.name}.part"), of_partial, job.dtype)
    try:
        names = [_name(part, position) for part, some in zip(parts, todo, strict=True) for position in some.tolist()]
        blocks = _blocks(data, todo, rows.num_rows, job.block_size)
        for features in _shown(_features(trainer, model, blocks), rows.num_rows, len(positions)):
            values = features.astype(job.dtype)
            check_finite(values, names[rows.num_rows : rows.num_rows + len(values)])
            rows.append(values)
        rows.save()
        _write(out, job, identity, rows.rows(), parts, todo, found)
    except BaseException:
        rows.save()
        raise
    finally:
        rows.close()
    rows.delete()
    return len(positions)


def _old(out: Path, identity: Mapping[str, Any], overwrite: bool) -> FeaturesFile | None:
    """The file that is there; ``None`` if there is none, or if it is to be replaced and can be of no use."""
    if not out.exists():
        return None
    try:
        old = read_features(out, "--out")
    except InputError:
        if overwrite and not out.is_dir():
            return None
        raise
    there = old.made_with.get("job")
    if there == identity or overwrite:
        return old
    there = there if isinstance(there, dict) else {}
    other = [name for name in identity if there.get(name) != identity[name]]
    raise InputError(
        f"Expected `--out` to be a new file, but {out} has features of other {' and '.join(other)}; "
        f"--overwrite makes it again, and takes rows of the same network from it."
    )


def _known(old: FeaturesFile, identity: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Rows of a file by the checksums of their samples, if the same network made them."""
    there = old.made_with.get("job")
    if not isinstance(there, dict) or any(there.get(name) != identity[name] for name in MAKER):
        return {}
    parts = [part for part in (old.train, old.test) if part is not None]
    return {key: row for part in parts for key, row in zip(part.checksums, part.features, strict=False)}


def _missing(part: Samples, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Positions of the samples that have no row yet, int64."""
    if not found or not part.checksums:
        return np.arange(len(part))
    return np.array([i for i, checksum in enumerate(part.checksums) if checksum not in found], np.int64)


def _name(part: Samples, position: int) -> str:
    return part.files[position] if part.files else f"row {position}"


def _blocks(data: PoolDataModule, todo: Sequence[np.ndarray], start: int, size: int) -> Iterator[Any]:
    """The inputs of samples that are to be done, from a number on. Blocks are the same wherever they begin."""
    for number, positions in enumerate(todo):
        left = torch.from_numpy(positions[min(start, len(positions)) :])
        start = max(0, start - len(positions))
        if len(left) == 0:
            continue
        if number == 0:
            yield from _in_blocks(data.train_blocks(data.indices_there[left]), size)
        elif isinstance(data.source, Datasets):
            yield from _in_blocks(data.source.test_blocks(left), size)
        elif isinstance(data.source, Arrays):
            yield from TensorBlocks(data.source.test_inputs, left, size)
        else:
            raise InputError(f"Expected `load` of {type(data).__name__} to return Arrays or Datasets, but it does not.")


def _in_blocks(blocks: Blocks, size: int) -> Iterator[Any]:
    blocks.block_size = size
    return iter(blocks)


def _features(trainer: L.Trainer, model: L.LightningModule, blocks: Iterator[Any]) -> Iterator[np.ndarray]:
    pool: PoolPredictor | None = None
    for block in blocks:
        inputs = OneBlock(block)
        pool = pool or PoolPredictor.of_trainer(trainer, model, inputs, OneBlock(block))
        try:
            yield pool.map(lambda batch: batch.embeddings.flatten(1), over=inputs).float().numpy()
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:  # each network says it in its own way
            if isinstance(error, InputError):
                raise
            what = " ".join(str(error).split())[:200].rstrip(".")
            raise InputError(
                f"Expected inputs that the network takes, but {type(model).__name__} fails with: {what}."
            ) from error


def _shown(rows: Iterator[np.ndarray], num_done: int, num_all: int) -> Iterator[np.ndarray]:
    """The rows, with a display of the progress on a terminal."""
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("Features", total=num_all, completed=num_done)
        for some in rows:
            yield some
            progress.advance(task, len(some))


def _write(
    out: Path,
    job: Job,
    identity: Mapping[str, Any],
    rows: np.ndarray,
    parts: Sequence[Samples],
    todo: Sequence[np.ndarray],
    found: Mapping[str, np.ndarray],
) -> None:
    made, start = [], 0
    for part, positions in zip(parts, todo, strict=True):
        new = rows[start : start + len(positions)]
        start += len(positions)
        features = new if len(positions) == len(part) else _merged(part, positions, new, found)
        made.append(Part(features, part.targets, part.files, part.texts, part.checksums))
    made_with = {**job.made_with, "job": identity}
    write_features(out, FeaturesFile(made[0], made[1] if len(made) > 1 else None, job.classes, made_with))


def _merged(part: Samples, positions: np.ndarray, new: np.ndarray, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """All rows of a part: those of an earlier file, and new ones."""
    width = next(iter(found.values())).shape[0]
    merged = np.empty((len(part), width), new.dtype)
    merged[positions] = new.reshape(len(positions), width)
    old = np.setdiff1d(np.arange(len(part)), positions, assume_unique=True)
    for position in old.tolist():
        merged[position] = found[part.checksums[position]]
    return merged
