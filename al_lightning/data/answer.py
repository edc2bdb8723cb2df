"""Answer: what a person says about one sample."""

from dataclasses import dataclass

MOST_DIGITS = 18  # in an index
SKIP = "skip"
"""Word of a person for a sample that has no label."""


@dataclass(frozen=True)
class Answer:
    """The answer of a file for one sample."""

    where: str
    """Its place in the file, for messages."""
    index: int | None
    """Training-set index, if the file has it."""
    file: str | None
    """Path of the sample's file, or its row in a file, if the file of answers has it."""
    label: str | None
    """Name of a class; ``None`` if the sample was skipped."""
    annotator: str = ""
    """The person who answered, if the file says so."""
    at: str = ""
    """Time of the answer in ISO 8601, if the file says so."""
    is_truth: bool = False
    """Whether the answer is marked as ground truth. Such an answer wins over others."""


def as_index(text: str) -> int | None:
    """A training-set index, also as spreadsheets write it; ``None`` if the text is not an index.

    Example:
        >>> as_index("7"), as_index("7.0"), as_index("7,0"), as_index("-7")
        (7, 7, 7, None)
    """
    for point in ".,":
        whole, found, rest = text.partition(point)
        if found and set(rest) <= {"0"}:
            text = whole
    return int(text) if text.isdecimal() and len(text) < MOST_DIGITS else None
