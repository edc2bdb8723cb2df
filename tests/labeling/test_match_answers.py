"""Answers are matched with questions, and are accepted or not."""

from dataclasses import replace

import pytest

from al_lightning.labeling.answers import Answer
from al_lightning.labeling.ledger import Ledger
from al_lightning.labeling.match_answers import settle
from al_lightning.labeling.settled import Settled
from al_lightning.run_folder import Query
from al_lightning.run_folder.tables import Answered, Sample

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
    "neither": ([answer(None, "dog")], "line 2: it names no sample, by index or file"),
    "file of another": ([answer(3, "dog", file="7.jpg")], "line 2: sample 3 is 3.jpg, not 7.jpg"),
    "cells that an open quote joins": ([answer(3, "cat\n4,dog")], "line 2: `cat 4,dog` is no class"),
    "a long text": ([answer(3, "x" * 5000)], f"line 2: `{'x' * 100} ...` is no class"),
    "half a character": ([answer(3, "\ud800")], "line 2: `\\ud800` is no class"),
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


@pytest.mark.parametrize("said", ["red\u00a0fox", "red fox\u200b", "red  fox", "\ufeffred fox\u202f"])
def test_blanks_that_look_alike_are_alike(said: str) -> None:
    settled = settle(QUESTIONS, [answer(3, said)], Ledger(["cat", "red fox"]))
    assert (labels(settled), settled.problems) == ([None, 1, None], [])


def test_two_classes_that_look_alike_are_two() -> None:
    names = ["red fox", "red\u00a0fox"]
    settled = settle(QUESTIONS, [answer(3, names[0]), answer(5, names[1])], Ledger(names))
    assert labels(settled) == [None, 0, 1]


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


# ------------------------------------------------------------------------------------------- what the run knows already

BOUGHT = [Query(0, 0, 1, 0), Query(0, 1, 2, 1)]
ROWS = [Answered(0, 1, "a/1.jpg", "cat", "known"), Answered(0, 2, "a/2.jpg", "dog", "answer", "anna", "2026-11-02")]


def ledger(*rows: Answered) -> Ledger:
    return Ledger(
        NAMES, BOUGHT, [*ROWS, *rows], [Sample(8, "a/8.jpg", "", 0), Sample(9, "9.jpg", "", 0, 1)], ["t/4.jpg"]
    )


def said(index: int | None, label: str | None, person: str = "", at: str = "", file: str | None = None) -> Answer:
    return Answer("task 6", index, file, label, person, at)


def test_an_answer_that_agrees_with_an_earlier_round_is_known() -> None:
    settled = settle(QUESTIONS, [said(1, "cat"), said(None, "dog", file="a/2.jpg"), said(3, "dog")], ledger())
    assert (settled.num_known, settled.num_taken, settled.problems, settled.differing) == (2, 1, [], [])
    assert labels(settled) == [None, 1, None]


def test_an_answer_that_differs_from_an_earlier_round_is_a_correction_on_request() -> None:
    answers = [said(1, "dog"), said(None, None, file="2.jpg"), said(7, "bird")]
    settled = settle(QUESTIONS, answers, ledger())
    assert settled.differing == [
        "a/1.jpg: dog instead of cat (task 6)",
        "a/2.jpg: skip instead of dog (task 6)",
    ]
    assert (settled.num_known, settled.num_taken, settled.corrections, settled.problems) == (0, 1, [], [])
    settled = settle(QUESTIONS, answers, ledger(), correct=True)
    assert settled.corrections == ["a/1.jpg: dog instead of cat", "a/2.jpg: skip instead of dog"]
    assert (settled.num_taken, settled.differing) == (1, [])
    corrections = [(row.index, row.label) for row in settled.rows if row.kind == "correction"]
    assert corrections == [(1, "dog"), (2, "skip")]


