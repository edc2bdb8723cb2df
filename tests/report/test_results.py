"""What docs/study.md says is what the published runs say."""

import re
from pathlib import Path

import pytest
import yaml

from al_lightning.cli.seeds import parse_seeds
from al_lightning.report.analysis import Analysis, analyse
from al_lightning.report.claims.judge import judge
from al_lightning.report.read_run import find_runs, read_run
from al_lightning.report.stats.collapsed_fits import falls
from al_lightning.report.study import read_study
from al_lightning.run_folder import comparable_settings
from al_lightning.sweep.plan import read_study as read_sweep
from al_lightning.sweep.settings_of_arms import check

RESULTS = Path("results/study")
DOCUMENT = Path("docs/study.md").read_text()
COMMANDS = [
    line.replace("\\\n", "").split() for line in re.findall(r"^al-lightning report ((?:.*\\\n)*.*)$", DOCUMENT, re.M)
]
SIX_SEEDS = ["results/study", "--seeds", "0-5", "--arms", "random,margin,entropy,bald,badge,core_set"]
OTHERS = dict(zip(("C4b", "C6b C9", "C12 C12b C12c"), COMMANDS[1:], strict=True))


def words_after(command: list[str], option: str) -> list[str]:
    return command[command.index(option) + 1].split(",") if option in command else []


def analysed(command: list[str], max_labels: int | None = None) -> Analysis:
    folders = [Path(command[0]), *(Path(word) for word in command[1:3] if word.startswith("results/"))]
    arms, baseline = (words_after(command, option) for option in ("--arms", "--baseline"))
    seeds = parse_seeds(",".join(words)) if (words := words_after(command, "--seeds")) else None
    study = read_study(folders, arms or None, max_labels, seeds)
    return analyse(study, baseline[0] if baseline else None)


@pytest.fixture(scope="module")
def main_analysis() -> Analysis:
    return analysed(COMMANDS[0])


def test_the_verdicts_are_those_of_the_document(main_analysis: Analysis) -> None:
    """Of each command those of its claims, and the first one's of all others."""
    factorial = [read_run(path) for path in find_runs([Path("results/round0")])]
    planted = read_study([Path("results/planted")])
    claims = {claim.id: claim for claim in judge(main_analysis, factorial, planted)}
    for ids, command in OTHERS.items():
        claims |= {claim.id: claim for claim in judge(analysed(command)) if claim.id in ids.split()}
    written = dict(
        re.findall(r"^\| (C\w+) \| (replicated|contradicted|inconclusive|not tested|descriptive)", DOCUMENT, re.M)
    )
    assert len(written) == 19
    assert written == {id: claims[id].verdict for id in written}


def test_the_accuracies_are_those_of_the_document(main_analysis: Analysis) -> None:
    for name, found in (
        ("9,600 to 10,000", main_analysis),
        ("4,600 to 5,000", analysed(COMMANDS[0], 5000)),
        ("2,600 to 3,000", analysed(COMMANDS[0], 3000)),
        ("MixMatch, 9,600 to 10,000", analysed(OTHERS["C6b C9"])),
        ("six seeds, 9,600 to 10,000", analysed(SIX_SEEDS)),
    ):
        check_table(DOCUMENT.split(f"| {name} labels |")[1].split("\n\n")[0], found)


def check_table(table: str, analysis: Analysis) -> None:
    primary = analysis.endpoints[analysis.endpoints["endpoint"] == analysis.endpoints["endpoint"][0]]
    rows_of_arms = primary.set_index("arm").iterrows()
    by_name = {arm.removesuffix("_supervised").replace("_", ""): row for arm, row in rows_of_arms}
    rows = re.findall(
        r"^ *\| ([\w, -]+) \| (0\.\d{4}) \| (?:([+-][\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)\) )?\| ([\d.]*)", table, re.M
    )
    assert len(rows) == len(by_name)
    for name, mean, *difference, p in rows:
        found = by_name[re.sub(r"\W", "", name.lower())]
        assert f"{found['mean']:.4f}" == mean
        if p:
            computed = found[["difference", "difference_low", "difference_high"]]
            assert [f"{value:+.4f}" for value in computed] == difference
            assert found["p_holm"] == pytest.approx(float(p), abs=0.0005)


def test_the_fits_that_fall_are_those_of_the_document() -> None:
    fell = {}
    for path in find_runs([RESULTS]):
        run = read_run(path)
        (is_low,) = falls(run.rounds["test_acc"].to_numpy(float)[None])
        if is_low.any():
            fell[run.arm, run.seed] = run.rounds["num_labeled"][is_low].tolist()
    assert {arm for arm, _ in fell} == {"margin_mixmatch"}
    document = " ".join(DOCUMENT.split())
    for (_, seed), found in fell.items():
        *others, last = (f"{labels:,}" for labels in found)
        listed = f"{', '.join(others)} and {last} labels those" if others else f"{last} that"
        assert f"at {listed} of seed {seed}" in document
    assert f"{sum(map(len, fell.values()))} of its fits fall" in document


def test_a_published_run_can_go_on_with_the_configs_of_today(tmp_path: Path) -> None:
    """A setting that came later has to mean what was done before it: run_folder.settings.LATER_SETTINGS."""
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
