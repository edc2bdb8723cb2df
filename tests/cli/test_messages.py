"""explain: what jsonargparse really says becomes one sentence that names the option, the expected and the got."""

from pathlib import Path
from typing import Literal, NoReturn

import jsonargparse
import pytest

from al_lightning.cli.messages import explain, sentence_in_union
from al_lightning.errors import did_you_mean, nearest
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


def test_a_class_or_a_word():
    message = "Parser key \"loop.strategy.features\": - Expected a typing.Literal['penultimate', 'inputs'] "
    sentence = explain(f"{message} - Expected a dot import path string: pixels", lambda _: [], [])
    assert sentence == (
        "Expected `loop.strategy.features` to be one of penultimate, inputs, or the dotted path of a class that can be "
        "imported, but got `pixels`."
    )


def test_what_a_class_says_is_found_in_what_jsonargparse_says_of_a_union():
    text = "Does not validate against any of the Union subtypes Subtypes: [typing.Literal['a'], <class 'b.C'>] Errors: "
    text += "- Expected a typing.Literal['a'] - Expected `d` to be 1.5, but got e.f. Given value type: <class 'x'>"
    assert sentence_in_union(text) == "Expected `d` to be 1.5, but got e.f."
    assert sentence_in_union(text.replace("e.f", "a - b")) == "Expected `d` to be 1.5, but got a - b."
    assert sentence_in_union(text.replace("Expected `d` to be 1.5, but got e.f.", "Something else.")) is None
    assert sentence_in_union("Expected `d` to be 1.5, but got e.f.") is None


def test_a_missing_config():
    assert refusal("--config", "/no/where.yaml") == "Expected `config` to be a file, but there is no /no/where.yaml."


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("collections.Counter", "to be a subclass of QueryStrategy, but got `collections.Counter`."),
        ("no_such_module.Mine", "but got `no_such_module.Mine`: No module named 'no_such_module'"),
        ("al_lightning.strategies.Mine", "'al_lightning.strategies' has no attribute 'Mine'"),
    ],
)
def test_a_dotted_path_that_is_no_such_class(name, sentence):
    explained = refusal("--loop.strategy", name)
    assert explained.startswith("Expected `loop.strategy` to be a ")
    assert sentence in explained


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "loop:\n  strategy: BALD\n  query_size: many\n",
            "Expected `loop.query_size` to be an integer, but got `many`.",
        ),
        (
            "loop:\n  strategy:\n    class_path: BALD\n    init_args:\n      num_samples: x\n",
            "Expected `loop.strategy.num_samples` to be an integer, but got `x`.",
        ),
        ("loop:\n  strategy: BALD\n  querysize: 3\n", "querysize`; did you mean --loop.query_size?"),
        ("lopp:\n  strategy: BALD\n", "Expected an option of this command, but got `--lopp"),
        ("fit the model\n", "Expected `config` to be a file of options, in YAML, but got `fit the model`."),
    ],
)
def test_a_bad_config(tmp_path: Path, text, sentence):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert sentence in refusal("--config", str(path))


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            'Linked "loop.seed" must be given via "seed_everything"',
            "Expected `seed_everything` instead of `loop.seed`, which is taken from it.",
        ),
        (
            "Parser key \"loop.seed\": Expected a <class 'int'>. Got value: x",
            "Expected `seed_everything` to be an integer, but got `x`.",
        ),
        (
            "Parser key \"model.init_args.dropout\": Expected a <class 'float'>. Got value: x",
            "Expected `model.dropout` to be a number, but got `x`.",
        ),
    ],
)
def test_options_are_named_as_a_user_gives_them(message, sentence):
    assert explain(message, lambda _: [], []) == sentence


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
