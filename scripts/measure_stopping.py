"""Measures the default stopping rule: test accuracy against that of a fit of five times the updates.

    python scripts/measure_stopping.py                               all cases, as a table in Markdown
    python scripts/measure_stopping.py linear_768 wine_mlp --seeds 0 1    these alone

Each case is fitted three times on the same labels: until the training accuracy is 0.99, by the loss rule, and for five
times the epochs of the loss rule, in a plain loop of PyTorch. No GPU is used.
"""

import argparse
import csv
import datetime
import logging
import platform
import statistics
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as L
import torch
from sklearn import datasets
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from al_lightning import ActiveLearningLoop, Backbone, Classifier, Convergence, DatasetPool, FashionMNIST, Random

BATCH_SIZE = 64

Arrays = tuple[Tensor, Tensor, Tensor, Tensor]
"""Training inputs and classes, test inputs and classes."""


@dataclass(frozen=True)
class Case:
    """A data set, a number of labels and a network."""

    kind: str
    data: Callable[[int], Arrays]
    num_labeled: int
    model: Callable[[], L.LightningModule]


# ------------------------------------------------------------------------------------------------------------- data


def table(load: Callable[..., tuple]) -> Callable[[int], Arrays]:
    """A table of scikit-learn, half of it for testing, standardised."""

    def arrays(seed: int) -> Arrays:
        inputs, targets = (torch.as_tensor(part) for part in load(return_X_y=True))
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
        return _standardised(inputs[order].float(), targets[order].long(), len(inputs) // 2)

    return arrays


def made_up_table(seed: int) -> Arrays:
    """7 classes of two clusters each, 30 features, a twentieth of the labels wrong."""
    inputs, targets = datasets.make_classification(
        6000, 30, n_informative=12, n_redundant=5, n_classes=7, flip_y=0.05, random_state=seed
    )
    return _standardised(torch.as_tensor(inputs).float(), torch.as_tensor(targets).long(), 2000)


def clusters(num_classes: int, num_features: int, spread: float) -> Callable[[int], Arrays]:
    """Gaussian clusters around random centres."""

    def arrays(seed: int) -> Arrays:
        generator = torch.Generator().manual_seed(seed)
        centres = spread * torch.randn(num_classes, num_features, generator=generator)
        targets = torch.arange(8000) % num_classes
        inputs = centres[targets] + torch.randn(len(targets), num_features, generator=generator)
        return inputs[:4000], targets[:4000], inputs[4000:], targets[4000:]

    return arrays


def images(seed: int) -> Arrays:
    """5,000 images of Fashion-MNIST, and 2,000 to test on."""
    arrays = FashionMNIST().load()
    order = torch.randperm(len(arrays.train_inputs), generator=torch.Generator().manual_seed(seed))[:5000]
    shape = (-1, 1, 28, 28)
    return (
        arrays.train_inputs[order].reshape(shape).float(),
        arrays.train_targets[order],
        arrays.test_inputs[:2000].reshape(shape).float(),
        arrays.test_targets[:2000],
    )


def features(seed: int) -> Arrays:
    """768 features of these images, by two convolutions with random weights, standardised."""
    inputs, targets, test_inputs, test_targets = images(seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = nn.Sequential(
            *(nn.Conv2d(1, 48, 5, 2), nn.ReLU(), nn.Conv2d(48, 48, 3, 2), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(4), nn.Flatten()),
        )
        found = torch.cat([network(part) for part in torch.cat([inputs, test_inputs]).split(1000)])
    return _standardised(found, torch.cat([targets, test_targets]), len(inputs))


def _standardised(inputs: Tensor, targets: Tensor, num_train: int) -> Arrays:
    mean, std = inputs[:num_train].mean(dim=0), inputs[:num_train].std(dim=0).clamp(min=1e-6)
    inputs = (inputs - mean) / std
    return inputs[:num_train], targets[:num_train], inputs[num_train:], targets[num_train:]


# ---------------------------------------------------------------------------------------------------------- networks


def linear(num_features: int, num_classes: int) -> Callable[[], L.LightningModule]:
    return lambda: Classifier(nn.Linear(num_features, num_classes), num_classes)


def perceptron(num_features: int, num_classes: int) -> Callable[[], L.LightningModule]:
    def model() -> L.LightningModule:
        hidden = nn.Linear(num_features, 128)
        return Classifier(nn.Sequential(hidden, nn.ReLU(), nn.Linear(128, num_classes)), num_classes)

    return model


def convolutions() -> L.LightningModule:
    """Two convolutions with batch normalisation, and dropout."""
    body = (
        *(nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU()),
    )
    return Classifier(nn.Sequential(*body, nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * 49, 10)))


CASES = {
    "linear_768": Case("features of images", features, 300, linear(768, 10)),
    "clusters_768": Case("features, 10 clusters", clusters(10, 768, 0.12), 300, linear(768, 10)),
    "classes_1000": Case("features, 1,000 clusters", clusters(1000, 256, 0.5), 2000, linear(256, 1000)),
    "wine_mlp": Case("table, wine", table(datasets.load_wine), 30, perceptron(13, 3)),
    "cancer_linear": Case("table, breast cancer", table(datasets.load_breast_cancer), 60, linear(30, 2)),
    "table_linear": Case("table, made up", made_up_table, 1000, linear(30, 7)),
    "table_mlp": Case("table, made up", made_up_table, 1000, perceptron(30, 7)),
    "digits_linear": Case("images of digits as rows", table(datasets.load_digits), 100, linear(64, 10)),
    "cnn_500": Case("images", images, 500, convolutions),
    "cnn_2000": Case("images", images, 2000, convolutions),
    "resnet18_500": Case("images", images, 500, lambda: Backbone("resnet18")),
}

# -------------------------------------------------------------------------------------------------------------- fits


def fit(case: Case, seed: int, max_epochs: int, rule: Convergence) -> tuple[dict[str, str], Tensor]:
    """The row of rounds.csv of one fit, and the rows of the training part that were labeled."""
    inputs, targets, test_inputs, test_targets = case.data(seed)
    data = DatasetPool(
        TensorDataset(inputs, targets), TensorDataset(test_inputs, test_targets), num_initial=case.num_labeled
    )
    with tempfile.TemporaryDirectory() as folder:
        loop = ActiveLearningLoop(Random(), query_size=1, num_rounds=0, run_dir=folder, seed=seed)
        trainer = L.Trainer(
            max_epochs=max_epochs,
            callbacks=[loop, rule],
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        loop.run(trainer, case.model(), data)
        with (Path(folder) / "rounds.csv").open() as file:
            return next(csv.DictReader(file)), data.labeled_indices


def plain_fit(case: Case, seed: int, epochs: int, labeled: Tensor) -> float:
    """Test accuracy of a fit without this package's loop."""
    inputs, targets, test_inputs, test_targets = case.data(seed)
    torch.manual_seed(seed)
    model = case.model()
    optimizer = model.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    for _ in range(epochs):
        for rows in labeled[torch.randperm(len(labeled))].split(BATCH_SIZE):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        predicted = torch.cat([model(part).argmax(dim=1) for part in test_inputs.split(500)])
    return (predicted == test_targets).float().mean().item()


def measure(name: str, seeds: list[int]) -> str:
    """The row of the table of one case: means over seeds."""
    case = CASES[name]
    by_accuracy = [fit(case, seed, 1000, Convergence("train_acc"))[0] for seed in seeds]
    fits = [fit(case, seed, -1, Convergence()) for seed in seeds]
    by_loss = [row for row, _ in fits]
    longer = [
        plain_fit(case, seed, 5 * int(row["epochs"]), labeled) for seed, (row, labeled) in zip(seeds, fits, strict=True)
    ]
    minibatches = -(-case.num_labeled // BATCH_SIZE)

    def accuracy(rows: list[dict[str, str]]) -> float:
        return statistics.mean(float(row["test_acc"]) for row in rows)

    def updates(rows: list[dict[str, str]]) -> str:
        return f"{round(statistics.mean(int(row['epochs']) for row in rows) * minibatches):,}"

    converged = sum(row["converged"] == "True" for row in by_loss)
    return (
        f"| `{name}` | {case.kind} | {case.num_labeled:,} | {accuracy(by_accuracy):.3f} | {updates(by_accuracy)} "
        f"| {accuracy(by_loss):.3f} | {updates(by_loss)} | {converged} of {len(seeds)} "
        f"| {statistics.mean(longer):.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all if none is named")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    args = parser.parse_args()
    unknown = [name for name in args.cases if name not in CASES]
    if unknown:
        parser.error(f"expected cases of {', '.join(CASES)}, but got {', '.join(unknown)}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {datetime.date.today()}, ", end="")
    print(f"seeds {', '.join(map(str, args.seeds))}\n")
    print("| case | data | labels | accuracy rule | updates | loss rule | updates | converged | 5 x the updates |")
    print("| --- " * 9 + "|", flush=True)
    for name in args.cases or CASES:
        print(measure(name, args.seeds), flush=True)


if __name__ == "__main__":
    main()
