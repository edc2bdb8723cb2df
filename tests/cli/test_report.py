"""The command line of `report`: what it prints and what it refuses."""

from pathlib import Path

import pytest

from al_lightning.cli import main
from tests.report.made_up_runs import learning_curve, settings, write_run, write_study
from tests.report.people_runs import write_people_run


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = {"random": ({}, learning_curve()), "margin": ({"strategy": "Margin"}, learning_curve(0.01))}
    return write_study(tmp_path_factory.mktemp("study"), arms, num_seeds=3, num_rounds=6)


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["report", *words])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    return err


def test_the_primary_endpoint_is_printed_best_first(study: Path, capsys: pytest.CaptureFixture) -> None:
    main(["report", str(study)])
    lines = capsys.readouterr().out.splitlines()
    lines = lines[lines.index("") + 1 :]
    assert lines[0] == "accuracy, mean of 5 rounds, 700 to 1,100 labels, 3 seeds; difference to random, 95 % intervals:"
    assert lines[1].split()[0] == "margin"
    assert "p " in lines[1]
    assert lines[2].split()[0] == "random"


def test_seeds_are_chosen(study: Path, capsys: pytest.CaptureFixture) -> None:
    main(["report", str(study), "--seeds", "0,2"])
    assert "mean of 5 rounds, 700 to 1,100 labels, 2 seeds" in capsys.readouterr().out


def test_claims_are_printed_with_their_verdicts(study: Path, capsys: pytest.CaptureFixture) -> None:
    main(["report", str(study), "--claims"])
    out = capsys.readouterr().out
    assert "C1   100 rounds of 100 queries after 500 labels make 10,000 labels: CONTRADICTED" in out
    assert "C4   BALD has the highest final accuracy: NOT TESTED" in out