def test_a_correction_that_changes_nothing_is_known() -> None:
    settled = settle([], [said(1, "cat"), said(2, "dog", "ben")], ledger(), correct=True)
    assert (settled.num_known, settled.corrections) == (2, [])
    assert [(row.kind, row.annotator) for row in settled.rows] == [("other", "ben")]


CORRECTED = Answered(1, 2, "a/2.jpg", "bird", "correction", "", "2026-11-05T00:00:00+00:00")


@pytest.mark.parametrize(
    ("answer", "correct", "outcome"),
    [
        (said(2, "bird", "ben"), False, "known"),
        (said(2, "dog", "anna"), False, "known"),  # an export that repeats it
        (said(2, "dog", "anna", "2026-11-01"), True, "known"),  # older than the correction
        (said(2, "dog", "ben", "2026-11-01"), False, "known"),
        (said(2, "dog", "anna", "2026-11-06"), True, "corrections"),
        (said(2, "dog", "anna"), True, "corrections"),
        (said(2, "dog", "ben"), False, "differing"),
        (said(2, "cat", "anna", "2026-11-06"), False, "differing"),
    ],
)
def test_an_answer_that_was_corrected_comes_back_only_on_request(answer: Answer, correct: bool, outcome: str) -> None:
    settled = settle([], [answer], ledger(CORRECTED), correct=correct)
    assert (settled.num_known, len(settled.corrections), len(settled.differing)) == {
        "known": (1, 0, 0),
        "corrections": (0, 1, 0),
        "differing": (0, 0, 1),
    }[outcome]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (said(8, "cat"), "task 6: sample 8 was not asked for; it is in the pool"),
        (said(None, "cat", file="a/8.jpg"), "task 6: a/8.jpg was not asked for; it is in the pool"),
        (said(9, "cat"), "task 6: sample 9 was not asked for; its file is gone"),
        (said(None, "cat", file="4.jpg"), "task 6: 4.jpg was not asked for; it is in the test set"),
        (said(None, "cat", file="x.jpg"), "task 6: x.jpg was not asked for"),
        (said(1, "cat", file="a/2.jpg"), "task 6: sample 1 is a/1.jpg, not a/2.jpg"),
    ],
)
def test_where_a_sample_is_that_nobody_asked_for(answer: Answer, problem: str) -> None:
    settled = settle(QUESTIONS, [answer], ledger(), correct=True)
    assert (settled.problems, settled.rows) == ([problem], [])


@pytest.mark.parametrize(
    "file", ["a/2.jpg", "new/3.jpg", "3.jpg", "photos/new/3.jpg", "/x/photos/new/3.jpg", "photos/a/2.jpg"]
)
@pytest.mark.parametrize("index", [2, None])
def test_a_file_that_was_moved_has_both_names(index: int | None, file: str) -> None:
    moved = replace(ledger(), pool=[Sample(2, "new/3.jpg", "", 0)], root="photos")
    assert settle([], [said(index, "dog", file=file)], moved).num_known == 1
    assert settle([], [said(index, "cat", file=file)], moved).differing == [
        "photos/new/3.jpg: cat instead of dog (task 6)"
    ]


def test_a_name_of_several_files_is_refused() -> None:
    asked = [Query(1, order, order, None, file=f"{folder}/1.jpg") for order, folder in enumerate("abcd")]
    settled = settle(asked, [said(None, "cat", file="1.jpg")], Ledger(NAMES))
    assert settled.problems == ["task 6: 1.jpg may be one of 4 files: a/1.jpg, b/1.jpg, c/1.jpg, ..."]
    assert settled.num_taken == 0


# ----------------------------------------------------------------------------------------------------- several people


def kinds(settled: Settled) -> list[tuple[str, str, str]]:
    return [(row.kind, row.annotator, row.label) for row in settled.rows]


