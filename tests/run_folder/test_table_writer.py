"""Tables keep cells with all characters that names of files may have."""

import csv
import io

import pytest

from al_lightning.run_folder.table_writer import table_writer

PLAIN = [
    ["file", "index", "label"],
    ["a/b ü.png", 7, None],
    ["x,y;z.png", 0.25, 'say "cat"'],
    ["two\nlines.png", 1, ""],
]


def test_lines_are_those_of_the_module_csv() -> None:
    ours, theirs = io.StringIO(), io.StringIO()
    table_writer(ours).writerows(PLAIN)
    csv.writer(theirs, lineterminator="\n").writerows(PLAIN)
    assert ours.getvalue() == theirs.getvalue()


@pytest.mark.parametrize("name", ["a\rb.png", "\r", "a\r\n", "\n\r", "a\r\n,b\r"])
def test_carriage_returns_come_back(name: str) -> None:
    text = io.StringIO()
    writer = table_writer(text)
    writer.writerow([name, "cat"])
    writer.writerow(["dog", name])
    assert list(csv.reader(io.StringIO(text.getvalue(), newline=""))) == [[name, "cat"], ["dog", name]]
