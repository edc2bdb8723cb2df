"""Measures what the package claims of its speed, as ratios of things timed in turn in one process.

    python scripts/benchmark.py query     a query of each strategy, also in bf16, against one plain pass over the pool
    python scripts/benchmark.py fit       a fit through the loop, against a plain PyTorch loop of the same work
    python scripts/benchmark.py protocol  the fits of a whole run of BADGE, 101 by default, against the same plain loop
    python scripts/benchmark.py startup   al-lightning --help, against importing Lightning
    python scripts/benchmark.py scale     selection from a million rows: time and peak memory
    python scripts/benchmark.py features  fits of LinearProbe, and a round on 100,000 rows of 768 features
    python scripts/benchmark.py data      tables on disk, against plain NumPy, and photos, against plain Pillow

Each prints a table and, with --json FILE, writes the figures. Do not run anything else meanwhile.
"""

import argparse
import contextlib
import csv
import datetime
import json
import logging
import multiprocessing
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as transforms

from al_lightning import (
    BADGE,
    BAIT,
    BALD,
    EPIG,
    ActiveLearningLoop,
    ALFAMix,
    Arrays,
    BatchBALD,
    ClusterMargin,
    Consistency,
    Convergence,
    CoreSet,
    DropoutMLP,
    DropQuery,
    Entropy,
    FashionMNIST,
    ImageFolder,
    KMeans,
    LeastConfidence,
    LinearProbe,
    Margin,
    MaxHerding,
    MixMatch,
    NumpyFiles,
    PoolDataModule,
    ProbCover,
    QueryStrategy,
    Random,
    Stochastic,
    TypiClust,
    UHerding,
    VariationRatio,
)
from al_lightning.data.blocks import TensorBlocks
from al_lightning.data.images import MEAN, STD
from al_lightning.inference import Known, PoolPredictor
from al_lightning.models.logistic_regression import auto_weight_decay, fit_logistic_regression
from al_lightning.strategies.alfa_mix import alfa_mix_query
from al_lightning.strategies.badge import badge_query
from al_lightning.strategies.bait import bait_query
from al_lightning.strategies.cluster_margin import cluster_margin_query
from al_lightning.strategies.core_set import k_center_greedy
from al_lightning.strategies.drop_query import drop_query
from al_lightning.strategies.kmeans import kmeans_query
from al_lightning.strategies.max_herding import draw_references, max_herding
from al_lightning.strategies.typi_clust import typiclust_query

