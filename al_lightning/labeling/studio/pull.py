"""Tasks of a run come back with the annotations of people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError
from al_lightning.labeling.answers import Answer, answers_of_tasks
from al_lightning.labeling.studio.client import Missing, StudioClient
from al_lightning.labeling.studio.project import gone
from al_lightning.labeling.studio.state import StudioState


@dataclass
class Pulled:
    """What a project has for the questions of a run."""

    answers: list[Answer]
    page: str
    """Address of the project."""
    notes: list[str] = field(default_factory=list)


def pull(run_dir: Path, rounds: Iterable[int] | None = None) -> Pulled:
    """Gets the answers to the questions of a run. The next fit asks questions again whose tasks were deleted.

    Args:
        run_dir: The run. Its file of state is changed if tasks were deleted.
        rounds: The rounds that asked; all of them if not given.

    Raises:
        InputError: If the server does not answer, the project was deleted, or the questions are not there yet.
    """
    state = StudioState.read(run_dir)
    if state is None or state.project is None:
        raise InputError(
            f"Expected the questions of {run_dir} in Label Studio, but they are not there yet; `al-lightning fit "
            f"{run_dir}` asks them."
        )
    client = StudioClient(state.url)
    tasks: list[dict[str, Any]] = []
    notes = []
    try:
        client.project(state.project)
        for round in sorted(state.tasks if rounds is None else set(rounds)):
            found = client.tasks(state.project, state.run, round)
            there = {task["data"]["index"]: task["id"] for task in found}
            num_deleted = len(state.tasks.get(round, {}).keys() - there.keys())
            if num_deleted:
                notes.append(f"{num_deleted} tasks were deleted in {state.page}; the next fit adds them again")
            state.note(round, there)
            tasks += found
    except Missing:
        raise InputError(gone(state, run_dir)) from None
    state.write(run_dir)
    if any(task["annotations"] for task in tasks):
        _name_people(tasks, client.names_of_users())
    return Pulled(list(answers_of_tasks(tasks)), state.page, notes)


def _name_people(tasks: Sequence[dict[str, Any]], names: dict[int, str]) -> None:
    """Adds e-mail addresses to annotations, which have numbers of users."""
    for task in tasks:
        for annotation in task["annotations"]:
            user = annotation.get("completed_by")
            if user in names:
                annotation["completed_by"] = {"id": user, "email": names[user]}