def test_answers_that_do_not_count_are_kept_before_the_one_that_does() -> None:
    given = [said(3, "cat", "anna"), said(3, "dog", "ben"), said(3, "dog", "carl")]
    settled = settle(QUESTIONS, given, Ledger(NAMES), conflicts="majority")
    assert kinds(settled) == [("other", "anna", "cat"), ("other", "carl", "dog"), ("answer", "ben", "dog")]
    assert settled.notes == []
    again = settle([], given, Ledger(NAMES, [Query(1, 1, 3, 1)], settled.rows))  # the next export, whatever the rule
    assert (again.num_known, again.rows, again.problems) == (1, [], [])


def test_answers_of_people_that_contradict_each_other_are_kept_once() -> None:
    given = [said(3, "cat", "anna"), said(3, "dog", "ben")]
    settled = settle(QUESTIONS, given, Ledger(NAMES))
    assert settled.problems == ["3.jpg: the answers contradict each other: cat (anna, task 6), dog (ben, task 6)"]
    assert settled.has_conflict
    assert kinds(settled) == [("other", "anna", "cat"), ("other", "ben", "dog")]
    assert settle(QUESTIONS, given, Ledger(NAMES, answers=settled.rows)).rows == []
    unnamed = settle(QUESTIONS, [said(3, "cat"), said(3, "dog")], Ledger(NAMES))  # a slip in a table
    assert (unnamed.has_conflict, unnamed.rows) == (True, [])


def test_people_whose_answers_come_one_after_the_other_have_a_vote_each() -> None:
    rows = [Answered(1, 3, "3.jpg", label, "other", person) for label, person in (("cat", "anna"), ("dog", "ben"))]
    past = Ledger(NAMES, answers=rows)
    assert settle(QUESTIONS, [said(3, "dog", "carl")], past).problems == [
        "3.jpg: the answers contradict each other: cat (anna, earlier), dog (ben, earlier), dog (carl, task 6)"
    ]
    assert labels(settle(QUESTIONS, [said(3, "dog", "carl")], past, "majority")) == [None, 1, None]
    assert labels(settle(QUESTIONS, [said(3, "cat", "ben")], past)) == [None, 0, None]  # ben agrees by now
    assert labels(settle(QUESTIONS, [said(3, "bird")], past)) == [None, 2, None]  # a table decides


def test_a_label_of_somebody_is_not_replaced_by_somebody_else_without_a_rule() -> None:
    first = settle(QUESTIONS, [said(3, "cat", "anna")], Ledger(NAMES))
    past = Ledger(NAMES, answers=first.rows)
    second = settle(first.questions, [said(3, "dog", "ben")], past)
    assert (labels(second), second.has_conflict) == ([None, 0, None], True)
    assert labels(settle(first.questions, [said(3, "dog", "ben")], past, "latest")) == [None, 1, None]
    assert labels(settle(first.questions, [said(3, "dog", "ben")], past, correct=True)) == [None, 1, None]
    assert labels(settle(first.questions, [said(3, "dog", "anna")], past)) == [None, 1, None]


def test_an_export_does_not_undo_a_table_that_came_later() -> None:
    taken = "2026-11-05T00:00:00+00:00"
    rows = [
        Answered(1, 3, "3.jpg", "cat", "answer", "anna", taken),
        Answered(1, 3, "3.jpg", "dog", "answer", "", taken),
    ]
    asked = [QUESTIONS[0], replace(QUESTIONS[1], label=1), QUESTIONS[2]]
    past = Ledger(NAMES, answers=rows)
    assert labels(settle(asked, [said(3, "cat", "anna", "2026-11-04")], past)) == [None, 1, None]
    assert labels(settle(asked, [said(3, "cat", "anna", "2026-11-06")], past)) == [None, 0, None]


def test_names_of_classes_may_have_spaces_around_them() -> None:
    assert labels(settle(QUESTIONS, [said(3, "dog")], Ledger(["cat", " dog "]))) == [None, 1, None]
    assert labels(settle(QUESTIONS, [said(3, "dog")], Ledger([" dog", "dog"]))) == [None, 1, None]
