"""Where the browser of a person comes back to after a login: a page on this machine, for one answer (M13).

It takes exactly one path, and exactly one answer with the `state` of the request that was shown; everything else is 400 and changes
nothing, so nobody who finds the port can end the login or put in a code of their own. It sets no cookie and cannot be framed.
"""

import asyncio
import hmac
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

from execution_platform.exceptions import ConfigError
from execution_platform.tool_bridge.mcp.issuer import LoginFailed

if TYPE_CHECKING:
    from mcp.shared.auth import AuthorizationCodeResult

SECONDS: Final = 600.0
"""How long a person may take."""
PATH: Final = "/callback"
_HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_LONGEST: Final = 500


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

    async def handle(self, request: web.Request) -> web.Response:
        """One request of a browser."""
        from mcp.shared.auth import AuthorizationCodeResult

        given = request.query
        expected = self._state
        fits = expected is not None and hmac.compare_digest(given.get("state", "").encode(), expected.encode())
        if request.raw_path.partition("?")[0] != PATH or request.method != "GET" or not fits:
            return _page(400, "This is not the answer to a login that is open here.")
        self._state = None
        if "error" in given or not given.get("code"):
            said = "".join(each for each in given.get("error", "no code") if each.isprintable())[:_LONGEST]
            self._answer.set_exception(LoginFailed(f"the issuer did not let the person in: {said}"))
            return _page(200, "The login was refused. You can close this page.")
        self._answer.set_result(AuthorizationCodeResult(code=given["code"], state=given["state"], iss=given.get("iss")))
        return _page(200, "You are logged in. You can close this page.")


def _page(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n", headers=_HEADERS)


@asynccontextmanager
async def loopback(port: int, *, seconds: float = SECONDS) -> AsyncGenerator[LoopbackRedirect]:
    """Listen on 127.0.0.1 at `port`, or any free one for 0. Raises `ConfigError` for one that is taken."""
    made = LoopbackRedirect(seconds)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise ConfigError(
                f"oauth.redirect_port: 127.0.0.1:{port} cannot be listened at: {error.strerror}"
            ) from error
        made.uri = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
        yield made
    finally:
        await runner.cleanup()
