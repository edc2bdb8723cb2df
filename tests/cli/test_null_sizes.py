"""A model of one's own has its own defaults where the models of the package take sizes from the data."""

from typing import Any

import pytest
from jsonargparse import Namespace

from al_lightning.cli.null_sizes import fill_null_sizes
from al_lightning.errors import InputError


class Seven:
    def __init__(self, num_classes=7, input_dim=None) -> None: ...

    class Inner:
        def __init__(self, width: int = 3, **kwargs: int) -> None: ...


class Needs:
    def __init__(self, num_classes) -> None: ...


def filled(cls: type, **arguments: Any) -> dict[str, Any]:
    model = Namespace(class_path=f"{cls.__module__}.{cls.__qualname__}", init_args=Namespace(**arguments))
    fill_null_sizes(model)
    return model.init_args.as_dict()


def test_null_sizes_get_the_defaults_of_the_class() -> None:
    assert filled(Seven, num_classes=None, input_dim=None) == {"num_classes": 7, "input_dim": None}
    assert filled(Seven, num_classes=3, input_dim=64) == {"num_classes": 3, "input_dim": 64}
    assert filled(Seven.Inner, num_classes=None, width=None) == {"num_classes": None, "width": None}
    fill_null_sizes(Namespace(class_path="no.Such"))  # no arguments


def test_a_size_that_a_class_needs_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"^Expected `model.num_classes` to be given, but it is missing\.$"):
        filled(Needs, num_classes=None)
    assert filled(Needs, num_classes=4) == {"num_classes": 4}
