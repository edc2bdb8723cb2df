"""Null in place of a value."""

import pytest

from al_lightning import ImageFolder
from al_lightning.cli.null_options import check_nulls
from al_lightning.errors import InputError


class Mine:
    """Hints of all kinds."""

    def __init__(self, a: int = 1, b: int | None = 2, c=3, d: "Missing" = 4, e: int = None) -> None:  # type: ignore # noqa: F821, RUF013
        pass


@pytest.mark.parametrize(("name", "value"), [("root", None), ("image_size", None), ("batch_size", None)])
def test_null_for_what_has_to_have_a_value(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"`data.{name}` to have a value, but got null"):
        check_nulls({"data": {"class_path": "al_lightning.ImageFolder", "init_args": {"root": "x", name: value}}}, {})
    with pytest.raises(InputError, match=f"`mine.{name}`"):
        check_nulls({"mine": {name: value}}, {"mine": ImageFolder})


def test_null_where_it_is_a_value() -> None:
    chosen = {"class_path": "al_lightning.ImageFolder", "init_args": {"root": "x", "classes": None}}
    check_nulls({"data": chosen, "x": None, "none": {"class_path": "no_such.Thing", "init_args": {"a": None}}}, {})
    check_nulls({"mine": {"b": None, "c": None, "d": None, "e": None, "foreign": None}}, {"mine": Mine})


def test_classes_within_classes_are_checked() -> None:
    inner = {"class_path": "al_lightning.ImageFolder", "init_args": {"root": None}}
    with pytest.raises(InputError, match="`loop.part.root`"):
        check_nulls({"loop": {"part": inner}}, {"loop": Mine})
