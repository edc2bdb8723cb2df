"""What docs/study.md says is what the published runs say."""

import itertools
import re
from functools import cache
from pathlib import Path

import yaml

from al_lightning.cli.fit import settings_of_fit
from al_lightning.cli.seeds import parse_seeds
from al_lightning.report.analysis import Analysis, analyse
from al_lightning.report.claims.judge import judge
from al_lightning.report.markdown import tables
from al_lightning.report.read_run import find_runs, read_run
from al_lightning.report.stats.collapsed_fits import falls
from al_lightning.report.study import read_study
from al_lightning.run_folder import comparable_settings, differing
from al_lightning.sweep.plan import read_plan
from scripts.study_tables import TABLE, commands, fill, words_of

RESULTS = Path("results/study")
DOCUMENT = Path("docs/study.md").read_text()
COMMANDS = commands(DOCUMENT)
CLAIMS_OF = {"dropout": "C4b", "mixmatch": "C6b C9", "core_set": "C12 C12b C12c"}
"""Claims that the main command does not decide."""


def words_after(command: list[str], option: str) -> list[str]:
    return command[command.index(option) + 1].split(",") if option in command else []


@cache
def analysis_of(name_and_options: str) -> Analysis:
    """What a command of the document computes."""
    command = words_of(DOCUMENT, name_and_options)
    runs = [Path(word) for word in itertools.takewhile(lambda word: not word.startswith("--"), command)]
    arms, seeds, max_labels = (words_after(command, option) for option in ("--arms", "--seeds", "--max_labels"))
    study = read_study(
        runs, arms or None, int(max_labels[0]) if max_labels else None, parse_seeds(",".join(seeds)) if seeds else None
    )
    return analyse(study)


def test_the_verdicts_are_those_of_the_document() -> None:
    """Of each command those of its claims, and the main one's of all others; figures are in the evidence."""
    factorial = [read_run(path) for path in find_runs([Path("results/round0")])]
    planted = read_study([Path("results/planted")])
    claims = {claim.id: claim for claim in judge(analysis_of("main"), factorial, planted)}
    for name, ids in CLAIMS_OF.items():
        claims |= {claim.id: claim for claim in judge(analysis_of(name)) if claim.id in ids.split()}
    written = re.findall(
        r"^\| (C\w+) [^|]+ \| (replicated|contradicted|inconclusive|not tested|descriptive) \|(.*)$", DOCUMENT, re.M
    )
    assert len(written) == 19
    for id, verdict, reason in written:
        assert (id, claims[id].verdict) == (id, verdict)
        evidence = f"{claims[id].statistic} {claims[id].interval} {claims[id].note}"
        for figure in re.findall(r"\d\.\d{3,4}\b", reason):
            assert figure in evidence or is_p_value(figure, evidence), (id, figure)


def is_p_value(figure: str, evidence: str) -> bool:
    """Whether a p-value in the evidence is rounded to the figure."""
    return any(f"{float(p):.{len(figure) - 2}f}" == figure for p in re.findall(r" p ([\d.e-]+)", evidence))


def test_the_tables_are_those_of_the_document() -> None:
    assert len(TABLE.findall(DOCUMENT)) == 11
    assert fill(DOCUMENT, lambda name: tables(analysis_of(name))) == DOCUMENT, "run scripts/study_tables.py"


def test_the_fits_that_fall_are_those_of_the_document() -> None:
    fell = {}
    for path in find_runs([RESULTS]):
        run = read_run(path)
        (is_low,) = falls(run.rounds["test_acc"].to_numpy(float)[None])
        if is_low.any():
            fell[run.arm, run.seed] = run.rounds["num_labeled"][is_low].tolist()
    assert {arm for arm, _ in fell} == {"margin_mixmatch"}
    for (arm, seed), found in fell.items():
        assert re.findall(rf"^\| {arm} \| {seed} \| ([\d,]+) \|", DOCUMENT, re.M) == [f"{labels:,}" for labels in found]
    assert f"{sum(map(len, fell.values()))} of its fits fall" in DOCUMENT


def test_a_published_run_can_go_on_with_the_configs_of_today(tmp_path: Path) -> None:
    """The default of an argument that came later has to mean what was done before it."""
    for arm in read_plan(["--config", "configs/study.yaml", "--seeds", "0-0"]).arms:
        published = comparable_settings(yaml.safe_load((RESULTS / arm.name / "seed0" / "config.yaml").read_text()))
        now = comparable_settings(settings_of_fit(arm.flags))  # in this process, which has imported Lightning
        unknown = {"seed_everything", "trainer.accelerator"}  # of a run, and of a machine
        assert differing(published, now).keys() <= unknown, arm.name


def test_the_published_runs_are_small() -> None:
    files = [path for path in Path("results").rglob("*") if path.is_file()]
    sizes = {
        name: sum(path.stat().st_size for path in files if (path.parts[1] == "simclr") == name)
        for name in (True, False)
    }
    assert sizes[False] < 10 * 2**20
    assert sizes[True] < 2 * 2**20  # weights of a network
