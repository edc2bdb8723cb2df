"""Tasks go into Label Studio and answers come out of it, by Label Studio's own package."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface

from al_lightning.labeling.answers import Answer, read_answers
from al_lightning.labeling.label_studio import labeling_config, task
from al_lightning.run_folder import Query

NAMES = ["cat", 'a "big" dog', "Größe <1 & 2>"]
QUESTIONS = [
    Query(3, i, 10 * i + 7, None, score=0.5, predicted=i % 3, confidence=0.25 + i / 10, file=f"photos/{i} é.jpg")
    for i in range(5)
]
TABLE = [Query(1, i, i, None) for i in range(3)]


def make(questions: list[Query]) -> tuple[str, list[dict[str, Any]]]:
    images = bool(questions[0].file)
    config = labeling_config(NAMES, images)
    return config, json.loads(json.dumps([task(q, NAMES, text="1, 2, 3") for q in questions]))


@pytest.mark.parametrize("questions", [QUESTIONS, TABLE], ids=["images", "tables"])
def test_the_interface_and_the_tasks_are_valid(questions: list[Query]) -> None:
    config, tasks = make(questions)
    interface = LabelInterface(config)
    interface.validate()
    assert [sorted(choices) for choices in interface.labels] == [sorted(NAMES)]
    for made in tasks:
        assert interface.validate_task({"data": made["data"]})  # with predictions it fails on an argument of its own
        for prediction in made.get("predictions", []):
            assert interface.validate_prediction(prediction, return_errors=True) == []
    assert all(("predictions" in made) == (questions is QUESTIONS) for made in tasks)


def test_predictions_of_all_rounds_have_one_version_and_the_round_is_in_the_data() -> None:
    """Label Studio shows the predictions of the version that a project saw first, and no others."""
    made = [task(replace(QUESTIONS[0], round=round), NAMES) for round in (1, 2, 30)]
    assert {prediction["model_version"] for one in made for prediction in one["predictions"]} == {"al-lightning"}
    assert [one["data"]["round"] for one in made] == [1, 2, 30]


def test_a_class_that_is_none_is_not_valid() -> None:
    """So that the test above can fail."""
    config, tasks = make(QUESTIONS)
    tasks[0]["predictions"][0]["result"][0]["value"]["choices"] = ["bird"]
    assert LabelInterface(config).validate_prediction(tasks[0]["predictions"][0], return_errors=True)


def annotation(id: int, choice: str | None, to_name: str = "image") -> dict[str, Any]:
    """As Label Studio keeps one: with a result, or cancelled."""
    result = {
        "id": f"r{id}",
        "type": "choices",
        "value": {"choices": [choice]},
        "origin": "manual",
        "to_name": to_name,
        "from_name": "label",
    }
    return {
        "id": id,
        "completed_by": 1,
        "result": [] if choice is None else [result],
        "was_cancelled": choice is None,
        "ground_truth": False,
        "created_at": "2026-11-22T10:00:00Z",
        "updated_at": "2026-11-22T10:00:01Z",
        "lead_time": 1.5,
    }


def exported(questions: list[Query], choices: list[str | None]) -> list[dict[str, Any]]:
    _, tasks = make(questions)
    to_name = "image" if questions[0].file else "text"
    return [
        {**made, "id": 100 + i, "annotations": [annotation(i, choice, to_name)]}
        for i, (made, choice) in enumerate(zip(tasks, choices, strict=True))
    ]


def sample_and_label(answers: list[Answer]) -> list[tuple[int | None, str | None]]:
    return [(answer.index, answer.label) for answer in answers]


@pytest.mark.parametrize("questions", [QUESTIONS[:3], TABLE], ids=["images", "tables"])
@pytest.mark.parametrize("format", ["json", "json_min", "csv"])
def test_what_it_exports_is_read(tmp_path: Path, questions: list[Query], format: str) -> None:
    config, _ = make(questions)
    choices: list[str | None] = [NAMES[2], NAMES[0], NAMES[1]]
    tasks = exported(questions, choices)
    interface = LabelInterface(config)
    assert all(interface.validate_annotation(made["annotations"][0]) for made in tasks)
    source = tmp_path / "tasks.json"
    source.write_text(json.dumps(tasks))
    if format == "json":
        path = source
    else:
        converter = Converter(config, str(tmp_path))
        converter.convert(str(source), str(tmp_path / "out"), format.upper(), is_dir=False)
        (path,) = (tmp_path / "out").iterdir()
        assert path.suffix == (".csv" if format == "csv" else ".json")
    answers = read_answers(path)
    assert sample_and_label(answers) == [(q.index, choice) for q, choice in zip(questions, choices, strict=True)]


def test_a_cancelled_annotation_is_a_skip_and_none_is_no_answer(tmp_path: Path) -> None:
    tasks = exported(QUESTIONS, [NAMES[0], None, NAMES[1], None, NAMES[2]])
    tasks[2]["annotations"] = []
    tasks[3]["annotations"].append(annotation(9, NAMES[1]))  # somebody else knew
    tasks[4]["annotations"].append(annotation(10, NAMES[0]))  # somebody else disagreed
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    assert sample_and_label(read_answers(path)) == [
        (7, NAMES[0]),
        (17, None),
        (37, NAMES[1]),
        (47, NAMES[2]),
        (47, NAMES[0]),
    ]
