"""Each claim gets the verdict that planted curves call for, in all directions."""

from pathlib import Path
from typing import Any

import pytest

from al_lightning.report.analysis import analyse
from al_lightning.report.claims.judge import Claim, judge
from al_lightning.report.read_run import read_run
from al_lightning.report.study import Study, read_study
from tests.report.made_up_runs import Curve, jitter, learning_curve, settings, write_published_run, write_study

pytestmark = pytest.mark.filterwarnings("error")
STRATEGIES = {
    "random": "Random",
    "least_confidence": "LeastConfidence",
    "margin": "Margin",
    "entropy": "Entropy",
    "bald": "BALD",
    "badge": "BADGE",
    "core_set": "CoreSet",
}


def claims(
    folder: Path, curves: dict[str, Curve], num_seeds: int = 6, num_rounds: int = 100, **kwargs: Any
) -> dict[str, Claim]:
    extra = kwargs.pop("extra", {})
    arms = {
        name: ({"strategy": strategy}, curves.get(name, learning_curve()))
        for name, strategy in STRATEGIES.items()
        if name in curves or name == "random"
    }
    study = read_study([write_study(folder, arms | extra, num_seeds, num_rounds, **kwargs)])
    return {claim.id: claim for claim in judge(analyse(study))}


@pytest.fixture(scope="module")
def as_claimed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Claim]:
    """All that the document says of BALD, Core-Set and the rest, but for the start near 50 %."""
    tier = learning_curve(0.02)
    curves = {"margin": tier, "entropy": tier, "least_confidence": tier, "badge": tier}
    curves |= {"bald": learning_curve(-0.02, 0.04), "core_set": learning_curve(-0.005)}
    return claims(tmp_path_factory.mktemp("as_claimed"), curves, seconds_score={"bald": 5.0})


@pytest.fixture(scope="module")
def contrary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Claim]:
    """The contrary of it."""
    curves = {"margin": learning_curve(0.03), "entropy": learning_curve(-0.01), "least_confidence": learning_curve(0.0)}
    curves |= {"badge": learning_curve(0.03), "bald": learning_curve(0.035, -0.02), "core_set": learning_curve(0.02)}
    return claims(tmp_path_factory.mktemp("contrary"), curves)


def test_claims_that_hold_are_replicated(as_claimed: dict[str, Claim]) -> None:
    verdicts = {id: claim.verdict for id, claim in as_claimed.items()}
    for id in ("C3", "C4", "C5", "C6", "C7", "C8"):
        assert verdicts[id] == "replicated", as_claimed[id]


def test_claims_that_do_not_hold_are_contradicted(contrary: dict[str, Claim]) -> None:
    verdicts = {id: claim.verdict for id, claim in contrary.items()}
    for id in ("C3", "C4", "C5", "C6", "C7", "C8"):
        assert verdicts[id] == "contradicted", contrary[id]


def test_ties_are_inconclusive(tmp_path: Path) -> None:
    """Differences that are smaller than the noise of few seeds, and as large as the margin."""
    names = [name for name in STRATEGIES if name != "random"]

    def swinging(i: int) -> Curve:
        return lambda seed, n: learning_curve()(seed, n) + (n > 500) * 0.01 * ((seed + i) % 2)

    arms = {name: swinging(i) for i, name in enumerate(names)}
    found = claims(tmp_path, arms, num_seeds=4)
    for id in ("C3", "C4", "C5"):
        assert found[id].verdict == "inconclusive", found[id]


def test_arithmetic_and_the_first_round_need_no_strategy(as_claimed: dict[str, Claim]) -> None:
    assert as_claimed["C1"].statistic == "500 + 100 x 100 = 10,500"
    assert as_claimed["C1"].verdict == "contradicted"
    assert "round 95" in as_claimed["C1"].note
    assert as_claimed["C2"].verdict == "contradicted"
    assert "the same to the bit" in as_claimed["C2"].note
    assert as_claimed["C13"].verdict == "contradicted"
    assert "0 differences in round 0" in as_claimed["C13"].statistic


