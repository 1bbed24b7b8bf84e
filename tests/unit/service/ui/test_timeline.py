"""Sentences of events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from service.events import EventKind
from service.storage import EventRow
from service.ui.timeline import timeline


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("state", {"state": "queued", "before": None, "reason": None, "attempt": 0}, "submitted"),
        (
            "state",
            {"state": "running", "before": "starting", "reason": None, "attempt": 2},
            "starting → running, attempt 2",
        ),
        (
            "state",
            {"state": "failed", "before": "running", "reason": "no disk", "attempt": 2},
            "running → failed: no disk",
        ),
        ("reason", {"reason": "the disk is full"}, "the disk is full"),
        ("reason", {"reason": None}, "no longer waiting"),
        ("trial", {"status": "running", "epoch": 0, "error": None, "attempt": 1}, "started"),
        (
            "trial",
            {"status": "running", "epoch": 0, "error": None, "attempt": 3},
            "started again, attempt 3",
        ),
        (
            "trial",
            {"status": "failed", "epoch": 4, "error": "ValueError", "attempt": 1},
            "failed in epoch 4: ValueError",
        ),
        ("repaired", {"trials": 1200}, "1,200 trials rebuilt from MLflow"),
        ("repaired", {"trials": 1}, "1 trial rebuilt from MLflow"),
        ("progress", {"epochs": {}}, "running trials completed epochs"),
    ],
)
def test_every_kind_of_event_has_a_sentence(kind: str, data: dict[str, Any], text: str) -> None:
    event = EventRow(number=7, kind=EventKind(kind), data=data, created_at=datetime.now(UTC))
    (entry,) = timeline([event])
    assert (entry.text, entry.number) == (text, 7)
