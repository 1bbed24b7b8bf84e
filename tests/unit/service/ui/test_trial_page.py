"""Rows of the tables of a trial's page."""

from __future__ import annotations

from service.ui.trial_page import _calibration


def test_calibration_has_a_row_for_each_set_of_images() -> None:
    metrics = {"val_loss": 0.5, "val_brier": 0.3, "val_ece": 0.05, "val_accuracy": 0.8}
    metrics |= {"ood_loss": 0.9, "ood_brier": 0.6, "ood_ece": 0.2, "ood_loss.zoom_blur": 1.0}
    metrics |= {"ood_brier.zoom_blur": 0.7, "ood_ece.zoom_blur": 0.3}
    assert _calibration(metrics) == [
        ("validation", 0.5, 0.3, 0.05),
        ("OOD, mean", 0.9, 0.6, 0.2),
        ("zoom blur", 1.0, 0.7, 0.3),
    ]


def test_calibration_is_empty_for_a_trial_of_an_earlier_release() -> None:
    assert _calibration({"val_loss": 0.5, "ood_loss": 0.9}) == []
