"""Old names of modules that moved: imports and class paths of earlier versions keep working.

An old name gives the very module that the new name gives, so a class is one class under both names. The module is
imported when the old name is.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = __name__.partition(".")[0]

MOVED = {
    "arrays": "data.arrays",
    "augmentations": "data.augmentations",
    "calling": "inference.calling",
    "check": "testing",
    "check.contract": "testing.properties",
    "check.pools": "testing.small_pools",
    "check.subject": "testing.watched_strategy",
    "convergence": "fitting.convergence",
    "data.pool": "data.datamodule",
    "denormals": "models.denormals",
    "events": "run_folder.events",
    "inputs": "data.inputs",
    "layers": "inference.layers",
    "logits": "inference.logits",
    "mc_dropout": "inference.mc_dropout",
    "nearest": "strategies.geometry",
    "oracles": "labeling",
    "oracles.base": "labeling.oracle",
    "outliers": "strategies.geometry",
    "spelling": "errors",
    "study": "report",
    "study.checks": "report.stats.checks",
    "study.curves": "report.stats.curves",
    "study.efficiency": "report.stats.efficiency",
    "study.evidence": "report.claims.evidence",
    "study.exact": "report.stats.exact_sums",
    "study.falls": "report.stats.collapsed_fits",
    "study.figures": "report.page.figures",
    "study.gallery": "report.page.gallery",
    "study.multiple": "report.stats.multiple",
    "study.paired": "report.stats.paired",
    "study.penalty": "report.stats.penalty",
    "study.querying": "report.stats.queries",
    "study.reading": "report.read_run",
    "study.report": "report.write",
    "study.rules_of_costs": "report.claims.costs",
    "study.rules_of_curves": "report.claims.curves",
    "study.rules_of_reasons": "report.claims.reasons",
    "study.runs": "report.study",
    "study.sign_flips": "report.stats.sign_flips",
    "study.style": "report.page.style",
    "suggest": "cli.suggest",
    "sweep.study": "sweep.plan",
}
"""New names by old ones, without the name of the package. What is not listed in a folder has moved with it.

An old name must not hide another module in the new folder: Python sets ``report.page`` when ``study.page`` is imported.
"""


def new_name(name: str) -> str | None:
    """Returns the name that a module has today; ``None`` if it did not move.

    Example:
        >>> new_name("al_lightning.oracles.file_oracle")
        'al_lightning.labeling.file_oracle'
    """
    package, _, rest = name.partition(".")
    if package != PACKAGE:
        return None
    parts = rest.split(".")
    for stop in range(len(parts), 0, -1):
        if (moved := MOVED.get(".".join(parts[:stop]))) is not None:
            return ".".join([PACKAGE, moved, *parts[stop:]])
    return None


class _Finder(MetaPathFinder, Loader):
    """Finds modules by their old names, before the import system looks for files of these names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns how to import a module that moved; ``None`` if it did not."""
        name = new_name(fullname)
        return None if name is None else ModuleSpec(fullname, self, origin=name)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Imports the module by its new name."""
        module = import_module(str(spec.origin))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Gives the module its own specification back: it was run by its new name."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """Makes old names known to the import system."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
