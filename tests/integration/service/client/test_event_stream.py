"""Events: the parser, interrupted streams, and sweeps that are followed by their events."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import takewhile
from typing import Any

import pytest

from service.client import Client, ProblemError, Sweep, UnreadableError
from service.client.event_stream import EventParser
from service.events import EventKind
from service.events.repository import EventRepository
from service.states import SweepState

DATA = 'data: {"number": %d, "kind": "state", "created_at": "2026-01-02T03:04:05Z",\n'
REST = 'data: "data": {"state": "running"}}\n'


def feed(parser: EventParser, text: str) -> list[int]:
    """The numbers of the events in a text."""
    return [event.number for event in parser.feed(text) if event is not None]


def test_parser_joins_lines_and_ignores_unknown_fields() -> None:
    parser = EventParser()
    text = f"retry: 500\n\n: alive\nid: 7\nevent: state\n{DATA % 7}{REST}\nunknown: x\n\n"
    assert feed(parser, text) == [7]
    assert (parser.last_id, parser.reconnect_seconds) == ("7", 0.5)


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
def test_parser_fed_character_by_character_finds_the_same_events(line_end: str) -> None:
    text = f"id: 7\n{DATA % 7}{REST}\n: alive\nid: 8\n{DATA % 8}{REST}\n:\n"
    parser, found = EventParser(), []
    for character in text.replace("\n", line_end):
        found += parser.feed(character)
    found += parser.feed(":")  # a carriage return at the end waits for what follows
    assert [event and event.number for event in found] == [7, None, 8, None]
    assert parser.last_id == "8"


@pytest.mark.parametrize("retry", ["", "-1", "soon", "1e3", "٣"])
def test_parser_invalid_retry_is_ignored(retry: str) -> None:
    parser = EventParser()
    before = parser.reconnect_seconds
    feed(parser, f"retry: {retry}\n\n")
    assert parser.reconnect_seconds == before


def test_parser_restart_discards_the_incomplete_event() -> None:
    parser = EventParser(after=3)
    assert parser.last_id == "3"
    assert feed(parser, f"id: 4\n{DATA % 4}{REST}\nid: 5\n{DATA % 5}") == [4]
    parser.restart()
    assert parser.last_id == "4"
    assert feed(parser, f"id: 5\n{DATA % 5}{REST}\n") == [5]


def test_events_of_an_ended_sweep_come_once_and_end(
    client: Client, service: Any, specification: str
) -> None:
    sweep = client.sweeps.submit(specification)
    service.complete(sweep.sweep_id)
    events = list(sweep.events())
    states = [event.data["state"] for event in events if event.kind == "state"]
    assert states[-3:] == ["starting", "running", "completed"]
    numbers = [event.number for event in events]
    assert numbers == sorted(set(numbers))
    assert [event.number for event in sweep.events(after=numbers[-2])] == numbers[-1:]
    assert list(sweep.events(after=numbers[-1])) == []


def test_events_interrupted_stream_is_resumed(
    client: Client, service: Any, network: Any, specification: str
) -> None:
    sweep_id = client.sweeps.submit(specification).sweep_id
    service.complete(sweep_id)
    whole = list(client.sweeps.get(sweep_id).events())
    seen: list[str | None] = []
    with network.cutting_streams(service.url, 400, seen) as url, Client(url) as cut:
        events = list(cut.sweeps.get(sweep_id).events())
    assert events == whole
    assert seen[0] is None
    assert len(seen) > 1
    assert [int(number or 0) for number in seen] == sorted({int(number or 0) for number in seen})


def test_event_with_unusual_line_separators_arrives_whole(
    client: Client, service: Any, specification: str
) -> None:
    sweep = client.sweeps.submit(specification)
    error = "one\u2028two\u2029three\x85four"
    with service.database.transaction() as session:
        events = EventRepository(session)
        events.append(sweep.sweep_id, (EventKind.TRIAL, {"key": "k", "error": error}))
    found = next(event for event in sweep.events() if event.kind == "trial")
    assert found.data["error"] == error


def test_unreadable_event_names_both_versions(
    client: Client, network: Any, specification: str
) -> None:
    sweep = client.sweeps.submit(specification)

    def answer(handler: Any) -> None:
        network.answer(handler, 200, b'data: {"new": 1}\n\n', Content_Type="text/event-stream")

    with (
        network.server(answer) as url,
        Client(url) as newer,
        closing(Sweep(newer._transport, sweep.detail).events()) as events,
        pytest.raises(UnreadableError, match="install the same version"),
    ):
        next(events)


def test_events_of_an_unknown_sweep_are_refused(client: Client, specification: str) -> None:
    sweep = client.sweeps.submit(specification)
    sweep.cancel()
    sweep.detail = sweep.detail.model_copy(update={"sweep_id": "0" * 12})
    with pytest.raises(ProblemError, match="no sweep"):
        next(sweep.events())


def test_follow_is_woken_by_an_event_long_before_the_next_poll(
    client: Client, service: Any, specification: str
) -> None:
    sweep = client.sweeps.submit(specification)
    details = sweep.follow(poll_seconds=3600)
    assert next(details).state is SweepState.QUEUED
    end = threading.Thread(target=service.complete, args=(sweep.sweep_id,))
    end.start()
    states = [detail.state for detail in takewhile(lambda _: True, details)]
    end.join()
    assert states[-1] is SweepState.COMPLETED


def test_wait_without_events_polls(
    client: Client, service: Any, network: Any, specification: str
) -> None:
    sweep_id = client.sweeps.submit(specification).sweep_id
    asked: list[str] = []

    def answer(handler: Any) -> None:
        import httpx

        asked.append(handler.path)
        if handler.path.endswith("/events"):
            network.answer(handler, 404, b"<html>")
            service.complete(sweep_id)
        else:
            sent = httpx.get(service.url + handler.path)
            network.answer(handler, sent.status_code, sent.content)

    with network.server(answer) as url, Client(url) as old:
        sweep = old.sweeps.get(sweep_id).wait(poll_seconds=0.01)
    assert sweep.state is SweepState.COMPLETED
    assert sum(path.endswith("/events") for path in asked) == 1
