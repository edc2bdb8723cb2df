"""The published network that saw no labels has better features than pixels."""

import pytest

from al_lightning.data import FashionMNIST
from scripts import linear_probe


def test_features_of_the_published_network_are_better_than_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_probe, "LABELS", (500,))
    monkeypatch.setattr(linear_probe, "PENALTIES", (0.01, 0.1))
    images, targets, test_images, test_targets = FashionMNIST().load()
    found = {}
    for inputs in ("raw", "results/simclr/small_cnn.pt"):
        train, test = (linear_probe.features_of(part, inputs) for part in (images[:500], test_images[:2000]))
        (found[inputs],) = linear_probe.accuracies(train, targets, test, test_targets[:2000])
    assert found["results/simclr/small_cnn.pt"] > found["raw"] + 1.5
