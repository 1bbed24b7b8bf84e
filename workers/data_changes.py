"""Detects that the data of a sweep have changed since its trials ended.

Every driver records a fingerprint of the data in the journal. Results on other data are not
comparable with the results so far, so a driver refuses to continue unless the user consented.
"""

from __future__ import annotations

import json

from workers.datasets import DamagedDataError
from workers.job import FORCE_HINT
from workers.journal import Journal
from workers.metrics import RESULTS
from workers.mlflow_schema import Tag
from workers.spec import SpecError, SpecProblem

__all__ = ["require_same_data", "require_unchanged_data"]


def require_unchanged_data(journal: Journal, fingerprint: str, *, accepted: bool) -> None:
    """Check that the data are those of the results in the journal.

    Args:
        journal: Journal of the sweep; this driver has not recorded its own start yet.
        fingerprint: Fingerprint of the present data.
        accepted: Whether the user consented to other data.

    Raises:
        SpecError: The data differ and the user has not consented.
    """
    ended = sum(outcome in RESULTS for outcome in journal.outcomes.values())
    previous = _last_fingerprint(journal)
    if accepted or not ended or previous is None or previous == fingerprint:
        return
    message = (
        f"{ended} {'trial has' if ended == 1 else 'trials have'} ended on other data (fingerprint "
        f"{previous[:12]}, now {fingerprint[:12]}); results may not be comparable: retry "
        f"{FORCE_HINT}"
    )
    raise SpecError([SpecProblem("dataset", message, fingerprint[:12])])


def require_same_data(found: str, expected: str | None) -> None:
    """Check that a trial sees the data that the sweep's driver saw.

    Files can change while a sweep runs, and differ between the nodes of a cluster.

    Args:
        found: Fingerprint of the trial's data.
        expected: The driver's; None if unknown, which allows any.

    Raises:
        DamagedDataError: The fingerprints differ.
    """
    if expected is not None and found != expected:
        raise DamagedDataError(
            "dataset",
            f"the data differ from those at the start of the sweep (fingerprint {expected[:12]}, "
            f"now {found[:12]}): files have changed, or differ between nodes",
            "restore them, or resume the sweep with force",
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
    """Fingerprint in a line of the journal; None if it holds none."""
    entry = json.loads(line)
    tag: str | None = entry["data"].get("tags", {}).get(Tag.DATA_FINGERPRINT)
    return tag if entry["kind"] == "sweep_started" else None
