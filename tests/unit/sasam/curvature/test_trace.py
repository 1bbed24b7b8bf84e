from __future__ import annotations

import math

import pytest
import torch

from sasam.curvature import estimate_trace

METHODS = ["xtrace", "hutchpp", "hutchinson"]


def outliers() -> torch.Tensor:
    """A few large eigenvalues of both signs over a bulk, like a trained network's."""
    large = torch.tensor([-20.0, 30.0, 45.0, 60.0, 80.0])
    return torch.cat([large, torch.linspace(-0.2, 0.6, 195)])


def flat() -> torch.Tensor:
    return torch.linspace(0.5, 1.5, 200)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spectrum", [outliers, flat], ids=["outliers", "flat"])
def test_intervals_cover_the_trace_as_often_as_they_say(rotated, method, spectrum):
    operator = rotated(spectrum())
    truth = float(spectrum().sum())
    runs = [
        estimate_trace(
            operator, method=method, max_matvecs=60, relative_standard_error=0.02, seed=seed
        )
        for seed in range(120)
    ]
    covered = sum(abs(r.value - truth) <= 2 * r.standard_error for r in runs)
    assert covered >= 0.88 * len(runs)
    bias = sum(r.value - truth for r in runs) / len(runs)
    spread = math.sqrt(sum(r.standard_error**2 for r in runs)) / len(runs)
    assert abs(bias) <= 4 * spread


def coverage(operator, truth: float, seeds: int, **arguments) -> tuple[float, float]:
    """Return the fraction of 95 % intervals that hold the truth, and reported over true error."""
    runs = [estimate_trace(operator, seed=seed, **arguments) for seed in range(seeds)]
    limits = [run.interval() for run in runs]
    inside = sum(low <= truth <= high for low, high in limits) / seeds
    squares = sum((run.value - truth) ** 2 for run in runs)
    return inside, math.sqrt(sum(run.standard_error**2 for run in runs) / squares)


@pytest.mark.slow
@pytest.mark.parametrize("spectrum", [outliers, flat], ids=["outliers", "flat"])
def test_standard_error_of_xtrace_is_that_of_its_runs(rotated, spectrum):
    """The jackknife alone is 1.4 times the true error on the flat spectrum."""
    inside, ratio = coverage(
        rotated(spectrum()),
        float(spectrum().sum()),
        100,
        method="xtrace",
        max_matvecs=26,
        relative_standard_error=0,
    )
    assert 0.85 <= ratio <= 1.25
    assert inside >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("spectrum", [outliers, flat], ids=["outliers", "flat"])
def test_runs_that_stop_early_cover_as_often_as_they_say(rotated, spectrum):
    """1.96 standard errors of the first 8 samples cover 89 % to 91 %."""
    inside, _ = coverage(
        rotated(spectrum()), float(spectrum().sum()), 400, relative_standard_error=0.02
    )
    assert inside >= 0.93


def test_intervals_use_the_quantiles_of_student(rotated):
    trace = estimate_trace(
        rotated(outliers()), method="hutchinson", max_matvecs=16, relative_standard_error=0
    )
    assert trace.degrees_of_freedom == 15
    low, high = trace.interval(0.95)
    assert (low + high) / 2 == pytest.approx(trace.value)
    assert (high - low) / 2 == pytest.approx(2.13145 * trace.standard_error, rel=1e-5)
    exact = estimate_trace(rotated(outliers()), max_matvecs=200)
    assert exact.interval() == (exact.value, exact.value)
    single = estimate_trace(rotated(outliers()), method="hutchinson", max_matvecs=1)
    assert all(math.isnan(limit) for limit in single.interval())
    for confidence in (0, 1, math.nan):
        with pytest.raises(ValueError, match=f"above 0 and below 1, got {confidence}"):
            trace.interval(confidence)


def test_sketching_beats_hutchinson_on_outliers(rotated):
    operator = rotated(outliers())

    def error(method: str) -> float:
        runs = [
            estimate_trace(
                operator, method=method, max_matvecs=48, relative_standard_error=0, seed=seed
            )
            for seed in range(20)
        ]
        squares = [(run.value - float(outliers().sum())) ** 2 for run in runs]
        return math.sqrt(sum(squares) / len(squares))

    assert error("xtrace") < 0.2 * error("hutchinson")
    assert error("hutchpp") < 0.2 * error("hutchinson")


