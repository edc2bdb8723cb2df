"""``fit --wait`` takes answers as they come, and goes on by itself."""

import csv
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from al_lightning.cli import main, waiting
from al_lightning.cli.waiting import begin_anew, wait_for_answers, without_wait
from al_lightning.errors import InputError
from al_lightning.labeling.studio.key import VARIABLE
from al_lightning.labeling.studio.state import StudioState
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.tables import Query, read_rounds
from tests.labeling.studio.server import EMAIL, LEGACY, StudioServer, running

NAMES = ["dark", "grün", "light blue"]


@pytest.mark.parametrize(
    ("words", "others", "seconds"),
    [
        (["run"], ["run"], None),
        (["run", "--wait"], ["run"], 10),
        (["run", "--wait", "0.5", "--x", "3"], ["run", "--x", "3"], 0.5),
        (["run", "--wait=60"], ["run"], 60),
        (["run", "--wait", "--x", "3"], ["run", "--x", "3"], 10),
        (["--waiting", "3"], ["--waiting", "3"], None),
    ],
)
def test_the_flag_is_taken_out_of_the_words(words: list[str], others: list[str], seconds: float | None) -> None:
    assert without_wait(words) == (others, seconds)


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan"])
def test_seconds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"Expected `--wait` to be a number of seconds above 0, but got `{text}`"):
        without_wait(["--wait", text])
    with pytest.raises(InputError, match="but got `soon`"):
        without_wait(["--wait=soon"])


# --------------------------------------------------------------------------------------------------- what waiting sees


@pytest.fixture
def server() -> StudioServer:
    return StudioServer()


@pytest.fixture
def url(server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv(VARIABLE, LEGACY)
    with running(server) as address:
        yield address


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A run folder with two open questions."""
    run = tmp_path / "run"
    settings = {"loop": {"oracle": {"class_path": "al_lightning.FileOracle", "init_args": {}}}}
    folder = RunFolder.open(run, settings, {"classes": NAMES})
    folder.commit(asked=[Query(0, order, index, None, file=f"{index}.png") for order, index in enumerate((5, 3))])
    folder.close()
    return run


class Steps:
    """Stands for sleeping: between two looks, the next thing happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], Any]) -> None:
        self.left = list(steps)
        monkeypatch.setattr(waiting.time, "sleep", self)

    def __call__(self, seconds: float) -> None:
        self.left.pop(0)()


def fill_in(run: Path, **labels: str) -> None:
    rows = "".join(f"{name.removeprefix('f')}.png,{label}\n" for name, label in labels.items())
    (run / "query.csv").write_text(f"file,label\n{rows}")


def labels_of(run: Path) -> list[tuple[int, str]]:
    with (run / "queries.csv").open() as file:
        return [(int(row["index"]), NAMES[int(row["label"])]) for row in csv.DictReader(file)]


