"""One configured server: its conversations, and its tools held to what was approved."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from execution_platform.config.mcp import McpAddress, McpProgram, McpServerConfig
from execution_platform.config.secret import Secret, SecretRef
from execution_platform.exceptions import ConfigError, ToolDenied, ToolError
from execution_platform.tool_bridge.busy import Busy
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.mcp import extra
from execution_platform.tool_bridge.mcp.logins import Logins
from execution_platform.tool_bridge.mcp.names import full_name
from execution_platform.tool_bridge.mcp.pins import Definition, Judged, Pin, Pins
from execution_platform.tool_bridge.mcp.server_tools import features, question
from execution_platform.tool_bridge.mcp.session import Opener, Session
from execution_platform.tool_bridge.mcp.stdio import Start, program_transport
from execution_platform.tool_bridge.protocol import ToolResult
from execution_platform.transport.egress import Egress

if TYPE_CHECKING:
    import httpx2

    from execution_platform.tool_bridge.mcp.oauth import Login

MOST_PROGRAMS: Final = 32
"""Processes of one server at a time."""
MOST_CONVERSATIONS: Final = 1000
"""Conversations with one address at a time."""
FRESH_SECONDS: Final = 5.0
"""How long a listing counts before a call looks at the definitions again."""
_STREAM: Final = 4
"""A stream may hold so many times the largest message."""

Reveal = Callable[[SecretRef], Secret]


class ToolChanged(ToolDenied):
    """The server's definition of the tool is not the one that was approved. Nothing was sent."""

    code = "tool_definition_changed"


