"""Reads the labels of another run. Needs no torch."""

from pathlib import Path

import yaml

from al_lightning.errors import InputError
from al_lightning.labeling.answer import Answer
from al_lightning.labeling.elsewhere import Elsewhere
from al_lightning.run_folder.folder import CONFIG, RunFolder
from al_lightning.run_folder.labels_file import label_rows
from al_lightning.run_folder.tables import SKIP


def labels_of_run(path: Path, into: RunFolder) -> list[Elsewhere]:
    """The labels of a run as they are now, also those of open questions that were answered.

    Args:
        path: The folder of the run. It is read, also while another process uses it.
        into: The run that the labels are for.

    Raises:
        InputError: If there is no run, it has no labels of people, or the samples of the two runs cannot be compared.
    """
    try:
        other = RunFolder.peek(path, yaml.safe_load((path / CONFIG).read_text()))
    except FileNotFoundError:
        raise InputError(f"Expected `--from` to be the folder of a run, but there is no {path / CONFIG}.") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"Expected {path / CONFIG} as it was written, but it was edited or is torn.") from error
    rows = label_rows([*other.queries, *other.asked], other.answers, other.pool)
    if not rows:
        raise InputError(f"Expected labels of people in `--from` {path}, but it has none.")
    has_files = any(sample.digest for sample in into.pool)
    if not has_files and other.identity.get("samples") != into.identity.get("samples"):
        raise InputError(
            f"Expected the samples of {into.path} to be those of {path}, or to have files of their own that "
            f"al-lightning fit {into.path} has listed in pool.csv, but they are not."
        )
    digest_of = {sample.index: sample.digest for sample in other.pool}
    return [
        Elsewhere(
            Answer(f"{path}: {file}", None if has_files else index, file, None if label == SKIP else label, annotator),
            file,
            digest_of.get(index, ""),
        )
        for file, index, label, _, annotator in rows
    ]