def test_whether_10000_or_10500_labels_were_meant_is_asked_of_the_verdicts(
    as_claimed: dict[str, Claim], tmp_path: Path
) -> None:
    assert "C4 is replicated with either, C6 is replicated with either" in as_claimed["C1"].note

    def falls_behind(seed: int, labels: int) -> float:
        return learning_curve(0.02 if labels <= 10_000 else -0.03)(seed, labels)

    arms: dict[str, Curve] = dict.fromkeys(("margin", "entropy", "least_confidence", "badge"), learning_curve())
    found = claims(tmp_path, arms | {"bald": falls_behind, "core_set": learning_curve()})
    assert "with 10,000 or 10,500 labels: C4 is replicated or contradicted" in found["C1"].note


def test_a_start_near_a_half_is_replicated(tmp_path: Path) -> None:
    curves = dict.fromkeys(("random", "bald"), lambda seed, n: 0.5 + 0.01 * (seed - 2))
    found = claims(tmp_path, curves, num_seeds=5, num_rounds=2)
    assert found["C2"].verdict == found["C13"].verdict == "replicated"


def test_where_bald_starts_is_told_by_bald(tmp_path: Path) -> None:
    """Not by the baseline, which may be trained in another way."""
    arms = {"csal": ({"strategy": "Consistency", "model": "MixMatch"}, lambda seed, n: 0.5 + 0.01 * (seed - 2))}
    bald = {"bald": ({"strategy": "BALD"}, learning_curve())}
    paths = [write_study(tmp_path / "a", arms, 5, 2), write_study(tmp_path / "b", bald, 5, 2)]
    found = {claim.id: claim for claim in judge(analyse(read_study(paths), "csal"))}
    start = read_study(paths).accuracy["bald"][:, 0].mean()
    assert found["C2"].statistic == f"round 0: {start:.3f}"
    assert found["C2"].verdict == found["C13"].verdict == "contradicted"
    assert f"round 0: {start:.3f}" in found["C13"].note
    assert found["C3"].note == "needs LeastConfidence, Margin, Entropy, trained as bald is"
    found = {claim.id: claim for claim in judge(analyse(read_study(paths[:1])))}
    assert found["C2"].verdict == found["C13"].verdict == "not tested"
    assert found["C2"].note == found["C13"].note == "needs BALD, trained as csal is"
    assert found["C13"].statistic == "1 arms, 5 seeds: 0 differences in round 0"


def test_what_cannot_be_tested_says_what_is_missing(tmp_path: Path) -> None:
    names = ("bald", "margin", "entropy", "least_confidence")
    found = claims(tmp_path, dict.fromkeys(names, learning_curve()), num_seeds=3, num_rounds=20)
    assert {found[id].verdict for id in ("C4", "C5", "C6", "C7", "C9", "C10", "C11", "C12", "C12b", "C12c", "C14")} == {
        "not tested"
    }
    assert found["C4"].note == "needs 10,000 labels; the runs that all arms have end at 2,500"
    assert found["C7"].note == "needs CoreSet, trained as random is"
    assert found["C3"].verdict != "not tested"


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    curves = {name: learning_curve(0.01 * i) for i, name in enumerate(STRATEGIES)}
    found = claims(tmp_path, curves, num_seeds=1)
    assert {found[id].verdict for id in ("C2", "C3", "C4", "C5", "C6", "C7")} == {"inconclusive"}


def test_the_lift_of_dropout_is_told_apart_from_that_of_the_strategy(tmp_path: Path) -> None:
    def extra(gain: float) -> dict[str, Any]:
        return {
            f"{name}_dropout0": ({"strategy": strategy, "dropout": 0.0}, learning_curve(gain))
            for name, strategy in (("random", "Random"), ("margin", "Margin"), ("entropy", "Entropy"))
        }

    for gain, verdict in ((-0.01, "replicated"), (0.01, "contradicted")):
        curves = dict.fromkeys(("random", "margin", "entropy"), learning_curve())
        found = claims(tmp_path / verdict, curves, num_rounds=20, extra=extra(gain))
        assert found["C4b"].verdict == verdict
        assert f"{-gain:+.2f}"[:4] in found["C4b"].statistic
    del curves["entropy"]
    found = claims(tmp_path / "one", curves, num_rounds=20, extra=extra(gain))
    assert (found["C4b"].verdict, found["C4b"].statistic) == ("not tested", "")
    assert found["C4b"].note == "needs Entropy with dropout and without, as in configs/study.yaml"


