"""Labels after corrections."""

from al_lightning.run_folder.current_labels import current_labels
from al_lightning.run_folder.tables import Answered, Query

NAMES = ["cat", "dog", "skip it"]
BOUGHT = [Query(0, 0, 7, 1), Query(0, 1, 9, -1), Query(1, 0, 2, 2)]


def correction(index: int, label: str) -> Answered:
    return Answered(2, index, "", label, "correction")


def test_without_corrections_the_labels_are_those_that_were_bought() -> None:
    assert current_labels(BOUGHT, [Answered(0, 7, "", "cat", "other"), Answered(0, 7, "", "dog", "answer")], NAMES) == [
        1,
        -1,
        2,
    ]


def test_the_last_correction_counts_also_to_and_from_a_skip() -> None:
    answers = [correction(7, "skip"), correction(9, "cat"), correction(2, "cat"), correction(2, "dog")]
    assert current_labels(BOUGHT, answers, NAMES) == [-1, 0, 1]
