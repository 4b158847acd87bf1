"""The head of an answer leaves with what follows it, and without it when nothing follows at once."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from execution_platform.gateway.joining import Joining
from loops import in_loop


class Written:
    """A transport that notes what it is told."""

    def __init__(self) -> None:
        self.log: list[bytes | str] = []
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
    return Joining(cast("asyncio.Transport", written), asyncio.get_running_loop()), written


async def turn() -> None:
    """Let the event loop run what is ready."""
    await asyncio.sleep(0)


@in_loop
async def test_a_whole_answer_is_one_write() -> None:
    out, written = joined()
    out.write(b"head")
    out.write(b"body")
    out.write(b"more")
    assert written.log == []
    out.end_answer()
    assert written.log == [b"headbodymore"]
    await turn()
    out.write(b"head2")
    out.write(b"body2")
    out.end_answer()
    assert written.log[1:] == [b"head2body2"]


@in_loop
async def test_what_follows_a_head_leaves_with_it_and_later_pieces_at_once() -> None:
    out, written = joined()
    out.write(b"head")
    out.write(b"first")
    await turn()
    assert written.log == [b"headfirst"]
    out.write(b"second")
    assert written.log == [b"headfirst", b"second"]


@in_loop
async def test_a_long_answer_does_not_wait() -> None:
    out, written = joined()
    out.write(b"head")
    out.write(b"x" * 70_000)
    assert [len(data) for data in written.log] == [70_004]
    out.write(b"y")
    assert written.log[1:] == [b"y"]


@in_loop
async def test_an_answer_that_is_whole_waits_for_nothing_and_leaves_after_what_waits() -> None:
    out, written = joined()
    out.writelines((b"head", b"body"))
    assert written.log == [b"headbody"]
    out.end_answer()
    out.write(b"head2")
    out.writelines((b"head3", b"body3"))
    assert written.log[1:] == [b"head2", b"head3body3"]


@in_loop
async def test_a_head_alone_leaves_when_the_loop_has_nothing_else_to_do() -> None:
    out, written = joined()
    out.write(b"head")
    await turn()
    assert written.log == [b"head"]
    out.write(b"late body")
    assert written.log == [b"head", b"late body"]


@in_loop
async def test_nothing_is_lost_at_the_end() -> None:
    out, written = joined()
    out.write(b"head")
    out.end_answer()
    out.write(b"head2")
    out.close()
    await turn()
    assert written.log == [b"head", b"head2", "close"]


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
