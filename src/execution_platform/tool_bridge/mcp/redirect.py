"""Where the browser of a person comes back to after a login: a page on this machine, for one answer (M13).

It takes exactly one path, and exactly one answer with the `state` of the request that was shown; everything else is 400 and changes
nothing, so nobody who finds the port can end the login or put in a code of their own. It sets no cookie and cannot be framed.
"""

import asyncio
import hmac
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from execution_platform.exceptions import ConfigError
from execution_platform.tool_bridge.mcp.issuer import LoginFailed

if TYPE_CHECKING:
    from mcp.shared.auth import AuthorizationCodeResult

SECONDS: Final = 600.0
"""How long a person may take."""
PATH: Final = "/callback"
_HEADERS: Final[Mapping[str, str]] = {
    "content-type": "text/plain; charset=utf-8",
    "connection": "close",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_LONGEST: Final = 500
_HEAD_SECONDS: Final = 10.0
_WORDS: Final = 3
"""Of a request line."""


class LoopbackRedirect:
    """A redirect URI on the loopback interface (RFC 8252, 7.3)."""

    def __init__(self, seconds: float) -> None:
        self.uri = ""
        self._seconds = seconds
        self._state: str | None = None
        self._answer: asyncio.Future[AuthorizationCodeResult] = asyncio.get_running_loop().create_future()

    def expect(self, state: str) -> None:
        """Take the answer to the request with this state, once."""
        self._state = state

    async def answer(self) -> "AuthorizationCodeResult":
        """What the issuer sends by the browser. Raises `LoginFailed` for a refusal, and when nobody comes."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._answer
        except TimeoutError as error:
            raise LoginFailed(f"nobody logged in within {self._seconds:g} seconds; try again") from error

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of a browser, and the end of its connection."""
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._reply(head.partition(b"\r\n")[0].decode("ascii", "replace").split(" ")))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # no request, no answer
        finally:
            writer.close()

    def _reply(self, line: Sequence[str]) -> bytes:
        from mcp.shared.auth import AuthorizationCodeResult

        path, _, query = (line[1] if len(line) == _WORDS else "").partition("?")
        given = {name: values[-1] for name, values in parse_qs(query).items()}
        expected = self._state
        fits = expected is not None and hmac.compare_digest(given.get("state", "").encode(), expected.encode())
        if path != PATH or line[0] != "GET" or not fits:
            return _page(HTTPStatus.BAD_REQUEST, "This is not the answer to a login that is open here.")
        self._state = None
        if "error" in given or not given.get("code"):
            said = "".join(each for each in given.get("error", "no code") if each.isprintable())[:_LONGEST]
            self._answer.set_exception(LoginFailed(f"the issuer did not let the person in: {said}"))
            return _page(HTTPStatus.OK, "The login was refused. You can close this page.")
        self._answer.set_result(AuthorizationCodeResult(code=given["code"], state=given["state"], iss=given.get("iss")))
        return _page(HTTPStatus.OK, "You are logged in. You can close this page.")


def _page(status: HTTPStatus, text: str) -> bytes:
    body = f"{text}\n".encode()
    headers = {**_HEADERS, "content-length": str(len(body))}
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def loopback(port: int, *, seconds: float = SECONDS) -> AsyncGenerator[LoopbackRedirect]:
    """Listen on 127.0.0.1 at `port`, or any free one for 0. Raises `ConfigError` for one that is taken."""
    made = LoopbackRedirect(seconds)
    try:
        server = await asyncio.start_server(made.serve, "127.0.0.1", port)
    except OSError as error:
        raise ConfigError(f"oauth.redirect_port: 127.0.0.1:{port} cannot be listened at: {error.strerror}") from error
    made.uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}"
    try:
        yield made
    finally:
        server.close()
