"""The tables of a report as Markdown: their names stay, and their numbers are those of the analysis."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from al_lightning.report.claims.judge import Claim
from al_lightning.report.markdown import tables, to_markdown
from tests.report.reports import analysis, study

CLAIM = Claim("C1", "A | B", "+0.0150", "[+0.0100, +0.0200]", "replicated", "")


def rows_of(table: str) -> list[list[str]]:
    """The cells of each row, the header first."""
    header, line, *rows = table.splitlines()
    assert set(line) == {"|", "-", " "}
    cells = [re.split(r"(?<!\\)\|", row)[1:-1] for row in (header, line, *rows)]
    assert len({len(row) for row in cells}) == 1
    return [[cell.strip() for cell in row] for row in (cells[0], *cells[2:])]


def test_each_table_has_a_name_that_does_not_depend_on_the_runs() -> None:
    assert list(tables(analysis(), [CLAIM])) == [
        "accuracy",
        "aubc",
        "last_round",
        "efficiency",
        "cost",
        "balance",
        "overlap",
        "penalty",
        "claims",
    ]


def test_the_numbers_of_an_endpoint_are_not_in_its_name() -> None:
    names = {
        "accuracy, mean of 5 rounds, 9,600 to 10,000 labels": "accuracy",
        "accuracy, median of 5 rounds, 9,600 to 10,000 labels": "accuracy_median",
        "AUBC 500-10,500": "aubc",
        "early AUBC 500-2,000": "early_aubc",
        "late AUBC 8,000-10,000": "late_aubc",
        "last round, 10,500": "last_round",
    }
    row = analysis().endpoints[:1]
    found = replace(analysis(), endpoints=pd.concat([row.assign(endpoint=name) for name in names]))
    assert [name for name in tables(found) if name in names.values()] == list(names.values())
    assert [rows_of(table)[0][0] for table in tables(found).values()][: len(names)] == list(names)
    assert "\n## Early AUBC\n" in to_markdown(found)


def test_what_there_is_nothing_to_say_of_is_left_out() -> None:
    assert list(tables(analysis(study(["random"], max_rounds=1, num_seeds=1)))) == ["accuracy", "cost", "balance"]


def test_endpoints_are_those_of_the_analysis_best_first() -> None:
    tables_of = analysis()
    header, *rows = rows_of(tables(tables_of)["accuracy"])
    assert header == [
        "accuracy, mean of 5 rounds, 90 to 170 labels",
        "mean",
        "minus random, 95 % interval",
        "Holm's p",
    ]
    found = tables_of.endpoints[tables_of.endpoints["endpoint"] == header[0]].set_index("arm")
    assert [float(row[1]) for row in rows] == sorted(found["mean"].round(4), reverse=True)
    by_arm = {row[0]: row[1:] for row in rows}
    assert by_arm["random"] == [f"{found['mean']['random']:.4f}", "", ""]
    assert list(by_arm) == ["&lt;b&gt;&amp;", "entropy", "random"]
    entropy = found.loc["entropy"]
    interval = f"({entropy.difference_low:+.4f} to {entropy.difference_high:+.4f})"
    assert by_arm["entropy"][1] == f"{entropy.difference:+.4f} {interval}"
    assert float(by_arm["entropy"][2]) == float(f"{entropy.p_holm:.2g}")


def test_small_p_values_are_written_out() -> None:
    tables_of = analysis()
    found = tables_of.endpoints.assign(p_holm=0.0000312)
    assert rows_of(tables(replace(tables_of, endpoints=found))["accuracy"])[1][3] == "0.000031"


def test_bounds_of_the_labels_saved_are_said() -> None:
    found: dict[str, Any] = {"arm": "entropy", "target_accuracy": 0.8, "low": 1.0, "high": np.inf}
    rows = [
        found | {"baseline_labels": 4_321, "labels": 2_000, "ratio": 2.16, "censored": False, "at_once": False},
        found | {"baseline_labels": 1_234, "labels": 617, "ratio": 2.0, "censored": False, "at_once": True},
        found | {"baseline_labels": 777, "labels": 1_554, "ratio": 0.5, "censored": True, "at_once": False},
    ]
    efficiency = pd.DataFrame(rows).assign(bound=["", "at least", "at most"])
    _, *cells = rows_of(tables(replace(analysis(), efficiency=efficiency))["efficiency"])
    assert [row[2:] for row in cells] == [
        ["4,321", "2,000", "2.16 (1.00 to ∞)"],
        ["1,234", "at most 617", "≥ 2.00 (1.00 to ∞)"],
        ["777", "more than 1,554", "≤ 0.50 (1.00 to ∞)"],
    ]


def test_matrices_balance_cost_and_falls_are_those_of_the_analysis() -> None:
    tables_of = analysis()
    falls = pd.DataFrame(
        [("random", 1, 8_200, 0.81, 0.88)], columns=["arm", "seed", "num_labeled", "accuracy", "around"]
    )
    found = {name: rows_of(table)[1:] for name, table in tables(replace(tables_of, falls=falls)).items()}
    assert [row[2] for row in found["overlap"]] == [f"{share:.2f}" for share in tables_of.overlap["entropy"]]
    assert [row[1] for row in found["penalty"]] == [f"{share:.2f}" for share in tables_of.penalty["random"]]
    last = tables_of.balance[tables_of.balance["num_labeled"] == tables_of.study.num_labeled[-1]]
    assert [row[1] for row in found["balance"]] == [f"{value:.4f}" for value in last["entropy"]]
    assert [row[2] for row in found["balance"]] == [f"{value:.1%}" for value in last["least"]]
    assert [row[1] for row in found["cost"]] == [f"{value:.2f}" for value in tables_of.cost["fit"]]
    assert found["cost"][0][-1] == "0%"
    assert found["falls"] == [["random", "1", "8,200", "0.8100", "0.8800"]]


def test_the_document_has_each_table_between_its_markers() -> None:
    text = to_markdown(analysis(), [CLAIM], ["A note of x < y."])
    assert text.startswith("## What came out\n\n- &lt;b&gt;&amp; has the highest mean, ")
    assert "\n\n## Notes\n\n- A note of x &lt; y.\n\n## Accuracy\n" in text
    for name, table in tables(analysis(), [CLAIM]).items():
        assert f"\n\n<!-- report: {name} -->\n{table}<!-- end -->\n" in text
    assert "| C1 | A \\| B | replicated | +0.0150; [+0.0100, +0.0200] |" in text
