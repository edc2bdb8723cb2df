"""The answer that counts among several."""

import pytest

from al_lightning.data.answer import Answer
from al_lightning.labeling.conflicts import RULES, Conflicts, Voice, as_time, winner


def voice(label: int, annotator: str = "", at: str = "", is_truth: bool = False) -> Voice:
    return Voice(Answer("line 2", 7, None, str(label), annotator, at, is_truth), label)


EARLY, LATE = "2026-11-22T10:00:00.5Z", "2026-11-22T12:00:00+02:00"
"""10:00:00.5 in UTC, and 10:00 in UTC: the text of the earlier time is greater."""
CASES: dict[str, tuple[list[Voice], dict[Conflicts, int | None]]] = {
    "agreement": ([voice(1, "a"), voice(1, "b")], {"refuse": 1, "majority": 1, "latest": 1}),
    "two of three": ([voice(1, "a"), voice(2, "b"), voice(1, "c")], {"refuse": None, "majority": 1, "latest": 1}),
    "a tie": ([voice(1, "a"), voice(2, "b")], {"refuse": None, "majority": None, "latest": 2}),
    "a tie of the most": (
        [voice(3, "a"), voice(1, "b"), voice(2, "c"), voice(1, "d"), voice(2, "e")],
        {"refuse": None, "majority": None, "latest": 2},
    ),
    "a skip is an answer": ([voice(-1, "a"), voice(-1, "b"), voice(0, "c")], {"majority": -1, "latest": 0}),
    "one vote a person": ([voice(1, "a"), voice(1, "a"), voice(2, "b")], {"majority": None}),
    "the last of a person": ([voice(1, "a"), voice(2, "a"), voice(2, "b")], {"refuse": None, "majority": 2}),
    "votes without a person": ([voice(1), voice(1), voice(2)], {"majority": 1}),
    "times, not places": ([voice(1, "a", EARLY), voice(2, "b", LATE)], {"latest": 1}),
    "times, not texts": ([voice(2, "b", LATE), voice(1, "a", EARLY)], {"latest": 1}),
    "a time is missing": ([voice(1, "a", EARLY), voice(2, "b")], {"latest": 2}),
    "no time": ([voice(1, "a", EARLY), voice(2, "b", "yesterday")], {"latest": 2}),
    "the same time": ([voice(1, "a", EARLY), voice(2, "b", EARLY)], {"latest": 2}),
    "truth": ([voice(1, "a"), voice(2, "b", is_truth=True), voice(1, "c")], dict.fromkeys(RULES, 2)),
    "two truths": (
        [voice(1, "a", is_truth=True), voice(2, "b", is_truth=True), voice(1, "c")],
        {"refuse": None, "majority": None, "latest": 2},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_counts(case: str) -> None:
    voices, expected = CASES[case]
    for rule, label in expected.items():
        best = winner(voices, rule)
        assert (None if best is None else best.label) == label, rule
        assert best is None or best in voices


def test_times_have_zones() -> None:
    early, late = as_time(EARLY), as_time(LATE)
    assert early is not None
    assert late is not None
    assert (early - late).total_seconds() == 0.5
    assert as_time("2026-11-22 10:00") == late
    assert as_time("") is as_time("22.11.2026") is None
