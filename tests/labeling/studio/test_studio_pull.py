"""Annotations become answers, with the people who gave them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from al_lightning.errors import InputError
from al_lightning.labeling.studio.client import StudioClient
from al_lightning.labeling.studio.key import VARIABLE
from al_lightning.labeling.studio.pull import pull
from al_lightning.labeling.studio.state import StudioState
from tests.labeling.studio.server import EMAIL, LEGACY, StudioServer, running


@pytest.fixture
def server() -> StudioServer:
    return StudioServer()


@pytest.fixture
def run(server: StudioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run with two rounds of two tasks, and a task of another run in its project."""
    monkeypatch.setenv(VARIABLE, LEGACY)
    with running(server) as url:
        client = StudioClient(url)
        number = client.create_project({"title": "photos", "label_config": "<View/>"})["id"]
        data = [{"run": "a", "round": round, "index": 10 * round + i} for round in (1, 2) for i in range(2)]
        client.import_tasks(number, [{"data": one} for one in [*data, {"run": "b", "round": 2, "index": 20}]])
        StudioState(url, "a", number, {1: {10: 1, 11: 2}, 2: {20: 3, 21: 4}}).write(tmp_path)
        yield tmp_path


def test_answers_of_the_rounds_that_are_asked_for(server: StudioServer, run: Path) -> None:
    for task, choice in ((1, "cat"), (3, "Größe"), (4, None), (5, "dog")):
        server.annotate(task, choice)
    assert [(answer.index, answer.label) for answer in pull(run, [2]).answers] == [(20, "Größe"), (21, None)]
    assert [answer.index for answer in pull(run).answers] == [10, 20, 21]


def test_a_draft_is_no_answer(server: StudioServer, run: Path) -> None:
    server.tasks[3]["drafts"] = [{"result": [{"from_name": "label", "type": "choices", "value": {"choices": ["cat"]}}]}]
    assert pull(run, [2]).answers == []


@pytest.mark.parametrize("state", [None, StudioState("http://127.0.0.1:9", "a")])
def test_a_run_whose_questions_are_not_there_yet(state: StudioState | None, tmp_path: Path) -> None:
    if state is not None:
        state.write(tmp_path)
    with pytest.raises(InputError, match=r"but they are not there yet; `al-lightning fit .*` asks them"):
        pull(tmp_path)


def test_who_answered_is_known_by_address_or_else_by_number(server: StudioServer, run: Path) -> None:
    server.annotate(3, "cat", user=1)
    server.annotate(4, "cat", user=2)
    assert [answer.annotator for answer in pull(run, [2]).answers] == [EMAIL, "2"]
