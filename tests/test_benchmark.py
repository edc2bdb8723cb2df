"""scripts/benchmark.py runs and says what it measured; how fast is not a matter of tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("flags", "keys"),
    [
        (["startup", "--repetitions", "1"], {"startup"}),
        (["scale", "--rows", "8000"], {"CoreSet", "BADGE"}),
    ],
)
def test_a_benchmark_writes_its_figures(tmp_path: Path, flags: list[str], keys: set[str]) -> None:
    output = tmp_path / "figures.json"
    command = [sys.executable, "scripts/benchmark.py", *flags, "--threads", "1", "--json", str(output)]
    subprocess.run(command, check=True, capture_output=True)
    figures = json.loads(output.read_text())
    assert figures.keys() == keys | {"machine"}
    assert all(row["milliseconds"] > 0 for key in keys for row in figures[key].values())
