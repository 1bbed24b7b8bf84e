"""Detects that the data of a sweep have changed since its trials ended.

Every driver records a fingerprint of the data in the journal. Results on other data are not
comparable with the results so far, so a driver refuses to continue unless the user consented.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workers.datasets import DamagedDataError
from workers.journal import Journal
from workers.metrics import RESULTS
from workers.mlflow_schema import Tag
from workers.spec import SpecError, SpecProblem

__all__ = ["DATA_FINGERPRINT", "DATA_NOTES", "refuse_other_data", "require_same_data"]

DATA_FINGERPRINT = "data_fingerprint"
"""Name of the fact that identifies the data; its tag is `Tag.DATA_FINGERPRINT`."""
DATA_NOTES = "data_notes"
"""Name of the fact that holds what a user should know about the data."""


def refuse_other_data(journal: Journal, facts: Mapping[str, Any], *, accepted: bool) -> None:
    """Check that the data are those of the results in the journal.

    Args:
        journal: What happened so far; this driver has not recorded its own start yet.
        facts: Facts about the present data.
        accepted: Whether the user consented to other data.

    Raises:
        SpecError: The data differ and the user has not consented.
    """
    ended = sum(outcome in RESULTS for outcome in journal.outcomes.values())
    before, now = _last_fingerprint(journal), facts.get(DATA_FINGERPRINT)
    if accepted or not ended or before is None or before == now:
        return
    message = (
        f"{ended} trials have ended on other data (fingerprint {before[:12]}, now "
        f"{str(now)[:12]}); results may not be comparable: retry with force to go on all the same"
    )
    raise SpecError([SpecProblem("dataset", message, str(now)[:12])])


def require_same_data(found: str, expected: str | None) -> None:
    """Check that a trial sees the data that the sweep's driver saw.

    Files can change while a sweep runs, and differ between the nodes of a cluster.

    Args:
        found: Fingerprint of the trial's data.
        expected: The driver's; None if unknown, which allows any.

    Raises:
        DamagedDataError: They are others.
    """
    if expected is not None and found != expected:
        raise DamagedDataError(
            "dataset",
            f"the data are not those that the sweep began with (fingerprint {expected[:12]}, now "
            f"{found[:12]}): files have changed, or differ between nodes",
            "put them back, or resume the sweep with force",
        )


def _last_fingerprint(journal: Journal) -> str | None:
    """Fingerprint recorded by the previous driver; None if there is none."""
    found = None
    with journal.path.open("rb") as file:
        for line in file:
            if b'"sweep_started"' in line and (tag := _tag(line)) is not None:
                found = tag
    return found


def _tag(line: bytes) -> str | None:
    entry = json.loads(line)
    tag: str | None = entry["data"].get("tags", {}).get(Tag.DATA_FINGERPRINT)
    return tag if entry["kind"] == "sweep_started" else None