def test_planted_runs_are_judged(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for strategy, share in {"Random": 2, "Entropy": 60, "BALD": 1}.items():
        for seed in range(4 if strategy == "BALD" else 3):
            given = settings(strategy, seed, num_rounds=1)
            given["data"]["class_path"] = "al_lightning.PlantedFashionMNIST"
            given["data"]["init_args"] |= {"num_ambiguous": 100, "num_foreign": 100}
            asked_for = [60_000 + i for i in range(share)] + [60_100 + i for i in range(share // 2)]
            write_run(tmp_path / strategy.lower() / f"seed{seed}", given, [0.78, 0.79], asked_for=asked_for)
    main(["report", str(study), "--planted", str(tmp_path)])
    out = capsys.readouterr().out
    assert "C11  BALD avoids aleatoric noise and outliers: REPLICATED" in out
    assert "ambiguous: BALD 1.0%, Entropy 60.0%, Random 2.0%" in out
    assert f"Note: In {tmp_path}: Not all arms have all seeds, and these are left out: seed 3 of bald." in out


def test_a_report_is_written(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main(["report", str(study), "--out", str(tmp_path / "report"), "--claims"])
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    assert {"summary.csv", "summary.json"} <= {path.name for path in (tmp_path / "report").iterdir()}
    assert "Wrote" in capsys.readouterr().out


def test_help_needs_no_runs(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["report", "--help"])
    assert stop.value.code == 0
    assert "--claims" in capsys.readouterr().out


def test_one_seed_is_said_to_prove_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for arm, strategy in (("random", "Random"), ("margin", "Margin")):
        write_run(tmp_path / arm / "seed0", settings(strategy, num_rounds=1), [0.7, 0.75])
    main(["report", str(tmp_path)])
    out = capsys.readouterr().out
    assert "no interval and no test is possible" in out
    assert "p " not in out.splitlines()[-2]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "the following arguments are required: RUNS"),
        (["nothing"], "there is no folder nothing"),
        (["file"], "a folder of them, but file is a file"),
        (["STUDY", "--out", "file/report"], "`--out` file/report to be a folder that can be written, but"),
        (["."], "Expected runs"),
        (["STUDY", "--out", ""], "argument --out: expected the name of a folder, but got an empty one"),
        (["STUDY", "--out", "x" * 300], "`--out` to be a folder, but got: "),
        (["STUDY", "--arms", ","], "`--arms` to be names, with commas between them, but got `,`"),
        (["STUDY", "--arms", "bald"], "arms to be among margin, random, but got `bald`"),
        (
            ["STUDY", "--seeds", "x"],
            "`--seeds` to be a number n for 0 to n-1, a list, or a range such as 0-4, but got `x`",
        ),
        (["STUDY", "--seeds", "4"], "`--seeds` to be seeds that all arms have, but `margin` has no run with seed 3"),
        (["STUDY", "--baseline", "bald"], "baseline to be one of margin, random, but got `bald`"),
        (["STUDY", "--max_labels", "x"], "invalid int value: 'x'"),
        (["STUDY", "--max_labels", "10"], "`--max_labels` to be at least 500, but got 10"),
        (["STUDY", "--no_such"], "unrecognized arguments: --no_such"),
        (["STUDY", "--factorial", "nothing"], "there is no folder nothing"),
        (["STUDY", "--planted", "nothing"], "there is no folder nothing"),
    ],
)
def test_bad_input_is_one_sentence(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert sentence in refused(capsys, *[str(study) if word == "STUDY" else word for word in words])


def test_markdown_has_all_tables_and_nothing_else(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "al_lightning.cli.compared_runs.write_report", lambda analysis, out, **kwargs: out / "report.html"
    )
    main(["report", str(study), "--markdown", "--claims", "--out", str(tmp_path / "report")])
    out, err = capsys.readouterr()
    assert out.startswith("## What came out\n\n- margin has the highest mean, ")
    table = "## Accuracy\n\n<!-- report: accuracy -->\n| accuracy, mean of 5 rounds, 700 to 1,100 labels |"
    assert table in out
    assert out.endswith("<!-- end -->\n")
    assert "<!-- report: claims -->" in out
    assert f"Wrote {tmp_path / 'report' / 'report.html'}" in err  # it would not be Markdown


def test_what_came_out_is_printed_first(study: Path, capsys: pytest.CaptureFixture) -> None:
    main(["report", str(study)])
    assert capsys.readouterr().out.startswith("margin has the highest mean, 0.")


def test_p_values_of_two_seeds_are_said_to_be_worth_nothing(study: Path, capsys: pytest.CaptureFixture) -> None:
    main(["report", str(study), "--seeds", "2"])
    assert "(Holm, of two seeds: worth nothing)" in capsys.readouterr().out
    main(["report", str(study)])
    assert "worth nothing" not in capsys.readouterr().out


def test_a_run_of_people_is_reported_while_questions_are_open(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_people_run(tmp_path / "photos", num_open=2)
    main(["report", str(path), "--out", str(tmp_path / "report")])
    out = capsys.readouterr().out
    assert out.startswith("The run has 10 labels and 3 finished rounds; people skipped 2 samples.\n")
    assert "2 questions are open" in out
    rows = [line.split() for line in out.split("asked of people:\n")[1].splitlines()[1:4]]
    assert [row[:4] for row in rows] == [["0", "3", "4", "1"], ["1", "6", "4", "1"], ["2", "10", "4", "0"]]
    assert [row[4:] for row in rows] == [["-", "-"], ["67", "%", "-"], ["100", "%", "-"]]
    assert {"report.html", "summary.csv", "summary.json"} <= {path.name for path in (tmp_path / "report").iterdir()}
    main(["report", str(path), "--markdown"])
    out = capsys.readouterr().out
    assert "<!-- report: asked -->" in out
    assert "| photos | 0 | hot dog | 5 | 50.0% |" in out


def test_claims_need_accuracies(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_people_run(tmp_path / "photos")
    assert "runs with test accuracies for `--claims`, but these have none" in refused(capsys, str(path), "--claims")


def test_arms_that_differ_in_their_batches_are_compared_when_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for arm, size in (("small", 32), ("large", 256)):
        given = settings(num_rounds=1)
        given["data"]["init_args"]["batch_size"] = size
        write_run(tmp_path / arm / "seed0", given, [0.7, 0.75])
    assert "to compare them anyway: --vary data.batch_size." in refused(capsys, str(tmp_path))
    main(["report", str(tmp_path), "--vary", "data.batch_size"])
    assert "large" in capsys.readouterr().out
