"""scripts/study_tables.py writes what al-lightning report --markdown prints."""

from pathlib import Path

import pytest

from scripts import study_tables
from tests.report.reports import runs

TEXT = """\
```bash
# main: all arms
al-lightning report {runs} --out report --arms \\
    random,entropy
```

<!-- report: main: accuracy -->
| an old table |
<!-- end -->

Text that stays.

<!-- report: main --max_labels 90: accuracy -->
<!-- end -->
"""


def test_a_table_is_that_of_its_command_with_its_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "study.md"
    document.write_text(TEXT.format(runs=runs()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study_tables, "DOCUMENT", document)
    study_tables.main()
    before, whole, short = document.read_text().split("<!-- report: ")
    assert before == TEXT.format(runs=runs()).split("<!-- report: ")[0]
    assert whole.startswith("main: accuracy -->\n| accuracy, mean of 5 rounds, 90 to 170 labels")
    assert short.startswith("main --max_labels 90: accuracy -->\n| accuracy, mean of 3 rounds, 50 to 90 labels")
    assert "| entropy | 0." in whole
    assert "an old table" not in whole
    assert whole.endswith("<!-- end -->\n\nText that stays.\n\n")
    assert list(tmp_path.iterdir()) == [document]
