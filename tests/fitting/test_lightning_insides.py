"""Private parts of Lightning's trainer that the loop needs."""

import lightning.pytorch as L
import pytest
from lightning.pytorch.callbacks import Callback, LambdaCallback

from al_lightning.fitting.lightning_insides import callbacks_of, in_place_of, with_callback


def make_trainer(*callbacks: Callback) -> L.Trainer:
    return L.Trainer(callbacks=list(callbacks), logger=False, enable_checkpointing=False, accelerator="cpu")


def test_a_callback_is_there_for_a_while_unless_it_is_there_already() -> None:
    mine, other = LambdaCallback(), Callback()
    trainer = make_trainer(other)
    before = callbacks_of(trainer)
    with with_callback(trainer, mine):
        assert callbacks_of(trainer) == [*before, mine]
        with with_callback(trainer, mine):
            assert callbacks_of(trainer) == [*before, mine]
        assert callbacks_of(trainer) == [*before, mine]
    assert callbacks_of(trainer) == before


def test_another_callback_takes_the_place_of_one_also_if_the_fit_fails() -> None:
    first, mine, last, other = (LambdaCallback() for _ in range(4))
    trainer = make_trainer(first, mine, last)
    before = callbacks_of(trainer)

    def fit() -> None:
        with in_place_of(trainer, mine, other):
            assert callbacks_of(trainer) == [other if one is mine else one for one in before]
            raise RuntimeError("the fit")

    with pytest.raises(RuntimeError, match="the fit"):
        fit()
    assert callbacks_of(trainer) == before


def test_what_a_fit_adds_stays_where_it_is() -> None:
    """Lightning puts the callbacks of a model among those of the trainer, in a list of its own."""
    mine, other, of_model = (LambdaCallback() for _ in range(3))
    trainer = make_trainer(mine)
    with in_place_of(trainer, mine, other):
        trainer.callbacks = [*trainer.callbacks, of_model]
    assert callbacks_of(trainer)[-1] is of_model
    assert any(one is mine for one in callbacks_of(trainer))
    assert not any(one is other for one in callbacks_of(trainer))