def test_few_seeds_have_no_band_in_which_a_lead_could_last(tmp_path: Path) -> None:
    curves = dict.fromkeys(("margin", "entropy", "least_confidence"), learning_curve(0.02))
    for num_seeds, words in ((5, "too few seeds for a simultaneous band"), (6, "a lasting lead from")):
        found = claims(tmp_path / str(num_seeds), curves | {"bald": learning_curve(-0.02, 0.04)}, num_seeds)
        assert found["C5"].verdict == "replicated"
        assert words in found["C5"].note


def test_csal_is_compared_with_its_controls_only(tmp_path: Path) -> None:
    def extra(gain: float) -> dict[str, Any]:
        arms = {"csal": "Consistency", "random_mixmatch": "Random", "margin_mixmatch": "Margin"}
        return {
            name: ({"strategy": s, "model": "MixMatch"}, learning_curve(0.05 + (gain if name == "csal" else 0)))
            for name, s in arms.items()
        }

    for gain, verdict in ((0.01, "replicated"), (-0.01, "contradicted")):
        found = claims(tmp_path / verdict, {"random": learning_curve()}, num_rounds=10, extra=extra(gain))
        assert found["C6b"].verdict == verdict


@pytest.mark.parametrize(
    ("curve", "verdict"),
    [([0.2, 0.3, 0.4, 0.9], "replicated"), ([0.9, 0.9, 0.9, 0.9], "contradicted"), ([0.4] * 4, "inconclusive")],
)
def test_disagreement_that_is_nearly_random_at_first(tmp_path: Path, curve: list[float], verdict: str) -> None:
    for seed in range(4):
        noisy = [v + 0.01 * seed for v in curve]
        figures = {"bald_rank_correlation": noisy, "bald_top_overlap": noisy}
        accuracy = [0.78, 0.79, 0.8, 0.81, 0.82]
        given = settings("BALD", seed, num_rounds=4)
        write_published_run(tmp_path / "bald" / f"seed{seed}", given, accuracy, diagnostics=figures)
    found = {claim.id: claim for claim in judge(analyse(read_study([tmp_path])))}
    assert found["C10"].verdict == verdict


def test_the_factorial_names_the_cells_that_start_near_a_half(tmp_path: Path) -> None:
    study = read_study([write_study(tmp_path / "study", {"random": ({}, learning_curve())}, 3, 3)])
    for epochs, scaling, accuracy in (
        (1, "standard", 0.5),
        (2, "standard", 0.6),
        (200, "standard", 0.79),
        (1, "raw", 0.52),
    ):
        given = settings(num_rounds=0, max_epochs=epochs)
        given["data"]["init_args"]["scaling"] = scaling
        write_published_run(tmp_path / "factorial" / f"epochs{epochs}_{scaling}" / "seed0", given, [accuracy])
    factorial = [read_run(path) for path in sorted((tmp_path / "factorial").glob("*/seed0"))]
    found = {claim.id: claim for claim in judge(analyse(study), factorial)}
    assert found["C2b"].statistic == "2 of 4 cells in [0.45, 0.55]"
    assert found["C2b"].note == (
        "1 epochs, p 0.5, dropout at test off: 0.500; 1 epochs, p 0.5, dropout at test off, inputs from 0 to 255: 0.520"
    )
    assert found["C2b"].interval == "all cells 0.500 to 0.790, means of 1 seeds"


def test_different_starts_are_found(tmp_path: Path) -> None:
    curves = {"random": learning_curve(), "margin": learning_curve()}
    write_study(tmp_path, {"random": ({}, curves["random"])}, 2, 2)
    write_study(tmp_path, {"margin": ({"strategy": "Margin"}, lambda seed, n: curves["margin"](seed, n) + 0.01)}, 2, 2)
    found = {claim.id: claim for claim in judge(analyse(read_study([tmp_path])))}
    assert found["C13"].verdict == "inconclusive"
    assert "round 0 of random and margin with seed 0" in found["C13"].note


