"""Makes the row of rounds.csv for a fit and a test."""

from math import nan

from al_lightning.fitting.round_fit import Fitted
from al_lightning.fitting.round_metrics import OURS, Tested
from al_lightning.fitting.round_query import Queried
from al_lightning.run_folder.tables import COLUMNS, ROUNDS, Round


def row_of(round: int, num_labeled: int, fitted: Fitted, queried: Queried, tested: Tested) -> Round:
    """Returns the row of a round.

    Its further metrics have this order:

    1. the metrics of this package;
    2. the metrics that the model logs in its validation;
    3. the metrics that the model logs in its test, and the metrics that the user asks for.
    """
    known = {name: tested.metrics.get(name, nan) for name in OURS if name in COLUMNS[ROUNDS]}
    ours = {name: tested.metrics[name] for name in OURS if name in tested.metrics and name not in known}
    others = {name: value for name, value in tested.metrics.items() if name not in OURS}
    return Round(
        round=round,
        num_labeled=num_labeled,
        **known,
        train_acc=fitted.train_acc,
        epochs=fitted.epochs,
        converged=fitted.converged,
        seconds_fit=_milliseconds(fitted.seconds),
        seconds_score=_milliseconds(queried.seconds_score),
        seconds_select=_milliseconds(queried.seconds_select),
        seconds_test=_milliseconds(tested.seconds),
        metrics=ours | fitted.logged | others,
    )


def _milliseconds(seconds: float) -> float:
    return float(f"{seconds:.3f}")
