"""Dry run: the estimated cost of a sweep or of its extension, and the precision to expect."""

from __future__ import annotations

from sqlalchemy.orm import Session

from service.sweeps.curvature_cost import curvature_costs
from service.sweeps.estimates import costs, device_seconds, wall_clock_seconds
from service.sweeps.precision import expected_precision
from service.sweeps.schemas import DryRunView
from service.trials.repository import TrialRepository
from workers.spec import SweepSpec

__all__ = ["dry_run"]


def dry_run(session: Session, specification: SweepSpec, before: SweepSpec | None) -> DryRunView:
    """Estimate the cost of a sweep.

    Args:
        session: An open transaction, with the past trials that show how fast this service is.
        specification: The sweep.
        before: The specification that it extends, whose trials cost nothing more; None for a new
            sweep.
    """
    by_label = costs(specification)
    if before is not None:
        known = costs(before)
        by_label = {
            label: cost.without(known[label]) if label in known else cost
            for label, cost in by_label.items()
        }
    seconds = device_seconds(session, specification, by_label)
    evaluations = [cost.gradient_evaluations for cost in by_label.values()]
    counted = [count for count in evaluations if count is not None]
    return DryRunView(
        trials=specification.trial_count,
        new_trials=None if before is None else specification.trial_count - before.trial_count,
        reusable_trials=_reusable(session, specification, before),
        configurations={label: cost.configurations for label, cost in by_label.items()},
        gradient_evaluations=sum(counted) if len(counted) == len(evaluations) else None,
        device_seconds=seconds,
        wall_clock_seconds=wall_clock_seconds(session, specification, seconds),
        curvature=curvature_costs(specification),
        precision=expected_precision(
            min(cost.configurations for cost in by_label.values()),
            len(specification.seeds),
            specification.scored_by,
        ),
        specification=specification.model_dump(mode="json"),
    )


def _reusable(session: Session, specification: SweepSpec, before: SweepSpec | None) -> int | None:
    """Number of new trials that another sweep has computed; None without reuse."""
    if not specification.reuse:
        return None
    known = () if before is None else before.trials
    new = {trial.key for trial in specification.trials} - {trial.key for trial in known}
    return TrialRepository(session).count_results(sorted(new))