def test_the_best_is_not_called_so_before_all_were_compared(tmp_path: Path) -> None:
    found = claims(tmp_path, {"bald": learning_curve(0.02)})
    assert found["C4"].verdict == "inconclusive"
    assert "not compared with BADGE, LeastConfidence, Margin, Entropy, CoreSet" in found["C4"].note
    assert found["C3"].note == "needs LeastConfidence, Margin, Entropy, trained as random is"


def test_another_arm_of_the_same_strategy_is_one_of_the_others(tmp_path: Path) -> None:
    extra = {"bald_again": ({"strategy": "BALD"}, learning_curve(0.05))}
    found = claims(tmp_path, {"bald": learning_curve(0.02)}, extra=extra)
    assert found["C4"].verdict == "contradicted"
    assert "bald_again -0.03" in found["C4"].statistic


def test_the_claims_are_about_the_training_of_bald_whatever_the_baseline(tmp_path: Path) -> None:
    arms: dict[str, tuple[dict[str, Any], Curve]] = {"bald": ({"strategy": "BALD"}, learning_curve())}
    for strategy in ("Random", "Margin", "Entropy"):
        arms[strategy.lower()] = ({"strategy": strategy}, learning_curve())
        arms[f"{strategy.lower()}_dropout0"] = ({"strategy": strategy, "dropout": 0.0}, learning_curve(-0.01))
    study = read_study([write_study(tmp_path, arms, 6, 20)])
    for baseline in ("random", "random_dropout0"):
        found = {claim.id: claim for claim in judge(analyse(study, baseline))}
        assert found["C4b"].verdict == "replicated"
        assert "Random +0.009" in found["C4b"].statistic


def test_a_small_win_is_no_defeat_and_a_control_has_the_same_training(tmp_path: Path) -> None:
    def arm(strategy: str, gain: float, dropout: float = 0.5) -> tuple[dict[str, Any], Curve]:
        return {"strategy": strategy, "model": "MixMatch", "dropout": dropout}, learning_curve(gain)

    extra = {
        "csal": arm("Consistency", 0.02),
        "random_mixmatch": arm("Random", 0.018),
        "margin_mixmatch": arm("Margin", 0.0198),
        "random_mixmatch_dropout0": arm("Random", -0.01, dropout=0.0),
    }
    found = claims(tmp_path, {"random": learning_curve()}, num_rounds=10, extra=extra)
    assert found["C6b"].verdict == "inconclusive"
    assert "Random with MixMatch +0.0018" in found["C6b"].statistic


def test_a_lag_that_is_real_but_tiny_is_none(tmp_path: Path) -> None:
    heuristics = dict.fromkeys(("margin", "entropy", "least_confidence"), learning_curve(0.0))
    found = claims(tmp_path, heuristics | {"bald": learning_curve(-0.001)}, num_rounds=20)
    assert found["C3"].verdict == "contradicted"


# ------------------------------------------------------------------------------------------------ C9, C11, C12 and C12b


def test_times_are_described_and_not_judged(tmp_path: Path) -> None:
    extra = {"csal": ({"strategy": "Consistency", "model": "MixMatch"}, learning_curve())}
    curves = {"bald": learning_curve(), "entropy": learning_curve()}
    found = claims(tmp_path, curves, num_seeds=1, num_rounds=3, seconds_score={"csal": 5.0}, extra=extra)
    assert found["C9"].verdict == "descriptive"
    assert "BALD 1.00, CSAL 3.00" in found["C9"].statistic


def planted_study(folder: Path, shares: dict[str, tuple[int, int]], num_seeds: int = 5) -> Study:
    """Runs of two queries; of the 200 images so many are ambiguous and foreign, of BALD's one more in odd seeds."""
    for strategy, (num_ambiguous, num_foreign) in shares.items():
        for seed in range(num_seeds):
            given = settings(strategy, seed, num_rounds=2)
            given["data"] = {
                "class_path": "al_lightning.PlantedFashionMNIST",
                "init_args": {"num_initial": 500, "num_ambiguous": 1000, "num_foreign": 800},
            }
            more = seed % 2 if strategy == "BALD" else 0
            # the last ones of each kind, so that a range that is one too long or short has another share
            asked_for = [60_999 - i for i in range(num_ambiguous + more)]
            asked_for += [61_799 - i for i in range(num_foreign + more)]
            path = folder / strategy.lower() / f"seed{seed}"
            write_published_run(path, given, [0.78, 0.79, 0.8], asked_for=asked_for)
    return read_study([folder])