def test_tables_are_taken_as_people_save_them(
    asked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    steps = Steps(
        monkeypatch,
        lambda: fill_in(asked, f5="dark"),
        lambda: (asked / "query.csv").write_text("file;lab"),  # in the middle of saving
        lambda: None,
        lambda: fill_in(asked, f5="dark", f3="grün"),
    )
    wait_for_answers(asked, 1)
    assert steps.left == []
    assert labels_of(asked) == [(5, "dark"), (3, "grün")]
    out, err = capsys.readouterr()
    assert out.startswith("Waiting for the answers, with a look every 1 seconds.")
    assert out.count("1 question is open.") == 1
    assert err.count("Waiting goes on.") == 1


def test_another_command_may_use_the_folder_and_bring_the_answers(
    asked: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("index,label\n5,dark\n3,dark\n")
    held = []

    def hold() -> None:
        held.append(RunFolder.edit(asked))

    def label() -> None:
        held[0].close()
        main(["label", str(asked), "--import", str(tmp_path / "a.csv")])

    steps = Steps(monkeypatch, hold, lambda: None, label)
    wait_for_answers(asked, 1)
    assert steps.left == []
    assert labels_of(asked) == [(5, "dark"), (3, "dark")]


def push(asked: Path, server: StudioServer, url: str) -> None:
    headers, tasks = {"Authorization": f"Token {LEGACY}"}, []
    server.reply("POST", "/api/projects", headers, json.dumps({"title": "run", "label_config": "<View/>"}).encode())
    for index in (5, 3):
        tasks.append({"data": {"run": "a", "round": 0, "index": index, "file": f"{index}.png"}})
    server.reply("POST", "/api/projects/1/import", headers, json.dumps(tasks).encode())
    StudioState(url, "a", 1, {0: {5: 1, 3: 2}}).write(asked)


def test_answers_of_label_studio_are_taken_as_people_give_them_while_the_server_comes_and_goes(
    asked: Path, server: StudioServer, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    push(asked, server, url)

    def away(request: str) -> None:
        raise ConnectionAbortedError

    def here(request: str) -> None:
        return None

    steps = Steps(
        monkeypatch,
        lambda: server.annotate(1, "light blue"),
        lambda: setattr(server, "before", away),
        lambda: None,
        lambda: setattr(server, "before", here),
        lambda: server.annotate(2, "grün"),
    )
    wait_for_answers(asked, 1)
    assert steps.left == []
    assert labels_of(asked) == [(5, "light blue"), (3, "grün")]
    with (asked / "answers.csv").open() as file:
        assert [row["annotator"] for row in csv.DictReader(file)] == [EMAIL, EMAIL]
    out, err = capsys.readouterr()
    assert err.count("Waiting goes on.") == 1
    assert out.count(f"Took 1 answer from {url}/projects/1.") == 2


def test_a_problem_is_said_once_and_waiting_goes_on(
    asked: Path, server: StudioServer, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    push(asked, server, url)

    def change_mind() -> None:
        server.tasks[1]["annotations"].clear()
        server.annotate(1, "dark")

    server.annotate(1, "drak")
    server.annotate(2, "dark")
    steps = Steps(monkeypatch, lambda: None, lambda: None, change_mind)
    wait_for_answers(asked, 1)
    assert steps.left == []
    assert labels_of(asked) == [(5, "dark"), (3, "dark")]
    assert capsys.readouterr().err.count("`drak` is no class; did you mean dark?") == 1


def test_waiting_ends_where_it_would_be_for_ever(
    asked: Path, server: StudioServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(asked, server, url)
    Steps(monkeypatch, lambda: monkeypatch.setenv(VARIABLE, "0" * 40))
    with pytest.raises(InputError, match="Invalid token"):
        wait_for_answers(asked, 1)
    monkeypatch.setenv(VARIABLE, LEGACY)
    Steps(monkeypatch, lambda: server.delete_project(1))
    with pytest.raises(InputError, match="but it was deleted"):
        wait_for_answers(asked, 1)
    folder = RunFolder.edit(asked)  # it is free again, and nothing is lost
    assert len(folder.asked) == 2
    folder.close()


def test_a_run_on_several_devices_begins_anew_as_the_program_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning adds LOCAL_RANK and others to the environment, and would start no processes a second time."""
    begun: list[Any] = []
    monkeypatch.setattr(waiting.os, "execve", lambda *given: begun.append(given))
    begin_anew(["--config", "run/config.yaml"], 0.5, {"HOME": "/home/me"})
    words = [sys.executable, "-m", "al_lightning", "fit", "--config", "run/config.yaml", "--wait", "0.5"]
    assert begun == [(sys.executable, words, {"HOME": "/home/me"})]


# -------------------------------------------------------------------------------------------------------- a whole run


def test_a_whole_run_by_one_command(
    server: StudioServer, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Somebody answers in Label Studio while ``fit --wait`` runs; afterwards the run is finished."""
    photos = tmp_path / "photos"
    photos.mkdir()
    colours = [(20, 20, 20), (20, 160, 40), (150, 180, 250)]
    for number in range(12):
        Image.new("RGB", (8, 8), colours[number % 3]).save(photos / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    over = threading.Event()

    def answer_all() -> None:
        while not over.wait(0.05):
            for number, task in list(server.tasks.items()):
                if not task["annotations"]:
                    server.annotate(number, NAMES[int(Path(task["data"]["file"]).stem) % 3])

    thread = threading.Thread(target=answer_all)
    thread.start()
    flags = ["--data", "ImageFolder", "--data.root", "photos", "--data.classes", json.dumps(NAMES)]
    flags += ["--data.image_size", "8", "--data.num_initial", "4", "--loop.oracle", "LabelStudioOracle"]
    flags += ["--loop.oracle.url", url, "--model", "DropoutMLP", "--model.input_dim", "192", "--model.num_classes", "3"]
    flags += ["--loop.query_size", "3", "--loop.num_rounds", "2", "--loop.run_dir", "run", "--trainer.max_epochs", "2"]
    flags += ["--trainer.enable_progress_bar", "false"]
    try:
        main(["fit", *flags, "--wait", "0.05"])
    finally:
        over.set()
        thread.join()
    out = capsys.readouterr().out
    assert out.count("Waiting for the answers") == 3
    assert len(read_rounds(Path("run"))) == 3
    with Path("run/answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["round"] for row in rows] == [*"0000", *"111", *"222"]
    assert all(row["label"] == NAMES[int(Path(row["file"]).stem) % 3] for row in rows)
    written = "".join(path.read_text(errors="replace") for path in Path("run").rglob("*") if path.is_file())
    assert LEGACY not in written
    main(["label", "run", "--correct"])  # all answers are known
    result = server.tasks[1]["annotations"][0]["result"][0]
    result["value"]["choices"] = [NAMES[NAMES.index(result["value"]["choices"][0]) - 1]]  # changed there
    main(["label", "run", "--correct"])
    assert "is the first to train on it" in capsys.readouterr().out