SCALES = (
    "CoreSet",
    "BADGE",
    "BAIT",
    "ClusterMargin",
    "KMeans",
    "TypiClust",
    "MaxHerding",
    "DropQuery",
    "ALFAMix",
    "Entropy of 1,000 classes",
)  # not ProbCover, which keeps all pairs of rows within its radius
QUERY_SIZE = 100
BLOCK_ROWS = 4096
SLOW_SECONDS = 1.0
SLOW_REPETITIONS = 3


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(
    works: dict[str, Callable[[], object]], repetitions: int, slow_repetitions: int | None = None
) -> dict[str, list[float]]:
    """Times all works in turn, again and again, after one turn to warm up; each turn in an order of its own.

    What runs before matters: caches, the clock rate after wide vector instructions, memory given back.

    Args:
        works: What to time.
        repetitions: Number of turns.
        slow_repetitions: Number of turns that a work of more than ``SLOW_SECONDS`` takes part in; all if not given.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    orders = random.Random(0)
    slow: set[str] = set()
    for turn in range(-1, repetitions):
        for name in orders.sample(sorted(works), len(works)):
            if slow_repetitions is not None and turn >= slow_repetitions and name in slow:
                continue
            elapsed = seconds(works[name])
            if elapsed > SLOW_SECONDS:
                slow.add(name)
            if turn >= 0:
                times[name].append(elapsed)
    return times


def ratios(times: dict[str, list[float]], base: str) -> dict[str, dict[str, float]]:
    """Medians, in milliseconds, and medians of the ratios to the base of the same turn.

    The base has all turns. Slow works may have the first ones only.
    """
    return {
        name: {
            "milliseconds": 1000 * statistics.median(values),
            "ratio": statistics.median(v / b for v, b in zip(values, times[base], strict=False)),
        }
        for name, values in times.items()
    }


def labeled_data(num_labeled: int) -> FashionMNIST:
    datamodule = FashionMNIST(num_initial=num_labeled)
    datamodule.set_labeled(datamodule.draw_initial(torch.Generator().manual_seed(0)))
    return datamodule


def fitted(datamodule: FashionMNIST, epochs: int = 15) -> DropoutMLP:
    torch.manual_seed(0)
    model = DropoutMLP()
    plain_fit(model, datamodule, epochs)
    return model.eval()


def plain_network() -> torch.nn.Module:
    """The network of the protocol."""
    layers = torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(256, 10)
    return torch.nn.Sequential(torch.nn.Flatten(), *layers)


def plain_fit(model: torch.nn.Module, datamodule: FashionMNIST, epochs: int, measured: bool = True) -> None:
    """The fit as one would write it by hand, with the evaluation-mode pass over the labeled set after each epoch."""
    inputs, targets = datamodule.source.train_inputs, datamodule.source.train_targets
    labeled = datamodule.labeled_indices
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, fused=True)
    for _ in range(epochs):
        model.train()
        for rows in labeled[torch.randperm(len(labeled))].split(64):
            loss = F.cross_entropy(model(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        if not measured:
            continue
        with torch.inference_mode():
            predicted = torch.cat([model(inputs[rows]).argmax(dim=1) for rows in labeled.split(2048)])
            (predicted == targets[labeled]).float().mean().item()


# --------------------------------------------------------------------------------------------------------------- query


def query(arguments: argparse.Namespace) -> dict:
    results = {}
    for num_labeled in (500, 5000, 10_000):
        datamodule = labeled_data(num_labeled)
        model = fitted(datamodule)
        # as many rows as the pool has, side by side in memory: nothing is gathered
        pool = datamodule.source.train_inputs[: len(datamodule.unlabeled_indices)]

        def plain_pass(model: DropoutMLP = model, pool: Tensor = pool) -> None:
            with torch.inference_mode():
                for block in pool.split(BLOCK_ROWS):
                    model(block)

        def whole_query(
            strategy: QueryStrategy,
            bf16: bool = False,
            query_size: int = QUERY_SIZE,
            model: torch.nn.Module = model,
            datamodule: FashionMNIST = datamodule,
        ) -> Tensor:
            context = (
                (lambda: torch.autocast("cpu", torch.bfloat16))
                if bf16
                else (lambda: torch.autocast("cpu", enabled=False))
            )
            predictor = PoolPredictor(
                model,
                datamodule.pool_blocks(),
                datamodule.labeled_blocks(),
                precision=context,
                known=Known.of(datamodule),
            )
            return strategy.answer(predictor, query_size, torch.Generator().manual_seed(0)).positions

        strategies = {"CoreSet": CoreSet()}
        if num_labeled == 5000:
            strategies |= {
                "Random": Random(),
                "LeastConfidence": LeastConfidence(),
                "Margin": Margin(),
                "Entropy": Entropy(),
                "BALD, T=20": BALD(20),
                "BALD, T=100": BALD(100),
                "BALD, T=20, laplace": BALD(20, posterior="laplace"),
                "EPIG, T=20, 100 targets": EPIG(20, 100),
                "VariationRatio, T=20": VariationRatio(20),
                "BADGE": BADGE(),
                "BAIT": BAIT(),
                "ClusterMargin": ClusterMargin(),
                "KMeans": KMeans(),
                "TypiClust": TypiClust(),
                "MaxHerding": MaxHerding(),
                "ProbCover, radius 0.3": ProbCover(radius=0.3),
                "UHerding": UHerding(),
                "Consistency, A=50": Consistency(50),
                "DropQuery": DropQuery(),
                "ALFAMix": ALFAMix(),
                "Stochastic BALD, T=20": Stochastic(BALD(20)),
            }
        works: dict[str, Callable[[], object]] = {"plain pass": plain_pass}
        for name, strategy in strategies.items():
            works[name] = lambda strategy=strategy: whole_query(strategy)
        if num_labeled == 5000:
            # BatchBALD is for small queries: 100 samples of the model tell about ten picks
            works["BatchBALD, T=100, b=10"] = lambda: whole_query(BatchBALD(100), query_size=10)
            # the same network, but its parts are not named: dropout takes whole passes
            in_one = torch.nn.Sequential(torch.nn.Flatten(), model.hidden, torch.nn.ReLU(), model.dropout, model.head)
            works["BALD, T=20, in 20 passes"] = lambda whole=in_one: whole_query(BALD(20), model=whole)
            in_bf16 = [name for name in strategies if name != "Random"]  # which does not ask the model
            for name in in_bf16:
                works[f"{name}, bf16"] = lambda strategy=strategies[name]: whole_query(strategy, bf16=True)
        table = ratios(interleaved(works, arguments.repetitions, SLOW_REPETITIONS), "plain pass")
        if num_labeled == 5000:
            for name in in_bf16:
                both = [set(whole_query(strategies[name], bf16).tolist()) for bf16 in (False, True)]
                table[f"{name}, bf16"]["ratio to fp32"] = (
                    table[f"{name}, bf16"]["milliseconds"] / table[name]["milliseconds"]
                )
                table[f"{name}, bf16"]["of its 100 queries also fp32's"] = len(both[0] & both[1])
        results[f"{num_labeled} labels, pool {len(pool)}"] = table
    return results


# ----------------------------------------------------------------------------------------------------------------- fit


def fit(arguments: argparse.Namespace) -> dict:
    results = {}
    epochs = 20
    for num_labeled in (1000, 5000):
        datamodule = labeled_data(num_labeled)

        def plain(measured: bool = True, datamodule: FashionMNIST = datamodule) -> None:
            torch.manual_seed(0)
            plain_fit(plain_network(), datamodule, epochs, measured)

        # of the loop the seconds that it says it fitted for; a MixMatch of as many updates
        models: dict[str, tuple[Callable[[], L.LightningModule], str]] = {
            "ours": (DropoutMLP, "32-true"),
            "ours, not fused": (lambda: DropoutMLP(fused=False), "32-true"),
            "ours, bf16": (DropoutMLP, "bf16-mixed"),
            "ours, MixMatch": (lambda: MixMatch(min_updates_per_epoch=1), "32-true"),
        }
        fits: dict[str, list[float]] = {name: [] for name in models}
        works: dict[str, Callable[[], object]] = {"plain": plain, "plain updates": lambda plain=plain: plain(False)}
        for name, (model, precision) in models.items():
            works[name] = lambda datamodule=datamodule, found=fits[name], model=model, precision=precision: (
                found.append(
                    loop_round(datamodule, epochs, Random(), num_rounds=0, model=model(), precision=precision)[0][
                        "seconds_fit"
                    ]
                )
            )
        times = interleaved(works, arguments.repetitions)
        times |= {name: found[1:] for name, found in fits.items()}  # without the turn that warms up
        results[f"{num_labeled} labels, {epochs} epochs"] = ratios(times, "plain")

    datamodule = labeled_data(1000)
    walls = []
    for _ in range(arguments.repetitions):
        start = time.perf_counter()
        rounds = loop_round(datamodule, 1, Random(), num_rounds=20)
        walls.append((time.perf_counter() - start - sum(sum(row.values()) for row in rounds)) / len(rounds))
    results["fixed cost of a round"] = {"": {"milliseconds": 1000 * statistics.median(walls)}}

    after: dict[str, list[float]] = {"Entropy": [], "CoreSet": []}
    for _ in range(arguments.repetitions):
        for name, strategy in (("Entropy", Entropy()), ("CoreSet", CoreSet())):
            after[name].append(loop_round(labeled_data(1000), epochs, strategy, num_rounds=1)[1]["seconds_fit"])
    results["the fit that follows a query of"] = ratios(after, "Entropy")
    return results


def quiet_trainer(max_epochs: int, callbacks: list[L.Callback], precision: Any = "32-true") -> L.Trainer:
    return L.Trainer(
        max_epochs=max_epochs,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        accelerator="cpu",
        precision=precision,
    )


def loop_round(
    datamodule: FashionMNIST,
    epochs: int,
    strategy: QueryStrategy,
    num_rounds: int,
    model: L.LightningModule | None = None,
    precision: Any = "32-true",
) -> list[dict[str, float]]:
    """Runs a loop with a fixed number of epochs; returns the seconds of each round."""
    with tempfile.TemporaryDirectory() as folder:
        loop = ActiveLearningLoop(strategy, num_rounds=num_rounds, run_dir=folder)
        # a threshold that is never reached: the accuracy is measured after each epoch, and all epochs are trained
        stopping = Convergence(stopping_threshold=2.0)
        trainer = quiet_trainer(epochs, [loop, stopping], precision)
        loop.run(trainer, model or DropoutMLP(), datamodule)
        with (Path(folder) / "rounds.csv").open() as file:
            return [
                {name: float(value) for name, value in row.items() if name.startswith("seconds")}
                for row in csv.DictReader(file)
            ]


class PlainBeside(BADGE):
    """BADGE that also times a plain fit, after the first fit of the loop and then after every few fits.

    The plain fit has the same labels and as many epochs.

    Args:
        datamodule: The data of the run.
        every: Number of fits from one plain fit to the next.
    """

    def __init__(self, datamodule: FashionMNIST, every: int) -> None:
        super().__init__()
        self._datamodule = datamodule
        self._every = every
        self._num_fits = 0
        self.epochs = EpochCounter()
        self.seconds: dict[int, float] = {}
        """Seconds of the plain fits, by round."""

    def query(self, pool: PoolPredictor, query_size: int, generator: torch.Generator) -> Tensor:
        if self._num_fits % self._every == 0:
            model = plain_network()
            self.seconds[self._num_fits] = seconds(lambda: plain_fit(model, self._datamodule, self.epochs.count))
        self._num_fits += 1
        return super().query(pool, query_size, generator)


class EpochCounter(L.Callback):
    """Counts the epochs of the last fit."""

    count = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.count = 0

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.count += 1


def protocol(arguments: argparse.Namespace) -> dict:
    """Runs the protocol with BADGE: 500 labels, queries of 100, fits from scratch to a training accuracy of 0.99."""
    results = {}
    for precision in arguments.precisions:
        with tempfile.TemporaryDirectory() as folder:
            datamodule = FashionMNIST(num_initial=500)
            strategy = PlainBeside(datamodule, arguments.every)
            loop = ActiveLearningLoop(strategy, query_size=100, num_rounds=arguments.rounds, run_dir=folder)
            trainer = quiet_trainer(200, [loop, Convergence(), strategy.epochs], precision)
            loop.run(trainer, DropoutMLP(), datamodule)
            with (Path(folder) / "rounds.csv").open() as file:
                fits = [float(row["seconds_fit"]) for row in csv.DictReader(file)]
        beside = {round: fits[round] for round in strategy.seconds}
        results[f"{len(fits)} fits, {precision}"] = {
            "all fits": {"seconds": sum(fits)},
            f"{len(beside)} of them": {
                "seconds": sum(beside.values()),
                "plain seconds": sum(strategy.seconds.values()),
                "ratio": sum(beside.values()) / sum(strategy.seconds.values()),
            },
        } | {
            f"round {round}": {"seconds": fit, "plain seconds": plain, "ratio": fit / plain}
            for round, fit, plain in ((round, beside[round], plain) for round, plain in strategy.seconds.items())
        }
    return results


# ------------------------------------------------------------------------------------------------------------- startup


def startup(arguments: argparse.Namespace) -> dict:
    commands = {
        "import lightning.pytorch": [sys.executable, "-c", "import lightning.pytorch"],
        "al-lightning --help": [sys.executable, "-m", "al_lightning", "--help"],
    }
    works = {
        name: lambda command=command: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name, command in commands.items()
    }
    return {"startup": ratios(interleaved(works, arguments.repetitions), "import lightning.pytorch")}


# --------------------------------------------------------------------------------------------------------------- scale


def scale(arguments: argparse.Namespace) -> dict:
    """Runs each selection in a process of its own, whose peak memory is then that of the selection and its input.

    The process is a fork of this one, which has computed nothing yet: the imports are there, and no threads.
    """
    results: dict[str, dict] = {name: {} for name in SCALES}
    for name in SCALES:
        for rows in (arguments.rows // 4, arguments.rows):
            with multiprocessing.get_context("fork").Pool(1) as pool:
                results[name][f"{rows} rows x 256"] = pool.apply(select, (name, rows))
    rows = arguments.rows // 10
    with multiprocessing.get_context("fork").Pool(1) as pool:
        one_in_ten = pool.apply(select, ("BADGE", rows, rows // 10))
    results["BADGE, a query of one row in ten"] = {f"{rows} rows x 256": one_in_ten}
    return results


class MadeUpFeatures(PoolDataModule):
    """Rows of features around the mean of each of ten classes, with leading directions as a network gives them."""

    def __init__(self, num_rows: int, num_features: int = 768, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_rows, self.num_features = num_rows, num_features

    def load(self) -> Arrays:
        drawn = torch.Generator().manual_seed(0)
        targets = torch.randint(10, (self.num_rows + 1000,), generator=drawn)
        scales = torch.logspace(0, -1.5, self.num_features)
        rows = torch.randn(10, self.num_features, generator=drawn)[targets]
        rows = scales * (0.5 * rows + torch.randn(rows.shape, generator=drawn))
        return Arrays(rows[:-1000], targets[:-1000], rows[-1000:], targets[-1000:])


def features(arguments: argparse.Namespace) -> dict:
    """Fits of LinearProbe, and the fit and the query of a round through the loop."""
    rows, targets, _, _ = MadeUpFeatures(1000).load()
    fits: dict[str, Callable[[], object]] = {}
    for num in (10, 100, 1000):

        def fit_rows(num: int = num) -> object:
            weight_decay = auto_weight_decay(rows[:num])
            return fit_logistic_regression(rows[:num], targets[:num], 10, weight_decay)

        fits[f"{num} x 768"] = fit_rows
    times = interleaved(fits, arguments.repetitions)
    base = "1000 x 768"
    return {"fit of LinearProbe": ratios(times, base), "a round of 100 from 100,000 x 768": _rounds(arguments)}


def data(arguments: argparse.Namespace) -> dict:
    """Reads a table of 64 features and photos into memory, and scores a table of 784 that stays on disk."""
    num_photos = max(20, arguments.rows // 1000)
    with tempfile.TemporaryDirectory() as folder:
        return {
            f"{num_photos} photos of 640 x 480 into memory": _photos(Path(folder), num_photos, arguments.repetitions),
            f"{5 * arguments.rows} x 64 float32 into memory": _into_memory(Path(folder), arguments),
            f"scores of {arguments.rows} x 784 uint8 on disk": _scores_from_disk(Path(folder), arguments),
        }


def _into_memory(folder: Path, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    table = _table(folder, 5 * arguments.rows, 64, "float32")

    def plain_read() -> None:
        on_disk = np.load(table["train_inputs"], mmap_mode="r")
        inputs = torch.empty(on_disk.shape)
        for start in range(0, len(inputs), BLOCK_ROWS):
            inputs[start : start + BLOCK_ROWS] = torch.from_numpy(np.array(on_disk[start : start + BLOCK_ROWS]))

    works: dict[str, Callable[[], object]] = {"plain read": plain_read}
    for standardize, name in ((True, "NumpyFiles"), (False, "NumpyFiles, not standardized")):
        works[name] = lambda standardize=standardize: NumpyFiles(**table, standardize=standardize).load()
    return ratios(interleaved(works, arguments.repetitions, SLOW_REPETITIONS), "plain read")


def _photos(folder: Path, num: int, repetitions: int) -> dict[str, dict[str, float]]:
    """The first start of a run on JPEG files, and one that goes on, against decoding by as many threads."""
    draws = np.random.default_rng(0)
    files = [folder / "photos" / f"class{number % 2}" / f"{number}.jpg" for number in range(num)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(draws.integers(0, 256, (24, 32, 3), np.uint8))
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(file, quality=90)

    def pixels(file: Path) -> Tensor:
        with Image.open(file) as image:
            values = transforms.pil_to_tensor(image.convert("RGB"))
        return transforms.center_crop(transforms.resize(values, [64], antialias=True), [64, 64])

    def plain_decoding() -> None:
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            inputs = torch.stack(list(threads.map(pixels, files)))
        inputs.float().div_(255).sub_(mean).div_(std)

    def start(cache: Path) -> None:
        datamodule = ImageFolder(str(folder / "photos"))
        datamodule.use_cache(cache)
        with contextlib.redirect_stdout(None):
            datamodule.setup()
        datamodule.write_cache(cache)

    def first_start() -> None:
        shutil.rmtree(folder / "new", ignore_errors=True)
        start(folder / "new")

    start(folder / "kept")
    works = {
        "plain decoding": plain_decoding,
        "first start of a run": first_start,
        "a run that goes on": lambda: start(folder / "kept"),
    }
    return ratios(interleaved(works, repetitions, SLOW_REPETITIONS), "plain decoding")


def _scores_from_disk(folder: Path, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    table = _table(folder, arguments.rows, 784, "uint8")
    torch.manual_seed(0)
    model = DropoutMLP().eval()

    def plain_pass() -> None:
        on_disk = np.load(table["train_inputs"], mmap_mode="r")
        with torch.inference_mode():
            for start in range(0, len(on_disk), BLOCK_ROWS):
                model(torch.from_numpy(on_disk[start : start + BLOCK_ROWS].astype(np.float32)))

    works: dict[str, Callable[[], object]] = {"plain pass": plain_pass}
    for standardize, name in ((True, "NumpyFiles"), (False, "NumpyFiles, not standardized")):
        datamodule = NumpyFiles(**table, standardize=standardize, test_fraction=0.0, max_memory=0.0)
        works[name] = PoolPredictor(model, datamodule.train_blocks()).probs
    return ratios(interleaved(works, arguments.repetitions, SLOW_REPETITIONS), "plain pass")


def _table(folder: Path, num_rows: int, num_features: int, dtype: str) -> dict[str, str]:
    """Writes random rows and classes; returns the arguments of NumpyFiles."""
    table = {"train_inputs": str(folder / f"{dtype}.npy"), "train_targets": str(folder / "classes.npy")}
    draws = np.random.default_rng(0)
    inputs = np.lib.format.open_memmap(table["train_inputs"], "w+", dtype, (num_rows, num_features))
    for start in range(0, num_rows, 100_000):
        rows = inputs[start : start + 100_000]
        rows[:] = draws.integers(0, 256, rows.shape, np.uint8)
    np.save(table["train_targets"], draws.integers(0, 10, num_rows))
    return table


def _rounds(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds of the second round with 200 labels, as rounds.csv says: fit, pass over the pool, choice."""
    found: dict[str, dict[str, float]] = {}
    for strategy in (Margin(), BADGE()):
        parts: dict[str, list[float]] = {}
        for _ in range(max(1, arguments.repetitions // 3)):
            with tempfile.TemporaryDirectory() as folder:
                loop = ActiveLearningLoop(strategy, query_size=100, num_rounds=2, run_dir=folder)
                trainer = quiet_trainer(-1, [loop, Convergence()])
                loop.run(trainer, LinearProbe(), MadeUpFeatures(100_000, num_initial=100))
                with Path(folder, "rounds.csv").open() as file:
                    row = list(csv.DictReader(file))[1]
            for name in ("seconds_fit", "seconds_score", "seconds_select"):
                parts.setdefault(name, []).append(float(row[name]))
        medians = {name: statistics.median(values) for name, values in parts.items()}
        found[type(strategy).__name__] = {"seconds": sum(medians.values()), **medians}
    return found


def select(name: str, num_rows: int, query_size: int = QUERY_SIZE) -> dict[str, float]:
    """Selects from clustered features of random numbers; the time does not depend on what they mean."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(1000, 256, generator=generator)
    embeddings = torch.empty(num_rows, 256)
    for start in range(0, num_rows, 100_000):
        rows = embeddings[start : start + 100_000]
        torch.randn(rows.shape, generator=generator, out=rows)
        rows += 2 * centres[torch.randint(1000, (len(rows),), generator=generator)]
        rows.relu_()
    probs = (embeddings[:, :10] * 2).softmax(dim=1)
    labeled = embeddings[:5000].clone()
    torch.manual_seed(0)
    head = torch.nn.Linear(256, 10)
    if name == "CoreSet":
        elapsed = seconds(lambda: k_center_greedy(embeddings, labeled, QUERY_SIZE))
    elif name == "BADGE":
        elapsed = seconds(lambda: badge_query(probs, embeddings, query_size, generator))
    elif name == "BAIT":
        elapsed = seconds(lambda: bait_query(probs, embeddings, probs[:5000], labeled, QUERY_SIZE))
    elif name == "ClusterMargin":
        elapsed = seconds(lambda: cluster_margin_query(probs, embeddings, QUERY_SIZE, generator))
    elif name == "MaxHerding":
        references = draw_references(num_rows, 10_000, generator)
        elapsed = seconds(lambda: max_herding(embeddings, labeled, QUERY_SIZE, references=references))
    elif name == "KMeans":
        elapsed = seconds(lambda: kmeans_query(embeddings, QUERY_SIZE, generator))
    elif name == "TypiClust":
        elapsed = seconds(lambda: typiclust_query(embeddings, labeled, QUERY_SIZE, generator))
    elif name == "DropQuery":
        elapsed = seconds(lambda: drop_query(embeddings, head, QUERY_SIZE, generator))
    elif name == "ALFAMix":
        weight, bias = head.weight.data, head.bias.data
        targets = head(labeled).argmax(dim=1)
        elapsed = seconds(lambda: alfa_mix_query(embeddings, labeled, targets, weight, bias, QUERY_SIZE, generator))
    else:
        blocks = TensorBlocks(embeddings)
        predictor = PoolPredictor(DropoutMLP(256, 16, num_classes=1000), blocks, blocks)
        elapsed = seconds(lambda: Entropy().query(predictor, QUERY_SIZE, generator))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "milliseconds": 1000 * elapsed,
        "input GiB": embeddings.nbytes / 2**30,
        "peak above input GiB": (peak - before) / 2**20 - embeddings.nbytes / 2**30,
    }


# ---------------------------------------------------------------------------------------------------------------- main


def machine(threads: int) -> str:
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return (
        f"{datetime.date.today()}, {model}, {os.cpu_count()} cores, {threads} threads, "
        f"torch {torch.__version__}, Lightning {L.__version__}, Python {platform.python_version()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("query", "fit", "protocol", "startup", "scale", "features", "data"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of scale and data")
    parser.add_argument("--rounds", type=int, default=100, help="of protocol")
    parser.add_argument("--every", type=int, default=10, help="fits of protocol from one plain fit to the next")
    parser.add_argument("--precisions", nargs="+", default=["32-true", "bf16-mixed"], help="of protocol")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not torch.cuda.is_available():
        # importing Lightning sets this, which slows down every optimizer step of the plain loop: ActiveLearningLoop
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    measures = (query, fit, protocol, startup, scale, features, data)
    results = {measure.__name__: measure for measure in measures}[arguments.what](arguments)
    print(machine(arguments.threads))
    for title, table in results.items():
        print(f"\n{title}")
        for name, figures in sorted(table.items(), key=lambda item: item[1].get("ratio", 0)):
            print(f"  {name:28}" + "  ".join(f"{value:10.3f} {key}" for key, value in figures.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(arguments.threads), **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
