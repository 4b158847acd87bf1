"""A handler learns that its client has left, with our connections and under any other server."""

import asyncio
from typing import Any

from execution_platform.gateway.departure import DEPARTURE, Departure, on_departure
from loops import in_loop


async def never() -> Any:
    raise AssertionError("nobody shall ask")


@in_loop
async def test_a_connection_tells_by_itself() -> None:
    told: list[int] = []
    departure = Departure()
    on_departure({DEPARTURE: departure}, never, lambda: told.append(1))
    assert told == []
    departure.happen()
    assert told == [1]


@in_loop
async def test_who_left_before_is_told_at_once() -> None:
    told: list[int] = []
    departure = Departure()
    departure.happen()
    on_departure({DEPARTURE: departure}, never, lambda: told.append(1))
    assert told == [1]


@in_loop
async def test_nobody_is_told_afterwards() -> None:
    told: list[int] = []
    departure = Departure()
    on_departure({DEPARTURE: departure}, never, lambda: told.append(1))()
    departure.happen()
    assert told == []
    assert departure.happened


@in_loop
async def test_under_another_server_its_message_is_awaited() -> None:
    messages = asyncio.Queue[dict[str, str]]()
    left = asyncio.Event()
    on_departure({}, messages.get, left.set)
    await messages.put({"type": "http.request"})
    await messages.put({"type": "http.disconnect"})
    assert not left.is_set()
    assert await asyncio.wait_for(left.wait(), 5)
