"""``fit RUN``, ``test RUN`` and ``predict RUN``: a run folder stands for all flags that it was made with.

Needs no torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from al_lightning.cli.config_files import own_configs
from al_lightning.cli.given_options import given_options, last_name, options_of_config
from al_lightning.errors import InputError
from al_lightning.paths import as_path
from al_lightning.run_folder.files import new_name
from al_lightning.run_folder.folder import COMMIT, CONFIG

CHECKPOINT = "model.ckpt"
FILES_OF_DATA = {
    "Features": ("path", "root"),
    "ImageFolder": ("root",),
    "NumpyFiles": ("path", "train_inputs", "train_targets", "test_inputs", "test_targets"),
}
"""For data modules that download nothing, the arguments that name a folder or a file."""


def words_of_run(command: str, words: list[str]) -> list[str]:
    """Puts the settings of a run in the place of its folder, if that is the first word.

    Args:
        command: ``fit``, ``test`` or ``predict``.
        words: The words after it. More flags may follow the folder; they go before the settings of the run.

    Raises:
        InputError: If there is no such run, or its data are not where its settings say.
    """
    if not words or words[0].startswith("-"):
        return words
    run, flags = as_path(words[0]), words[1:]
    config = config_of_run(run)
    _check_data(run, {**options_of_config(str(config)), **given_options(flags)})
    if command == "fit":
        return ["--config", str(config), "--loop.run_dir", str(run), *flags]
    if not (run / CHECKPOINT).is_file():
        raise InputError(f"Expected a run with a finished round in {run}, but it has no {CHECKPOINT} yet.")
    return ["--config", str(config), "--ckpt_path", str(run / CHECKPOINT), *flags]


def config_of_run(run: Path) -> Path:
    """Returns the config.yaml of a run folder.

    Raises:
        InputError: If there is no such folder, or no run in it.
    """
    if not run.exists():
        hint = f"; the config of this name is `--config {run}`." if str(run) in own_configs() else "."
        raise InputError(f"Expected `RUN` to be the folder of a run, but there is no {run}{hint}")
    config = run / CONFIG
    cut_off = new_name(config)  # the first commit was interrupted, and opening the folder finishes it
    if not config.is_file() and (run / COMMIT).is_file() and cut_off.is_file():
        config = cut_off
    if not config.is_file():
        raise InputError(f"Expected `RUN` to be the folder of a run, but {run} has no {CONFIG}.")
    return config


def _check_data(run: Path, options: Mapping[str, Any]) -> None:
    """Refuses relative paths of the data that lead nowhere from this folder."""
    for name in FILES_OF_DATA.get(last_name(options.get("data")), ()):
        value = options.get(f"data.{name}")
        if isinstance(value, str) and not as_path(value).is_absolute() and not as_path(value).exists():
            other = ", or give another `--data.root`" if name == "root" else ""
            raise InputError(
                f"Expected `data.{name}` of the run in {run}, but there is no {value} in {Path.cwd()}; go to the "
                f"folder where the run began{other}."
            )
