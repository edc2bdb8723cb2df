"""Writes the tables and the figure of docs/low_budget.md: python scripts/low_budget.py.

A table stands between ``<!-- low_budget: NAME -->`` and ``<!-- end -->``. All numbers come from results/low_budget.
With ``--runs runs/low_budget``, arms with run folders join those files first: runs/low_budget/200 with queries of 10
labels, and runs/low_budget/1000 with queries of 50.
"""

import argparse
import json
import lzma
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from al_lightning.errors import InputError
from al_lightning.report.page.style import BASELINE_COLOR, COLORS, DASHES, MARKERS, RC, ArmStyle, label_ends, to_png
from al_lightning.report.stats.curves import pointwise_band
from al_lightning.report.stats.multiple import best_probability, holm
from al_lightning.report.stats.paired import contrast
from al_lightning.report.study import Study, read_study

RESULTS = Path("results/low_budget")
ROUNDS, SETTINGS = "rounds.csv.xz", "settings.json"
DOCUMENT = Path("docs/low_budget.md")
FIGURE = Path("docs/low_budget.png")
TABLE = re.compile(r"(<!-- low_budget: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
OF_MACHINE = ("data.path", "loop.run_dir")
"""Settings that name files of one machine."""
FOLDERS = {10: "200", 50: "1000"}
"""Folders of runs, by the size of a query."""
COUNTS = {10: (20, 50, 100, 200), 50: (100, 200, 500, 1000)}
"""Numbers of labels in the tables, by the size of a query."""
FROM = "_from_"
"""Between the strategy and the start in the name of an arm that does not start at random."""
PREDICTED = {
    "bait": (6.7, 3.9, 2.2),
    "drop_query": (6.3, 2.7, 1.1),
    "typiclust": (5.7, 2.2, 0.6),
    "alfa_mix": (4.2, 1.9, 1.4),
    "badge": (3.1, 3.0, 1.8),
    "margin": (2.8, 2.7, 1.7),
    "random": (0.0, 0.0, 0.0),
    "core_set": (-0.4, -1.1, -1.0),
}
"""Points above Random in BoSS (Huseljic et al.), means over ten data sets: the first, second and last seven queries."""
THIRDS = ("low", "middle", "high")
LEVEL = 0.05


@dataclass(frozen=True)
class Curves:
    """Test accuracies of all arms with one size of queries; row s of each array is the same seed."""

    num_labeled: np.ndarray
    """Shape ``(R,)``."""
    accuracy: Mapping[str, np.ndarray]
    """In percent, shape ``(S, R)`` by arm."""

    def at(self, arm: str, count: int) -> np.ndarray:
        """Accuracies with this number of labels, ``(S,)``."""
        return self.accuracy[arm][:, int(np.flatnonzero(self.num_labeled == count)[0])]

    def mean(self, arm: str) -> np.ndarray:
        """Means over all rounds, ``(S,)``."""
        return self.accuracy[arm].mean(axis=1)

    def third(self, arm: str, number: int) -> np.ndarray:
        """Means over seven rounds, from round 0, 7 or 14 on, ``(S,)``."""
        return self.accuracy[arm][:, 7 * number : 7 * number + 7].mean(axis=1)

    @property
    def random_starts(self) -> list[str]:
        """Arms that start at random, the highest mean first."""
        arms = [arm for arm in self.accuracy if FROM not in arm]
        return sorted(arms, key=lambda arm: -self.mean(arm).mean())

    @property
    def other_starts(self) -> list[str]:
        """Arms with a chosen start, by strategy and start."""
        return sorted(arm for arm in self.accuracy if FROM in arm)


# ------------------------------------------------------------------------------------------------------------- results


def publish(runs: Path, results: Path = RESULTS) -> None:
    """Makes the files of the results from run folders. Arms without a run folder keep the results that they have.

    Raises:
        InputError: If runs that join have another protocol or other seeds.
    """
    settings = json.loads((results / SETTINGS).read_text()) if (results / SETTINGS).exists() else {}
    rounds = _read_rounds(results) if settings else pd.DataFrame()
    for query_size, folder in FOLDERS.items():
        for start, study in _studies(runs / folder).items():
            named = f"queries of {query_size}, start {start}"
            protocol = {name: value for name, value in study.protocol.items() if name not in OF_MACHINE}
            there = settings.setdefault(named, {"protocol": protocol, "seeds": list(study.seeds), "arms": {}})
            # a later version may have more settings
            known = {name: value for name, value in protocol.items() if name in there["protocol"]}
            if there["protocol"] != known or there["seeds"] != list(study.seeds):
                raise InputError(f"Expected runs with the protocol and the seeds of {named}, but got others in {runs}.")
            there["arms"] |= {arm: study.method(arm) for arm in study.arms}
            if len(rounds):
                rounds = rounds[(rounds["query_size"] != query_size) | ~rounds["arm"].isin(study.arms)]
            rounds = pd.concat([rounds, *_rounds(study, query_size)])
    text = rounds.sort_values(["query_size", "arm", "seed", "num_labeled"], kind="stable").to_csv(index=False)
    results.mkdir(parents=True, exist_ok=True)
    (results / ROUNDS).write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    (results / SETTINGS).write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")


def _read_rounds(folder: Path) -> pd.DataFrame:
    return pd.read_csv(StringIO(lzma.decompress((folder / ROUNDS).read_bytes()).decode()))


def _studies(folder: Path) -> dict[str, Study]:
    """The runs by their start. Only runs with the same start are a study of their own."""
    if not folder.is_dir():
        return {}
    arms: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            arms.setdefault(path.name.partition(FROM)[2] or "random", []).append(path.name)
    return {start: read_study([folder], arms=names) for start, names in arms.items()}


def _rounds(study: Study, query_size: int) -> list[pd.DataFrame]:
    return [
        pd.DataFrame(
            {
                "query_size": query_size,
                "arm": arm,
                "seed": seed,
                "num_labeled": study.num_labeled,
                "test_acc": curve,
            }
        )
        for arm, curves in study.accuracy.items()
        for seed, curve in zip(study.seeds, curves, strict=True)
    ]


def read_results(folder: Path = RESULTS) -> dict[int, Curves]:
    """Reads the published rounds: by the size of a query."""
    rounds = _read_rounds(folder)
    found = {}
    for query_size, part in rounds.groupby("query_size"):
        curves = {
            str(arm): 100 * rows.pivot(index="seed", columns="num_labeled", values="test_acc")
            for arm, rows in part.groupby("arm")
        }
        first = next(iter(curves.values()))
        assert all(other.index.equals(first.index) and other.columns.equals(first.columns) for other in curves.values())
        found[int(query_size)] = Curves(
            first.columns.to_numpy(int), {arm: table.to_numpy(float) for arm, table in curves.items()}
        )
    return found


# -------------------------------------------------------------------------------------------------------------- tables


def table_of_accuracy(curves: Curves, counts: Sequence[int]) -> str:
    """Mean accuracies of all arms that start at random."""
    head = ["strategy", *(f"{count:,} labels" for count in counts), "mean of all rounds"]
    rows = [
        [name(arm), *(f"{curves.at(arm, count).mean():.1f}" for count in counts), f"{curves.mean(arm).mean():.1f}"]
        for arm in curves.random_starts
    ]
    return markdown(head, rows)


def table_of_differences(curves: Curves, counts: Sequence[int], baseline: str) -> str:
    """Paired differences to an arm; bold where Holm's p-value over all arms is below 0.05."""
    head = ["strategy", *(f"{count:,} labels" for count in counts), "mean of all rounds"]
    arms = [arm for arm in curves.random_starts if arm != baseline]
    values: list[Callable[[str], np.ndarray]] = [lambda arm, count=count: curves.at(arm, count) for count in counts]
    columns = [differences(arms, value, baseline) for value in (*values, curves.mean)]
    return markdown(head, [[name(arm), *(column[arm] for column in columns)] for arm in arms])


def differences(arms: Sequence[str], value: Callable[[str], np.ndarray], baseline: str) -> dict[str, str]:
    """Mean differences with 95 % intervals, in words."""
    found = {arm: contrast(value(arm), value(baseline)) for arm in arms}
    adjusted = holm([one.p_t for one in found.values()])
    return {
        arm: _bold(f"{one.mean:+.1f} ({one.low:+.1f} to {one.high:+.1f})", p < LEVEL)
        for (arm, one), p in zip(found.items(), adjusted, strict=True)
    }


def table_of_choices(results: Mapping[int, Curves]) -> str:
    """For each number of labels the arm with the highest mean, and the arms that no test tells from it."""
    rows = []
    for query_size, counts in COUNTS.items():
        curves = results[query_size]
        for count in counts:
            by_arm = {arm: curves.at(arm, count) for arm in curves.random_starts}
            leader = max(by_arm, key=lambda arm: by_arm[arm].mean())
            others = [arm for arm in by_arm if arm != leader]
            adjusted = holm([contrast(by_arm[leader], by_arm[arm]).p_t for arm in others])
            level = [arm for arm, p in zip(others, adjusted, strict=True) if p >= LEVEL]
            share = best_probability(np.stack(list(by_arm.values())))[list(by_arm).index(leader)]
            gain = by_arm[leader].mean() - by_arm["random"].mean()
            rows.append(
                [
                    f"{count:,}",
                    str(query_size),
                    name(leader),
                    f"{by_arm[leader].mean():.1f}",
                    f"{gain:+.1f}",
                    f"{100 * share:.0f} %",
                    ", ".join(name(arm) for arm in sorted(level, key=lambda arm: -by_arm[arm].mean())) or "none",
                ]
            )
    head = ["labels", "query", "highest mean", "accuracy", "above Random", "P(highest)", "not told from it"]
    return markdown(head, rows)


def table_of_starts(curves: Curves, counts: Sequence[int] = (10, 20, 50, 100, 200)) -> str:
    """Paired differences between a chosen start and a random start, of the same strategy."""
    head = ["strategy", "start", *(f"{count:,} labels" for count in counts)]
    arms = curves.other_starts
    columns = []
    for count in counts:
        found = {arm: contrast(curves.at(arm, count), curves.at(arm.split(FROM)[0], count)) for arm in arms}
        adjusted = holm([one.p_t for one in found.values()]) if arms else []
        columns.append(
            {
                arm: _bold(f"{one.mean:+.1f} ({one.low:+.1f} to {one.high:+.1f})", p < LEVEL)
                for (arm, one), p in zip(found.items(), adjusted, strict=True)
            }
        )
    rows = [[name(arm.split(FROM)[0]), name(arm.split(FROM)[1]), *(column[arm] for column in columns)] for arm in arms]
    return markdown(head, rows)


def table_of_order(curves: Curves) -> str:
    """Points above Random in the three thirds of the curves: predicted, and here."""
    head = ["strategy", *(f"{third}: {which}" for third in THIRDS for which in ("predicted", "here"))]
    rows = []
    for arm, predicted in PREDICTED.items():
        row = [name(arm)]
        for number in range(len(THIRDS)):
            found = contrast(curves.third(arm, number), curves.third("random", number))
            here = f"{found.mean:+.1f} ({found.low:+.1f} to {found.high:+.1f})" if arm != "random" else "0"
            row += [f"{predicted[number]:+.1f}" if arm != "random" else "0", here]
        rows.append(row)
    correlations = ["rank correlation"]
    for number in range(len(THIRDS)):
        here = [curves.third(arm, number).mean() for arm in PREDICTED]
        tau = stats.kendalltau([predicted[number] for predicted in PREDICTED.values()], here)
        correlations += ["", f"{tau.statistic:+.2f}"]
    return markdown(head, [*rows, correlations])


def name(arm: str) -> str:
    """The name of an arm as people read it.

    Example:
        >>> name("margin_from_typiclust"), name("bald_laplace")
        ('Margin from TypiClust', 'BALD Laplace')
    """
    words = {
        "alfa_mix": "ALFAMix",
        "badge": "BADGE",
        "bait": "BAIT",
        "bald_laplace": "BALD Laplace",
        "epig_laplace": "EPIG Laplace",
        "batch_bald_laplace": "BatchBALD Laplace",
        "cluster_margin": "ClusterMargin",
        "core_set": "CoreSet",
        "drop_query": "DropQuery",
        "kmeans": "KMeans",
        "least_confidence": "LeastConfidence",
        "max_herding": "MaxHerding",
        "prob_cover": "ProbCover",
        "stochastic_margin": "Stochastic Margin",
        "typiclust": "TypiClust",
        "typiclust_then_margin": "Switch at 100",
        "uherding": "UHerding",
    }
    if FROM in arm:
        strategy, start = arm.split(FROM)
        return f"{name(strategy)} from {name(start)}"
    return words.get(arm, arm.capitalize())


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _bold(text: str, is_bold: bool) -> str:
    return f"**{text}**" if is_bold else text


def tables(results: Mapping[int, Curves]) -> dict[str, str]:
    """All tables of the document, by name."""
    found = {"choices": table_of_choices(results), "order": table_of_order(results[10])}
    found["starts"] = table_of_starts(results[10])
    for query_size, counts in COUNTS.items():
        found[f"accuracy_{query_size}"] = table_of_accuracy(results[query_size], counts)
        for baseline in ("random", "margin"):
            found[f"to_{baseline}_{query_size}"] = table_of_differences(results[query_size], counts, baseline)
    return found


def fill(document: str, by_name: Mapping[str, str]) -> str:
    """Returns the document with new tables."""
    return TABLE.sub(lambda found: found[1] + by_name[found[2]], document)


# -------------------------------------------------------------------------------------------------------------- figure

SHOWN = ("random", "bait", "typiclust", "drop_query", "badge", "margin", "alfa_mix", "uherding", "core_set")
"""Arms of the figure, as far as there are runs."""


def draw(results: Mapping[int, Curves]) -> Figure:
    """Draws the mean differences to Random over labels, a panel for each size of queries."""
    shown = [arm for arm in SHOWN if any(arm in curves.accuracy for curves in results.values())]
    colors = (BASELINE_COLOR, *COLORS)
    styles = {
        name(arm): ArmStyle(colors[i % len(colors)], DASHES[i // len(colors)], MARKERS[i % len(MARKERS)])
        for i, arm in enumerate(shown)
    }
    with mpl.rc_context(RC):
        figure = Figure(figsize=(9.6, 3.9))
        for place, (query_size, curves) in zip((0.06, 0.56), results.items(), strict=True):
            axes = figure.add_axes((place, 0.13, 0.32, 0.77))
            _draw_panel(axes, curves, shown, styles)
            axes.set_title(f"queries of {query_size} labels", loc="left")
            axes.set_xlabel("labels")
        figure.axes[0].set_ylabel("accuracy above Random, points")
    return figure


def _draw_panel(axes: Axes, curves: Curves, shown: Sequence[str], styles: Mapping[str, ArmStyle]) -> None:
    ends = []
    for arm in [arm for arm in shown if arm in curves.accuracy]:
        gaps = curves.accuracy[arm] - curves.accuracy["random"]
        band = pointwise_band(gaps)
        style = styles[name(arm)]
        axes.fill_between(curves.num_labeled, band.low, band.high, color=style.color, alpha=0.12, linewidth=0)
        axes.plot(curves.num_labeled, band.mean, **style.line(len(curves.num_labeled)))
        ends.append((name(arm), float(band.mean[-1])))
    axes.margins(x=0)
    axes.set_ylim(*axes.get_ylim())
    label_ends(axes, ends, styles, max_name=24)


def main(args: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder of the run folders, such as runs/low_budget")
    options = parser.parse_args(args)
    if options.runs is not None:
        publish(options.runs)
    results = read_results()
    DOCUMENT.write_text(fill(DOCUMENT.read_text(), tables(results)))
    FIGURE.write_bytes(to_png(draw(results)))


if __name__ == "__main__":
    main()
