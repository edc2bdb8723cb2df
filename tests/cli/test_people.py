"""The defaults of runs that ask people."""

import inspect

import pytest

from al_lightning import Backbone, LinearProbe
from al_lightning.cli.given_options import given_options
from al_lightning.cli.people import OF_BACKBONE, OF_PROBE, asks_people, choices
from al_lightning.data import Features, ImageFolder, Torchvision

PHOTOS = "--data ImageFolder --data.root photos --data.classes [a,b,c] --loop.oracle FileOracle"
ALL = {
    "model": "Backbone",
    "loop.strategy": "Margin",
    "data.num_initial": "30",
    "loop.query_size": "20",
    "loop.num_rounds": "null",
}


def chosen(words: str) -> dict[str, str]:
    return choices(given_options(words.split()))


def without(*options: str) -> dict[str, str]:
    return {option: value for option, value in ALL.items() if option not in options}


def test_all_is_chosen_where_nothing_is_given() -> None:
    assert chosen(PHOTOS) == ALL


@pytest.mark.parametrize(
    ("flags", "given"),
    [
        ("--model DropoutMLP", ["model"]),
        ("--model my_file.Net", ["model"]),
        ("--model.input_dim 64", ["model"]),  # DropoutMLP has it, and Backbone has not
        ("--model.dropout 0.2", []),
        ("--loop.strategy BALD", ["loop.strategy"]),
        ("--loop.strategy.num_samples 3", ["loop.strategy"]),
        ("--data.num_initial 7", ["data.num_initial"]),
        ("--loop.query_size 7", ["loop.query_size"]),
        ("--loop.num_rounds null", ["loop.num_rounds"]),
    ],
)
def test_what_is_given_is_not_chosen(flags: str, given: list[str]) -> None:
    assert chosen(f"{PHOTOS} {flags}") == without(*given)


def test_tables_keep_the_perceptron() -> None:
    words = "--data NumpyFiles --data.path wine.npz --data.classes [a,b] --loop.oracle FileOracle"
    assert chosen(words) == without("model") | {"data.num_initial": "20"}


FEATURES = "--data Features --data.path photos.npz --data.classes [a,b,c]"


def test_features_of_people_are_for_a_probe_and_a_cold_start() -> None:
    of_features = {"model": "LinearProbe", "data.initial": "typiclust"}
    assert chosen(f"{FEATURES} --loop.oracle FileOracle") == ALL | of_features
    assert chosen(f"{FEATURES} --loop.oracle FileOracle --data.initial random") == ALL | {"model": "LinearProbe"}


def test_features_of_an_experiment_change_the_model_alone() -> None:
    assert chosen(FEATURES) == {"model": "LinearProbe"}
    assert chosen(f"{FEATURES} --model.weight_decay 1") == {"model": "LinearProbe"}
    assert chosen(f"{FEATURES} --model.hidden_dim 64") == {}  # DropoutMLP has it, and LinearProbe has not
    assert chosen(f"{FEATURES} --model DropoutMLP") == {}
    assert chosen("--data FashionMNIST --loop.strategy BADGE") == {}


@pytest.mark.parametrize("oracle", ["", " --loop.oracle FileOracle"])
def test_a_first_query_in_place_of_an_initial_set_is_a_cold_start(oracle: str) -> None:
    words = f"--data ImageFolder --data.root photos --data.num_initial 0{oracle}"
    assert chosen(words)["data.initial"] == "typiclust"
    assert "data.num_initial" not in chosen(words)
    assert "data.initial" not in chosen(f"{words} --data.initial random")
    assert "data.initial" not in chosen(words.replace("num_initial 0", "num_initial 10"))


def test_the_arguments_of_the_probe_are_those_of_its_constructor() -> None:
    assert set(inspect.signature(LinearProbe).parameters) == OF_PROBE
    assert Features.__name__ == "Features"


def test_classes_that_are_not_known_yet_leave_the_initial_set_to_the_data() -> None:
    assert chosen("--data ImageFolder --data.root photos --loop.oracle FileOracle") == without("data.num_initial")


def test_a_mistyped_option_beside_one_of_backbone_leaves_the_model_a_backbone() -> None:
    assert chosen(f"{PHOTOS} --model.name resnet50 --model.pretraned true") == ALL
    assert "model" not in chosen(f"{PHOTOS} --model.hidden_dim 64")


def test_pretrained_weights_are_where_fits_start() -> None:
    assert chosen(f"{PHOTOS} --model.weights DEFAULT") == ALL | {"loop.reinit": "initial"}
    assert chosen(f"{PHOTOS} --model.weights DEFAULT --loop.reinit warm") == ALL
    assert chosen(f"{PHOTOS} --model.weights null") == ALL


@pytest.mark.parametrize(
    ("oracle", "asks"),
    [("FileOracle", True), ("my_file.Boss", True), ("null", False), ("al_lightning.SimulatedOracle", False)],
)
def test_all_oracles_but_the_simulated_one_ask_people(oracle: str, asks: bool) -> None:
    assert asks_people(given_options(["--loop.oracle", oracle])) is asks
    assert not asks_people({})


def test_the_arguments_of_backbone_are_those_of_its_constructor() -> None:
    assert set(OF_BACKBONE) == set(inspect.signature(Backbone).parameters)
    assert ImageFolder.__name__ == "ImageFolder"
    assert Torchvision.__name__ == "Torchvision"
