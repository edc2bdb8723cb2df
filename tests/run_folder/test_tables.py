"""Rows become text and text becomes rows."""

from dataclasses import replace

from hypothesis import given, settings, strategies as st

from al_lightning.run_folder.tables import ASKED, COLUMNS, QUERIES, ROUNDS, Query, Round, from_csv, grown_csv, to_csv

ROW = Round(0, 50, 0.5, 1.0, 0.5, 0.1, 1.0, 3, True, 0.1, 0.2, 0.3, 0.4)
NAMES = st.text("abc_", min_size=1).map("test_{}".format).filter(lambda name: name not in COLUMNS[ROUNDS])
VALUES = st.none() | st.floats(allow_nan=False)


@settings(deadline=None)
@given(st.lists(st.dictionaries(NAMES, VALUES), max_size=4))
def test_metrics_are_read_as_they_were_written(metrics: list[dict[str, float | None]]) -> None:
    rows = [replace(ROW, round=round, metrics=one) for round, one in enumerate(metrics)]
    read = from_csv(Round, to_csv(ROUNDS, rows))
    names = {name for row in rows for name in row.metrics}
    assert [dict(row.metrics) for row in read] == [{name: row.metrics.get(name) for name in names} for row in rows]
    assert [replace(row, metrics={}) for row in read] == [replace(row, metrics={}) for row in rows]


def test_a_metric_that_came_later_is_empty_before() -> None:
    text = to_csv(ROUNDS, [ROW, replace(ROW, round=1, metrics={"test_f1": 0.25})])
    assert [line.rsplit(",", 1)[1] for line in text.splitlines()] == ["test_f1", "", "0.25"]


def test_rows_of_an_earlier_version_have_no_further_metrics() -> None:
    text = ",".join(COLUMNS[ROUNDS]) + "\n0,50,0.5,1.0,0.5,0.1,1.0,3,True,0.1,0.2,0.3,0.4\n"
    assert from_csv(Round, text) == [ROW]
    assert to_csv(ROUNDS, [ROW]) == text


def test_a_query_without_a_label_is_a_question() -> None:
    question = Query(1, 0, 7, None, 0.5, 2, 0.75, "a.jpg")
    assert (
        to_csv(ASKED, [question])
        == "round,order,index,file,score,predicted,confidence,label\n1,0,7,a.jpg,0.5,2,0.75,\n"
    )
    assert from_csv(Query, to_csv(ASKED, [question])) == [question]
    answered = replace(question, label=2)
    assert to_csv(QUERIES, [answered]) == "round,order,index,label,score,predicted,confidence\n1,0,7,2,0.5,2,0.75\n"
    assert from_csv(Query, to_csv(QUERIES, [answered])) == [replace(answered, file="")]


def test_a_table_grows_as_if_it_were_written_anew() -> None:
    old = [Query(0, i, 10 * i, i % 3, 0.1 * i) for i in range(5)]
    new = [Query(1, i, 99 - i, 2, 1 / 3, 1, 0.25, 'a "name", with a comma') for i in range(3)]
    whole = to_csv(QUERIES, [*old, *new])
    assert grown_csv(QUERIES, to_csv(QUERIES, old), old, new) == whole
    assert grown_csv(QUERIES, to_csv(QUERIES, old), old, []) == to_csv(QUERIES, old)
    assert grown_csv(QUERIES, "", [], new) == to_csv(QUERIES, new)
    of_an_old_version = "round,order,index,label\r\n" + "".join(f"0,{i},{10 * i},{i % 3}\r\n" for i in range(5))
    assert grown_csv(QUERIES, of_an_old_version, old, new) == whole
