"""Notes on data and curvature in the API, on the page and in ``sasam show``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rich.console import Console
from sqlalchemy import update
from starlette.testclient import TestClient

from service.cli.tables import sweep_table
from service.storage import Database, SweepRow
from service.sweeps.schemas import SweepDetail

NOTES = "3 of 20 files are left out; 2 <training> images are repeated"


def record(database: Database, sweep_id: str, **facts: str | None) -> None:
    """Store facts that a driver recorded."""
    with database.transaction() as session:
        session.execute(update(SweepRow).where(SweepRow.sweep_id == sweep_id).values(**facts))


def shown(detail: SweepDetail) -> str:
    """The text of ``sasam show``."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(sweep_table(detail, "http://127.0.0.1"))
    return capture.get()


def test_notes_are_in_the_api_on_the_page_and_in_the_terminal(
    client: TestClient, database: Database, submit: Callable[[], str]
) -> None:
    sweep_id = submit()
    record(
        database,
        sweep_id,
        data_notes=NOTES,
        hessian_method="differences",
        code_version="0.1.0 (abc)",
    )
    detail = SweepDetail.model_validate_json(client.get(f"/api/v1/sweeps/{sweep_id}").text)
    first, second = detail.notes
    assert first == NOTES
    assert "differences of gradients" in second
    assert detail.hessian_method == "differences"
    assert detail.code_version == "0.1.0 (abc)"
    page = client.get(f"/sweeps/{sweep_id}").text
    assert '<p class="note">3 of 20 files are left out; 2 &lt;training&gt; images' in page
    assert "differences of gradients" in page
    assert NOTES in shown(detail)
    assert "differences of gradients" in shown(detail)


@pytest.mark.parametrize(
    ("notes", "method"), [(None, None), ("", "exact")], ids=["not recorded", "nothing to note"]
)
def test_sweep_without_notes_shows_none(
    notes: str | None,
    method: str | None,
    client: TestClient,
    database: Database,
    submit: Callable[[], str],
) -> None:
    sweep_id = submit()
    record(database, sweep_id, data_notes=notes, hessian_method=method)
    detail = SweepDetail.model_validate_json(client.get(f"/api/v1/sweeps/{sweep_id}").text)
    assert detail.notes == []
    assert detail.hessian_method == method
    assert "notes" not in shown(detail)
    assert '<p class="note">' not in client.get(f"/sweeps/{sweep_id}/status").text
