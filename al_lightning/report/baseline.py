"""The arm that all others are compared with."""

from collections import Counter

from al_lightning.report.study import Study

RANDOM = "al_lightning.Random"


def find_baseline(study: Study) -> str:
    """Returns the arm whose strategy is Random, whatever its name is.

    Of several, it is the one called ``random``, or else the one whose models are trained as those of most arms are, or
    else the first. Without one it is the arm called ``random``, or else the first.
    """
    arms = [arm for arm in study.arms if study.method(arm).get("loop.strategy") == RANDOM]
    if not arms:
        return "random" if "random" in study.arms else study.arms[0]
    recipes = Counter(_recipe(study, arm) for arm in study.arms)
    return min(arms, key=lambda arm: (arm != "random", -recipes[_recipe(study, arm)]))


def _recipe(study: Study, arm: str) -> str:
    return repr(sorted(study.recipe(arm).items()))
