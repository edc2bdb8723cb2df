"""Writes the tables of docs/study.md: python scripts/study_tables.py.

A table stands between ``<!-- report: NAME OPTIONS: TABLE -->`` and ``<!-- end -->``. NAME is that of a command in the
document, the word after ``#`` in the line before the command. OPTIONS are more words for the command, if any. TABLE is
the name that ``al-lightning report --markdown`` gives the table.
"""

import contextlib
import io
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from al_lightning.cli import report

DOCUMENT = Path("docs/study.md")
COMMAND = re.compile(r"^# (\w+).*\nal-lightning report ((?:.*\\\n)*.*)$", re.MULTILINE)
TABLE = re.compile(r"(<!-- report: ([^:>]+): (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
PRINTED = re.compile(r"<!-- report: (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)


def commands(document: str) -> dict[str, list[str]]:
    """The words after ``al-lightning report``, by the name of the command."""
    return {name: words.replace("\\\n", " ").split() for name, words in COMMAND.findall(document)}


def words_of(document: str, name_and_options: str) -> list[str]:
    """The words of the command that writes a table."""
    name, *options = name_and_options.split()
    return [*commands(document)[name], *options]


def fill(document: str, tables_of: Callable[[str], Mapping[str, str]]) -> str:
    """Returns the document with new tables.

    Args:
        document: The text with the old tables.
        tables_of: The tables of a command with its options, by name.
    """
    return TABLE.sub(lambda found: found[1] + tables_of(found[2])[found[3]], document)


def main() -> None:
    document = DOCUMENT.read_text()

    @cache
    def printed(name_and_options: str) -> dict[str, str]:
        words = words_of(document, name_and_options)
        if "--out" in words:  # only the tables are wanted
            del words[words.index("--out") : words.index("--out") + 2]
        with contextlib.redirect_stdout(io.StringIO()) as output:
            report.run([*words, "--markdown"])
        return dict(PRINTED.findall(output.getvalue()))

    DOCUMENT.write_text(fill(document, printed))


if __name__ == "__main__":
    main()
