"""Finds the arm that all others are compared with."""

from collections import Counter

from al_lightning.report.study import Study

RANDOM = "al_lightning.Random"


def find_baseline(study: Study) -> str:
    """Returns the arm whose strategy is Random, whatever its name is.

    If there are several, the arm called ``random`` comes first, then the arm with the most common training, then the
    first arm. If there is none, the arm called ``random`` is the baseline, or else the first arm.
    """
    arms = [arm for arm in study.arms if study.method(arm).get("loop.strategy") == RANDOM]
    if not arms:
        return "random" if "random" in study.arms else study.arms[0]
    recipes = Counter(_recipe(study, arm) for arm in study.arms)
    return min(arms, key=lambda arm: (arm != "random", -recipes[_recipe(study, arm)]))


def _recipe(study: Study, arm: str) -> str:
    return repr(sorted(study.recipe(arm).items()))
