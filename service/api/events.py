"""HTTP endpoint of the events of a sweep: a resumable stream of server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from service.api.dependencies import database, services
from service.api.openapi import EVENT_STREAM
from service.events.broadcast import Broadcast
from service.problems import NotFoundProblem, problems
from service.states import TERMINAL
from service.storage import Database
from service.sweeps.service import require_sweep

__all__ = ["router"]

router = APIRouter(prefix="/sweeps/{sweep_id}", tags=["events"])

_HEARTBEAT_SECONDS = 15
_SEND_TIMEOUT_SECONDS = 60
"""A reader that receives nothing for this long is disconnected."""
_RECONNECT_MS = 2_000
_MAX_NUMBER = 2**31 - 1
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "Events as they happen; each one's data is an `EventView`. Comments keep the "
            "connection alive. The stream ends after the last event of a sweep that has ended."
        ),
        "content": EVENT_STREAM,
    },
    204: {"description": "The sweep has ended and has no further events: do not reconnect."},
}


@router.get("/events", responses=problems(NotFoundProblem) | _STREAM, response_class=Response)
def events(
    sweep_id: str,
    request: Request,
    stored: Annotated[Database, Depends(database)],
    after: Annotated[int | None, Query(ge=0, le=_MAX_NUMBER)] = None,
    last_event_id: Annotated[int | None, Header(ge=0, le=_MAX_NUMBER)] = None,
) -> Response:
    """The events of a sweep, as server-sent events.

    Starts with the first event, or after the event that ``Last-Event-ID`` or ``after`` names.
    """
    known = next((number for number in (last_event_id, after) if number is not None), 0)
    with stored.snapshot() as session:
        sweep = require_sweep(session, sweep_id)
    if sweep.state in TERMINAL and known >= sweep.last_event:
        return Response(status_code=204)
    broadcast = services(request).broadcast
    return EventSourceResponse(
        _stream(broadcast, sweep_id, known),
        ping=_HEARTBEAT_SECONDS,
        send_timeout=_SEND_TIMEOUT_SECONDS,
        sep="\n",
    )


async def _stream(broadcast: Broadcast, sweep_id: str, after: int) -> AsyncIterator[Any]:
    """The messages of the stream; the first one sets the pause before a reconnection."""
    yield ServerSentEvent(retry=_RECONNECT_MS)
    async for event in broadcast.follow(sweep_id, after):
        yield ServerSentEvent(id=str(event.number), event=event.kind, data=event.model_dump_json())
