"""Times our strategies and those of other packages in one process, on the same features and probabilities.

    python -m venv other && other/bin/pip install -e . scikit-activeml batchbald_redux
    other/bin/python scripts/other_packages.py

The table says what each query takes, and how many of its samples the other query has too. A package that is not
installed is named, and left out. The code of the authors of BAIT, Core-Set, TypiClust, ProbCover, MaxHerding and
Cluster-Margin is on no package registry, and so is not in the table; scikit-activeml has no BAIT, Cluster-Margin, EPIG
and ALFA-Mix. Do not run anything else meanwhile.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import al_lightning
from scripts.benchmark import machine

NUM_CLASSES = 10
PACKAGES = ("scikit-activeml", "batchbald_redux")


class Data(NamedTuple):
    """Features around centres, a few of them labeled, and a logistic regression fitted to those."""

    embeddings: Tensor
    labeled: Tensor
    targets: Tensor
    classifier: object
    probs: Tensor
    labeled_probs: Tensor
    mc_log_probs: Tensor
    """Of T draws around the fitted weights, shape ``(N, T, C)``."""


class Pair(NamedTuple):
    """One strategy in two packages."""

    name: str
    ours: Callable[[], object]
    package: str
    theirs: Callable[[], object]
    difference: str
    """What they define in another way."""


def make_data(arguments: argparse.Namespace) -> Data:
    from sklearn.linear_model import LogisticRegression

    generator = torch.Generator().manual_seed(0)
    centres = 0.4 * torch.randn(NUM_CLASSES, arguments.features, generator=generator)
    classes = torch.randint(NUM_CLASSES, (arguments.rows + arguments.labels,), generator=generator)
    noise = torch.randn(len(classes), arguments.features, generator=generator)
    everything = (centres[classes] + noise).relu()
    embeddings, labeled = everything[arguments.labels :], everything[: arguments.labels]
    targets = classes[: arguments.labels]
    targets[:NUM_CLASSES] = torch.arange(NUM_CLASSES)  # each class has a label
    fitted = LogisticRegression(max_iter=1000).fit(labeled.numpy(), targets.numpy())
    weights, bias = torch.from_numpy(fitted.coef_).float(), torch.from_numpy(fitted.intercept_).float()
    draws = weights + 0.3 * torch.randn(arguments.samples, *weights.shape, generator=generator)
    logits = torch.einsum("nd,tcd->ntc", embeddings[: arguments.joint_rows], draws) + bias
    return Data(
        embeddings,
        labeled,
        targets,
        fitted,
        (embeddings @ weights.T + bias).softmax(dim=1),
        (labeled @ weights.T + bias).softmax(dim=1),
        logits.log_softmax(dim=2),
    )


def pairs(data: Data, arguments: argparse.Namespace) -> list[Pair]:
    """The strategies that both have, as far as the packages are installed."""
    size = arguments.query_size
    found: list[Pair] = []

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(0)

    def ours(name: str, *given: object) -> Callable[[], object]:
        return lambda: getattr(al_lightning, name)(*given)

    if installed("scikit-activeml"):
        pool, classifier = import_module("skactiveml.pool"), fitted_classifier(data)
        x = np.concatenate([data.labeled.numpy(), data.embeddings.numpy()])
        y = np.full(len(x), np.nan)
        y[: len(data.labeled)] = data.targets.numpy()

        def theirs(name: str, *given: object, **options: object) -> Callable[[], object]:
            def query() -> object:
                strategy = getattr(pool, name)(random_state=0, **options)
                fit = {"fit_clf": False} if given else {}
                return np.asarray(strategy.query(x, y, *given, batch_size=size, **fit)) - len(data.labeled)

            return query

        points = data.embeddings, data.labeled, size
        deltas = {"deltas": [arguments.radius]}
        found += [
            Pair(*pair[:2], "scikit-activeml", *pair[2:])
            for pair in (
                ("Margin", lambda: al_lightning.top_k(al_lightning.margin_score(data.probs), size),
                 theirs("UncertaintySampling", classifier, method="margin_sampling"), ""),
                ("CoreSet", ours("k_center_greedy", *points), theirs("CoreSet"), ""),
                ("BADGE", ours("badge_query", data.probs, data.embeddings, size, generator()),
                 theirs("Badge", classifier), "other draws"),
                ("TypiClust", ours("typiclust_query", *points, generator()), theirs("TypiClust"),
                 "5 neighbours, and no limit on clusters"),
                ("MaxHerding", ours("max_herding", *points), theirs("MaxHerding", metric_dict={"gamma": 1.0}),
                 "with gamma 1; its default, 1 / D, is another kernel"),
                ("ProbCover", ours("prob_cover_query", *points, arguments.radius), theirs("ProbCover", **deltas),
                 "ties are drawn"),
            )
        ]  # fmt: skip
    if installed("batchbald_redux"):
        batchbald = import_module("batchbald_redux.batchbald")
        found.append(
            Pair(
                "BatchBALD",
                ours("batch_bald_query", data.mc_log_probs, arguments.joint_size),
                "batchbald_redux",
                lambda: (
                    batchbald.get_batchbald_batch(
                        data.mc_log_probs, arguments.joint_size, 10_000, dtype=torch.float64
                    ).indices
                ),
                f"of {len(data.mc_log_probs)} rows, b = {arguments.joint_size}; sampled joint where it is large",
            )
        )
    return found


def installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def fitted_classifier(data: Data) -> object:
    classes = np.arange(NUM_CLASSES)
    wrapped = import_module("skactiveml.classifier").SklearnClassifier(data.classifier, classes=classes, random_state=0)
    return wrapped.fit(data.labeled.numpy(), data.targets.numpy())


def seconds(work: Callable[[], object]) -> tuple[float, set[int]]:
    start = time.perf_counter()
    query = work()
    return time.perf_counter() - start, {int(position) for position in query}  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000, help="of the pool; some of the others hold N x N distances")
    parser.add_argument("--labels", type=int, default=500)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--query-size", type=int, default=50)
    parser.add_argument("--radius", type=float, default=8.0, help="of ProbCover; labels cover half of the rows")
    parser.add_argument("--samples", type=int, default=100, help="T of BatchBALD")
    parser.add_argument("--joint-rows", type=int, default=1000, help="rows that BatchBALD chooses from")
    parser.add_argument("--joint-size", type=int, default=5, help="b of BatchBALD")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of strategies")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore")
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES if installed(name))
    print(f"{machine(arguments.threads)}, {versions}")
    print(f"{arguments.rows} rows x {arguments.features}, {arguments.labels} labels, b = {arguments.query_size}")
    for name in PACKAGES:
        if not installed(name):
            print(f"{name} is not installed")
    print("| strategy | ours, s | theirs, s | ratio | in both queries | package | differs in |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for pair in pairs(make_data(arguments), arguments):
        if arguments.only and pair.name not in arguments.only:
            continue
        times: list[tuple[float, float]] = []
        for _ in range(arguments.repetitions):
            (our_seconds, our_query), (their_seconds, their_query) = seconds(pair.ours), seconds(pair.theirs)
            times.append((our_seconds, their_seconds))
        ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"| {pair.name} | {ours:.3f} | {theirs:.3f} | {theirs / ours:.0f} | {len(our_query & their_query)} "
            f"| {pair.package} | {pair.difference} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
