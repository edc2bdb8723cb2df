"""The row of rounds.csv that a fit and a test become."""

from math import isnan

import torch

from al_lightning.fitting.round_fit import Fitted
from al_lightning.fitting.round_metrics import Tested
from al_lightning.fitting.round_query import NOTHING, Queried
from al_lightning.fitting.round_row import row_of
from al_lightning.run_folder.tables import ROUNDS, to_csv

FITTED = Fitted(epochs=3, train_acc=0.5, converged=True, seconds=1.23456, logged={"val_loss": 2.0})


def test_metrics_are_columns_in_the_order_ours_validation_test() -> None:
    tested = {"test_f1": 0.25, "test_macro_f1": 0.5, "test_ece": 0.1, "test_acc": 0.75, "test_balanced_acc": 0.7}
    queried = Queried(torch.tensor([4]), seconds_score=0.0004, seconds_select=0.0006)
    row = row_of(2, 70, FITTED, queried, Tested(tested, None, 0.1))
    header, line = to_csv(ROUNDS, [row]).splitlines()
    assert header == (
        "round,num_labeled,test_acc,test_nll,test_brier,test_ece,train_acc,epochs,converged,seconds_fit,seconds_score,"
        "seconds_select,seconds_test,test_balanced_acc,test_macro_f1,val_loss,test_f1"
    )
    assert line == "2,70,0.75,nan,nan,0.1,0.5,3,True,1.235,0.0,0.001,0.1,0.7,0.5,2.0,0.25"


def test_without_a_test_set_the_known_columns_are_nan_and_there_are_no_others() -> None:
    row = row_of(0, 50, FITTED, NOTHING, Tested({}, None, 0.0))
    assert all(isnan(getattr(row, f"test_{name}")) for name in ("acc", "nll", "brier", "ece"))
    assert dict(row.metrics) == {"val_loss": 2.0}
