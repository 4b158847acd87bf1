"""What is written to a client in one turn of the event loop leaves in one write, at the latest when its connection closes."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from execution_platform.gateway.joining import Joining
from execution_platform.transport.bursts import Bursts
from loops import in_loop


class Written:
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        self.log: list[object] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.log.append(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.log.append(b"".join(pieces))

    def close(self) -> None:
        self.closing = True
        self.log.append("close")

    def abort(self) -> None:
        self.log.append("abort")

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> Any:
        return name

    def pause_reading(self) -> None:
        self.log.append("pause")


def joined() -> tuple[Joining, Written]:
    written = Written()
    return Joining(cast("asyncio.Transport", written), Bursts(asyncio.get_running_loop())), written


async def turn() -> None:
    """Let the event loop run what is ready."""
    await asyncio.sleep(0)


@in_loop
async def test_a_whole_answer_is_one_write() -> None:
    out, written = joined()
    out.write(b"head")
    out.write(b"body")
    out.writelines((b"more", b"end"))
    assert written.log == []
    await turn()
    assert written.log == [b"headbodymoreend"]


@in_loop
async def test_later_pieces_leave_in_their_turn() -> None:
    out, written = joined()
    out.write(b"head")
    await turn()
    out.write(b"late body")
    await turn()
    assert written.log == [b"head", b"late body"]


@in_loop
async def test_a_long_answer_does_not_wait() -> None:
    out, written = joined()
    out.write(b"head")
    out.write(b"x" * 70_000)
    assert [len(data) for data in written.log] == [70_004]
    out.write(b"y")
    await turn()
    assert written.log[1:] == [b"y"]


@in_loop
async def test_a_long_piece_leaves_behind_the_head() -> None:
    out, written = joined()
    out.write(b"head")
    out.writelines((b"1\r\n", b"x", b"\r\n"))
    out.write(b"more")
    await turn()
    assert written.log == [b"head1\r\nx\r\nmore"]


@in_loop
async def test_nothing_is_lost_at_the_end() -> None:
    out, written = joined()
    out.write(b"head")
    out.write(b"body")
    out.close()
    await turn()
    assert written.log == [b"headbody", "close"]


@in_loop
async def test_an_aborted_connection_is_not_written_to() -> None:
    out, written = joined()
    out.write(b"head")
    written.closing = True
    await turn()
    assert written.log == []


@in_loop
async def test_everything_else_is_the_transports() -> None:
    out, written = joined()
    out.pause_reading()
    out.abort()
    assert written.log == ["pause", "abort"]
    assert out.get_extra_info("peername") == "peername"
    assert not out.is_closing()
