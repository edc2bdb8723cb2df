"""Overlap, class balance and convergence of queries, against sets and counts."""

from math import log

import numpy as np
import pytest
from hypothesis import given, strategies as st

from al_lightning.errors import InputError
from al_lightning.report.stats.queries import capped_share, class_balance, overlap

pytestmark = pytest.mark.filterwarnings("error")


@given(data=st.data(), num_initial=st.integers(0, 4), num_bought=st.integers(1, 12))
def test_overlap_is_that_of_sets(data, num_initial, num_bought):
    initial = list(range(100, 100 + num_initial))
    a, b = (data.draw(st.permutations(range(15)))[:num_bought] for _ in range(2))
    budgets = np.arange(num_initial + 1, num_initial + num_bought + 1)
    result = overlap(initial + a, initial[::-1] + b, budgets, num_initial)
    for i, share in enumerate(result):
        first, second = set(a[: i + 1]), set(b[: i + 1])
        assert share == len(first & second) / (i + 1)


def test_the_same_and_disjoint_queries():
    same = overlap([0, 1, 2, 3], [0, 3, 2, 1], [2, 4], num_initial=1)
    assert same.tolist() == [0, 1]
    disjoint = overlap([0, 1, 2], [0, 3, 4], [2, 3], num_initial=1)
    assert disjoint.tolist() == [0, 0]


def test_the_initial_set_alone_has_no_overlap():
    result = overlap([5, 6, 1], [6, 5, 1], [2, 3], num_initial=2)
    assert np.isnan(result[0])
    assert result[1] == 1


@pytest.mark.parametrize(
    ("a", "b", "num_labeled", "num_initial", "message"),
    [
        ([1, 2, 2], [1, 2, 3], [3], 1, "`a` to be distinct"),
        ([1, 2, 3], [2, 1, 3], [3], 1, "the same initial set"),
        ([1, 2, 3], [1, 2], [3], 1, "`num_labeled` to be from `num_initial`, 1, to 2"),
        ([1, 2, 3], [1, 2, 3], [1, 2], 2, "`num_labeled` to be from `num_initial`, 2, to 3"),
        ([1, 2, 3], [1, 2, 3], [3, 2], 1, "`num_labeled` to be above 0 and strictly"),
        ([1.0, 2.0], [1, 2], [2], 1, "`a` to be integers"),
        ([1, 2], [1, 2], [1.5], 1, "`num_labeled` to be integers"),
        ([1, 2], [1, 2], [2], -1, "`num_initial`, -1"),
    ],
)
def test_overlap_of_bad_input(a, b, num_labeled, num_initial, message):
    with pytest.raises(InputError, match=message):
        overlap(a, b, num_labeled, num_initial)


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=30), data=st.data())
def test_class_shares_and_entropy_are_those_of_counts(labels, data):
    budget = data.draw(st.integers(1, len(labels)))
    result = class_balance(labels, 5, [budget])
    part = labels[:budget]
    shares = [part.count(c) / len(part) for c in range(5)]
    assert result.shares.tolist() == [shares]
    assert result.entropy[0] == pytest.approx(-sum(p * log(p) for p in shares if p) / log(5))
    assert -1e-12 <= result.entropy[0] <= 1 + 1e-12


def test_class_balance_of_each_budget():
    result = class_balance([0, 1, 2, 0, 0, 0], 3, [1, 2, 3, 6])
    assert result.entropy.tolist() == pytest.approx([0, log(2) / log(3), 1, result.entropy[3]])
    assert result.shares[3].tolist() == pytest.approx([4 / 6, 1 / 6, 1 / 6])


@pytest.mark.parametrize(
    ("labels", "num_classes", "num_labeled", "message"),
    [
        ([0, 2], 2, [2], "`labels` to be from 0 to 1, but got 0 to 2"),
        ([-1, 1], 2, [2], "`labels` to be from 0 to 1, but got -1"),
        ([0, 0], 1, [2], "`num_classes`"),
        ([0, 1], 2, [3], "`num_labeled`"),
        ([0.0, 1.0], 2, [2], "`labels` to be integers"),
    ],
)
def test_class_balance_of_bad_input(labels, num_classes, num_labeled, message):
    with pytest.raises(InputError, match=message):
        class_balance(labels, num_classes, num_labeled)


def test_capped_share_of_each_run():
    assert capped_share([[True, True], [True, False], [False, False]]).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("converged", [[], [1, 0], ["True"]])
def test_capped_share_of_what_is_no_flag(converged):
    with pytest.raises(InputError, match="`converged`"):
        capped_share(converged)
