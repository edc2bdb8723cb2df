"""PoolDataModule: two index spaces, one translator."""

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from al_lightning.data import Arrays, PoolDataModule
from al_lightning.errors import InputError
from tests.digits import DigitsMLP, FlatDigits
from tests.helpers import digits, generator

SIZE = 1400


class Classes(PoolDataModule):
    """A training set with given classes; row i holds the number i."""

    def __init__(self, targets: list[int], num_initial: int, initial: str = "balanced") -> None:
        super().__init__(num_initial, initial)
        self.targets = torch.tensor(targets)
        self.num_loads = 0

    def load(self) -> Arrays:
        self.num_loads += 1
        inputs = torch.arange(float(len(self.targets)))[:, None]
        return Arrays(inputs, self.targets, inputs[:1], self.targets[:1])


def rows(blocks) -> Tensor:
    return torch.cat([block.clone() for block in blocks])


# ----------------------------------------------------------------------------------------------------- the labeled set


def test_at_first_nothing_is_labeled():
    data = FlatDigits()
    assert data.labeled.dtype == torch.bool
    assert data.labeled.shape == (SIZE,)
    assert not data.labeled.any()
    assert data.unlabeled_indices.equal(torch.arange(SIZE))


def test_data_is_loaded_once_and_setup_forgets_nothing():
    """Lightning calls setup before every fit and every test."""
    data = Classes([0, 1, 0, 1], num_initial=2)
    assert data.num_loads == 0
    data.setup("fit")
    data.label(torch.tensor([1]))
    for stage in ("fit", "test", None):
        data.setup(stage)
    assert data.num_loads == 1
    assert data.labeled_indices.tolist() == [1]


def test_position_i_in_the_pool_is_the_ith_unlabeled_sample():
    data = FlatDigits()
    data.set_labeled(torch.tensor([0, 2, 3, 9]))
    assert data.labeled_indices.tolist() == [0, 2, 3, 9]
    assert data.unlabeled_indices[:6].tolist() == [1, 4, 5, 6, 7, 8]
    assert rows(data.pool_blocks()).equal(digits().train_inputs[data.unlabeled_indices])
    assert rows(data.labeled_blocks()).equal(digits().train_inputs[[0, 2, 3, 9]])


def test_labeled_samples_are_gathered_once_until_the_labeled_set_changes():
    data = FlatDigits()
    data.set_labeled(torch.tensor([9, 0]))
    assert rows(data.labeled_blocks()).equal(digits().train_inputs[[0, 9]])
    assert data.labeled_targets.equal(digits().train_targets[[0, 9]])
    assert data.labeled_rows is data.labeled_rows
    data.label(torch.tensor([0]))
    assert rows(data.labeled_blocks()).equal(digits().train_inputs[[0, 1, 9]])
    data.set_labeled(torch.tensor([4]))
    assert data.labeled_targets.equal(digits().train_targets[[4]])
    assert rows(data.labeled_blocks()).equal(digits().train_inputs[[4]])


def test_what_a_labeler_says_is_trained_on_and_what_was_skipped_is_not_asked_again():
    data = FlatDigits(batch_size=16)
    assert data.label(torch.tensor([7, 3, 5]), torch.tensor([2, -1, 4])).tolist() == [7, 3, 5]
    assert data.labeled_indices.tolist() == [5, 7]
    assert data.labeled_targets.tolist() == [4, 2]
    assert sorted(next(iter(data.train_dataloader()))[1].tolist()) == [2, 4]
    assert len(data.unlabeled_indices) == SIZE - 3
    assert not set(data.unlabeled_indices.tolist()) & {3, 5, 7}
    other = FlatDigits()
    other.set_labeled(torch.tensor([7, 3, 5]), torch.tensor([2, -1, 4]))
    assert other.labeled.equal(data.labeled)
    assert other.unlabeled_indices.equal(data.unlabeled_indices)
    assert other.train_targets.equal(data.train_targets)
    assert FlatDigits().train_targets[7] == digits().train_targets[7]  # of others nothing changes
    other.set_labeled(torch.tensor([0]))
    assert len(other.unlabeled_indices) == SIZE - 1


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.tensor([1]), r"int64 of shape \(2,\), but got torch.int64 of shape \(1,\)"),
        (torch.tensor([1.0, 2.0]), "but got torch.float32"),
        (torch.tensor([1, 10]), "from 0 to 9, or -1 for none, but got 1 to 10"),
        (torch.tensor([-2, 1]), "but got -2 to 1"),
    ],
)
def test_labels_that_are_none_are_refused_and_label_nothing(labels, words):
    data = FlatDigits()
    with pytest.raises(InputError, match=words):
        data.label(torch.tensor([4, 5]), labels)
    assert not data.labeled.any()


