"""Shell completion."""

from __future__ import annotations

from typing import Any

import pytest

from service.cli.completion import (
    FIGURES,
    figure_names,
    preset_names,
    sweep_ids,
)
from service.client import Sweep
from service.sensitivity.figures import FIGURES as KNOWN_FIGURES


def test_completion_knows_sweeps_presets_and_figures(
    sweep: Sweep, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SASAM_URL", service.url)
    assert (sweep.sweep_id, "small, queued") in list(sweep_ids(sweep.sweep_id[:4]))
    assert next(sweep_ids("")) == ("latest", "the newest sweep")
    assert "digits" in preset_names("dig")
    assert figure_names("trace") == ["trace-heatmap"]
    assert sorted(FIGURES) == sorted(KNOWN_FIGURES)


def test_completion_without_a_service_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SASAM_URL", "http://127.0.0.1:1")
    assert list(sweep_ids("1")) == []
    monkeypatch.setenv("SASAM_PORT", "none")
    monkeypatch.delenv("SASAM_URL")
    assert list(sweep_ids("1")) == []
    assert capsys.readouterr() == ("", "")


def test_completion_in_a_shell_offers_the_sweep(start: Any, sweep: Sweep) -> None:
    line = f"sasam show {sweep.sweep_id[:5]}"
    process = start(_SASAM_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD="2", PYTHONPATH="")
    output, errors = process.communicate(timeout=60)
    assert output.split() == [sweep.sweep_id], errors
