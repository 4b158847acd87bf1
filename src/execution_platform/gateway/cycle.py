"""One request on a connection and its answer: uvicorn's, whose head is checked and put together at once.

uvicorn runs two regular expressions over every header of an answer. The gateway's answers have a dozen headers; here the usual
names are known, and all values are looked at together. What is allowed is the same.

Until its body is read no more than 64 KiB of it are taken from the client; then a megabyte at a time.
"""

from collections.abc import Iterable

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from execution_platform.gateway.http import LATE

_CONTROLS = bytes((*range(9), *range(10, 32), 127))
"""What no header value may hold."""
_NOT_IN_NAMES = bytes((*range(33), 127)) + b'()<>@,;:[]={}\\"'
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_BODYLESS = frozenset({204, 304})
_OURS = frozenset(
    {
        b"content-length", b"content-type", b"date", b"x-ep-attempts", b"x-ep-cache", b"x-ep-config", b"x-ep-cost-usd",
        b"x-ep-model", b"x-ep-overhead-ms", b"x-ep-persona", b"x-ep-provider", b"x-request-id",
    }
)  # fmt: skip
"""The names most answers have; the others are looked at."""
_LONG = 16 * 1024
"""Bytes of a piece that is not copied to be framed."""
_GATHERED = 1024 * 1024
"""Bytes of a body that are taken together once it is read."""
_END = (b"", b"")
"""A head ends with an empty line."""


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    most = HIGH_WATER_LIMIT
    """Bytes of its body that may wait here; more once somebody reads it."""

    async def receive(self) -> ASGIReceiveEvent:
        """The body, in one piece unless it is long or late; after it, that the client has left."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            event = self.message_event
            if self.more_body and len(self.body) < _GATHERED and LATE not in self.scope:
                event.clear()
            if not event.is_set():
                self.most = _GATHERED
                self.flow.resume_reading()
                await event.wait()
            event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: ASGISendEvent) -> None:
        """Take the next message of the answer. Raises `RuntimeError` for one that is out of place."""
        if self.disconnected:
            return
        if not self.response_started:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"an answer begins with 'http.response.start', not with '{message['type']}'")
            self._begin(message["status"], message.get("headers", ()))
        elif self.response_complete:
            raise RuntimeError(f"'{message['type']}' was sent after the end of the answer")
        elif message["type"] != "http.response.body":
            raise RuntimeError(f"a begun answer goes on with 'http.response.body', not with '{message['type']}'")
        else:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
            # Not before the next piece is written: whoever makes it would hold it as long as the client takes none.
            if self.flow.write_paused and not self.response_complete:
                await self.flow.drain()

    def _begin(self, status: int, given: Iterable[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        headers = [*self.default_headers, *given]
        names = [name for name, _ in headers]
        if not _OURS.issuperset(names):
            names = [_checked(name) for name in names]
            headers = [(name, value) for name, (_, value) in zip(names, headers, strict=True)]
        closes = False
        if not _FRAMING.isdisjoint(names):
            for name, value in headers:
                if name in _FRAMING:
                    closes = self._note_framing(name, value) or closes
        lines = [STATUS_LINE[status][:-2], *map(b": ".join, headers)]
        if not self.keep_alive and not closes:
            lines.append(b"connection: close")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _BODYLESS:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked")
        lines += _END
        head = b"\r\n".join(lines)
        # Of the control characters only the line ends written here may be in it.
        if len(head.translate(None, _CONTROLS)) != len(head) - 2 * len(lines) + 2:
            raise RuntimeError("a header of the answer has a value with control characters")
        self.transport.write(head)

    def _note_framing(self, name: bytes, value: bytes) -> bool:
        """Take over how the body is framed; whether the connection is to be closed after it."""
        if name == b"content-length":
            if self.chunked_encoding is None:
                self.expected_content_length = int(value)
                self.chunked_encoding = False
        elif name == b"transfer-encoding":
            if value.lower() == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
        elif b"close" in [token.lower().strip() for token in value.split(b",")]:
            self.keep_alive = False
            return True
        return False

    def _go_on(self, body: bytes, *, more: bool) -> None:
        if self.chunked_encoding and self.scope["method"] != "HEAD":
            self._write_chunk(body, b"" if more else b"0\r\n\r\n")
        else:
            self._write_sized(body)
        if not more:
            if self.expected_content_length != 0:
                raise RuntimeError("the answer is shorter than its content-length")
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _write_chunk(self, body: bytes, end: bytes) -> None:
        if len(body) > _LONG:
            self.transport.writelines((b"%x\r\n" % len(body), body, b"\r\n" + end))
        else:
            self.transport.write((b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + end)

    def _write_sized(self, body: bytes) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            return
        self.expected_content_length -= len(body)
        if self.expected_content_length < 0:
            raise RuntimeError("the answer is longer than its content-length")
        self.transport.write(body)


def _checked(name: bytes) -> bytes:
    """A name as it is written. Raises `RuntimeError` for one that is none."""
    if len(name.translate(None, _NOT_IN_NAMES)) != len(name):
        raise RuntimeError("a header of the answer has a name that is none")
    return name.lower()
