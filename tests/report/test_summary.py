"""summary.csv and summary.json: the numbers, for other programs."""

import io
import json

import pandas as pd

from al_lightning import __version__
from al_lightning.report.claims.judge import Claim
from al_lightning.report.summary import summary_csv, summary_json
from tests.report.reports import ARMS, analysis, study


def strict(text: str) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_csv_has_the_endpoints() -> None:
    tables = analysis()
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(summary_csv(tables))), tables.endpoints)


def test_json_has_everything_and_is_strict() -> None:
    tables = analysis()
    claim = Claim("C1", "x", "0.5", "[0.1, 0.2]", "inconclusive", "")
    content = strict(summary_json(tables, [claim]))
    assert content["arms"]["<b>&"] == {
        "loop.strategy": "al_lightning.Random",
        "model": "tests.digits.DigitsMLP",
        "model.dropout": 0.1,
    }
    assert content["seeds"] == [0, 1]
    assert content["protocol"]["loop.query_size"] == 20
    assert content["num_labeled"] == tables.study.num_labeled.tolist()
    assert content["claims"] == [
        {"id": "C1", "claim": "x", "statistic": "0.5", "interval": "[0.1, 0.2]", "verdict": "inconclusive", "note": ""}
    ]
    assert content["endpoints"][0]["mean"] == tables.endpoints["mean"][0]
    assert content["endpoints"][0]["difference"] is None  # the baseline
    assert content["penalty"] == {row: dict(values) for row, values in tables.penalty.iterrows()}
    assert list(content["bands"]) == list(ARMS)
    assert content["bands"]["entropy"][0]["simultaneous_low"] is None
    assert [row["censored"] for row in content["efficiency"]] == tables.efficiency["censored"].tolist()
    assert content["versions"]["al_lightning"] == __version__


def test_one_seed_is_null_and_noted() -> None:
    tables = analysis(study(num_seeds=1))
    content = strict(summary_json(tables))
    assert content["endpoints"][0]["low"] is None
    assert content["notes"] == list(tables.notes)
    assert any("one seed" in note for note in content["notes"])
