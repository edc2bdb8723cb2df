import pytest

from al_lightning.cli.seeds import parse_seeds
from al_lightning.errors import InputError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1", [0]), ("3", [0, 1, 2]), ("0-2", [0, 1, 2]), ("5-5", [5]), ("4,2", [4, 2]), ("0, 3,5-7", [0, 3, 5, 6, 7])],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["0", "-1", "x", "", "1.5", "3,", "2-1", "1,1", "0-2,1", "4294967296-4294967297", "0-99999999999", "10001"]
)
def test_bad_seeds(text: str) -> None:
    with pytest.raises(InputError, match="Expected `--seeds` to .*, but got"):
        parse_seeds(text)


@pytest.mark.parametrize("value", [True, [], [1, 1], [1, "2"], [True], [-1], [2**32], list(range(10_001)), None])
def test_bad_values(value: object) -> None:
    with pytest.raises(InputError, match="Expected `--seeds` to .*, but got"):
        parse_seeds(value)


def test_values_of_a_file() -> None:
    assert parse_seeds(2) == [0, 1]
    assert parse_seeds([7, 3]) == [7, 3]
