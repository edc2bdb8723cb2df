"""YAML that says one thing and means another, or never ends."""

import itertools
from pathlib import Path

import pytest
import yaml

from al_lightning.cli.yaml_files import check_numbers, check_options, check_yaml
from al_lightning.errors import InputError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loop: {a: 1}\ndata: 2\nloop: {b: 2}", "`loop` is there 2 times, in lines 1 and 3"),
        ('loop: 1\n"loop": 2', "`loop` is there 2 times, in lines 1 and 2"),
        (
            "loop:\n  num_rounds: 1\n  x: 2\n  num_rounds: 3",
            "`num_rounds` is there 2 times in `loop`, in lines 2 and 4",
        ),
        ("a: [{b: 1}, {c: {d: 1, d: 2}}]", "`d` is there 2 times in `a.1.c`, in line 1"),
        ("x: &x {a: 1, a: 2}\ny: *x", "`a` is there 2 times"),
        ("? {a: 1, a: 2}\n: 1", "`a` is there 2 times"),
        ("1: a\n0o1: b\n1: c", "`1` is there 2 times, in lines 1 and 3"),
    ],
)
def test_a_key_given_twice_is_named_with_its_lines(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_yaml(text, "my.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "loop: {a: 1}\ndata: {a: 1}",
        "base: &b {a: 1}\none: {<<: *b, a: 2}\ntwo: {<<: *b}",
        "{<<: [{a: 1}, {a: 2}], b: 3}",
        "1: a\n'1': b",
        "a: &a [1, 2]\nb: *a\nc: *a",
        "loop: [",  # no YAML: its reader says so
    ],
)
def test_what_is_said_once_passes(text: str) -> None:
    check_yaml(text, "my.yaml")


def test_a_merge_key_still_merges() -> None:
    assert yaml.safe_load("{<<: {a: 1, b: 2}, b: 3}") == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("text", "place"), [("a: &a [*a]", "`a.0`"), ("a: &a\n  b: {c: *a}", "`a.b.c`"), ("&a [*a]", "`0`")]
)
def test_what_is_part_of_itself_is_refused(text: str, place: str) -> None:
    with pytest.raises(InputError, match=rf"but {place} in line 1 is part of itself|is part of itself"):
        check_yaml(text, "my.yaml")


def test_aliases_that_stand_for_billions_of_values_are_refused() -> None:
    names = "abcdefghij"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in itertools.pairwise(names)]
    with pytest.raises(InputError, match="at most 100000 values in my.yaml"):
        check_yaml("\n".join(lines), "my.yaml")


def test_what_is_too_deep_is_refused() -> None:
    with pytest.raises(InputError, match="too deeply"):
        check_yaml("[" * 300 + "]" * 300, "my.yaml")


def test_an_option_given_twice_in_other_words_is_named() -> None:
    with pytest.raises(InputError, match=r"my.yaml, but got `loop.num_rounds` twice"):
        check_options({"loop.num_rounds": 1, "loop": {"num_rounds": 2}}, "my.yaml")
    with pytest.raises(InputError, match="`data.num_initial` twice"):
        check_options({"data": {"num_initial": 1, "init_args": {"num_initial": 2}}}, "my.yaml")
    check_options({"loop": {"num_rounds": 1}, "data": {"init_args": {"num_rounds": 1}}, "x": {}}, "my.yaml")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2**63, "`a.b` to be an integer of 64 bits, but got 9223372036854775808"),
        (-(2**63) - 1, "64 bits"),
        (float("nan"), "`a.b` to be a number, but got nan"),
        ([1, [2**70]], "`a.b` to be"),
    ],
)
def test_numbers_that_are_none_are_refused(value: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_numbers({"a": {"init_args": {"b": value}}})


def test_a_number_of_more_digits_than_python_writes_is_refused() -> None:
    with pytest.raises(InputError, match="`a` to be an integer of 64 bits, but got one of 16612 bits"):
        check_numbers({"a": 10**5000})


def test_large_numbers_pass() -> None:
    check_numbers({"a": [2**63 - 1, -(2**63), float("inf"), True, None, "9" * 30], "b": Path("x")})
