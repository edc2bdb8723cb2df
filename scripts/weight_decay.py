"""Compares the weight decay that LinearProbe chooses with the best of a grid, which sees the test set.

    python scripts/weight_decay.py digits
    python scripts/weight_decay.py fashion_mnist --seeds 10

Prints a table in Markdown: the mean accuracy for 10 to 1,000 random labels. The grid has the chosen weight decay times
powers of ten. "Best" takes the best of the grid for each seed, so it is above what any rule can reach.
"""

import argparse

import torch
from torch import Tensor

from al_lightning.data import Arrays, Digits, FashionMNIST, PoolDataModule
from al_lightning.models.logistic_regression import auto_weight_decay, fit_logistic_regression

DATA = {"digits": Digits, "fashion_mnist": lambda: FashionMNIST(scaling="unit")}
NUMBERS = (10, 20, 50, 100, 200, 500, 1000)
GRID = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)


def accuracies(data: Arrays, num: int, seed: int, cut: int) -> list[float]:
    """Test accuracies of the weight decays in the grid, for random labels of a seed."""
    order = torch.randperm(len(data.train_inputs), generator=torch.Generator().manual_seed(seed))[:num]
    features, targets = data.train_inputs[order].flatten(1).float(), data.train_targets[order]
    test, test_targets = data.test_inputs[:cut].flatten(1).double(), data.test_targets[:cut]
    return [accuracy(features, targets, auto_weight_decay(features) * factor, test, test_targets) for factor in GRID]


def accuracy(features: Tensor, targets: Tensor, weight_decay: float, test: Tensor, test_targets: Tensor) -> float:
    fitted = fit_logistic_regression(features, targets, 10, weight_decay)
    return float(((test @ fitted.weight.T + fitted.bias).argmax(1) == test_targets).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=sorted(DATA))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--test", type=int, default=10_000, help="Number of test samples.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    datamodule: PoolDataModule = DATA[arguments.data]()
    source = datamodule.source
    assert isinstance(source, Arrays)
    print("| labels | chosen | best of the grid | " + " | ".join(f"x {factor:g}" for factor in GRID) + " |")
    print("| --- | " + "--- | " * (2 + len(GRID)))
    for num in NUMBERS:
        found = torch.tensor([accuracies(source, num, seed, arguments.test) for seed in range(arguments.seeds)])
        means = [float(found[:, GRID.index(1.0)].mean()), float(found.max(1).values.mean()), *found.mean(0).tolist()]
        print(f"| {num} | " + " | ".join(f"{100 * mean:.1f}" for mean in means) + " |", flush=True)


if __name__ == "__main__":
    main()