@pytest.mark.parametrize("method", METHODS)
def test_layers_add_up_and_lie_within_their_errors(rotated, method):
    operator = rotated(outliers())
    layers = {"first": slice(0, 70), "second": slice(70, 200)}
    trace = estimate_trace(operator, method=method, max_matvecs=60, layers=layers, seed=3)
    parts = list(trace.layers.values())
    assert sum(part.value for part in parts) == pytest.approx(trace.value, rel=1e-9)
    for layer, part in zip(layers.values(), parts, strict=True):
        truth = float(operator.matrix.diagonal()[layer].sum())
        assert abs(part.value - truth) <= 4 * part.standard_error


@pytest.mark.parametrize("method", METHODS)
def test_operator_within_the_budget_is_exact(rotated, method):
    trace = estimate_trace(rotated(torch.arange(-5, 25)), method=method, max_matvecs=30)
    assert trace.value == pytest.approx(285.0, rel=1e-12)
    assert (trace.standard_error, trace.matvecs, trace.converged) == (0.0, 30, True)


@pytest.mark.parametrize("method", ["xtrace", "hutchpp"])
def test_sketch_of_the_whole_range_is_exact(rotated, method):
    low_rank = torch.cat([torch.tensor([5.0, -2.0, 1e-3]), torch.zeros(300)])
    trace = estimate_trace(rotated(low_rank), method=method)
    assert trace.value == pytest.approx(3.001, rel=1e-10)
    assert trace.standard_error == 0.0
    assert trace.matvecs <= 40


@pytest.mark.parametrize("method", METHODS)
def test_zero_operator_has_trace_zero(rotated, method):
    trace = estimate_trace(rotated(torch.zeros(300)), method=method)
    assert (trace.value, trace.standard_error, trace.converged) == (0.0, 0.0, True)


def test_scale_of_the_operator_scales_the_estimate(rotated):
    plain = estimate_trace(rotated(outliers()))
    small = estimate_trace(rotated(1e-12 * outliers()))
    assert small.matvecs == plain.matvecs
    assert small.value == pytest.approx(1e-12 * plain.value)


@pytest.mark.parametrize("method", METHODS)
def test_equal_seeds_give_equal_estimates(rotated, method):
    operator = rotated(outliers())
    first, again, other = (estimate_trace(operator, method=method, seed=s) for s in (5, 5, 6))
    assert first == again
    assert first.value != other.value


@pytest.mark.parametrize("method", METHODS)
def test_budget_is_kept_and_convergence_told(rotated, method):
    for budget in (3, 20, 47):
        trace = estimate_trace(
            rotated(outliers()), method=method, max_matvecs=budget, relative_standard_error=0
        )
        assert budget - 1 <= trace.matvecs <= budget
        assert not trace.converged
    loose = estimate_trace(rotated(flat()), method=method, relative_standard_error=0.5)
    assert loose.converged
    assert loose.matvecs < 100


def test_single_sample_has_no_standard_error(rotated):
    trace = estimate_trace(rotated(outliers()), method="hutchinson", max_matvecs=1)
    assert math.isnan(trace.standard_error)
    assert not trace.converged


def test_half_precision_operator_is_estimated_in_single(as_operator):
    operator = as_operator(torch.diag(torch.linspace(0, 1, 200)).to(torch.bfloat16))
    trace = estimate_trace(operator)
    assert abs(trace.value - 100) <= 0.05 * 100


@pytest.mark.parametrize("method", METHODS)
def test_nan_products_give_nan(as_operator, method):
    trace = estimate_trace(as_operator(torch.full((200, 200), math.nan)), method=method)
    assert math.isnan(trace.value)
    assert math.isnan(trace.standard_error)
    assert not trace.converged


def test_bad_arguments_are_refused(rotated):
    operator = rotated(flat())
    with pytest.raises(ValueError, match="got 'magic'"):
        estimate_trace(operator, method="magic")
    with pytest.raises(ValueError, match="max_matvecs must be at least 2 for 'xtrace', got 1"):
        estimate_trace(operator, method="xtrace", max_matvecs=1)
    with pytest.raises(ValueError, match="max_matvecs must be at least 1 for 'hutchinson', got 0"):
        estimate_trace(operator, method="hutchinson", max_matvecs=0)
    with pytest.raises(ValueError, match="relative_standard_error must be at least 0, got -1"):
        estimate_trace(operator, relative_standard_error=-1)
    with pytest.raises(ValueError, match="size of at least 1, got 0"):
        estimate_trace(rotated(torch.zeros(0)))
