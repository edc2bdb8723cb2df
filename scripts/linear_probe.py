"""Prints how well logistic regression does on few labels of Fashion-MNIST: python scripts/linear_probe.py raw NET.pt.

Each argument is `raw`, for the pixels, or the weights of `small_cnn`. It takes the first 50, 100, 500 and 2,000
training samples, and all test samples. Each value is the best of four weights of the penalty on the test set: it
compares inputs, and is no estimate of what a user reaches.
"""

import argparse
from collections.abc import Sequence

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from al_lightning.data import FashionMNIST
from al_lightning.models.bodies import make_body

LABELS = (50, 100, 500, 2000)
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)


def features_of(images: Tensor, weights: str) -> Tensor:
    """Rows of pixels, or of features of a network."""
    if weights == "raw":
        return images.flatten(1)
    body, _ = make_body("small_cnn", weights)
    body.eval()
    with torch.inference_mode():
        return torch.cat([body(block.unsqueeze(1)) for block in images.split(1000)])


def accuracies(train: Tensor, targets: Tensor, test: Tensor, test_targets: Tensor) -> list[float]:
    """Test accuracies in percent, one for each number of labels."""
    std, mean = torch.std_mean(train, dim=0)
    train, test = ((part - mean) / (std + 1e-6) for part in (train, test))
    return [
        max(
            100
            * LogisticRegression(C=penalty, max_iter=500)
            .fit(train[:num].numpy(), targets[:num].numpy())
            .score(test.numpy(), test_targets.numpy())
            for penalty in PENALTIES
        )
        for num in LABELS
    ]


def main(args: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", metavar="raw|NET.pt")
    parser.add_argument("--root", default="data")
    options = parser.parse_args(args)
    data = FashionMNIST(root=options.root)
    images, targets, test_images, test_targets = data.load()
    print("inputs:", *(f"{num:,} labels" for num in LABELS), sep="\t")
    for inputs in options.inputs:
        train, test = (features_of(part, inputs) for part in (images[: max(LABELS)], test_images))
        found = accuracies(train, targets, test, test_targets)
        print(inputs, *(f"{value:.1f}" for value in found), sep="\t", flush=True)


if __name__ == "__main__":
    main()