def test_label_turns_positions_into_indices_and_keeps_their_order():
    data = FlatDigits()
    data.set_labeled(torch.tensor([0, 2, 3, 9]))
    wanted = rows(data.pool_blocks())[[5, 0, 1395]]
    indices = data.label(torch.tensor([5, 0, 1395]))
    assert indices.tolist() == [8, 1, 1399]
    assert digits().train_inputs[indices].equal(wanted)
    assert data.labeled_indices.tolist() == [0, 1, 2, 3, 8, 9, 1399]


def test_labeled_samples_leave_the_pool_for_good():
    """Regression: acquired samples stayed, and the pool grew each round (Gal et al.'s code)."""
    data, bought, generator_ = FlatDigits(), set(), generator()
    for round in range(1, 20):
        query = torch.randperm(len(data.unlabeled_indices), generator=generator_)[:70]
        indices = set(data.label(query).tolist())
        assert len(indices) == 70
        assert not indices & bought
        bought |= indices
        assert len(data.pool_blocks()) == SIZE - 70 * round
        assert set(data.labeled_indices.tolist()) == bought
    assert data.label(torch.arange(70)).tolist() == sorted(set(range(SIZE)) - bought)
    assert len(data.unlabeled_indices) == 0


def test_an_empty_query_labels_nothing():
    data = FlatDigits()
    indices = data.label(torch.empty(0, dtype=torch.int64))
    assert indices.shape == (0,)
    assert indices.dtype == torch.int64
    assert not data.labeled.any()


BAD_QUERIES = {
    "a list": ([1, 2], "but got list"),
    "a mask": (torch.ones(SIZE, dtype=torch.bool), r"but got torch.bool of shape \(1400,\)"),
    "int32": (torch.tensor([1], dtype=torch.int32), r"but got torch.int32 of shape \(1,\)"),
    "float": (torch.tensor([1.0]), r"but got torch.float32 of shape \(1,\)"),
    "two dimensions": (torch.tensor([[1, 2]]), r"but got torch.int64 of shape \(1, 2\)"),
    "no dimension": (torch.tensor(1), r"but got torch.int64 of shape \(\)"),
    "negative": (torch.tensor([3, -1]), "0 to 1299, but got -1 to 3"),
    "training-set index": (torch.tensor([3, 1300]), "0 to 1299, but got 3 to 1300"),
    "twice": (torch.tensor([3, 4, 3, 3]), "distinct positions, but got 2 twice"),
}


@pytest.mark.parametrize("case", BAD_QUERIES)
def test_label_refuses_what_is_no_query_and_labels_nothing(case):
    query, message = BAD_QUERIES[case]
    data = FlatDigits()
    data.set_labeled(torch.arange(100))
    with pytest.raises(InputError, match=message):
        data.label(query)
    assert data.labeled_indices.equal(torch.arange(100))


def test_set_labeled_replaces_the_labeled_set():
    data = FlatDigits()
    data.label(torch.arange(50))
    data.set_labeled(torch.tensor([7, 3]))
    assert data.labeled_indices.tolist() == [3, 7]
    data.set_labeled(torch.empty(0, dtype=torch.int64))
    assert not data.labeled.any()


def test_a_run_is_resumed_by_the_indices_that_label_returned():
    first, second = FlatDigits(), FlatDigits()
    bought = torch.cat([first.label(torch.tensor([5, 3, 900])), first.label(torch.tensor([5, 3, 900]))])
    second.set_labeled(bought)
    assert second.labeled.equal(first.labeled)


# ----------------------------------------------------------------------------------------------------- the initial set


@pytest.mark.parametrize("initial", ["random", "balanced"])
@pytest.mark.parametrize("num_initial", [1, 10, 57, 500])
def test_initial_set_is_distinct_indices_and_labels_nothing(initial, num_initial):
    data = FlatDigits(num_initial, initial)
    indices = data.draw_initial(generator())
    assert indices.dtype == torch.int64
    assert indices.shape == (num_initial,)
    assert len(indices.unique()) == num_initial
    assert indices.min() >= 0
    assert indices.max() < SIZE
    assert not data.labeled.any()


@pytest.mark.parametrize("initial", ["random", "balanced"])
def test_initial_set_is_a_function_of_the_generator(initial):
    state = torch.get_rng_state()
    first, same, other = (FlatDigits(50, initial).draw_initial(generator(seed)) for seed in (0, 0, 1))
    assert torch.get_rng_state().equal(state)
    assert first.equal(same)
    assert not first.equal(other)


@pytest.mark.parametrize("num_initial", [3, 10, 57, 300])
def test_balanced_classes_differ_by_at_most_one(num_initial):
    counts = (
        digits().train_targets[FlatDigits(num_initial, "balanced").draw_initial(generator())].bincount(minlength=10)
    )
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == num_initial


@pytest.mark.parametrize("initial", ["random", "balanced"])
def test_every_sample_is_drawn_equally_often(initial):
    targets = [0] * 4 + [1] * 4 + [2] * 4
    counts = torch.zeros(12)
    for seed in range(1500):
        counts[Classes(targets, 4, initial).draw_initial(generator(seed))] += 1
    assert chisquare(counts.numpy()).pvalue > 1e-3


