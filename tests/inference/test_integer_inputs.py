"""Token ids stay integers, in training, scoring and testing, in every precision and whatever they are read from."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from al_lightning import Arrays, DataModuleAdapter, DatasetPool, InputError, PoolDataModule
from al_lightning.data.datasets import Datasets
from al_lightning.data.memory import hold
from al_lightning.inference import PoolPredictor
from al_lightning.strategies import QueryStrategy
from tests.test_loop import make_loop, make_trainer, rows

LOWEST, NUM_TOKENS = 257, 40
"""From 256 on bfloat16 has no odd numbers: the ids of the two classes would be the same."""


def sentences(size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Five ids that are all odd, of class 1, or all even."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(2, (size,), generator=generator)
    ids = torch.randint(NUM_TOKENS // 2, (size, 5), generator=generator) * 2 + LOWEST + 1 - targets[:, None]
    return ids, targets


TRAIN, TEST = sentences(200, 0), sentences(100, 1)


class Tokens(L.LightningModule):
    """A mean of embeddings. Ids that were floats once would be refused by `nn.Embedding`."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(LOWEST + NUM_TOKENS + 1, 8)
        self.head = nn.Linear(8, 2)
        self.seen: set[torch.dtype] = set()

    def forward(self, ids: Tensor) -> Tensor:
        self.seen.add(ids.dtype)
        return self.head(self.tokens(ids.long()).mean(dim=1))

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)


class Lines(PoolDataModule):
    """The sentences in memory."""

    def load(self) -> Arrays:
        return Arrays(*TRAIN, *TEST)


class Module(L.LightningDataModule):
    """The sentences of a user."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(*TRAIN), batch_size=16, shuffle=True)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(*TEST), batch_size=16)


DATA = {
    "arrays": lambda: Lines(num_initial=60, batch_size=16),
    "datasets": lambda: DatasetPool(TensorDataset(*TRAIN), TensorDataset(*TEST), num_initial=60, batch_size=16),
    "module": lambda: DataModuleAdapter(Module(), num_initial=60),
}


class Shared(list[float]):
    """A list that copies of a strategy share: the rehearsal of a query asks a copy."""

    def __deepcopy__(self, memo: object) -> "Shared":
        return self


class Recording(QueryStrategy):
    """Compares the logits of the whole pool with those of a plain call of the model."""

    def __init__(self, precision: str) -> None:
        self.precision = precision
        self.differences = Shared()

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        inputs = [(batch.inputs.clone(), batch.logits) for batch in _blocks(pool)]
        is_mixed = self.precision == "bf16-mixed"
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16) if is_mixed else nullcontext():
            expected = torch.cat([pool.model.eval()(ids) for ids, _ in inputs]).float()
        self.differences.append(float((expected - torch.cat([logits for _, logits in inputs])).abs().max()))
        assert len(expected) == len(pool)
        return torch.arange(query_size)


def _blocks(pool: PoolPredictor) -> list[Any]:
    seen: list[Any] = []

    def keep(batch: Any) -> Tensor:
        seen.append(batch)
        return batch.logits

    pool.map(keep)
    return seen


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize("data", DATA)
def test_ids_stay_ids(tmp_path: Path, data: str, precision: str) -> None:
    model, strategy = Tokens(), Recording(precision)
    loop = make_loop(tmp_path, strategy, num_rounds=1, reinit="initial")
    loop.run(make_trainer(loop, max_epochs=15, precision=precision), model, DATA[data]())
    assert model.seen == {torch.int64}
    before, after = strategy.differences  # before the first fit it is a few samples, without autocast
    assert before < 0.01
    assert after == 0
    assert [float(row["test_acc"]) for row in rows(tmp_path)] == [1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64])
def test_what_is_read_has_the_type_of_the_items(dtype: torch.dtype) -> None:
    train, test = (TensorDataset(inputs.to(dtype), targets) for inputs, targets in (TRAIN, TEST))
    held = hold(train, test, TRAIN[1], TEST[1], max_memory=1, num_workers=0)
    assert isinstance(held, Arrays)
    assert held.train_inputs.equal(TRAIN[0].to(dtype))
    (block,) = Datasets(train, test).test_blocks()
    assert block.equal(TEST[0].to(dtype))


def test_integer_features_of_a_linear_layer_are_refused_in_one_sentence(tmp_path: Path) -> None:
    class Linear(Tokens):
        def forward(self, ids: Tensor) -> Tensor:
            return nn.functional.linear(ids, torch.ones(2, 5))

    loop = make_loop(tmp_path / "run", num_rounds=1)
    with pytest.raises(
        InputError, match=r"of torch.int64, which they stay; convert them in the data set, or in `forward`"
    ):
        loop.run(make_trainer(loop), Linear(), DATA["datasets"]())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, "32-true"), (torch.float16, "32-true")])
def test_floats_that_a_fit_would_not_take_are_refused_before_it(
    tmp_path: Path, dtype: torch.dtype, precision: str
) -> None:
    class Linear(Tokens):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(nn.functional.pad(x, (0, 3)))

    train, test = (TensorDataset((inputs / 300).to(dtype), targets) for inputs, targets in (TRAIN, TEST))
    loop = make_loop(tmp_path / "run", num_rounds=1)
    with pytest.raises(InputError, match=f"of {dtype}, which they stay"):
        loop.run(make_trainer(loop, precision=precision), Linear(), DatasetPool(train, test, num_initial=60))
    wider = make_loop(tmp_path / "run", num_rounds=1)
    data = DatasetPool(train, test, num_initial=60)
    wider.run(make_trainer(wider, precision="64-true", max_epochs=1), Linear(), data)
    assert len(rows(tmp_path / "run")) == 2
