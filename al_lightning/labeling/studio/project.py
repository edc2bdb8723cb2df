"""The project of a run: found by its number or its title, created, and checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError, composed
from al_lightning.labeling.label_studio import CONTROL, IMAGE, MODEL_VERSION, TEXT, labeling_config
from al_lightning.labeling.studio.client import Missing, StudioClient
from al_lightning.labeling.studio.state import STATE, StudioState

LONGEST_TITLE = 50  # of Label Studio


def project_of_run(
    client: StudioClient, state: StudioState, run_dir: Path, class_names: Sequence[str], images: bool
) -> dict[str, Any]:
    """Returns the project of a run. Creates it if the run has none.

    Args:
        client: The server.
        state: The project's number, if there is one. It may have none after a kill, although there is a project.
        run_dir: The run.
        class_names: The classes that people choose from.
        images: Whether they are shown images, and not texts.

    Raises:
        InputError: If the project was deleted, or asks something else.
    """
    config = labeling_config(class_names, images)
    if state.project is None:
        found = client.projects(state.run)  # in its title
        project = found[0] if found else client.create_project(_settings(run_dir, state.run, config))
    else:
        try:
            project = client.project(state.project)
        except Missing:
            raise InputError(gone(state, run_dir)) from None
    if not project.get("parsed_label_config"):  # a project without an interface
        project = client.change_project(project["id"], {"label_config": config})
    _check_interface(project, class_names, images, client.url)
    return project


def gone(state: StudioState, run_dir: Path) -> str:
    """The sentence for a project that was deleted."""
    return (
        f"Expected project {state.project} of the run in {run_dir} in Label Studio at {state.url}, but it was deleted; "
        f"nothing in {run_dir} is lost: `--loop.oracle.project` names another project, or without {STATE} there, "
        "`al-lightning fit` asks the open questions in a new one."
    )


def show_our_predictions(client: StudioClient, project: dict[str, Any]) -> None:
    """Lets a project preselect the predictions of this package, if it has those of another model."""
    if project.get("model_version") not in ("", None, MODEL_VERSION):
        client.change_project(project["id"], {"model_version": MODEL_VERSION})


def _settings(run_dir: Path, run: str, config: str) -> dict[str, Any]:
    return {
        "title": _title(run_dir, run),
        "description": "Questions of an al-lightning run. `al-lightning label` takes the answers into the run.",
        "label_config": config,
    }


def _title(run_dir: Path, run: str) -> str:
    """The name of the run folder with the mark of the run. For ``runs/badge/seed0`` it is ``badge/seed0``."""
    path = run_dir.absolute()
    name = f"{path.parent.name}/{path.name}" if path.name.startswith("seed") else path.name
    end = f" ({run})"
    return name[: LONGEST_TITLE - len(end)] + end


def _check_interface(project: dict[str, Any], class_names: Sequence[str], images: bool, url: str) -> None:
    """Raises InputError if people cannot answer the questions in a project."""
    where = f"project {project['id']} in Label Studio at {url}"
    control = project["parsed_label_config"].get(CONTROL) or {}
    shown = IMAGE if images else TEXT
    inputs = [given.get("value") for given in control.get("inputs", [])]
    if control.get("type") != "Choices" or control.get("to_name") != [shown] or inputs != [shown]:
        raise InputError(
            f"Expected the labeling interface of {where} to have Choices of the name `{CONTROL}` for an object of the "
            f"name `{shown}` with the value `${shown}`, but it has not; a project without an interface gets one."
        )
    offered = {composed(name) for name in control.get("labels", [])}
    lacking = [name for name in class_names if composed(name) not in offered]
    if lacking:
        raise InputError(f"Expected the choices of {where} to have all classes, but {', '.join(lacking)} are missing.")
