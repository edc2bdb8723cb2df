"""Answers are matched with questions, and are accepted or not."""

import pytest

from al_lightning.labeling.answers import Answer
from al_lightning.labeling.ledger import Ledger
from al_lightning.labeling.match_answers import settle
from al_lightning.labeling.settled import Settled
from al_lightning.run_folder import Query

NAMES = ["cat", "dog", "bird"]
QUESTIONS = [Query(1, order, index, None, file=f"{index}.jpg") for order, index in enumerate((7, 3, 5))]


def answer(index: int | None, label: str | None, where: str = "line 2", file: str | None = None) -> Answer:
    return Answer(where, index, file, label)


def labels(settled: Settled) -> list[int | None]:
    assert [question.index for question in settled.questions] == [7, 3, 5]
    return [question.label for question in settled.questions]


def test_a_class_is_given_by_its_name() -> None:
    settled = settle(QUESTIONS, [answer(3, "dog")], Ledger(NAMES))
    assert labels(settled) == [None, 1, None]
    assert (settled.num_taken, settled.num_skipped, settled.problems, settled.notes) == (1, 0, [], [])


def test_a_name_that_is_a_number_is_the_name() -> None:
    assert labels(settle(QUESTIONS, [answer(3, "0")], Ledger(["2", "1", "0"]))) == [None, 2, None]


@pytest.mark.parametrize(
    ("names", "label"),
    [(["1", "2", "3"], "0"), (["01", "02", "03"], "1"), (["5", "6", "7"], "2"), (["cat", "dog"], "0")],
)
def test_a_number_that_is_no_name_is_no_class(names: list[str], label: str) -> None:
    settled = settle(QUESTIONS, [answer(3, label)], Ledger(names))
    assert labels(settled) == [None, None, None]
    assert "is no class" in settled.problems[0]


def test_a_file_stands_for_its_sample() -> None:
    assert labels(settle(QUESTIONS, [answer(None, "bird", file="5.jpg")], Ledger(NAMES))) == [None, None, 2]


def test_a_skip_is_an_answer() -> None:
    settled = settle(QUESTIONS, [answer(3, None), answer(5, "cat")], Ledger(NAMES))
    assert labels(settled) == [None, -1, 0]
    assert (settled.num_taken, settled.num_skipped) == (2, 1)


def test_the_same_answer_twice_counts_once_and_is_noted() -> None:
    settled = settle(QUESTIONS, [answer(3, "dog"), answer(3, "dog")], Ledger(NAMES))
    assert labels(settled) == [None, 1, None]
    assert settled.num_taken == 1
    assert settled.notes == ["3.jpg: the same answer 2 times"]
    assert settled.problems == []


PROBLEMS = {
    "unknown class": ([answer(3, "dgo", "line 4")], "line 4: `dgo` is no class; did you mean dog?"),
    "number": ([answer(3, "1")], "line 2: `1` is no class"),
    "not asked": ([answer(4, "dog")], "line 2: sample 4 was not asked for"),
    "another file": ([answer(None, "dog", file="4.jpg")], "line 2: 4.jpg was not asked for"),
    "neither": ([answer(None, "dog")], "line 2: a sample was not asked for"),
    "file of another": ([answer(3, "dog", file="7.jpg")], "line 2: sample 3 is 3.jpg, not 7.jpg"),
    "contradiction": (
        [answer(3, "dog", "line 2"), answer(3, "cat", "line 3"), answer(3, None, "line 4")],
        "3.jpg: the answers contradict each other: dog (line 2), cat (line 3), skip (line 4)",
    ),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_what_is_not_taken_is_said_and_the_rest_is_taken(case: str) -> None:
    answers, problem = PROBLEMS[case]
    settled = settle(QUESTIONS, [*answers, answer(5, "cat")], Ledger(NAMES))
    assert labels(settled) == [None, None, 0]
    assert settled.problems == [problem]
    assert settled.num_taken == 1


def test_a_later_answer_replaces_the_first_and_is_noted() -> None:
    first = settle(QUESTIONS, [answer(3, "dog")], Ledger(NAMES))
    second = settle(first.questions, [answer(3, "cat"), answer(7, "bird")], Ledger(NAMES))
    assert labels(second) == [2, 0, None]
    assert second.notes == ["3.jpg: cat instead of dog, which it had before"]
    assert settle(second.questions, [answer(3, "cat")], Ledger(NAMES)).notes == []


@pytest.mark.parametrize(
    ("name", "said"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9"), ("e\u0301", "\u00e9")]
)
def test_an_accent_may_be_composed_in_another_way(name: str, said: str) -> None:
    assert name != said
    settled = settle(QUESTIONS, [answer(3, said)], Ledger(["cat", name]))
    assert labels(settled) == [None, 1, None]
    assert settled.problems == []
    asked = [Query(1, 0, 4, None, file=f"/photos/{name}.jpg")]
    for index in (None, 4):
        assert settle(asked, [answer(index, "dog", file=f"/photos/{said}.jpg")], Ledger(NAMES)).questions[0].label == 1


def test_two_files_that_differ_in_composition_alone_are_two() -> None:
    asked = [Query(1, 0, 4, None, file="caf\u00e9.jpg"), Query(1, 1, 5, None, file="cafe\u0301.jpg")]
    settled = settle(
        asked, [answer(None, "dog", file="cafe\u0301.jpg"), answer(None, "cat", file="caf\u00e9.jpg")], Ledger(NAMES)
    )
    assert [question.label for question in settled.questions] == [0, 1]
