"""Agreement of people who answered for the same samples: raw agreement, Cohen's kappa and Fleiss' kappa."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from al_lightning.errors import InputError
from al_lightning.run_folder.tables import Answered


@dataclass(frozen=True)
class Agreement:
    """How far people agree."""

    people: tuple[str, ...]
    """Who answered, in alphabetical order."""
    num_samples: int
    """Number of samples with answers of at least two people. All other samples are left out."""
    raw: float
    """Proportion of pairs of answers for one sample that agree, in [0, 1]. Each sample counts the same."""
    kappa: float | None
    """Cohen's kappa of two people, Fleiss' kappa of more; ``None`` if all answers are of one class."""
    confused: tuple[str, str, int] | None
    """The two classes that most often contradict each other, and how often; ``None`` if all answers agree."""

    @property
    def name(self) -> str:
        """Name of the coefficient."""
        return "Cohen's kappa" if len(self.people) == 2 else "Fleiss' kappa"


def agreement(answers: Iterable[Answered]) -> Agreement:
    """Compares the answers of people.

    The latest answer of each person for a sample counts, also if it is not the label of the run. A skip is a class of
    its own.

    Args:
        answers: The rows of answers.csv. Rows without a person are left out.

    Raises:
        InputError: If no sample has answers of two people.
    """
    of_sample: dict[int, dict[str, str]] = {}
    for row in answers:
        if row.annotator:
            of_sample.setdefault(row.index, {})[row.annotator] = row.label
    several = [of_person for of_person in of_sample.values() if len(of_person) > 1]
    if not several:
        raise InputError(
            "Expected samples with answers of two people for `--agreement`, but there are none; a column `annotator` "
            "or --annotator says who answered."
        )
    people = tuple(sorted({person for of_person in several for person in of_person}))
    pairs = Counter(
        (min(pair), max(pair))
        for of_person in several
        for pair in combinations(of_person.values(), 2)
        if pair[0] != pair[1]
    )
    most = max(pairs.items(), key=lambda item: (item[1], item[0]), default=None)
    kappa = cohen_kappa(several, *people) if len(people) == 2 else fleiss_kappa([[*one.values()] for one in several])
    raw = sum(_agreeing([*one.values()]) for one in several) / len(several)
    return Agreement(people, len(several), raw, kappa, None if most is None else (*most[0], most[1]))


def cohen_kappa(samples: Sequence[Mapping[str, str]], first: str, second: str) -> float | None:
    r"""Cohen's kappa, :math:`(p_o - p_e) / (1 - p_e)`: the agreement beyond that of two people who choose at random.

    Args:
        samples: The label of each person, for each sample.
        first: A person.
        second: The other person.

    Returns:
        A number of at most 1; ``None`` if both people gave the same label to all samples.
    """
    counts = [Counter(sample[person] for sample in samples) for person in (first, second)]
    observed = sum(sample[first] == sample[second] for sample in samples) / len(samples)
    expected = sum(counts[0][label] * counts[1][label] for label in counts[0]) / len(samples) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def fleiss_kappa(samples: Sequence[Sequence[str]]) -> float | None:
    r"""Fleiss' kappa, :math:`(\bar P - \bar P_e) / (1 - \bar P_e)`.

    Samples may have different numbers of answers. :math:`\bar P` is the mean over samples of the proportion of pairs of
    answers that agree. :math:`\bar P_e` is the sum of squares of the proportions of the classes among all answers.

    Args:
        samples: The labels of each sample, at least two.

    Returns:
        A number of at most 1; ``None`` if all labels are the same.
    """
    counts = Counter(label for sample in samples for label in sample)
    total = sum(counts.values())
    observed = sum(map(_agreeing, samples)) / len(samples)
    expected = sum((count / total) ** 2 for count in counts.values())
    return None if len(counts) == 1 else (observed - expected) / (1 - expected)


def _agreeing(labels: Sequence[str]) -> float:
    """Proportion of pairs of labels that are the same."""
    counts = Counter(labels).values()
    return sum(count * (count - 1) for count in counts) / (len(labels) * (len(labels) - 1))


def describe(found: Agreement) -> str:
    """The figures in sentences, one a line."""
    have = "sample has" if found.num_samples == 1 else "samples have"
    kappa = "is not defined, because all answers are of one class" if found.kappa is None else f"is {found.kappa:.3f}"
    lines = [
        f"{found.num_samples} {have} answers of two people or more: {', '.join(found.people)}.",
        f"{100 * found.raw:.1f} % of the pairs of answers agree. {found.name} {kappa}; a skip counts as a class.",
    ]
    if found.confused is not None:
        one, other, count = found.confused
        pairs = "pair" if count == 1 else "pairs"
        lines.append(f"Most often confused: {one} and {other}, in {count} {pairs} of answers.")
    return "\n".join(lines)
