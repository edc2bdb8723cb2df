"""Loaders over tensors in memory: all rows, once, in the requested order."""

from itertools import islice

import pytest
import torch
from hypothesis import given, strategies as st

from al_lightning.data.blocks import BatchLoader, EndlessRows, MinibatchLoader, TensorBlocks, TensorRows
from tests.helpers import digits, generator

ROWS = torch.arange(20).view(10, 2)


# --------------------------------------------------------------------------------------------------------- TensorBlocks


@given(size=st.integers(0, 30), block_size=st.integers(1, 40), chosen=st.none() | st.lists(st.integers(0, 29)))
def test_blocks_are_the_chosen_rows_in_order(size, block_size, chosen):
    inputs = torch.arange(30)
    rows = torch.arange(size) if chosen is None else torch.tensor(chosen, dtype=torch.int64)
    blocks = TensorBlocks(inputs[:size] if chosen is None else inputs, None if chosen is None else rows, block_size)
    sizes = [len(block) for block in blocks]
    assert len(blocks) == len(rows) == sum(sizes)
    assert all(n == block_size for n in sizes[:-1])
    assert 0 not in sizes
    assert [row for block in blocks for row in block.tolist()] == rows.tolist()


def test_blocks_can_be_gone_over_again():
    blocks = TensorBlocks(ROWS, torch.tensor([7, 0, 7]), block_size=2)
    first, second = ([block.tolist() for block in blocks] for _ in range(2))
    assert first == second == [[[14, 15], [0, 1]], [[14, 15]]]


def test_blocks_of_all_rows_copy_nothing():
    blocks = list(TensorBlocks(ROWS, block_size=4))
    assert [len(block) for block in blocks] == [4, 4, 2]
    assert blocks[1].data_ptr() == ROWS[4:].data_ptr()


@given(size=st.integers(0, 30), block_size=st.integers(1, 12), num_shards=st.integers(1, 5), chosen=st.booleans())
def test_shards_are_the_blocks_dealt_out(size, block_size, num_shards, chosen):
    inputs = torch.arange(30)
    blocks = TensorBlocks(*(inputs, torch.arange(size)) if chosen else (inputs[:size], None), block_size)
    expected = [block.tolist() for block in blocks]
    for rank in range(num_shards):
        assert [block.tolist() for block in blocks.shard(rank, num_shards)] == expected[rank::num_shards]


# ---------------------------------------------------------------------------------------------------------- BatchLoader


@pytest.mark.parametrize(("batch_size", "num_batches"), [(1, 10), (3, 4), (5, 2), (10, 1), (2048, 1)])
def test_batches_pair_inputs_with_their_targets(batch_size, num_batches):
    loader = BatchLoader(TensorBlocks(ROWS, block_size=batch_size), ROWS[:, 0])
    batches = list(loader)
    assert len(loader) == len(batches) == num_batches
    assert torch.cat([inputs for inputs, _ in batches]).equal(ROWS)
    assert all(inputs[:, 0].equal(targets) for inputs, targets in batches)


def test_batches_of_unequal_tensors_raise():
    with pytest.raises(ValueError, match="shorter"):
        list(BatchLoader(TensorBlocks(ROWS, block_size=3), torch.arange(7)))


# ------------------------------------------------------------------------------------------------------ MinibatchLoader


def make_loader(batch_size: int = 4, group: int | None = None, seed: int = 0, size: int = 11) -> MinibatchLoader:
    """Rows 3, 5, 7, ...; the targets are ten times the inputs."""
    rows = 3 + 2 * torch.arange(size)
    return MinibatchLoader(TensorRows(rows), 10 * rows, batch_size, group, generator(seed))


def test_each_row_comes_once_an_epoch_with_its_target():
    loader = make_loader()
    for _ in range(3):
        minibatches = list(loader)
        inputs, targets = (torch.cat(parts) for parts in zip(*minibatches, strict=True))
        assert [len(x) for x, _ in minibatches] == [4, 4, 3]
        assert targets.equal(10 * inputs)
        assert sorted(inputs.tolist()) == list(range(3, 25, 2))


@pytest.mark.parametrize(("size", "sizes"), [(9, [4, 5]), (5, [5]), (1, [1]), (10, [4, 4, 2]), (13, [4, 4, 5])])
def test_a_sample_that_would_be_left_alone_joins_the_others(size, sizes):
    """Batch normalisation raises for one sample, and the number of labels depends on the answers of people."""
    loader = make_loader(size=size)
    minibatches = list(loader)
    assert [len(x) for x, _ in minibatches] == sizes
    assert len(loader) == len(sizes)
    assert len({*torch.cat([x for x, _ in minibatches]).tolist()}) == size


def test_epochs_are_shuffled_differently():
    loader = make_loader()
    first, second = (torch.cat([inputs for inputs, _ in loader]).tolist() for _ in range(2))
    assert first != second
    assert first != sorted(first)


