"""Rules of a sweep that connect several of its sections.

Each raises ``PartError`` with the location of the part that breaks it.
"""

from __future__ import annotations

from itertools import combinations

from workers.catalog import datasets, models
from workers.corruptions.names import CORRUPTIONS
from workers.spec.fields import PartError
from workers.spec.search import TpeSearch
from workers.spec.stepping_optimizers import SASAM, SASGD
from workers.spec.sweep_sections import SweepSections
from workers.spec.variants import could_share_trials

__all__ = [
    "require_distinct_trials",
    "require_known_ood_sets",
    "require_measurable_objectives",
    "require_measured_splits",
    "require_model_of_task",
    "require_plain_steps",
    "require_reusable",
    "require_time_before_stopping",
    "require_unaugmented",
]

_LEFT_TO_ADAPTIVE_METHODS = {"schedule": "constant", "warmup_epochs": 0, "gradient_clipping": None}
"""Settings that conflict with a step size measured from unchanged gradients."""


def require_model_of_task(sweep: SweepSections) -> None:
    """Refuse a model for another task than that of the data set."""
    task, own = datasets.task(sweep.dataset.name), models.task(sweep.model.name)
    if task is not None and own is not None and task != own:
        fitting = [name for name in models.entries() if models.task(name) == task]
        message = (
            f"must be a model for {task}, as {sweep.dataset.name} is (such as "
            f"{', '.join(fitting)}); {sweep.model.name} is for {own}"
        )
        raise PartError(("model", "name"), message, sweep.model.name)


def require_unaugmented(sweep: SweepSections) -> None:
    """Refuse an augmentation of examples that are not augmented, such as text."""
    setting, allowed = "training.augmentation", "none"
    task = datasets.task(sweep.dataset.name)
    for label in sweep.labels:
        for value in sweep.possible_values(label, setting):
            if value != allowed:
                message = f"must be {allowed}: {task} is not augmented"
                raise PartError(sweep.place(label, setting, value), message, value)


def require_known_ood_sets(sweep: SweepSections) -> None:
    """Refuse an out-of-distribution set that the data set does not have."""
    known = datasets.known_facts(sweep.dataset.name).get("ood_sets")
    if known is None:
        known = None if datasets.task(sweep.dataset.name) == "text" else CORRUPTIONS
    chosen = sweep.ood.corruptions if sweep.ood is not None else ()
    for position, name in enumerate(chosen if isinstance(chosen, tuple) else ()):
        if known is not None and name not in known:
            message = f"unknown OOD set {name!r} of {sweep.dataset.name} (known: "
            message += f"{', '.join(known)})"
            raise PartError(("ood", "corruptions", position), message, name)


def require_distinct_trials(sweep: SweepSections) -> None:
    """Refuse variants of an optimizer whose trials could have equal keys."""
    variants: dict[str, list[str]] = {}
    for label, optimizer in sweep.by_label.items():
        variants.setdefault(optimizer.name, []).append(label)
    for labels in variants.values():
        for one, other in combinations(labels, 2):
            if could_share_trials(sweep, sweep.variant(one), sweep.variant(other)):
                message = (
                    f"must have no trial in common with {one}: give an option or an axis of "
                    "the two other values"
                )
                place = ("optimizers", sweep.labels.index(other))
                raise PartError(place, message, other)


def require_measured_splits(sweep: SweepSections) -> None:
    """Refuse curvature on a split that the sweep does not have."""
    if sweep.curvature and sweep.ood is None and "ood" in sweep.curvature.splits:
        raise PartError(
            ("curvature", "splits"),
            "must be [validation]: the sweep has no ood section",
            list(sweep.curvature.splits),
        )


def require_plain_steps(sweep: SweepSections) -> None:
    """Refuse settings of training that conflict with a measured step size."""
    for label, optimizer in sweep.by_label.items():
        if isinstance(optimizer, SASAM | SASGD):
            _require_plain_steps(sweep, label, optimizer)


def _require_plain_steps(sweep: SweepSections, label: str, optimizer: SASAM | SASGD) -> None:
    for key, allowed in _LEFT_TO_ADAPTIVE_METHODS.items():
        of_schedule = key != "gradient_clipping"
        if of_schedule and optimizer.scheduled:
            continue
        for chosen in sweep.possible_values(label, f"training.{key}"):
            if chosen != allowed:
                hint = ", or give it scheduled: true" if of_schedule else ""
                raise PartError(
                    sweep.place(label, f"training.{key}", chosen),
                    f"must be {'absent' if allowed is None else allowed}: {optimizer.name} "
                    "measures its own step size (sweep the other optimizers on their own"
                    f"{hint})",
                    chosen,
                )


def require_reusable(sweep: SweepSections) -> None:
    """Refuse to reuse trials where results depend on the other trials of the sweep."""
    if not sweep.reuse:
        return
    if sweep.early_stopping is not None:
        message = "cannot go with early_stopping: it compares trials while they train"
        raise PartError(("reuse",), message, sweep.reuse)
    if isinstance(sweep.search, TpeSearch):
        message = "needs a grid or a random search: a TPE search chooses its trials while it runs"
        raise PartError(("reuse",), message, sweep.reuse)


def require_time_before_stopping(sweep: SweepSections) -> None:
    """Refuse early stopping that would only start after the shortest training."""
    stopping = sweep.early_stopping
    shortest = min(
        epochs
        for label in sweep.labels
        for epochs in sweep.possible_values(label, "training.epochs")
        if isinstance(epochs, int)
    )
    if stopping is not None and stopping.grace_epochs >= shortest:
        message = f"must be below training.epochs, {shortest}"
        raise PartError(("early_stopping", "grace_epochs"), message, stopping.grace_epochs)


def require_measurable_objectives(sweep: SweepSections) -> None:
    """Refuse objectives of a search that its trials do not measure in time."""
    stopping, curvature = sweep.early_stopping, sweep.curvature
    objectives = sweep.search.objectives if isinstance(sweep.search, TpeSearch) else ()
    for position, objective in enumerate(objectives):
        location = ("search", "objectives", position)
        needed = objective.curvature_metric
        if needed is None:
            continue
        if stopping is not None:
            message = "cannot go with early_stopping: it is measured at the end of a trial"
            raise PartError(location, message, objective.metric)
        if curvature is None or needed not in curvature.metrics:
            message = f"needs {needed} among curvature.metrics"
            raise PartError(location, message, objective.metric)
        if "validation" not in curvature.splits:
            message = "needs validation among curvature.splits"
            raise PartError(location, message, objective.metric)
