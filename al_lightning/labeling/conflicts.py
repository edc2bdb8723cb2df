"""Which of several answers for one sample counts."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Literal, NamedTuple

from al_lightning.data.answer import Answer

Conflicts = Literal["refuse", "majority", "latest"]
RULES: tuple[Conflicts, ...] = ("refuse", "majority", "latest")


class Voice(NamedTuple):
    """An answer with its class."""

    answer: Answer
    label: int
    """Class index; -1 for a skip."""


def winner(voices: Sequence[Voice], rule: Conflicts) -> Voice | None:
    """The answer that counts.

    An answer that is marked as ground truth wins over all others. If all answers agree, the first one counts. If not,
    the rule decides:

    - ``refuse``: no answer counts.
    - ``majority``: the class with the most votes. Each person has one vote, the latest answer. An answer without a
      person is a vote of its own. In a tie no answer counts.
    - ``latest``: the latest answer by its time. If an answer has no time, the last one in the file.

    Args:
        voices: Answers for one sample, at least one, in the order of the file.
        rule: The rule.

    Returns:
        The answer; ``None`` if no answer counts.
    """
    voices = [voice for voice in voices if voice.answer.is_truth] or voices
    if len({voice.label for voice in voices}) == 1:
        return voices[0]
    if rule == "latest":
        return latest(voices)
    if rule == "majority":
        votes = one_of_each(voices)
        (first, most), *others = Counter(vote.label for vote in votes).most_common()
        if not others or others[0][1] < most:
            return next(vote for vote in votes if vote.label == first)
    return None


def one_of_each(voices: Sequence[Voice]) -> list[Voice]:
    """The latest answer of each person, and all answers without a person."""
    of_person: dict[str, list[Voice]] = {}
    for position, voice in enumerate(voices):
        of_person.setdefault(voice.answer.annotator or f"\0{position}", []).append(voice)
    return [latest(own) for own in of_person.values()]


def latest(voices: Sequence[Voice]) -> Voice:
    """The latest answer by its time, or the last one if an answer has no time."""
    times = [as_time(voice.answer.at) for voice in voices]
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        return voices[-1]
    return max(enumerate(voices), key=lambda pair: (known[pair[0]], pair[0]))[1]


def as_time(text: str) -> datetime | None:
    """A time in ISO 8601, in UTC if it has no zone; ``None`` if the text is not a time."""
    try:
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)