class RemoteServer:
    """Opens nothing before the first question."""

    def __init__(
        self,
        config: McpServerConfig,
        pins: Pins,
        secret: Reveal,
        logins: Logins,
        taken: Callable[[], Iterable[str]],
        *,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self.config = config
        self._pins = pins
        self._secret = secret
        self._logins = logins
        self._taken = taken
        self._fresh = fresh_seconds
        self._sessions: dict[tuple[str, str | None], Session] = {}
        self._ending: list[Session] = []
        self._egress: Egress | None = None
        self._login: Login | None = None
        self._busy = Busy()
        self.judged: Judged | None = None
        """What the last listing said; None before the first."""

    @property
    def name(self) -> str:
        """The server's name, which the operator gave."""
        return self.config.name

    def pinned(self) -> Mapping[str, Pin] | None:
        """The approved tools that are offered; None for a server that was never listed."""
        pins = self._pins.of(self.name)
        if pins is None:
            return None
        allowed = self.config.tools
        return {name: pin for name, pin in pins.items() if allowed is None or name in allowed}

    @property
    def version(self) -> str:
        """The protocol that was agreed on last; empty before."""
        return next((session.version for session in reversed(self._sessions.values())), "")

    async def look(self, context: ToolContext | None = None) -> Judged:
        """List its tools and hold them to what was approved. Raises what `Session.ask` raises."""
        return await self._judge(self._session(context))

    async def approve(self, only: Collection[str] | None = None) -> Judged:
        """Approve its tools as they are now, or only some of them; what cannot be offered stays out. Raises as `look` does."""
        listed = {str(each["name"]): each for each in await self._listed(self._session(None))}
        before = {name: pin.definition for name, pin in (self._pins.of(self.name) or {}).items()}
        judged = self._pins.judge(self.name, list(listed.values()), self._others())
        wanted = {name: given for name, given in listed.items() if name not in judged.refused}
        if only is not None:
            wanted = {name: given for name, given in wanted.items() if name in only or name in judged.approved}
            wanted = {**{name: before[name] for name in judged.changed if name in before}, **wanted}
        self._pins.approve(self.name, wanted)
        self.judged = self._pins.judge(self.name, list(listed.values()), self._others())
        return self.judged

    async def call(self, pin: Pin, args: Mapping[str, object], context: ToolContext) -> ToolResult:
        """Call an approved tool. Raises `ToolChanged` where it is another one now, and what `Session.ask` raises."""
        with self._busy:
            return await self._called(pin, args, context)

    async def retire(self) -> None:
        """End every conversation when the last call ends: the configuration has this server no more, or another way."""
        await self._busy.over()
        await self.aclose()

    async def _called(self, pin: Pin, args: Mapping[str, object], context: ToolContext) -> ToolResult:
        session = self._session(context)
        now = asyncio.get_running_loop().time()
        judged = self.judged
        if judged is None or not session.listed_at or now - session.listed_at >= self._fresh:
            judged = await self._judge(session)
        tool = str(pin.definition["name"])
        found = judged.approved.get(tool)
        if found is None or found.sha256 != pin.sha256:
            reason = judged.changed.get(tool, "the server has it no more")
            raise changed(self.name, tool, reason)
        return await session.ask(question(self.name, pin.definition, args, self.config.result))

    async def log_in(self, show: Callable[[str], Awaitable[None]]) -> None:
        """Let a person log in: `show` gets the address to open in a browser.

        Raises `ConfigError` for a server that wants no person, and what `oauth.log_in` raises.
        """
        place = self.config.place
        if not isinstance(place, McpAddress) or place.oauth is None or place.oauth.grant != "authorization_code":
            raise ConfigError(
                f"mcp.servers.{self.name}: nobody logs in at this server; one that wants a person has `oauth` with "
                "grant: authorization_code"
            )
        extra.require()
        from execution_platform.tool_bridge.mcp.issuer import Issuer
        from execution_platform.tool_bridge.mcp.oauth import log_in
        from execution_platform.tool_bridge.mcp.redirect import loopback

        issuer = Issuer(self.name, place, place.oauth, self.config.seconds)
        try:
            await log_in(issuer, self._secret, self._logins, loopback, show)
        finally:
            await issuer.aclose()

    def log_out(self) -> bool:
        """Forget the login of a person; whether there was one. The issuer is not told."""
        return self._logins.forget(self.name)

    async def aclose(self) -> None:
        """End every conversation."""
        sessions, self._sessions, self._ending = [*self._sessions.values(), *self._ending], {}, []
        await asyncio.gather(*(session.aclose() for session in sessions))
        egress, self._egress = self._egress, None
        if egress is not None:
            await egress.aclose()
        login, self._login = self._login, None
        if login is not None:
            await login.aclose()

    async def _judge(self, session: Session) -> Judged:
        definitions = await self._listed(session)
        self.judged = self._pins.judge(self.name, definitions, self._others())
        return self.judged

    def _others(self) -> list[str]:
        """Names that its tools must not look like."""
        own = full_name(self.name, "")
        return [name for name in self._taken() if not name.startswith(own)]

    async def _listed(self, session: Session) -> list[Definition]:
        definitions = list(await session.definitions())
        if session.features is None:
            session.features = await session.ask(features)
        names = {each.get("name") for each in definitions}
        return definitions + [each for each in session.features if each["name"] not in names]

    def _session(self, context: ToolContext | None) -> Session:
        """The conversation of a tenant, or of one of its runs. Raises `ToolError` when there are too many."""
        over = {key: session for key, session in self._sessions.items() if session.over}
        self._ending = [session for session in (*self._ending, *over.values()) if not session.ended]
        for gone in over:
            del self._sessions[gone]
        key = ("", None) if context is None else (context.tenant, context.run_id)
        found = self._sessions.get(key)
        if found is None:
            most = MOST_PROGRAMS if isinstance(self.config.place, McpProgram) else MOST_CONVERSATIONS
            if len(self._sessions) + len(self._ending) >= most:
                raise ToolError(f"too many runs use the MCP server {self.name} at the moment; try again later")
            extra.require()
            found = Session(
                self.name,
                self._opener(context),
                seconds=self.config.seconds,
                idle_seconds=self.config.idle_seconds,
            )
            self._sessions[key] = found
        return found

    def _opener(self, context: ToolContext | None) -> Opener:
        place, most = self.config.place, self.config.result
        if isinstance(place, McpProgram):
            start = Start(
                program=place,
                env={name: self._secret(ref).reveal() for name, ref in place.env.items()},
                workspace=context.workspace if context is not None and place.workspace != "none" else None,
                tenant="default" if context is None else context.tenant,
                most=most,
            )
            return lambda: program_transport(start)
        return self._to_address(place, most)

    def _to_address(self, place: McpAddress, most: int) -> Opener:
        from execution_platform.tool_bridge.mcp.http import address_transport, policy_of

        if self._egress is None:
            policy = policy_of(place.url, internal=place.internal, seconds=self.config.seconds, most=most * _STREAM)
            self._egress = Egress(policy)
        egress = self._egress
        headers = {name: self._secret(ref).reveal() for name, ref in place.headers.items()}
        auth = self._auth(place)
        return lambda: address_transport(place.url, headers, egress, most, auth)

    def _auth(self, place: McpAddress) -> "httpx2.Auth":
        """What requests get of the login, which is one for all conversations."""
        from execution_platform.tool_bridge.mcp.http import NoLogin
        from execution_platform.tool_bridge.mcp.oauth import Bearing, login_of

        if place.oauth is None:
            return NoLogin(self.name)
        if self._login is None:
            seconds = self.config.seconds
            self._login = login_of(self.name, place, place.oauth, self._secret, self._logins, seconds=seconds)
        return Bearing(self.name, self._login)


def changed(server: str, tool: str, reason: str) -> ToolChanged:
    """The refusal of a tool in quarantine."""
    return ToolChanged(
        f"the tool {full_name(server, tool)} is in quarantine: {reason}. Go on without it; the operator can look at it and "
        f"allow it by `ep mcp approve {server}`"
    )
