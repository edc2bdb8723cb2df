"""The labeled samples, compared with a list in Python."""

import torch
from hypothesis import given, settings, strategies as st

from al_lightning.data.labeled_pool import LabeledPool

NUM_CLASSES = 3


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[list[tuple[int, int]]]]:
    """Targets of a training set, and queries: for each sample its place among the remaining ones, and its answer."""
    targets = draw(st.lists(st.integers(-1, NUM_CLASSES - 1), min_size=1, max_size=12))
    left, queries = len(targets), []
    for _ in range(draw(st.integers(0, 3))):
        places = draw(st.lists(st.integers(0, left - 1), unique=True, max_size=left)) if left else []
        queries.append([(place, draw(st.integers(-1, NUM_CLASSES - 1))) for place in places])
        left -= len(places)
    return targets, queries


@settings(deadline=None)
@given(histories())
def test_positions_and_indices_are_those_of_a_list(history: tuple[list[int], list[list[tuple[int, int]]]]) -> None:
    targets, queries = history
    pool = LabeledPool(torch.tensor(targets))
    left, known = list(range(len(targets))), {}
    for query in queries:
        positions = torch.tensor([place for place, _ in query], dtype=torch.int64)
        answers = torch.tensor([answer for _, answer in query], dtype=torch.int64)
        indices = pool.indices_of(positions)
        assert indices.tolist() == [left[place] for place, _ in query]
        pool.label(indices, answers, NUM_CLASSES)
        known |= dict(zip(indices.tolist(), answers.tolist(), strict=True))
        left = [index for index in left if index not in known]
        assert pool.unlabeled_indices.tolist() == left
    assert pool.labeled.nonzero().flatten().tolist() == sorted(index for index, label in known.items() if label >= 0)
    assert pool.targets.tolist() == [known.get(index, target) for index, target in enumerate(targets)]
    pool.clear()
    assert pool.targets.tolist() == targets
    assert len(pool.unlabeled_indices) == len(targets)
