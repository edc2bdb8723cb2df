"""`al-lightning check`: the table, the exit code and what is refused."""

import re
import sys
from pathlib import Path

import pytest

from al_lightning.cli import main

MODULE = "strategies_of_a_user"


@pytest.fixture(autouse=True)
def users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / f"{MODULE}.py").write_text(Path("tests/testing/faulty.py").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    return tmp_path


def check(*words: str) -> int:
    """Runs the command; returns the exit code."""
    try:
        main(["check", *words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def outcomes(out: str) -> dict[str, str]:
    """The table that was printed: the outcome by code."""
    return dict(re.findall(r"^  (U\w+) .*  (holds|FAILS|does not apply|noted)$", out, flags=re.MULTILINE))


SOME = ["Random", "LeastConfidence", "Margin", "Entropy", "BALD", "BADGE", "CoreSet", "Consistency", "KMeans"]
"""Some of our strategies. The contract of all of them is in tests/strategies/test_contract.py."""


@pytest.mark.parametrize("name", SOME)
def test_ours_hold(name: str, capsys: pytest.CaptureFixture) -> None:
    assert check(name, *(["--num_augmentations", "5"] if name == "Consistency" else [])) == 0
    out, err = capsys.readouterr()
    table = outcomes(out)
    assert len(table) == 12
    assert set(table.values()) <= {"holds", "does not apply", *(["noted"] if name == "KMeans" else [])}
    assert f"All {list(table.values()).count('holds')} properties that apply hold." in out
    assert err == ""


def test_what_a_strategy_prints_is_not_in_the_table(capsys: pytest.CaptureFixture) -> None:
    assert check(f"{MODULE}.Faultless") == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 + 12 + 2
    assert set(outcomes(out).values()) == {"holds"}
    assert err == ""


@pytest.mark.parametrize(
    ("name", "code", "kind"),
    [
        ("MembersDisagree", 0, "an ensemble"),
        ("FirstMemberOnly", 1, "an ensemble"),
        ("WithoutDropout", 0, "a network without dropout"),
        ("Sensitive", 0, "a network with dropout"),
    ],
)
def test_a_strategy_gets_the_model_that_it_asks_for(
    name: str, code: int, kind: str, capsys: pytest.CaptureFixture
) -> None:
    assert check(f"{MODULE}.{name}") == code
    out = capsys.readouterr().out
    assert out.startswith(f"{name} on digits, with {kind}:\n\n")
    assert [code for code, outcome in outcomes(out).items() if outcome == "FAILS"] == ["U9"] * code


def test_a_fault_is_told_and_ends_with_code_1(capsys: pytest.CaptureFixture) -> None:
    assert check(f"{MODULE}.NeverAll") == 1
    out = capsys.readouterr().out
    table = outcomes(out)
    assert [code for code in table if table[code] == "FAILS"] == ["U2", "U3", "U6a", "U10"]
    assert table["U6b"] == "does not apply"
    lines = out.splitlines()
    i = lines.index("U2 FAILS: pool of 1 sample, query of 1: raised IndexError: list index out of range")
    assert re.match(rf"    {MODULE}.py, line \d+: return .* else \[\]\[query_size\]$", lines[i + 1])
    assert "U6b does not apply: the strategy does not look at the pool" in lines
    assert lines[-1] == "4 of 11 properties that apply fail."
    assert check(f"{MODULE}.NeverAll") == 1
    assert capsys.readouterr().out == out


def test_what_is_noted_is_no_fault(capsys: pytest.CaptureFixture) -> None:
    assert check(f"{MODULE}.Backwards") == 0
    out = capsys.readouterr().out
    assert outcomes(out)["U10"] == "noted"
    assert "U10 is noted: pool of 3 samples, query of 1: returned [" in out
    assert out.endswith("\nAll 11 properties that apply hold.\n")


@pytest.mark.parametrize("option", ["--by", "--loop.strategy.by"])
def test_options_go_to_the_constructor(option: str, capsys: pytest.CaptureFixture) -> None:
    assert check(f"{MODULE}.Shifted", option, "1") == 1
    assert "U2 FAILS: pool of 1 sample, query of 1: returned positions [1]" in capsys.readouterr().out
    assert check(f"{MODULE}.Shifted", f"{option}=0") == 1
    assert "1 of 11 properties that apply fails." in capsys.readouterr().out  # U3, as it always does


def test_help(capsys: pytest.CaptureFixture) -> None:
    assert check("--help") == 0
    assert "al-lightning check my_file.MyStrategy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Expected a strategy first, as in `al-lightning check my_file.MyStrategy`, but got none."),
        (["--by", "3"], "Expected a strategy first, .*"),
        (["BADEG"], "Expected the strategy to be one of BADGE, BAIT, BALD, .*, but got `BADEG`; did you mean BADGE\\?"),
        (["no_file.Mine"], "Expected `no_file` to be a module that .* ModuleNotFoundError: No module named 'no_file'."),
        (["broken.Mine"], "Expected `broken` to be a module that can be imported, but got ZeroDivisionError: .*"),
        (["syntax.Mine"], "Expected `syntax` to be a module that can be imported, but got SyntaxError: .*"),
        ([f"{MODULE}.Shiftd"], f"Expected `Shiftd` to be a class in `{MODULE}`, .*; did you mean Shifted\\?"),
        ([f"{MODULE}.SEEN"], f"Expected `{MODULE}.SEEN` to be a subclass of QueryStrategy, but it is none."),
        (
            [f"{MODULE}.NoStrategy"],
            f"Expected `{MODULE}.NoStrategy` to be a subclass of QueryStrategy, but it is none.",
        ),
        ([f"{MODULE}.Abstract"], f"Expected `{MODULE}.Abstract` to be a strategy .*, but it has no `query`."),
        ([f"{MODULE}.Shifted"], "Expected `by` to be given, but it is missing."),
        ([f"{MODULE}.Shifted", "--by", "x"], "Expected `by` to be an integer, but got `x`."),
        ([f"{MODULE}.Shifted", "--by", "-1"], "Expected `by` of Shifted to be at least 0, but got -1."),
        ([f"{MODULE}.Shifted", "--by", "100"], ".*Shifted` to be a strategy that can be made, .* TypeError: too far."),
        ([f"{MODULE}.Shifted", "--bye", "1"], "Expected an option .*, but got `--bye`; did you mean --by\\?"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], sentence: str, users_folder: Path, capsys: pytest.CaptureFixture
) -> None:
    (users_folder / "broken.py").write_text("print('loading')\n1 / 0\n")
    (users_folder / "syntax.py").write_text("def (\n")
    assert check(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"al-lightning: error: {sentence}\n", err)
