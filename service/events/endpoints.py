"""HTTP for events: server-sent, resumable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from service.dependencies import database
from service.errors import NotFoundProblem, problems
from service.events.broadcast import Broadcast
from service.openapi import EVENT_STREAM
from service.storage import Database
from service.sweeps.lifecycle import TERMINAL
from service.sweeps.service import require_sweep

__all__ = ["router"]

router = APIRouter(prefix="/sweeps/{sweep_id}", tags=["events"])

_HEARTBEAT_SECONDS = 15
_STUCK_SECONDS = 60
"""A reader that takes nothing for so long is let go."""
_RECONNECT_MS = 2_000
_NEWEST = 2**31 - 1
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "Events as they happen; each one's data is an `EventView`. Comments keep the "
            "connection alive. The stream ends after the last event of a sweep that has ended."
        ),
        "content": EVENT_STREAM,
    },
    204: {"description": "The sweep has ended and the reader knows all: do not connect again."},
}


@router.get("/events", responses=problems(NotFoundProblem) | _STREAM, response_class=Response)
def events(
    sweep_id: str,
    request: Request,
    stored: Annotated[Database, Depends(database)],
    after: Annotated[int | None, Query(ge=0, le=_NEWEST)] = None,
    last_event_id: Annotated[int | None, Header(ge=0, le=_NEWEST)] = None,
) -> Response:
    """What happens to a sweep, as server-sent events.

    Begins with its first event, or behind the one that ``Last-Event-ID`` or ``after`` names.
    """
    known = next((number for number in (last_event_id, after) if number is not None), 0)
    with stored.snapshot() as session:
        sweep = require_sweep(session, sweep_id)
    if sweep.state in TERMINAL and known >= sweep.last_event:
        return Response(status_code=204)
    broadcast: Broadcast = request.app.state.broadcast
    return EventSourceResponse(
        _stream(broadcast, sweep_id, known),
        ping=_HEARTBEAT_SECONDS,
        send_timeout=_STUCK_SECONDS,
        sep="\n",
    )


async def _stream(broadcast: Broadcast, sweep_id: str, after: int) -> AsyncIterator[Any]:
    """Events as they are sent; the first thing sent says when to connect again."""
    yield ServerSentEvent(retry=_RECONNECT_MS)
    async for event in broadcast.follow(sweep_id, after):
        yield ServerSentEvent(id=str(event.number), event=event.kind, data=event.model_dump_json())
