"""Questions become tasks of a project. A push that was cut off is finished, and nothing is asked twice."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from al_lightning.errors import InputError
from al_lightning.labeling.studio.client import StudioClient
from al_lightning.labeling.studio.project import project_of_run, show_our_predictions
from al_lightning.labeling.studio.state import StudioState
from al_lightning.run_folder.tables import Query

TASKS_AT_ONCE = 200
SECONDS_TO_APPEAR = 60
"""Some servers add tasks after they have answered."""

MakeTasks = Callable[[dict[str, Any], Sequence[Query]], list[dict[str, Any]]]
"""Makes tasks of questions in a project, in the order of the questions."""


def push(
    client: StudioClient,
    state: StudioState,
    run_dir: Path,
    questions: Sequence[Query],
    class_names: Sequence[str],
    images: bool,
    make_tasks: MakeTasks,
) -> None:
    """Adds the open questions that are no tasks yet to the project of a run, in the order of their rank.

    The state is on the disk before the server hears of anything. A kill may come between a request and the note that
    it was sent. So the server is asked first what it has.

    Args:
        client: The server.
        state: What the run has there, as it is on the disk. It is changed and written.
        run_dir: The run.
        questions: The questions of the run, answered or not.
        class_names: The classes that people choose from.
        images: Whether the questions are images.
        make_tasks: Makes the tasks, and uploads the images.
    """
    project = project_of_run(client, state, run_dir, class_names, images)
    state.project = project["id"]
    state.write(run_dir)
    for round in sorted({question.round for question in state.not_pushed(questions)}):
        state.note(round, _tasks(client, state, round))
        lacking = [question for question in state.not_pushed(questions) if question.round == round]
        if lacking:
            tasks = [_marked(task, state.run) for task in make_tasks(project, lacking)]
            for start in range(0, len(tasks), TASKS_AT_ONCE):
                client.import_tasks(project["id"], tasks[start : start + TASKS_AT_ONCE])
            if any(task.get("predictions") for task in tasks):
                show_our_predictions(client, client.project(project["id"]))
        state.note(round, _when_there(client, state, round, lacking))
        state.write(run_dir)


def _marked(task: Mapping[str, Any], run: str) -> dict[str, Any]:
    return {**task, "data": {**task["data"], "run": run}}


def _tasks(client: StudioClient, state: StudioState, round: int) -> dict[int, int]:
    assert state.project is not None
    return {task["data"]["index"]: task["id"] for task in client.tasks(state.project, state.run, round)}


def _when_there(client: StudioClient, state: StudioState, round: int, sent: Sequence[Query]) -> dict[int, int]:
    """The tasks of a round, when the server lists all that were sent."""
    until = time.monotonic() + SECONDS_TO_APPEAR
    while True:
        tasks = _tasks(client, state, round)
        missing = [question for question in sent if question.index not in tasks]
        if not missing:
            return tasks
        if time.monotonic() > until:
            raise InputError(
                f"Expected {state.page} to have {len(sent)} new tasks, but {len(missing)} did not appear in "
                f"{SECONDS_TO_APPEAR} seconds; the same command adds those that are missing."
            )
        time.sleep(1)
