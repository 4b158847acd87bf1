"""Writes of one turn of the event loop leave together at its end, in order, and no more of them wait than is bounded."""

import asyncio
from collections.abc import Iterable
from typing import cast

from execution_platform.transport.bursts import Bursts
from loops import in_loop


class Written:
    """A transport that notes what it is told, in a log that it may share."""

    def __init__(self, log: list[tuple[str, bytes]], name: str = "a") -> None:
        self._log = log
        self._name = name
        self.closing = False
        self.copied = 0

    def write(self, data: bytes) -> None:
        self.copied += 1
        self._log.append((self._name, data))

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self._log.append((self._name, b"".join(pieces)))

    def is_closing(self) -> bool:
        return self.closing


def scene() -> tuple[Bursts, Written, Written, list[tuple[str, bytes]]]:
    log: list[tuple[str, bytes]] = []
    return Bursts(asyncio.get_running_loop()), Written(log), Written(log, "b"), log


def into(written: Written) -> asyncio.WriteTransport:
    return cast("asyncio.WriteTransport", written)


async def turn() -> None:
    """Let the event loop run what is ready."""
    await asyncio.sleep(0)


@in_loop
async def test_the_writes_of_a_turn_leave_at_its_end_one_for_each_connection() -> None:
    bursts, a, b, log = scene()
    bursts.write(into(a), b"head")
    bursts.write(into(b), b"other")
    bursts.write(into(a), b"body", b"end")
    assert log == []
    await turn()
    assert log == [("a", b"headbodyend"), ("b", b"other")]


@in_loop
async def test_every_turn_has_an_end() -> None:
    bursts, a, _, log = scene()
    for number in range(3):
        bursts.write(into(a), b"%d" % number)
        await turn()
    assert log == [("a", b"0"), ("a", b"1"), ("a", b"2")]


@in_loop
async def test_no_more_waits_for_a_connection_than_is_bounded_and_the_turn_goes_on() -> None:
    bursts, a, b, log = scene()
    bursts.write(into(b), b"first")
    bursts.write(into(a), b"x" * 60_000)
    assert log == []
    bursts.write(into(a), b"x" * 6_000)
    assert [(name, len(data)) for name, data in log] == [("b", 5), ("a", 66_000)]
    bursts.write(into(a), b"y")
    assert len(log) == 2
    await turn()
    assert log[2:] == [("a", b"y")]


@in_loop
async def test_no_more_waits_over_all_connections_than_is_bounded() -> None:
    bursts, *_ = scene()
    log: list[tuple[str, bytes]] = []
    for number in range(4):
        bursts.write(into(Written(log, str(number))), b"x" * 60_000)
    assert log == []
    bursts.write(into(Written(log, "4")), b"x" * 30_000)
    assert [(name, len(data)) for name, data in log] == [*((str(number), 60_000) for number in range(4)), ("4", 30_000)]


@in_loop
async def test_long_pieces_are_not_copied() -> None:
    bursts, a, b, _ = scene()
    bursts.write(into(a), b"head", b"x" * 100_000)
    bursts.write(into(b), b"head", b"body")
    await turn()
    assert (a.copied, b.copied) == (0, 1)


@in_loop
async def test_a_connection_that_closes_is_not_written_to_and_holds_up_nobody() -> None:
    bursts, a, b, log = scene()
    bursts.write(into(a), b"late")
    bursts.write(into(b), b"here")
    a.closing = True
    await turn()
    assert log == [("b", b"here")]


@in_loop
async def test_what_waits_can_be_written_at_once() -> None:
    bursts, a, _, log = scene()
    bursts.write(into(a), b"now")
    bursts.flush()
    assert log == [("a", b"now")]
    await turn()
    assert log == [("a", b"now")]
