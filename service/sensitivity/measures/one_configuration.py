"""One configuration for all workloads, and for a workload that was left out.

    h*     = argmax_h mean_w V[h, w]           the configuration for all workloads
    h*(-w) = argmax_h mean_{u != w} V[h, u]    chosen without workload w
    regret(w) = max_h D[h, w] - D[h*(-w), w]   what it costs on the workload left out

with V the score that selects and D the score that is reported, both normalised so that workloads
are comparable. The mean of the regrets is the price of using an optimizer untuned on a new workload
with the hyperparameters that were best elsewhere.

Source: Kasimbeg et al. 2025, "How far away are truly hyperparameter-free learning algorithms?",
    arXiv:2505.24005 (abstract read: one configuration calibrated over all AlgoPerf workloads,
    scored with a leave-one-out cross-validation). They search quasi-randomly and score time to
    target.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["OneConfiguration", "one_configuration"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OneConfiguration:
    """The configuration for all workloads, and those chosen with one workload left out.

    Attributes:
        chosen: Index of h*.
        chosen_scores: [W] D of h* on each workload.
        left_out: [W] index of h*(-w).
        left_out_scores: [W] D of h*(-w) on the workload left out.
        regrets: [W] of the workload left out.
    """

    chosen: int
    chosen_scores: Floats
    left_out: NDArray[np.intp]
    left_out_scores: Floats
    regrets: Floats


def one_configuration(
    selection: Floats, evaluation: Floats, *, maximize: bool = True
) -> OneConfiguration | None:
    """Choose one configuration for all workloads, and for each workload from the others.

    Args:
        selection: [H, W] scores that select; NaN where a configuration was not tried.
        evaluation: [H, W] scores that are reported, likewise.
        maximize: Whether higher scores are better.

    Returns:
        None with fewer than two workloads, or without a configuration tried on all of them. Ties
        take the first. Only configurations tried on every workload can be chosen, but a regret is
        relative to the best of all that were tried there.
    """
    sign = 1.0 if maximize else -1.0
    ours, theirs = sign * selection, sign * evaluation
    usable = np.flatnonzero(~(np.isnan(ours) | np.isnan(theirs)).any(axis=1))
    n_workloads = ours.shape[1]
    if n_workloads < 2 or not usable.size:
        return None
    means = np.round(ours[usable].mean(axis=1), 12)
    chosen = int(usable[np.argmax(means)])
    totals = ours[usable].sum(axis=1, keepdims=True)
    without = np.round((totals - ours[usable]) / (n_workloads - 1), 12)
    left_out = usable[np.argmax(without, axis=0)]
    workloads = np.arange(n_workloads)
    scores = theirs[left_out, workloads]
    return OneConfiguration(
        chosen=chosen,
        chosen_scores=evaluation[chosen],
        left_out=left_out,
        left_out_scores=evaluation[left_out, workloads],
        regrets=np.nanmax(theirs, axis=0) - scores,
    )