def test_initial_set_is_in_the_order_drawn_not_sorted_by_class():
    indices = FlatDigits(200, "balanced").draw_initial(generator())
    targets = digits().train_targets[indices]
    assert (targets.diff() < 0).any()
    assert (indices.diff() < 0).any()


def test_a_rare_class_raises():
    data = Classes([0] * 20 + [1] * 3 + [2] * 20, num_initial=12)
    with pytest.raises(InputError, match=r"at least 4 samples of class 1 for `data.initial` = balanced, but got 3"):
        data.draw_initial(generator())
    assert len(Classes([0] * 20 + [1] * 3 + [2] * 20, num_initial=9).draw_initial(generator())) == 9


@pytest.mark.parametrize("initial", ["random", "balanced"])
def test_more_than_there_are_raises(initial):
    with pytest.raises(InputError, match=r"`data.num_initial` to be at most the training set size 4, but got 5"):
        Classes([0, 1, 0, 1], 5, initial).draw_initial(generator())
    assert sorted(Classes([0, 1, 0, 1], 4, initial).draw_initial(generator()).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_initial": -1}, "`data.num_initial` to be at least 0, but got -1"),
        ({"batch_size": 0}, "`data.batch_size` to be at least 1, but got 0"),
    ],
)
def test_arguments_out_of_range_raise(arguments, message):
    with pytest.raises(InputError, match=message):
        FlatDigits(**arguments)


# -------------------------------------------------------------------------------------------------------------- loaders


def test_training_sees_the_labeled_samples_alone():
    data = FlatDigits(batch_size=16)
    data.set_labeled(torch.tensor([8, 3, 1000]))
    (inputs, targets), *others = data.train_dataloader()
    assert not others
    assert sorted(targets.tolist()) == sorted(digits().train_targets[[3, 8, 1000]].tolist())
    assert {tuple(row) for row in inputs.tolist()} == {tuple(r) for r in digits().train_inputs[[3, 8, 1000]].tolist()}


def test_training_sees_the_samples_labeled_last():
    data = FlatDigits(batch_size=1000)
    for num_labeled in (10, 20, 30):
        data.label(torch.arange(10))
        assert sum(len(targets) for _, targets in data.train_dataloader()) == num_labeled


def test_shuffles_come_from_the_stream_that_the_loop_sets():
    data = FlatDigits(batch_size=16)
    data.set_labeled(torch.arange(100))
    epochs = []
    for seed in (0, 0, 1):
        data.shuffle_generator = generator(seed)
        epochs.append(torch.cat([targets for _, targets in data.train_dataloader()]))
    assert epochs[0].equal(epochs[1])
    assert not epochs[0].equal(epochs[2])


@pytest.mark.parametrize(("group", "num_items"), [(16, 1), (2, 4), (None, 7)])
def test_minibatches_come_in_the_groups_that_the_model_takes(group, num_items):
    class Trainer:
        lightning_module = DigitsMLP()
        max_steps = -1
        limit_train_batches = 1.0
        global_rank, world_size = 0, 1

    Trainer.lightning_module.minibatches_per_step = group
    data = FlatDigits(batch_size=16)
    data.set_labeled(torch.arange(100))
    data.trainer = Trainer()
    items = list(data.train_dataloader())
    assert len(items) == num_items
    assert isinstance(items[0], tuple if group is None else list)


@pytest.mark.parametrize("name", ["test_dataloader", "predict_dataloader"])
def test_testing_and_predicting_see_the_test_set_in_order(name):
    inputs, targets = (torch.cat(parts) for parts in zip(*getattr(FlatDigits(), name)(), strict=True))
    assert inputs.equal(digits().test_inputs)
    assert targets.equal(digits().test_targets)


class Returning(PoolDataModule):
    def __init__(self, make, num_initial=2):
        super().__init__(num_initial)
        self.make = make

    def load(self):
        return self.make()


def test_an_argument_that_cannot_be_saved_is_no_setting():
    data = Returning(lambda: Arrays(torch.zeros(4, 2), torch.arange(4), torch.zeros(1, 2), torch.zeros(1)))
    assert "make" not in data.hparams
    assert data.hparams["num_initial"] == 2


def test_four_tensors_are_arrays_and_anything_else_is_refused():
    data = Returning(lambda: (torch.zeros(4, 2), torch.arange(4), torch.zeros(1, 2), torch.zeros(1)))
    assert data.train_targets.tolist() == [0, 1, 2, 3]
    for loaded, got in ((None, "NoneType"), ((torch.zeros(4, 2), torch.arange(4)), "2 parts")):
        with pytest.raises(InputError, match=f"`load` of Returning to return Arrays or Datasets, but got {got}"):
            Returning(lambda loaded=loaded: loaded).setup()
