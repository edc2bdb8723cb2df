"""explain: what jsonargparse really says becomes one sentence that names the option, the expected and the got."""

from pathlib import Path
from typing import Literal, NoReturn

import jsonargparse
import pytest

from al_lightning.explain import did_you_mean, explain, nearest
from al_lightning.strategies import QueryStrategy

STRATEGIES = ["BADGE", "BALD", "Random"]


class Loop:
    """Takes one argument of each type that the command line has."""

    def __init__(
        self,
        strategy: QueryStrategy,
        query_size: int = 100,
        rate: float = 0.1,
        resume: bool = False,
        run_dir: str = "runs",
        initial: Literal["random", "balanced"] = "random",
        limit: int | float | None = None,
        seed: int = 0,
    ) -> None:
        pass


class Refused(Exception):
    """Carries the message of jsonargparse."""


class Parser(jsonargparse.ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # jsonargparse tries one type of a union after the other
            super().error(message, ex)
        raise Refused(message)


def refusal(*words: str) -> str:
    """Gives a parser words that it refuses, and explains why."""
    parser = Parser()
    parser.add_argument("--config", action="config")
    parser.add_argument("--seed_everything", type=int, default=0)
    parser.add_class_arguments(Loop, "loop")
    parser.link_arguments("seed_everything", "loop.seed")
    with pytest.raises(Refused) as error:
        parser.parse_args(list(words))
    return explain(
        str(error.value),
        lambda option: STRATEGIES if option == "loop.strategy" else [],
        parser._option_string_actions,
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--loop.query_size many", "Expected `loop.query_size` to be an integer, but got `many`."),
        ("--loop.query_size 1.5", "Expected `loop.query_size` to be an integer, but got `1.5`."),
        ("--loop.query_size=-x", "Expected `loop.query_size` to be an integer, but got `-x`."),
        ("--loop.rate fast", "Expected `loop.rate` to be a number, but got `fast`."),
        ("--loop.resume maybe", "Expected `loop.resume` to be true or false, but got `maybe`."),
        ("--loop.initial bal", "Expected `loop.initial` to be one of 'random', 'balanced', but got `bal`."),
        ("--loop.limit none", "Expected `loop.limit` to be an integer or a number, but got `none`."),
        ("--seed_everything x", "Expected `seed_everything` to be an integer, but got `x`."),
        (
            "--loop.strategy BALD --loop.strategy.num_samples x",
            "Expected `loop.strategy.num_samples` to be an integer, but got `x`.",
        ),
    ],
)
def test_a_wrong_type(words, sentence):
    assert refusal(*words.split()) == sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--loop.querysize 3", "but got `--loop.querysize`; did you mean --loop.query_size?"),
        ("--loop.query-size=3", "did you mean --loop.query_size?"),
        ("--LOOP.RATE 1", "but got `--LOOP.RATE`; did you mean --loop.rate?"),
        ("--zzz 3", "Expected an option of this command, but got `--zzz`."),
        ("--loop.strategy BALD --loop.strategy.temperature 3", "but got `--loop.strategy.temperature`"),
    ],
)
def test_an_unknown_option(words, sentence):
    explained = refusal(*words.split())
    assert explained.startswith("Expected an option of this command, but got `--")
    assert sentence in explained


def test_an_unknown_class():
    assert refusal("--loop.strategy", "bagde") == (
        "Expected `loop.strategy` to be one of BADGE, BALD, Random, or the dotted path of a class that can be "
        "imported, but got `bagde`; did you mean BADGE?"
    )
    assert refusal("--loop.strategy", "Quux").endswith("but got `Quux`.")


def test_a_class_of_an_option_without_a_list():
    sentence = explain('Parser key "data": Expected a dot import path string: X', lambda _: [], [])
    assert sentence == "Expected `data` to be the dotted path of a class that can be imported, but got `X`."


def test_a_missing_config():
    assert refusal("--config", "/no/where.yaml") == "Expected `config` to be a file, but there is no /no/where.yaml."


def test_a_wrong_type_in_a_config(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("loop:\n  strategy: BALD\n  query_size: many\n")
    assert refusal("--config", str(path)) == "Expected `loop.query_size` to be an integer, but got `many`."


def test_the_arguments_of_a_class_in_a_config_are_named_without_init_args(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("loop:\n  strategy:\n    class_path: BALD\n    init_args:\n      num_samples: x\n")
    assert refusal("--config", str(path)) == "Expected `loop.strategy.num_samples` to be an integer, but got `x`."


def test_an_option_that_is_linked_to_another(tmp_path: Path):
    message = 'Linked "loop.seed" must be given via "seed_everything"'
    assert explain(message, lambda _: [], []) == (
        "Expected `seed_everything` instead of `loop.seed`, which is taken from it."
    )
    assert explain("Parser key \"loop.seed\": Expected a <class 'int'>. Got value: x", lambda _: [], []) == (
        "Expected `seed_everything` to be an integer, but got `x`."
    )


def test_what_is_not_known_is_passed_on_in_one_line_of_bounded_length():
    assert explain("Something\n  went   wrong", lambda _: [], []) == "Something went wrong"
    assert explain("x" * 300, lambda _: [], []) == "x" * 300
    long = explain("word " * 1000, lambda _: [], [])
    assert len(long) < 310
    assert long.endswith(" ...")


@pytest.mark.parametrize(
    ("word", "expected"), [("bagde", "BADGE"), ("BALD", "BALD"), ("random", "Random"), ("quux", None), ("", None)]
)
def test_nearest(word, expected):
    assert nearest(word, STRATEGIES) == expected


def test_did_you_mean_ends_a_sentence():
    assert did_you_mean("bagde", STRATEGIES) == "; did you mean BADGE?"
    assert did_you_mean("quux", STRATEGIES) == "."
    assert did_you_mean("quux", []) == "."
