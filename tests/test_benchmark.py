"""scripts/benchmark.py runs and says what it measured; how fast is not a matter of tests."""

import json
import subprocess
from pathlib import Path

SELECTIONS = {
    *("CoreSet", "BADGE", "BAIT", "ClusterMargin", "KMeans", "TypiClust", "MaxHerding", "DropQuery", "ALFAMix"),
    *("BADGE, a query of one row in ten", "Entropy of 1,000 classes"),
}


def figures_of(python: str, output: Path, *flags: str) -> dict:
    subprocess.run(
        [python, "scripts/benchmark.py", *flags, "--threads", "1", "--json", str(output)],
        check=True,
        capture_output=True,
    )
    return json.loads(output.read_text())


def test_a_benchmark_writes_its_figures(tmp_path: Path, forked_python: str) -> None:
    figures = figures_of(forked_python, tmp_path / "figures.json", "scale", "--rows", "4000")
    assert figures.keys() == SELECTIONS | {"machine"}
    assert all(row["milliseconds"] > 0 for name in SELECTIONS for row in figures[name].values())


def test_tables_on_disk_are_compared_with_plain_passes(tmp_path: Path, forked_python: str) -> None:
    figures = figures_of(forked_python, tmp_path / "figures.json", "data", "--rows", "300", "--repetitions", "1")
    tables = {"1500 x 64 float32 into memory": "plain read", "scores of 300 x 784 uint8 on disk": "plain pass"}
    photos = "20 photos of 640 x 480 into memory"
    assert figures.keys() == tables.keys() | {"machine", photos}
    assert figures[photos].keys() == {"plain decoding", "first start of a run", "a run that goes on"}
    for name, base in tables.items():
        assert figures[name].keys() == {base, "NumpyFiles", "NumpyFiles, not standardized"}
        assert figures[name][base]["ratio"] == 1
        assert all(row["milliseconds"] > 0 and row["ratio"] > 0 for row in figures[name].values())