@pytest.mark.parametrize("group", [1, 2, 3, 16])
def test_groups_hold_the_minibatches_there_are_without_groups(group):
    items = list(make_loader(group=group))
    minibatches = [minibatch for item in items for minibatch in item]
    expected = list(make_loader())
    assert all(isinstance(item, list) and len(item) == group for item in items[:-1])
    assert 1 <= len(items[-1]) <= group
    assert len(minibatches) == len(expected)
    assert all(a.equal(b) for pair in zip(minibatches, expected, strict=True) for a, b in zip(*pair, strict=True))


@pytest.mark.parametrize("size", [1, 4, 11, 16])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize("group", [None, 1, 3])
def test_length_is_the_number_of_items(size, batch_size, group):
    loader = make_loader(batch_size, group, size=size)
    assert len(loader) == len(list(loader))


def test_shuffles_come_from_the_generator_alone():
    state = torch.get_rng_state()
    first, same, other = (torch.cat([x for x, _ in make_loader(seed=seed)]) for seed in (0, 0, 1))
    assert torch.get_rng_state().equal(state)
    assert first.equal(same)
    assert not first.equal(other)


def test_without_a_generator_the_global_one_shuffles():
    arrays = digits()
    loader = MinibatchLoader(TensorRows(arrays.train_inputs[:50]), arrays.train_targets[:50], 64)
    targets = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        targets.append(next(iter(loader))[1])
    assert targets[0].equal(targets[1])
    assert not targets[0].equal(targets[2])


@pytest.mark.parametrize(("least", "group", "expected"), [(1, None, 3), (5, None, 5), (5, 2, 5), (40, 16, 40)])
def test_an_epoch_takes_passes_until_it_has_enough_minibatches(least, group, expected):
    rows = torch.arange(11)
    loader = MinibatchLoader(TensorRows(rows), 10 * rows, 4, group, generator(), least)
    items = list(loader)
    assert len(items) == len(loader)
    minibatches = [minibatch for item in items for minibatch in item] if group else items
    assert len(minibatches) == expected
    seen = torch.cat([inputs for inputs, _ in minibatches]).tolist()
    for start in range(0, len(seen) - 10, 11):
        assert sorted(seen[start : start + 11]) == list(range(11))
    assert all(targets.equal(10 * inputs) for inputs, targets in minibatches)


def test_unlabeled_rows_come_with_each_minibatch():
    rows = torch.arange(11)
    unlabeled = EndlessRows(TensorRows(100 + torch.arange(30)), torch.arange(0, 30, 2), generator(1))
    loader = MinibatchLoader(TensorRows(rows), rows, 4, None, generator(), unlabeled=unlabeled)
    for _ in range(3):
        parts = list(loader)
        assert [len(u) for _, _, u in parts] == [4, 4, 3]
        assert all(set(u.tolist()) <= set(range(100, 130, 2)) for _, _, u in parts)


@given(
    num_rows=st.integers(1, 40),
    least=st.integers(1, 6),
    group=st.none() | st.integers(1, 3),
    size=st.integers(2, 4),
    taken=st.integers(1, 6),
)
def test_devices_are_dealt_what_one_device_has(num_rows, least, group, size, taken):
    """Devices may also stop early: all have drawn the same numbers, and go on in the same way in the next epoch."""
    rows = torch.arange(num_rows)

    def three_epochs(taken, least, group, **device):
        unlabeled = EndlessRows(TensorRows(100 + torch.arange(30)), torch.arange(17), generator(1))
        loader = MinibatchLoader(TensorRows(rows), rows, 4, group, generator(), least, unlabeled, **device)
        for stop in (taken, taken, None):
            items = list(islice(loader, stop))
            assert stop is not None or len(items) == len(loader)
            yield [[part.tolist() for part in minibatch] for item in items for minibatch in (item if group else [item])]

    dealt = [list(three_epochs(taken, least, group, rank=rank, size=size)) for rank in range(size)]
    for together in zip(*dealt, strict=True):
        assert len({len(minibatches) for minibatches in together}) == 1
    per_pass = max(1, -(-(num_rows - 1) // 4))  # a last minibatch of one row joins the one before
    num_steps = max(least, -(-per_pass // size))
    alone = three_epochs(size * min(taken * (group or 1), num_steps), size * num_steps, None)
    for epoch, minibatches in enumerate(alone):
        assert [m for step in zip(*(part[epoch] for part in dealt), strict=True) for m in step] == minibatches


# ---------------------------------------------------------------------------------------------------------- EndlessRows


@given(size=st.integers(1, 12), draws=st.lists(st.integers(0, 30), max_size=12), seed=st.integers(0, 99))
def test_endless_rows_are_whole_passes_one_after_the_other(size, draws, seed):
    rows = EndlessRows(TensorRows(torch.arange(20)), torch.arange(size), generator(seed))
    drawn = [batch.tolist() for batch in rows.batches(iter(draws))]
    assert [len(part) for part in drawn] == draws
    flat = [row for part in drawn for row in part]
    for start in range(0, len(flat) - size + 1, size):
        assert sorted(flat[start : start + size]) == list(range(size))


def test_endless_rows_of_nothing_are_none():
    rows = EndlessRows(TensorRows(torch.randn(5, 3)), torch.arange(0), generator())
    assert next(rows.batches(iter([4]))).shape == (0, 3)
