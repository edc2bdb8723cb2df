"""What docs/study.md says is what the published runs say."""

import re
from pathlib import Path

import pytest
import yaml

from al_lightning.run_folder import comparable_settings
from al_lightning.study.analysis import Analysis, analyse
from al_lightning.study.claims import judge
from al_lightning.study.runs import find_runs, read_run, read_study
from al_lightning.sweep.check import check
from al_lightning.sweep.study import read_study as read_sweep

RESULTS = Path("results/study")
DOCUMENT = Path("docs/study.md").read_text()
COMMAND = re.search(r"--arms \\\n\s+(\S+)", DOCUMENT)
CSAL = ["random", "csal", "random_mixmatch", "margin_mixmatch"]


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    assert COMMAND is not None
    return analyse(read_study([RESULTS], COMMAND[1].split(",")))


def test_the_verdicts_are_those_of_the_document(analysis: Analysis) -> None:
    factorial = [read_run(path) for path in find_runs([Path("results/round0")])]
    verdicts = {claim.id: claim.verdict for claim in judge(analysis, factorial)}
    verdicts |= {c.id: c.verdict for c in judge(analyse(read_study([RESULTS], CSAL))) if c.id == "C6b"}
    written = dict(re.findall(r"^\| (C\w+) \| (replicated|contradicted|inconclusive|not tested)", DOCUMENT, re.M))
    assert len(written) == 14
    assert written == {id: verdicts[id] for id in written}


def test_the_accuracies_are_those_of_the_document(analysis: Analysis) -> None:
    arms = [arm for arm in analysis.study.arms if "dropout" not in arm]
    longer = [RESULTS / arm / f"seed{seed}" for arm in arms for seed in range(3)]
    for name, found in (("2,600 to 3,000", analysis), ("4,600 to 5,000", analyse(read_study(longer, arms)))):
        check_table(DOCUMENT.split(f"| {name} labels |")[1].split("\n\n")[0], found)


def check_table(table: str, analysis: Analysis) -> None:
    primary = analysis.endpoints[analysis.endpoints["endpoint"] == analysis.endpoints["endpoint"][0]]
    by_name = {arm.replace("_", ""): row for arm, row in primary.set_index("arm").iterrows()}
    rows = re.findall(
        r"^\| ([\w-]+) \| (0\.\d{4}) \| (?:([+-][\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)\) )?\| ([\d.]*)", table, re.M
    )
    assert len(rows) == 7
    for name, mean, *difference, p in rows:
        found = by_name[name.lower().replace("-", "")]
        assert f"{found['mean']:.4f}" == mean
        if p:
            computed = found[["difference", "difference_low", "difference_high"]]
            assert [f"{value:+.4f}" for value in computed] == difference
            assert found["p_holm"] == pytest.approx(float(p), abs=0.0005)


def test_a_published_run_can_go_on_with_the_configs_of_today(tmp_path: Path) -> None:
    """A setting that came later has to mean what was done before it: run_folder.LATER_SETTINGS."""
    arms = read_sweep(["--config", "configs/study.yaml", "--seeds", "0-0"]).arms
    for name, today in check(arms).items():
        published = comparable_settings(yaml.safe_load((RESULTS / name / "seed0" / "config.yaml").read_text()))
        now = comparable_settings(today)
        unknown = {"seed_everything", "trainer.accelerator"}  # of a run, and of a machine
        differing = {key for key in published.keys() | now.keys() if published.get(key) != now.get(key)}
        assert differing <= unknown, name


def test_the_published_runs_are_small() -> None:
    size = sum(path.stat().st_size for path in Path("results").rglob("*") if path.is_file())
    assert size < 10 * 2**20