@pytest.mark.parametrize(
    ("bald", "verdict"),
    [
        ((1, 1), "replicated"),
        ((40, 2), "contradicted"),  # more ambiguous ones than Entropy
        ((4, 60), "contradicted"),  # more foreign ones
        ((12, 6), "contradicted"),  # fewer than Entropy, but more than Random
        ((3, 10), "inconclusive"),
    ],
)
def test_shares_of_planted_images(tmp_path: Path, bald: tuple[int, int], verdict: str) -> None:
    study = planted_study(tmp_path, {"Random": (3, 10), "Entropy": (20, 11), "BALD": bald})
    if bald == (12, 6):
        study = planted_study(tmp_path / "seeks", {"Random": (3, 3), "Entropy": (20, 11), "BALD": bald})
    clean = write_study(tmp_path / "clean", {"random": ({}, learning_curve())}, num_seeds=2, num_rounds=2)
    for by_itself in (True, False):
        analysis = analyse(study if by_itself else read_study([clean]))
        found = next(c for c in judge(analysis, planted=None if by_itself else study) if c.id == "C11")
        assert found.verdict == verdict, found
        assert "ambiguous: BALD" in found.statistic
        assert "Entropy 10.0%, Random 1.5%; foreign" in found.statistic
        assert "Entropy 5.5%, Random" in found.statistic
        assert "first 200 labels bought, 5 seeds" in found.note
        assert "1.6% are ambiguous and 1.3% foreign" in found.note


def test_planted_runs_are_to_be_trained_as_the_study_is(tmp_path: Path) -> None:
    study = planted_study(tmp_path / "planted", {"Random": (3, 3), "Entropy": (20, 10), "BALD": (1, 1)})
    arms = {"random": ({"dropout": 0.2}, learning_curve())}
    clean = read_study([write_study(tmp_path / "clean", arms, num_seeds=2, num_rounds=2)])
    found = next(c for c in judge(analyse(clean), planted=study) if c.id == "C11")
    assert found.verdict == "not tested"
    assert "trained as those of the study" in found.note


def test_shares_of_one_seed_decide_nothing(tmp_path: Path) -> None:
    study = planted_study(tmp_path, {"Random": (2, 2), "Entropy": (20, 10), "BALD": (1, 1)}, num_seeds=1)
    assert next(c for c in judge(analyse(study)) if c.id == "C11").verdict == "inconclusive"


def test_planted_runs_without_bald_are_no_test(tmp_path: Path) -> None:
    found = next(c for c in judge(analyse(planted_study(tmp_path, {"Entropy": (2, 1)}))) if c.id == "C11")
    assert found.verdict == "not tested"
    assert found.note.startswith("needs queries by BALD, Entropy and Random")


def variants(
    folder: Path,
    gains: dict[str, float],
    percentile: float = 0.95,
    num_rounds: int = 9,
    features: str = "PretrainedMLP",
    trimmed_percentile: float = 0.7,
) -> dict[str, Claim]:
    """Core-Set, by default 2 points below random, as it is with other features, and trimmed."""
    arms: dict[str, dict[str, Any]] = {
        "a_core_set_of_others": {"features": features},
        "core_set_trimmed": {"trim": 0.01},
        "core_set": {},
        "core_set_with_its_outliers": {"outliers": True},
        "random": {},
    }
    for arm, init_args in arms.items():
        curve = learning_curve(gains.get(arm, -0.02 if "core_set" in arm else 0.0))
        for seed in range(5):
            given = settings("Random" if arm == "random" else "CoreSet", seed, num_rounds=num_rounds)
            given["loop"]["strategy"]["init_args"] = init_args
            labels = range(500, 501 + 100 * num_rounds, 100)
            accuracy = [round(curve(seed, n) + jitter(arm, seed, n), 4) for n in labels]
            of_arm = percentile + 0.001 * seed if "outliers" in arm else trimmed_percentile
            figures = {"core_set_outlier_percentile": [of_arm] * num_rounds} if init_args else {}
            write_published_run(folder / arm / f"seed{seed}", given, accuracy, diagnostics=figures)
    return {claim.id: claim for claim in judge(analyse(read_study([folder])))}


