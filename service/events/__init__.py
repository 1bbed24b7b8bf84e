"""Events of sweeps: numbered, stored with the change that caused them, streamed to any reader.

The schemas are imported without a database, so that the client shares them.
"""

from service.events.schemas import Event, EventKind, EventView

__all__ = ["Event", "EventKind", "EventView"]
