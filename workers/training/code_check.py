"""Import of a sweep's own code before any trial starts."""

from __future__ import annotations

from workers.catalog import datasets, models, optimizers
from workers.spec import SpecError, SpecProblem, SweepSpec, code_names, describe_location

__all__ = ["require_importable"]

_CATALOGS = {"dataset": datasets, "model": models, "optimizers": optimizers}


def require_importable(spec: SweepSpec) -> None:
    """Import the user's own optimizers, model and data set.

    Raises:
        SpecError: One cannot be imported or has the wrong kind; one problem per name.
    """
    problems = []
    for location, name in code_names(spec).items():
        try:
            _CATALOGS[str(location[0])].load(str(name), spec.files)
        except ValueError as error:
            problems.append(SpecProblem(describe_location(location), str(error), str(name)))
    if problems:
        raise SpecError(problems)