OTHERS, TRIMMED = "a_core_set_of_others", "core_set_trimmed"


@pytest.mark.parametrize(
    ("gains", "geometry", "outliers"),
    [
        ({OTHERS: 0.02, TRIMMED: -0.02}, "replicated", "contradicted"),
        ({OTHERS: -0.02, TRIMMED: 0.02}, "contradicted", "replicated"),
        ({OTHERS: 0.0, TRIMMED: 0.0}, "contradicted", "contradicted"),
        ({OTHERS: 0.02, TRIMMED: 0.02, "core_set": 0.02}, "not tested", "not tested"),
    ],
)
def test_what_lifts_core_set_above_random(tmp_path: Path, gains: dict, geometry: str, outliers: str) -> None:
    found = variants(tmp_path, gains)
    assert found["C12"].verdict == geometry, found["C12"]
    assert found["C12c"].verdict == outliers, found["C12c"]
    above = "core_set" in gains
    assert ("nothing to explain" if above else "Core-Set itself -0.02") in found["C12"].note
    assert found["C7"].verdict == ("contradicted" if above else "replicated")  # it is about Core-Set itself


def test_pixels_that_do_not_lift_it_refute_nothing(tmp_path: Path) -> None:
    found = variants(tmp_path / "below", {OTHERS: -0.02}, features="inputs")["C12"]
    assert found.verdict == "inconclusive"
    assert found.note.startswith("no features of a trained network were tried; each minus Random")
    assert variants(tmp_path / "above", {OTHERS: 0.02}, features="inputs")["C12"].verdict == "replicated"


def test_an_uncertain_lift_is_inconclusive(tmp_path: Path) -> None:
    arms = dict.fromkeys(("core_set", "core_set_features", "core_set_trimmed"), "CoreSet") | {"random": "Random"}
    for arm, strategy in arms.items():
        for seed in range(4):
            given = settings(strategy, seed, num_rounds=4)
            other = {"features": "PretrainedMLP"} if "features" in arm else {"trim": 0.1} if "trim" in arm else {}
            given["loop"]["strategy"]["init_args"] = other
            gain = {"random": 0.0, "core_set": -0.02}.get(arm, 0.02 * (seed % 2))
            write_published_run(tmp_path / arm / f"seed{seed}", given, [0.78] + [0.8 + gain] * 4)
    found = {claim.id: claim for claim in judge(analyse(read_study([tmp_path])))}
    assert found["C12"].verdict == "inconclusive"
    assert found["C12"].note.startswith("each minus Random")
    assert found["C12c"].verdict == "inconclusive"


def test_a_trim_that_leaves_outliers_refutes_nothing(tmp_path: Path) -> None:
    found = variants(tmp_path, {}, trimmed_percentile=0.95)["C12c"]
    assert found.verdict == "inconclusive"
    assert found.note.startswith("mean percentile of its queries 0.950: outliers are not shown to be gone; each minus")


def test_nothing_lifts_core_set_before_it_has_queried(tmp_path: Path) -> None:
    found = variants(tmp_path, {}, num_rounds=0)
    assert {found[id].verdict for id in ("C12", "C12b", "C12c")} == {"not tested"}


@pytest.mark.parametrize(
    ("percentile", "verdict"),
    [
        (0.95, "replicated"),
        (0.8, "inconclusive"),
        (0.898, "inconclusive"),
        (0.5, "contradicted"),
        (0.598, "inconclusive"),
        (0.3, "contradicted"),
    ],
)
def test_whether_core_set_picks_outliers(tmp_path: Path, percentile: float, verdict: str) -> None:
    found = variants(tmp_path, {}, percentile)["C12b"]
    assert found.verdict == verdict, found
    assert f"{percentile + 0.002:.3f}" in found.statistic
