"""The parser of the commands that train and test."""

from pathlib import Path

import pytest

from al_lightning.cli.fit import settings_of_fit
from tests.digits import FlatDigits


class Rooted(FlatDigits):
    """Data with an argument that FashionMNIST has, too, with another default."""

    def __init__(self, root: str | None = None, num_initial: int = 20) -> None:
        super().__init__(num_initial)
        self.root = root


@pytest.mark.parametrize("in_config", [False, True])
def test_the_default_data_leave_no_arguments_to_others(tmp_path: Path, in_config: bool) -> None:
    flags = ["--data", f"{__name__}.Rooted"]
    if in_config:
        (tmp_path / "own.yaml").write_text(f"data:\n  class_path: {__name__}.Rooted\n")
        flags = ["--config", str(tmp_path / "own.yaml")]
    assert settings_of_fit(flags)["data"]["init_args"] == {"root": None, "num_initial": 20}


def test_data_that_nobody_chose_are_fashion_mnist() -> None:
    data = settings_of_fit(["--data.num_initial", "7"])["data"]
    assert (data["class_path"], data["init_args"]["num_initial"]) == ("al_lightning.FashionMNIST", 7)
