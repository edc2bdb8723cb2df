"""What a query may know besides inputs, and chosen rows of a pool."""

import pytest
import torch

from al_lightning import Digits
from al_lightning.errors import InputError
from al_lightning.inference import Known, PoolPredictor
from tests.helpers import fitted_model, make_pool, pool_inputs


def test_known_of_data_has_the_labels_of_the_labeled_samples_alone():
    data = Digits(num_initial=5)
    data.set_labeled(torch.tensor([7, 3, 11]))
    known = Known.of(data)
    assert known.labeled_indices.tolist() == [3, 7, 11]
    assert torch.equal(known.labeled_targets, data.train_targets[[3, 7, 11]])
    assert len(known.indices) == len(data.train_targets) - 3
    pool = PoolPredictor(fitted_model(), data.pool_blocks(), data.labeled_blocks(), known=known)
    assert pool.num_labeled == 3
    inputs = torch.cat(list(pool.blocks_at(torch.tensor([0, 3]))))
    assert torch.equal(inputs, data.inputs_at(torch.tensor([0, 4])))  # index 3 is labeled


def test_without_known_labels_one_sentence_says_so():
    with pytest.raises(InputError, match="to have `labeled_targets`"):
        _ = PoolPredictor(fitted_model(), pool_inputs(), pool_inputs(4)).labeled_targets


@pytest.mark.parametrize("positions", [[], [0], [63, 64], [5, 100, 101, 299], list(range(300))])
@pytest.mark.parametrize("block_size", [1, 64, 1000])
def test_chosen_rows_come_in_order(positions, block_size):
    pool = make_pool(block_size=block_size)
    chosen = pool.blocks_at(torch.tensor(positions, dtype=torch.int64))
    assert len(chosen) == len(positions)
    found = pool.map(lambda batch: batch.logits, over=chosen)
    if positions:
        torch.testing.assert_close(found, pool.map(lambda batch: batch.logits)[positions])
    parts = [list(chosen.shard(rank, 2)) for rank in range(2)]
    assert sum(len(block) for blocks in parts for block in blocks) == len(positions)
