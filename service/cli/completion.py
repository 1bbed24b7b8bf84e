"""Shell completion of sweeps, presets, figures, states and outcomes.

A completion that fails offers nothing and prints nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from itertools import islice

from service.cli.connection import LATEST, service_address

__all__ = [
    "FIGURES",
    "figure_names",
    "preset_names",
    "sweep_ids",
    "sweep_states",
    "trial_statuses",
]

FIGURES = (
    "accuracy-heatmap",
    "best",
    "corruptions",
    "curvature-scatter",
    "expected-max",
    "heatmap",
    "importance",
    "learning-curves",
    "lr-curves",
    "overview",
    "parallel-coordinates",
    "rank",
    "tolerance",
    "trace-heatmap",
    "tuning-bands",
)
"""Figures of a sweep. Listed here because importing their registry takes a second."""

_MAX_SWEEPS = 30
_REQUEST_TIMEOUT_SECONDS = 1.0


def sweep_ids(incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield ids of the newest sweeps, each with its name and state."""
    if LATEST.startswith(incomplete):
        yield LATEST, "the newest sweep"
    with suppress(Exception):
        from service.client import Client

        url = os.environ.get("SASAM_URL") or service_address()
        with Client(url, timeout_seconds=_REQUEST_TIMEOUT_SECONDS, retry_seconds=0) as client:
            for sweep in islice(client.sweeps.browse(page_size=_MAX_SWEEPS), _MAX_SWEEPS):
                if sweep.sweep_id.startswith(incomplete):
                    yield sweep.sweep_id, f"{sweep.name}, {sweep.state}"


def preset_names(incomplete: str) -> list[str]:
    """Return the names of presets."""
    names = (file.name.removesuffix(".yaml") for file in files("workers.presets").iterdir())
    return sorted(name for name in names if name.startswith(incomplete) and "_" not in name)


def figure_names(incomplete: str) -> list[str]:
    """Return the names of a sweep's figures."""
    return [name for name in FIGURES if name.startswith(incomplete)]


def sweep_states(incomplete: str) -> list[str]:
    """Return the states of a sweep."""
    from service.states import SweepState

    return [state.value for state in SweepState if state.startswith(incomplete)]


def trial_statuses(incomplete: str) -> list[str]:
    """Return the statuses of a trial: its outcomes, and those before it has one."""
    from workers.metrics import Outcome

    statuses = ("pending", "running", *(outcome.value for outcome in Outcome))
    return [status for status in statuses if status.startswith(incomplete)]
