"""identity: the fingerprints of a run; digest: other weights have another digest."""

import torch
from torch import nn

from al_lightning import CoreSet, Digits, Margin, Switch
from al_lightning.run_folder.digest import digest
from al_lightning.run_folder.fingerprint.fingerprints import fingerprints


def data() -> Digits:
    digits = Digits()
    digits.prepare_data()
    digits.setup("fit")
    return digits


def test_only_networks_of_a_strategy_are_in_it() -> None:
    digits = data()
    assert fingerprints(digits, Margin()).keys() == {"samples", "classes", "inputs", "test"}
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8))  # that one has a state of no dimension
    first = fingerprints(digits, CoreSet(network))["networks"]
    assert first.keys() == {"features"}
    assert fingerprints(digits, CoreSet(network))["networks"] == first
    with torch.no_grad():
        network[1].bias[3] += 1e-6
    assert fingerprints(digits, CoreSet(network))["networks"] != first


def test_a_network_without_shapes_has_no_weights_yet() -> None:
    assert "networks" not in fingerprints(data(), CoreSet(nn.LazyLinear(8)))


def test_what_is_no_tensor_does_not_count() -> None:
    class Remembering(nn.Linear):
        def get_extra_state(self) -> dict[str, str]:
            return {"trained_on": "digits"}

    network = Remembering(64, 8)
    digests = fingerprints(data(), CoreSet(network))["networks"]
    assert digests == {"features": digest({"weight": network.weight, "bias": network.bias})}


def test_names_types_and_shapes_count() -> None:
    weights = torch.zeros(6)
    variants = [
        {"a": weights},
        {"b": weights},
        {"a": weights.double()},
        {"a": weights.int()},
        {"a": weights.view(2, 3)},
        {"a": weights, "b": weights},
        {"a": torch.zeros(())},
    ]
    assert len({digest(variant) for variant in variants}) == len(variants)
    square = torch.arange(4.0).view(2, 2)
    assert digest({"a": square.T}) == digest({"a": torch.tensor([[0.0, 2.0], [1.0, 3.0]])}) != digest({"a": square})


def test_networks_of_a_strategy_among_the_arguments_of_another_are_in_it() -> None:
    """Otherwise another checkpoint would go unnoticed in a run that goes on."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    strategy = Switch(Margin(), Switch(CoreSet(network), Margin(), 20), 10)
    assert fingerprints(data(), strategy)["networks"] == {"then.first.features": digest(network.state_dict())}
