"""Tables of the report about questions beside the claims: variants, equal compute, flatness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from study.claims import METHOD
from study.evidence import curvature_log_ratio, flatness_tau
from study.parts import Part
from study.records import Estimate, PartRecord
from study.text import estimate_text, percent_text, table
from study.verdicts import Unit
from workers.hyperparameter_text import value_text

__all__ = ["equal_compute_table", "flatness_table", "variants_table"]

_VARIANTS = "digits-variants"
_COMPARED = (
    (METHOD, "sa-sam-reference", "SA-SAM: preset `paper`, `reference`"),
    (METHOD, "sa-sam-fixed-rho", "SA-SAM: ρ = √η, ρ = 0.05"),
    ("sam", "sam-fixed-rho", "SAM: ρ = √η, ρ = 0.05"),
    (METHOD, "sam-fixed-rho", "SA-SAM, SAM with ρ = 0.05"),
)
_NUMBERS = (
    ("best", "selected OOD accuracy, points", Unit.POINTS),
    ("mean", "mean OOD accuracy, points", Unit.POINTS),
    ("learning_rate.sensitivity", "lr sensitivity, points", Unit.POINTS),
    ("learning_rate.width", "W, decades", Unit.DECADES),
)

_Claimed = Sequence[tuple[Part, PartRecord]]


def variants_table(records: Mapping[str, PartRecord]) -> Iterator[str]:
    """Presets and perturbation radii."""
    record = records.get(_VARIANTS)
    if record is None:
        yield "No record yet."
        return
    rows = []
    for first, second, title in _COMPARED:
        for name, what, unit in _NUMBERS:
            found = record.difference(first, second, name)
            rows.append([title, what, estimate_text(found, unit), _reading(found)])
        found = curvature_log_ratio(record, second, first, "hessian_trace", learned_only=True)
        shown = estimate_text(found, Unit.DECADES)
        rows.append([title, "lower Tr(H) where both learned, decades", shown, _reading(found)])
    yield from table(["first, second", "number", "difference", "interval"], rows)


def equal_compute_table(claimed: _Claimed) -> Iterator[str]:
    """Every trial cut at the same gradient evaluations, one row per other optimizer."""
    rows = [
        _equal_compute_row(part, record, other.label, other.title)
        for part, record in claimed
        if record.equal_compute is not None
        for other in record.optimizers
        if other.label != METHOD
    ]
    heads = ["part", "other", "equal epochs: SA-SAM, other", "equal compute: SA-SAM, other"]
    return table([*heads, "learning rates there", "difference there", "interval"], rows)


def flatness_table(claimed: _Claimed) -> Iterator[str]:
    """Rank correlation of curvature and accuracy within each optimizer, and their mean."""
    rows = []
    for part, record in claimed:
        labels: list[tuple[str | None, str]] = [
            (None, "mean of optimizers"),
            *((one.label, one.title) for one in record.optimizers),
        ]
        for label, title in labels:
            trace = flatness_tau(record, label, "hessian_trace")
            eigenvalue = flatness_tau(record, label, "hessian_lambda_max")
            of_both = (
                text
                for tau in (trace, eigenvalue)
                for text in (estimate_text(tau, Unit.TAU), _reading(tau))
            )
            rows.append([part.title, title, *of_both])
    return table(["part", "optimizer", "τ of Tr(H)", "interval", "τ of λmax", "interval"], rows)


def _equal_compute_row(part: Part, record: PartRecord, label: str, title: str) -> list[str]:
    at_epochs = [record.optimizer(one).best for one in (METHOD, label)]
    cut = record.equal_compute.best if record.equal_compute else {}
    at_compute = [cut[one] for one in (METHOD, label)]
    found = record.difference_at_equal_compute(METHOD, label, "best")
    return [
        part.title,
        title,
        *(
            ", ".join(percent_text(Estimate(value=one.val_accuracy.value)) for one in pair)
            for pair in (at_epochs, at_compute)
        ),
        ", ".join(value_text(one.learning_rate) for one in at_compute),
        estimate_text(found, Unit.POINTS),
        _reading(found),
    ]


def _reading(estimate: Estimate) -> str:
    """What an interval says about the sign of a number."""
    if estimate.low is None or estimate.high is None:
        return "none"
    return "above 0" if estimate.low > 0 else "below 0" if estimate.high < 0 else "contains 0"
