"""The program of the two processes in ``test_ranks.py``: ``python -m tests.fitting.ddp_ranks FOLDER``.

Lightning starts both processes. Each writes its results to FOLDER, in ``rank0.pt`` and ``rank1.pt``. Then they make a
run in ``whole`` by the command line, and finally begin a run in a folder that is in use.
"""

import sys
from pathlib import Path

import lightning.pytorch as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback
from torch import nn

from al_lightning import BALD, ActiveLearningLoop, CoreSet, Entropy, InputError, MixMatch
from al_lightning.cli import main
from al_lightning.data.blocks import TensorBlocks
from al_lightning.fitting.ranks import Ranks
from al_lightning.inference import PoolPredictor, Predictions, Shards
from al_lightning.run_folder import RunFolder
from tests.digits import DigitsMLP, FlatDigits
from tests.helpers import fitted_model, generator, make_pool, pool_inputs
from tests.test_loop import PlainMLP

DEVICES = {"devices": 2, "strategy": "ddp", "accelerator": "cpu"}
FLAGS = [
    *("--data", "tests.digits.FlatDigits", "--data.num_initial", "107", "--data.batch_size", "8"),
    *("--model", "tests.digits.DigitsMLP", "--loop.strategy", "BADGE", "--loop.query_size", "9"),
    *("--loop.num_rounds", "12", "--trainer.max_epochs", "5"),
    *(word for name, value in DEVICES.items() for word in (f"--trainer.{name}", str(value))),
]


class Watch(Callback):
    """Keeps the weights and inputs of each fit's model, and its dropout draws."""

    def __init__(self) -> None:
        self.rounds: list[dict] = []
        self.batches: list[list] = []
        self.num_threads: set[int] = set()

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: list, index: int) -> None:
        minibatches = batch if isinstance(batch[0], list | tuple) else [batch]
        self.batches[-1] += [[part.clone() for part in minibatch] for minibatch in minibatches]
        self.num_threads.add(torch.get_num_threads())

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.batches.append([])

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.rounds.append(
            {
                "labeled": trainer.datamodule.labeled.clone(),
                "weights": {name: value.clone() for name, value in module.state_dict().items()},
                "stream": torch.rand(4),
            }
        )

    def on_test_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.rounds[-1]["tested"] = {name: value.clone() for name, value in trainer.callback_metrics.items()}


def run(folder: Path, name: str) -> dict:
    """A run of three rounds with numbers of labels that do not divide evenly."""
    model, strategy, batch_size = {
        "mlp": (DigitsMLP(), BALD(4), 8),
        "mixmatch": (MixMatch(64, 16, ramp_updates=5, augmentation=nn.Identity()), Entropy(), 16),
        "plain": (PlainMLP(), CoreSet(), 16),
    }[name]
    loop = ActiveLearningLoop(strategy, query_size=10, num_rounds=2, run_dir=str(folder / name))
    watch = Watch()
    trainer = L.Trainer(
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        callbacks=[loop, watch],
        **DEVICES,
    )
    loop.run(trainer, model, FlatDigits(num_initial=107, batch_size=batch_size))
    return {"rounds": watch.rounds, "batches": watch.batches, "threads": watch.num_threads}


def scores(shards: Shards | None, num_pool: int) -> list[torch.Tensor]:
    """Results of a pool with a model that is the same in all processes; blocks of 64 rows."""
    pool = make_pool(pool_inputs(num_pool), shards=shards)
    probs, mc = pool.map(lambda batch: (batch.probs, batch.mc_log_probs(3)))
    # by now the stream of the masks has to be where it is in one process, also if there was no block here
    again = pool.map(lambda batch: batch.mc_log_probs(2), over=TensorBlocks(pool_inputs(200), block_size=32))
    return [probs, mc, again, pool.map(lambda batch: batch.probs.argmax(dim=1))]


def fails_on_one(batch: Predictions) -> torch.Tensor:
    if len(batch.inputs) < 64:
        raise InputError("Expected whole blocks.")
    return batch.probs


def refusal(shards: Shards) -> str:
    try:
        make_pool(pool_inputs(100), shards=shards).map(fails_on_one)  # the second of two blocks is that of rank 1
    except InputError as error:
        return str(error)
    return ""


def difference(ranks: Ranks) -> str:
    ranks.check_same("a half", [torch.tensor([True]), torch.tensor(0.5, dtype=torch.bfloat16)])
    try:
        ranks.check_same("the rank", [torch.tensor([ranks.rank])])
    except InputError as error:
        return str(error)
    return ""


def empty(shards: Shards) -> torch.Tensor:
    nothing = TensorBlocks(pool_inputs(0))
    return PoolPredictor(fitted_model(), nothing, nothing, generator(), shards=shards).probs()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    found: dict = {}
    for name in ("mlp", "mixmatch", "plain"):
        found[name] = run(folder, name)
    ranks = Ranks(dist.get_rank(), dist.get_world_size())  # the runs have joined the processes
    found["sharded"] = {num_pool: scores(ranks, num_pool) for num_pool in (300, 64, 5)}
    found["whole"] = {num_pool: scores(None, num_pool) for num_pool in (300, 64, 5)}
    found["refusal"] = refusal(ranks)
    found["empty"] = empty(ranks)
    found["difference"] = difference(ranks)
    torch.save(found, folder / f"rank{ranks.rank}.pt")
    if ranks.is_writer:
        in_use = RunFolder.open(folder / "in_use", {})
    for name in ("whole", "in_use"):
        main(["fit", *FLAGS, "--loop.run_dir", str(folder / name)])
