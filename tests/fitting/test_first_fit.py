"""SharedFirstFit: what was saved, or nothing."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from al_lightning.errors import InputError
from al_lightning.fitting import first_fit
from al_lightning.fitting.first_fit import FirstFit, SharedFirstFit

FIT = FirstFit("recipe", {"weight": torch.arange(6.0).view(2, 3)}, 12, 0.99, True, 1.5)


def shared(folder: Path, recipe: str = "recipe") -> SharedFirstFit:
    return SharedFirstFit(folder, "seed0-abc", recipe)


def load(folder: Path, recipe: str = "recipe") -> FirstFit | None:
    with shared(folder, recipe).claim() as fit:
        return fit


def test_a_fit_is_read_as_it_was_saved(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    shared(tmp_path).save(FIT)
    found = load(tmp_path)
    assert found is not None
    assert found.weights["weight"].equal(FIT.weights["weight"])
    assert (found.epochs, found.train_acc, found.converged, found.seconds_fit) == (12, 0.99, True, 1.5)
    assert {path.name for path in tmp_path.iterdir()} == {"seed0-abc.pt", "seed0-abc.lock"}


def test_one_of_another_recipe_is_refused(tmp_path: Path) -> None:
    shared(tmp_path).save(FIT)
    with pytest.raises(InputError, match=r"seed0-abc.pt to be of this seed and training recipe, but it is of another"):
        load(tmp_path, "another")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.data())
def test_a_damaged_one_is_to_be_made_again(tmp_path: Path, data: st.DataObject) -> None:
    """torch itself would take weights in which a byte has changed."""
    shared(tmp_path).save(FIT)
    path = tmp_path / "seed0-abc.pt"
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[at:]
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="seed0-abc.pt is not as it was saved: the fit is made again"):
        assert load(tmp_path) is None
    shared(tmp_path).save(FIT)
    assert load(tmp_path) is not None


def test_one_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "seed0-abc.pt").mkdir()
    with pytest.raises(InputError, match=r"Expected to read the shared fit .*seed0-abc.pt, but got: Is a directory"):
        load(tmp_path)


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(first_fit, "replace_file", full)
    with pytest.raises(InputError, match=r"Expected to write the shared fit .*seed0-abc.pt, but got: No space left"):
        shared(tmp_path).save(FIT)
