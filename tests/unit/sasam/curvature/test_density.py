from __future__ import annotations

import math

import pytest
import torch

from sasam.curvature import estimate_spectral_density


def test_moments_are_those_of_the_spectrum(rotated):
    spectrum = torch.cat([torch.tensor([-5.0, 12.0]), torch.linspace(-1, 2, 298)]).double()
    density = estimate_spectral_density(rotated(spectrum), probes=30, steps=30)
    assert float(density.weights.sum()) == pytest.approx(1.0)
    for power in (1, 2):
        moment = float((density.eigenvalues**power) @ density.weights)
        assert moment == pytest.approx(float((spectrum**power).mean()), rel=0.1)
    assert float(density.eigenvalues[-1]) == pytest.approx(12.0)
    assert float(density.eigenvalues[0]) == pytest.approx(-5.0)


def test_all_steps_give_the_spectrum_itself(rotated):
    spectrum = torch.tensor([-1.0, 0.5, 2.0, 7.0]).double()
    density = estimate_spectral_density(rotated(spectrum), probes=1, steps=50)
    torch.testing.assert_close(density.eigenvalues, spectrum)
    assert density.matvecs == 4


def test_smoothed_density_integrates_to_one(rotated):
    density = estimate_spectral_density(rotated(torch.linspace(-1, 2, 100)))
    grid = torch.linspace(-4, 5, 2000)
    assert float(torch.trapezoid(density.smoothed(grid, 0.1), grid)) == pytest.approx(1.0, 1e-6)


def test_nan_products_give_an_empty_density(as_operator):
    density = estimate_spectral_density(as_operator(torch.full((9, 9), math.nan)))
    assert density.eigenvalues.numel() == density.weights.numel() == 0


def test_bad_arguments_are_refused(rotated):
    operator = rotated(torch.ones(5))
    with pytest.raises(ValueError, match="probes must be at least 1, got 0"):
        estimate_spectral_density(operator, probes=0)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        estimate_spectral_density(operator, steps=0)
    with pytest.raises(ValueError, match="width must be above 0, got 0"):
        estimate_spectral_density(operator).smoothed(torch.zeros(1), 0)
