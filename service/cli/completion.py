"""What a shell may put in for a name. Whatever goes wrong, it puts in nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from itertools import islice

__all__ = ["FIGURES", "LATEST", "figure_names", "preset_names", "sweep_ids"]

LATEST = "latest"

FIGURES = (
    "accuracy-heatmap",
    "best",
    "corruptions",
    "curvature-scatter",
    "expected-max",
    "heatmap",
    "learning-curves",
    "lr-curves",
    "overview",
    "rank",
    "trace-heatmap",
)
"""Figures of a sweep; those who know them take a second to import."""

_MOST = 30
_PATIENCE_SECONDS = 1.0


def sweep_ids(incomplete: str) -> Iterator[tuple[str, str]]:
    """The newest sweeps, with what they are."""
    if LATEST.startswith(incomplete):
        yield LATEST, "the newest sweep"
    with suppress(Exception):
        from service.cli.connection import service_address
        from service.client import Client

        url = os.environ.get("SASAM_URL") or service_address()
        with Client(url, timeout_seconds=_PATIENCE_SECONDS, patience_seconds=0) as client:
            for sweep in islice(client.sweeps.browse(page_size=_MOST), _MOST):
                if sweep.sweep_id.startswith(incomplete):
                    yield sweep.sweep_id, f"{sweep.name}, {sweep.state}"


def preset_names(incomplete: str) -> list[str]:
    """The presets."""
    names = (file.name.removesuffix(".yaml") for file in files("workers.presets").iterdir())
    return sorted(name for name in names if name.startswith(incomplete) and "_" not in name)


def figure_names(incomplete: str) -> list[str]:
    """The figures of a sweep."""
    return [name for name in FIGURES if name.startswith(incomplete)]
