"""Questions become tasks of a project, once each, whatever is cut off and wherever the server goes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image

from al_lightning import FileOracle, LabelStudioOracle
from al_lightning.errors import InputError
from al_lightning.labeling.label_studio import labeling_config
from al_lightning.labeling.studio.key import VARIABLE
from al_lightning.labeling.studio.pull import pull
from al_lightning.labeling.studio.state import STATE, StudioState
from al_lightning.run_folder import Query
from al_lightning.run_folder.folder import RunFolder
from al_lightning.run_folder.settings import comparable_settings, difference
from tests.labeling.studio.server import LEGACY, StudioServer, running

NAMES = ["cat", "Größe", "a dog"]
NUM = 5
SETTINGS = {"loop": {"oracle": {"class_path": "al_lightning.LabelStudioOracle", "init_args": {}}}}


class Data:
    """What the oracle asks the data for."""

    shows_texts = True

    def __init__(self, root: Path) -> None:
        self.root = str(root)

    def list_class_names(self) -> list[str]:
        return NAMES

    def text_of(self, index: int) -> str:
        return f"row {index}"


@pytest.fixture
def server() -> StudioServer:
    return StudioServer()


@pytest.fixture
def url(server: StudioServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv(VARIABLE, LEGACY)
    with running(server) as address:
        yield address


@pytest.fixture
def data(tmp_path: Path) -> Any:
    folder = tmp_path / "Bilder ü"
    folder.mkdir()
    for index in range(2 * NUM):
        Image.new("RGB", (4, 3), (index, 0, 0)).save(folder / f"{index}{'.tif' if index % 2 else '.png'}")
    (tmp_path / "run").mkdir()
    return Data(folder)


def questions(data: Data, round: int = 1, first: int = 0) -> list[Query]:
    return [
        Query(
            round,
            order,
            index,
            None,
            0.5,
            index % 3,
            0.25,
            file=f"{data.root}/{index}{'.tif' if index % 2 else '.png'}",
        )
        for order, index in enumerate(range(first, first + NUM))
    ]


ROWS = [Query(0, order, 10 - order, None) for order in range(3)]


def publish(oracle: LabelStudioOracle, data: Any, asked: list[Query]) -> Path:
    run = Path(data.root).parent / "run"
    oracle.publish(run, data, asked)
    return run


def indices(server: StudioServer, round: int = 1) -> list[int]:
    return [task["data"]["index"] for _, task in sorted(server.tasks.items()) if task["data"]["round"] == round]


def test_questions_are_tasks_with_predictions_and_images_in_a_project_of_the_run(
    server: StudioServer, url: str, data: Any
) -> None:
    oracle = LabelStudioOracle(url)
    run = publish(oracle, data, questions(data))
    (project,) = server.projects.values()
    state = StudioState.read(run)
    assert state is not None
    assert project["title"] == f"run ({state.run})"
    assert project["label_config"] == labeling_config(NAMES)
    interface = LabelInterface(project["label_config"])
    uploads = dict(server.uploads[1])
    for (number, task), question in zip(server.tasks.items(), questions(data), strict=True):
        assert state.tasks[1][question.index] == number
        assert interface.validate_task({"data": task["data"]})
        (prediction,) = task["predictions"]
        assert interface.validate_prediction(prediction, return_errors=True) == []
        assert prediction["result"][0]["value"]["choices"] == [NAMES[question.index % 3]]
        assert task["data"] == {
            "run": state.run,
            "round": 1,
            "rank": question.order + 1,
            "index": question.index,
            "file": question.file,
            "image": task["data"]["image"],
        }
        content = uploads[task["data"]["image"].removeprefix("/data/")]
        assert content.startswith(b"\x89PNG")  # browsers show no TIFF
        if question.file.endswith(".png"):
            assert content == Path(question.file).read_bytes()
    assert oracle.next_step(run) == f"answer in {url}/projects/1"
    assert (run / "query.csv").read_text(encoding="utf-8-sig").count("\n") == NUM + 1


def test_each_round_adds_its_questions_and_nothing_is_asked_twice(server: StudioServer, url: str, data: Any) -> None:
    publish(LabelStudioOracle(url), data, questions(data))
    num_requests = len(server.requests)
    publish(LabelStudioOracle(url), data, questions(data))  # the same command, while people answer
    assert len(server.requests) == num_requests
    half = [replace(question, label=0) if question.order < 2 else question for question in questions(data, 2, NUM)]
    publish(LabelStudioOracle(url), data, half)
    assert (indices(server, 1), indices(server, 2)) == ([0, 1, 2, 3, 4], [7, 8, 9])
    assert len(server.projects) == 1


def requests_of_a_push(data: Any, tmp_path: Path) -> int:
    counting = StudioServer()
    (tmp_path / "counting").mkdir()
    with running(counting) as address:
        LabelStudioOracle(address).publish(tmp_path / "counting", data, questions(data))
    return len(counting.requests)


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_a_push_that_was_cut_off_anywhere_is_finished_and_not_repeated(
    is_done: bool, url: str, server: StudioServer, data: Any, tmp_path: Path
) -> None:
    """The connection breaks before the server acts, or before its answer arrives."""
    num_requests = requests_of_a_push(data, tmp_path)
    assert num_requests >= 6
    for cut_at in range(num_requests):
        run = tmp_path / f"run{cut_at}"
        run.mkdir()
        left = iter(range(cut_at, -1, -1))

        def cut(request: str, left: Iterator[int] = left) -> None:
            if next(left, 1) == 0:
                raise ConnectionAbortedError

        setattr(server, "after" if is_done else "before", cut)
        with pytest.raises(InputError, match="the connection broke"):
            LabelStudioOracle(url).publish(run, data, questions(data))
        LabelStudioOracle(url).publish(run, data, questions(data))
        state = StudioState.read(run)
        assert state is not None
        tasks = {id: task for id, task in server.tasks.items() if task["data"]["run"] == state.run}
        assert [task["data"]["index"] for task in tasks.values()] == [0, 1, 2, 3, 4], cut_at
        assert {task["data"]["index"]: id for id, task in tasks.items()} == state.tasks[1]
        assert {task["project"] for task in tasks.values()} == {state.project}
        assert len(server.uploads[int(str(state.project))]) == NUM
    assert len(server.projects) == num_requests


def test_rows_of_tables_are_texts(server: StudioServer, url: str, data: Any) -> None:
    publish(LabelStudioOracle(url), data, ROWS)
    assert server.projects[1]["label_config"] == labeling_config(NAMES, images=False)
    assert [task["data"]["text"] for task in server.tasks.values()] == ["row 10", "row 9", "row 8"]
    assert server.uploads == {}


@pytest.mark.parametrize(("root", "shown"), [("/", "{path}"), ("{parent}", "Bilder%20%C3%BC/0.png")])
def test_the_server_may_read_images_from_its_own_disk(
    root: str, shown: str, server: StudioServer, url: str, data: Any
) -> None:
    server.document_root = root.replace("{parent}", str(Path(data.root).parent))
    oracle = LabelStudioOracle(url, images="local")
    publish(oracle, data, questions(data))
    publish(oracle, data, questions(data, 2, NUM))
    path = f"{data.root}/0.png".lstrip("/").replace(" ", "%20").replace("ü", "%C3%BC")
    assert server.tasks[1]["data"]["image"] == f"/data/local-files/?d={shown.replace('{path}', path)}"
    assert [storage["path"] for storage in server.storages[1]] == [data.root]
    assert server.uploads == {}


@pytest.mark.parametrize("root", [None, "/elsewhere"])
def test_a_server_that_does_not_show_its_files_says_so(
    root: str | None, server: StudioServer, url: str, data: Any
) -> None:
    server.document_root = root
    with pytest.raises(InputError, match=r"to show the images in .*, but it answers: .*images upload` needs no such"):
        publish(LabelStudioOracle(url, images="local"), data, questions(data))
    publish(LabelStudioOracle(url, images="upload"), data, questions(data))
    assert indices(server) == [0, 1, 2, 3, 4]


def test_images_may_have_addresses_of_their_own(server: StudioServer, url: str, data: Any) -> None:
    publish(LabelStudioOracle(url, image_url="https://a.org/{name}"), data, questions(data))
    assert server.tasks[2]["data"]["image"] == "https://a.org/1.tif"
    assert server.uploads == {}


def test_images_that_were_uploaded_in_an_earlier_round_are_not_uploaded_again(
    server: StudioServer, url: str, data: Any
) -> None:
    publish(LabelStudioOracle(url), data, questions(data))
    publish(LabelStudioOracle(url), data, questions(data, 2))  # they went back to the pool
    assert len(server.uploads[1]) == NUM
    assert server.tasks[1]["data"]["image"] == server.tasks[1 + NUM]["data"]["image"]


def test_the_next_fit_takes_answers_from_the_project_and_from_the_table(
    server: StudioServer, url: str, data: Any
) -> None:
    oracle = LabelStudioOracle(url)
    folder = RunFolder.open(Path(data.root).parent / "run", SETTINGS, {"classes": NAMES})
    folder.commit(asked=[replace(question, round=0) for question in questions(data)])
    oracle.collect(folder)  # a kill came before the first push
    oracle.publish(folder.path, data, folder.asked)
    for number in (1, 2, 3):
        server.annotate(number, NAMES[number - 1])
    (folder.path / "query.csv").write_text("index,label\n3,cat\n")
    oracle.collect(folder)
    assert [question.label for question in folder.asked] == [0, 1, 2, 0, None]
    server.delete_project(1)
    with pytest.raises(InputError, match="but it was deleted"):
        oracle.collect(folder)
    number = make_project(server, title="another", label_config="<View></View>") + 1
    server.projects[number] = server.projects.pop(number - 1) | {"id": number}
    other = LabelStudioOracle(url, project=number)
    other.collect(folder)
    other.publish(folder.path, data, folder.asked)
    assert indices(server, 0) == [4]
    server.annotate(max(server.tasks), "cat")
    other.collect(folder)
    assert folder.asked == []
    assert [query.label for query in folder.queries] == [0, 1, 2, 0, 0]
    folder.close()


def test_a_run_may_go_over_to_label_studio_and_back(server: StudioServer, url: str, data: Any) -> None:
    run = Path(data.root).parent / "run"
    FileOracle().publish(run, data, questions(data))
    publish(LabelStudioOracle(url), data, questions(data))
    publish(LabelStudioOracle(url), data, questions(data, 2, NUM))
    assert not (run / "query.json").exists()
    (run / "query.csv").write_text("index,label\n5,cat\n")  # somebody began
    FileOracle().publish(run, data, questions(data, 2, NUM))
    assert [task["data"]["round"] for task in json.loads((run / "query.json").read_text())] == [2] * NUM
    assert (run / "query.csv").read_text() == "index,label\n5,cat\n"
    studio, file, none = (
        comparable_settings({"loop": {"oracle": oracle}})
        for oracle in (
            {"class_path": "al_lightning.LabelStudioOracle", "init_args": {"url": url, "project": 7, "images": None}},
            {"class_path": "al_lightning.labeling.FileOracle", "init_args": {"image_url": "x{path}"}},
            None,
        )
    )
    assert difference(studio, file) == difference(file, studio) == ""
    assert "`loop.oracle`" in difference(studio, none)


# ------------------------------------------------------------------------------------------------ projects of others


def make_project(server: StudioServer, **settings: Any) -> int:
    return server.reply("POST", "/api/projects", {"Authorization": f"Token {LEGACY}"}, json.dumps(settings).encode())[
        2
    ]["id"]


def test_a_project_that_is_given_gets_the_tasks_and_an_interface_if_it_has_none(
    server: StudioServer, url: str, data: Any
) -> None:
    make_project(server, title="mine")
    number = make_project(server, title="empty", label_config="<View></View>")
    publish(LabelStudioOracle(url, project=number), data, questions(data))
    assert {task["project"] for task in server.tasks.values()} == {number}
    assert server.projects[number]["label_config"] == labeling_config(NAMES)
    assert server.projects[number]["title"] == "empty"


def test_an_interface_of_ones_own_stays_if_it_has_the_classes(server: StudioServer, url: str, data: Any) -> None:
    config = labeling_config(["more", *NAMES]).replace("<View>", '<View><Header value="Hello"/>')
    number = make_project(server, title="mine", label_config=config)
    publish(LabelStudioOracle(url, project=number), data, questions(data))
    assert server.projects[number]["label_config"] == config


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (labeling_config(NAMES[:2]), "to have all classes, but a dog are missing"),
        (labeling_config(NAMES, images=False), "to have Choices of the name `label` for an object of the name `image`"),
        (labeling_config(NAMES).replace('name="label"', 'name="class"'), "to have Choices of the name `label`"),
        (labeling_config(NAMES).replace('"$image"', '"$photo"'), r"with the value `\$image`"),
    ],
)
def test_a_project_that_asks_something_else_is_refused(
    config: str, words: str, server: StudioServer, url: str, data: Any
) -> None:
    number = make_project(server, title="mine", label_config=config)
    with pytest.raises(InputError, match=words):
        publish(LabelStudioOracle(url, project=number), data, questions(data))
    assert server.tasks == {}
    assert server.projects[number]["label_config"] == config


def test_predictions_are_shown_in_a_project_that_showed_those_of_another_model(
    server: StudioServer, url: str, data: Any
) -> None:
    number = make_project(server, title="mine", label_config=labeling_config(NAMES), model_version="round 0")
    publish(LabelStudioOracle(url, project=number), data, questions(data))
    assert server.projects[number]["model_version"] == "al-lightning"


def test_a_run_that_has_no_predictions_yet_leaves_that_to_the_first_ones(
    server: StudioServer, url: str, data: Any
) -> None:
    first = [replace(question, predicted=None, confidence=None) for question in questions(data, 0)]
    publish(LabelStudioOracle(url), data, first)
    assert server.projects[1]["model_version"] == ""
    publish(LabelStudioOracle(url), data, questions(data, 1, NUM))
    assert server.projects[1]["model_version"] == "al-lightning"


# --------------------------------------------------------------------------------------------- what becomes of servers


def test_a_project_that_was_deleted_is_said_and_the_questions_go_on_elsewhere(
    server: StudioServer, url: str, data: Any
) -> None:
    run = publish(LabelStudioOracle(url), data, questions(data))
    server.delete_project(1)
    for act in (
        lambda: publish(LabelStudioOracle(url), data, questions(data, 2, NUM)),
        lambda: pull(run, [1]),
    ):
        with pytest.raises(InputError, match=r"Expected project 1 of the run in .*, but it was deleted; nothing in .*"):
            act()
    number = make_project(server, title="new one", label_config="<View></View>") + 1
    server.projects[number] = server.projects.pop(number - 1) | {"id": number}
    publish(LabelStudioOracle(url, project=number), data, questions(data, 2, NUM))
    assert indices(server, 2) == [5, 6, 7, 8, 9]
    (run / STATE).unlink()
    publish(LabelStudioOracle(url), data, questions(data, 2, NUM))
    assert len(server.projects) == 2


def test_a_server_may_move_and_its_tasks_with_it(server: StudioServer, url: str, data: Any) -> None:
    run = publish(LabelStudioOracle(url), data, questions(data))
    with running(server) as moved:
        publish(LabelStudioOracle(moved), data, questions(data))
        assert indices(server) == [0, 1, 2, 3, 4]
        assert pull(run, [1]).page == f"{moved}/projects/1"


def test_another_server_gets_the_open_questions_and_its_own_projects_stay(
    server: StudioServer, url: str, data: Any
) -> None:
    run = publish(LabelStudioOracle(url), data, questions(data))
    other = StudioServer()
    make_project(other, title="of somebody", label_config=labeling_config(NAMES))
    with running(other) as address:
        publish(LabelStudioOracle(address), data, questions(data))
    assert [task["project"] for task in other.tasks.values()] == [2] * NUM
    state = StudioState.read(run)
    assert state is not None
    assert (state.url, state.project) == (address, 2)


def test_a_task_that_was_deleted_is_asked_again(server: StudioServer, url: str, data: Any) -> None:
    run = publish(LabelStudioOracle(url), data, questions(data))
    del server.tasks[2]
    (note,) = pull(run, [1]).notes
    assert note.startswith(f"1 tasks were deleted in {url}/projects/1")
    publish(LabelStudioOracle(url), data, questions(data))
    assert sorted(indices(server)) == [0, 1, 2, 3, 4]
    assert pull(run, [1]).notes == []


def test_the_key_is_written_nowhere(server: StudioServer, url: str, data: Any) -> None:
    run = publish(LabelStudioOracle(url), data, questions(data))
    pull(run, [1])
    for path in run.iterdir():
        assert LEGACY not in path.read_text()
    assert LEGACY not in repr(vars(LabelStudioOracle(url)))
    assert not any(LEGACY in request for request in server.requests)


def test_a_file_of_state_that_was_edited_is_refused(url: str, data: Any) -> None:
    run = publish(LabelStudioOracle(url), data, questions(data))
    for text in ("", "{", "[]", '{"url": "x", "run": "y", "project": "z", "tasks": {}}'):
        (run / STATE).write_text(text)
        with pytest.raises(InputError, match=rf"Expected .*{STATE} as it was written"):
            publish(LabelStudioOracle(url), data, questions(data))


def test_an_image_that_is_gone_is_named(server: StudioServer, url: str, data: Any) -> None:
    Path(data.root, "3.tif").unlink()
    with pytest.raises(InputError, match=r"Expected to upload .*3.tif, but it cannot be read: No such file"):
        publish(LabelStudioOracle(url), data, questions(data))
    assert server.tasks == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"images": "links"}, "`loop.oracle.images` to be upload, local or url, but got `links`"),
        ({"images": "url"}, "`loop.oracle.image_url` if and only if"),
        ({"images": "upload", "image_url": "http://a.org/{name}"}, "`loop.oracle.image_url` if and only if"),
        ({"image_url": "http://a.org/"}, r"`loop.oracle.image_url` to have \{path\} or \{name\}"),
        ({"url": "nowhere"}, "`loop.oracle.url` to be the address of Label Studio"),
    ],
)
def test_arguments_out_of_range_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        LabelStudioOracle(**{"url": "http://127.0.0.1:9", **settings})
