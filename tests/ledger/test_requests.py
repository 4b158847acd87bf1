"""The request log in the database: every column of every row. On SQLite and on PostgreSQL."""

import asyncio
from collections import deque

from sqlalchemy import select

from execution_platform.ledger.requests import COLUMNS, Noted, find, write
from execution_platform.ledger.rows import moment
from execution_platform.storage.schema import request_log
from ledger.entries import AT
from storage.opened import opened


def noted(number: int) -> Noted:
    """Requests that have some columns in common, in many combinations."""
    content = number % 9 == 0
    return Noted(
        request_id=f"req_{number}",
        timestamp=AT + number * 1000,
        tenant=f"tenant-{number % 3}",
        key_id="",
        persona="é" * (number % 2),
        run_id="",
        provider="openai",
        model="gpt-4o",
        dialect="openai_chat",
        operation="chat",
        status=502 if number % 5 == 0 else 200,
        error="provider_error" if number % 5 == 0 else None,
        stream=number % 2 == 0,
        attempts=1 + number % 3,
        finish=None if number % 5 == 0 else "stop",
        duration_ms=number / 4,
        first_content_ms=number / 8 if number % 4 == 0 else None,
        input_tokens=number,
        output_tokens=7,
        cost_nanos=2**62 + number,
        config_version="v1",
        trace_id=f"{number:032x}" if number % 4 == 0 else None,
        request_body=b"\x00\xff" if content else None,
        response_body=b"an answer" if content else None,
    )


def test_every_column_of_a_row_is_what_was_noted(database_url: str) -> None:
    requests = [noted(number) for number in range(60)]

    async def run() -> None:
        async with opened(database_url) as storage:
            await write(
                storage, deque(each for each in requests if each.trace_id is None and each.request_body is None)
            )
            await write(storage, deque(each for each in requests if each.trace_id or each.request_body))
            asked = select(*(request_log.c[name] for name in COLUMNS)).order_by(request_log.c.timestamp)
            async with storage.read() as connection:
                found = [tuple(each) for each in await connection.execute(asked)]
            kept = await find(storage, "req_9", "tenant-0")
            assert kept is not None
            assert kept["request_body"] == b"\x00\xff"
        for each, wanted in zip(found, requests, strict=True):
            assert dict(zip(COLUMNS, each, strict=True)) == {
                name: moment(AT + wanted.input_tokens * 1000) if name == "timestamp" else getattr(wanted, name)
                for name in COLUMNS
            }

    asyncio.run(run())


class Growing(deque[Noted]):
    """Requests end while others are written down."""

    def popleft(self) -> Noted:
        if len(self) < 5:
            self.append(noted(100 + len(self)))
        return super().popleft()


def test_what_ends_while_others_are_written_down_waits_for_the_next_time(database_url: str) -> None:
    async def run() -> None:
        waiting = Growing([noted(1), noted(2)])
        async with opened(database_url) as storage:
            await write(storage, waiting)
            assert [each.request_id for each in waiting] == ["req_102", "req_102"]
            assert await find(storage, "req_2", None) is not None
            assert await find(storage, "req_102", None) is None

    asyncio.run(run())
