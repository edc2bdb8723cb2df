"""scripts/benchmark.py runs and says what it measured; how fast is not a matter of tests."""

import json
import subprocess
from pathlib import Path

SELECTIONS = {
    *("CoreSet", "BADGE", "BAIT", "ClusterMargin", "KMeans", "TypiClust", "MaxHerding", "DropQuery", "ALFAMix"),
    "Entropy of 1,000 classes",
}


def test_a_benchmark_writes_its_figures(tmp_path: Path, forked_python: str) -> None:
    output = tmp_path / "figures.json"
    flags = ["scale", "--rows", "4000", "--threads", "1", "--json", str(output)]
    subprocess.run([forked_python, "scripts/benchmark.py", *flags], check=True, capture_output=True)
    figures = json.loads(output.read_text())
    assert figures.keys() == SELECTIONS | {"machine"}
    assert all(row["milliseconds"] > 0 for name in SELECTIONS for row in figures[name].values())
