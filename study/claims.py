"""The paper's claims, and the differences that test each of them in one part of the study.

Every difference is oriented so that the claim says it is positive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from study.evidence import (
    Curvature,
    accuracy_at_largest_rate,
    curvature_log_ratio,
    loss_at_largest_rate,
    threshold_of_learning,
)
from study.records import PartRecord
from study.verdicts import Difference, Unit

__all__ = ["CLAIMS", "METHOD", "Claim", "ClaimTest"]

METHOD = "sa-sam"
_WITHOUT_SAM = "sa-sgd"
_TUNED = ("msgd", "sam", "adam")


@dataclass(frozen=True, slots=True)
class ClaimTest:
    """One way to test a claim.

    Attributes:
        name: What is compared.
        differences: Computes the differences in a part.
    """

    name: str
    differences: Callable[[PartRecord], Sequence[Difference]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the paper.

    Attributes:
        source: Where it is made.
        quote: Its words.
        method: How it is tested here.
        tests: The tests; each has a verdict.
    """

    source: str
    quote: str
    method: str
    tests: tuple[ClaimTest, ...]


def _others(record: PartRecord) -> Iterator[str]:
    return (one.label for one in record.optimizers if one.label != METHOD)


def _title(record: PartRecord, label: str) -> str:
    return record.optimizer(label).title


def _higher(record: PartRecord, *, name: str) -> list[Difference]:
    """SA-SAM's number less that of every other optimizer."""
    return [
        Difference(_title(record, other), record.difference(METHOD, other, name))
        for other in _others(record)
    ]


def _less_dependent(
    record: PartRecord, *, name: str, unit: Unit = Unit.POINTS, higher: bool = False
) -> list[Difference]:
    """The number of every optimizer that needs tuning less SA-SAM's; ``higher`` swaps the two."""
    found = []
    for other in _TUNED:
        pair = (METHOD, other) if higher else (other, METHOD)
        found.append(Difference(_title(record, other), record.difference(*pair, name), unit))
    return found


def _flatter(
    record: PartRecord,
    *,
    metric: Curvature,
    learned_only: bool = False,
    selected_only: bool = False,
) -> list[Difference]:
    """By how many decades the curvature of every other optimizer exceeds SA-SAM's."""
    return [
        Difference(
            _title(record, other),
            curvature_log_ratio(
                record,
                other,
                METHOD,
                metric,
                learned_only=learned_only,
                selected_only=selected_only,
            ),
            Unit.DECADES,
        )
        for other in _others(record)
    ]


def _loses(record: PartRecord) -> list[Difference]:
    """What SA-SGD loses at the largest eta_0."""
    return [Difference("its selected η₀", loss_at_largest_rate(record, _WITHOUT_SAM))]


def _fails(record: PartRecord) -> list[Difference]:
    """How far SA-SGD stays below the accuracy of a network that learned."""
    below = accuracy_at_largest_rate(record, _WITHOUT_SAM).negated()
    shift = threshold_of_learning(record)
    return [Difference("a network that learned", below.shifted(shift))]


def _trails(record: PartRecord) -> list[Difference]:
    """What SA-SGD lacks to SA-SAM at the largest eta_0."""
    lacking = accuracy_at_largest_rate(record, _WITHOUT_SAM, less_than=METHOD)
    return [Difference(_title(record, METHOD), lacking)]


CLAIMS = (
    Claim(
        "Fig. 1",
        "SA-SAM … not only achieves the best test accuracy (OOD generalization), but also enjoys "
        "considerably lower curvature",
        "OOD accuracy at the configuration that validation selects, SA-SAM less each other "
        "optimizer; and by how many decades the curvature of each other optimizer, at its own "
        "selected configuration, exceeds SA-SAM's.",
        (
            ClaimTest("best OOD accuracy", partial(_higher, name="best")),
            ClaimTest(
                "lower Tr(H) where selected",
                partial(_flatter, metric="hessian_trace", selected_only=True),
            ),
            ClaimTest(
                "lower λmax where selected",
                partial(_flatter, metric="hessian_lambda_max", selected_only=True),
            ),
        ),
    ),
    Claim(
        "Fig. 2",
        "SA-SAM consistently achieves lower curvature for both models, regardless of the "
        "hyperparameters",
        "By how many decades the curvature on OOD images exceeds SA-SAM's, mean over all "
        "configurations of the grid; and over those alone at which both networks learned, since a "
        "network that ignores its input is flat, too.",
        (
            ClaimTest("lower Tr(H), whole grid", partial(_flatter, metric="hessian_trace")),
            ClaimTest("lower λmax, whole grid", partial(_flatter, metric="hessian_lambda_max")),
            ClaimTest(
                "lower Tr(H), where both learned",
                partial(_flatter, metric="hessian_trace", learned_only=True),
            ),
            ClaimTest(
                "lower λmax, where both learned",
                partial(_flatter, metric="hessian_lambda_max", learned_only=True),
            ),
        ),
    ),
    Claim(
        "Fig. 3",
        "the performance of MSGD, SAM, and Adam varies significantly with LR, in contrast to "
        "SA-SAM and SA-SGD",
        "Learning-rate sensitivity (best less mean over the learning rates), S(10) (loss at a "
        "learning rate 10 times off) of MSGD, SAM and Adam less SA-SAM's; W (decades of learning "
        "rates within 1 point of the selected one) of SA-SAM less theirs; and weight-decay "
        "sensitivity.",
        (
            ClaimTest(
                "less learning-rate sensitivity",
                partial(_less_dependent, name="learning_rate.sensitivity"),
            ),
            ClaimTest("lower S(10)", partial(_less_dependent, name="learning_rate.off_by.10")),
            ClaimTest(
                "larger W(1 point)",
                partial(
                    _less_dependent,
                    name="learning_rate.width",
                    unit=Unit.DECADES,
                    higher=True,
                ),
            ),
            ClaimTest(
                "less weight-decay sensitivity",
                partial(_less_dependent, name="weight_decay.sensitivity"),
            ),
        ),
    ),
    Claim(
        "Fig. 3",
        "SA-SAM generally exhibits better performance compared to other optimizers",
        "OOD accuracy, mean over all configurations, SA-SAM less each other optimizer.",
        (ClaimTest("higher mean accuracy over the grid", partial(_higher, name="mean")),),
    ),
    Claim(
        "Remark 1",
        "A caveat for SA-SGD is that the initial learning rate should not be too large",
        "OOD accuracy of SA-SGD at the largest η₀ of the grid: what it loses there against its "
        "selected η₀, how far it stays below half of the best optimizer's gain on chance, and "
        "what it lacks to SA-SAM there.",
        (
            ClaimTest("SA-SGD loses accuracy at the largest η₀", _loses),
            ClaimTest("SA-SGD does not learn at the largest η₀", _fails),
            ClaimTest("SA-SGD is worse than SA-SAM at the largest η₀", _trails),
        ),
    ),
)
