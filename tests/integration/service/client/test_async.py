"""The asynchronous client: the same methods, awaited."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from service.client import (
    AsyncClient,
    AsyncSweep,
    AsyncSweeps,
    Client,
    ProblemError,
    Sweep,
    Sweeps,
    UnreachableError,
    WaitTimeoutError,
)


@pytest.mark.parametrize(
    ("blocking", "awaited"), [(Client, AsyncClient), (Sweep, AsyncSweep), (Sweeps, AsyncSweeps)]
)
def test_both_clients_offer_the_same_calls(blocking: type, awaited: type) -> None:
    def calls(kind: type) -> dict[str, list[str]]:
        members = inspect.getmembers(kind, callable)
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in members
            if not name.startswith("_")
        }

    assert calls(blocking) == calls(awaited)


def test_submit_follow_and_read_results(service: Any, specification: str) -> None:
    async def use() -> None:
        async with AsyncClient(service.url) as client:
            sweep = await client.sweeps.submit(specification)
            with pytest.raises(WaitTimeoutError, match="is queued after 0 s"):
                await sweep.wait(0)
            waiting = asyncio.create_task(sweep.wait(60))
            events = asyncio.create_task(_kinds(sweep))
            await asyncio.to_thread(service.complete, sweep.sweep_id)
            assert (await waiting) is sweep
            assert sweep.state == "completed"
            assert "state" in await events
            assert len([trial async for trial in sweep.trials()]) == 8
            summary = await sweep.summary()
            assert [found.optimizer for found in summary.optimizers] == ["sa-sam", "msgd"]
            found = [view.sweep_id async for view in client.sweeps.browse(page_size=1)]
            assert sweep.sweep_id in found
            with pytest.raises(ProblemError, match="cannot be paused"):
                await sweep.pause()
            assert "SA-SAM" in (await client.catalog()).model_dump_json()

    asyncio.run(use())


def test_unreachable_names_the_address(unused_port: int) -> None:
    async def use() -> None:
        async with AsyncClient(f"http://127.0.0.1:{unused_port}") as client:
            await client.presets()

    with pytest.raises(UnreachableError, match=str(unused_port)):
        asyncio.run(use())


def test_lost_answer_of_a_submission_is_one_sweep(
    service: Any, network: Any, specification: str
) -> None:
    async def use(url: str) -> str:
        async with AsyncClient(url) as client:
            sweep = await client.sweeps.submit(specification.replace("small", "async-lost"))
            return sweep.sweep_id

    with network.losing_first_answer(service.url) as url:
        sweep_id = asyncio.run(use(url))
    with Client(service.url) as client:
        assert [found.sweep_id for found in client.sweeps.browse(name="async-lost")] == [sweep_id]


async def _kinds(sweep: AsyncSweep) -> list[str]:
    return [event.kind async for event in sweep.events()]
