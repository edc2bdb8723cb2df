"""What a run folder knows of the samples of its run, before the data are read."""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from al_lightning.data.growth import Begun, KnownFile
from al_lightning.run_folder.files import read_committed
from al_lightning.run_folder.folder import COMMIT, CONFIG
from al_lightning.run_folder.tables import ASKED, POOL, QUERIES, Query, Sample, from_csv


def read_begun(path: Path) -> Begun | None:
    """Reads what the run in a folder knows of its samples.

    Args:
        path: The folder; it need not exist.

    Returns:
        ``None`` if there is no run, or if it will be forgotten because it never finished a round. The same is true for
        runs of version 0.1, which have no fingerprints.
    """
    try:
        state = json.loads((path / COMMIT).read_bytes())
        sha256, identity = dict(state["sha256"]), dict(state.get("data", {}))
        config = yaml.safe_load(read_committed(path / CONFIG, sha256[CONFIG]) or "")
        if not state["rounds"] and (config.get("loop") or {}).get("oracle") is None:
            return None
        num_known, num_test = identity["inputs"][0]["shape"][0], identity["test"]["size"]
        queries = from_csv(Query, read_committed(path / QUERIES, sha256[QUERIES]) or "")
        pool = from_csv(Sample, (POOL in sha256 and read_committed(path / POOL, sha256[POOL])) or "")
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, yaml.YAMLError):
        return None  # opening the folder says what is wrong
    has_files = any(sample.digest for sample in pool)
    return Begun(
        samples=identity["samples"],
        num_known=num_known,
        num_first=_num_first(pool, num_known),
        num_test=num_test,
        num_initial=sum(query.round == 0 for query in queries),
        initial=tuple(query.index for query in queries if query.round == 0),
        has_begun=bool(queries) or ASKED in sha256,
        content=identity.get("content"),
        files=tuple(KnownFile(row.index, row.file, row.digest, row.left is None) for row in pool if has_files),
    )


def _num_first(pool: Sequence[Sample], num_known: int) -> int:
    """Number of training samples when the run began."""
    if not pool:
        return num_known
    if any(sample.digest for sample in pool):  # a list of all samples
        return 1 + max((sample.index for sample in pool if sample.index >= 0 and sample.joined == 0), default=-1)
    return pool[0].index


def keeps_its_pool(begun: Begun | None) -> bool:
    """Whether a run keeps a list of its samples, or of those that joined."""
    return begun is not None and (bool(begun.files) or begun.num_first < begun.num_known)
