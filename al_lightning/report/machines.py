"""Which versions and which hardware made the rounds of the runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from al_lightning.report.study import Study

ROUNDS = "rounds"
UNKNOWN = "not recorded"


def machine_table(study: Study) -> pd.DataFrame:
    """Returns one row for each set of versions and hardware: :attr:`Analysis.machines`."""
    spans: dict[tuple[tuple[str, str], ...], dict[tuple[int, int], dict[str, list[int]]]] = {}
    for run in study.all_runs:
        for start, stop, versions in _spans(run.made_with, len(run.rounds)):
            of_arms = spans.setdefault(versions, {}).setdefault((start, stop), {})
            of_arms.setdefault(run.arm, []).append(run.seed)
    whole = {(0, len(run.rounds)) for run in study.all_runs}
    rows = []
    for versions, by_span in sorted(spans.items(), key=lambda item: not item[0]):
        everything = len(spans) == 1 and by_span.keys() == whole
        texts = [_text(span, of_arms, study) for span, of_arms in sorted(by_span.items())]
        rows.append({ROUNDS: "all" if everything else "; ".join(texts), **dict(versions or (("hardware", UNKNOWN),))})
    table = pd.DataFrame(rows).fillna(UNKNOWN)
    return table[sorted(table.columns, key=lambda name: (name != ROUNDS, name != "hardware"))]


def _spans(
    made_with: Sequence[Mapping[str, Any]], num_rounds: int
) -> list[tuple[int, int, tuple[tuple[str, str], ...]]]:
    """Returns first round, round after the last, and versions. Versions that are not recorded are empty."""
    rows = [({"from_round": 0}), *made_with] if not made_with or made_with[0]["from_round"] > 0 else list(made_with)
    stops = [*(int(row["from_round"]) for row in rows[1:]), num_rounds]
    return [
        (int(row["from_round"]), stop, tuple((name, str(value)) for name, value in row.items() if name != "from_round"))
        for row, stop in zip(rows, stops, strict=True)
        if row["from_round"] < stop
    ]


def _text(span: tuple[int, int], of_arms: Mapping[str, Sequence[int]], study: Study) -> str:
    """Returns, for example, ``0 to 10 of csal, random (seed 1)``."""
    arms = [
        arm if len(seeds) == len(study.seeds) else f"{arm} (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))})"
        for arm, seeds in of_arms.items()
    ]
    first, last = span[0], span[1] - 1
    return f"{f'{first} to {last}' if first < last else first} of {', '.join(arms)}"
