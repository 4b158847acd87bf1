"""Whether a call may run: what the model wants is judged by what people have allowed, never by what the model says (A1).

Theory of operation
-------------------
A tool is within reach of a run only where key, persona, request and registry all name it; that is decided before the model is
asked, and again at every call. What is within reach is then judged, in this order:

1. the persona's level for the tool, which has to reach to the worst the tool can do;
2. the mode of the run: `plan` reads only, `bypassPermissions` asks nobody, `acceptEdits` lets tools write in the workspace;
3. consent: a level that the persona's configuration names for the tool is the operator's consent to use it;
4. the hooks of the program, which may allow, refuse, or have somebody asked;
5. a person, where one can be asked. Where nobody can, the answer is no.

What a person allows is one call: the seal of an approval binds tool, arguments, owner and expiry, and it is used once (A4).
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from execution_platform import _json
from execution_platform.config.values import PermissionLevel, PermissionMode
from execution_platform.exceptions import ToolDenied
from execution_platform.tool_bridge.builtin import BuiltinTool
from execution_platform.tool_bridge.permissions import check_level
from execution_platform.tool_bridge.protocol import SideEffect, ToolProtocol

Decision = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class Permit:
    """A tool within reach of a run, and how freely it may be used."""

    tool: ToolProtocol
    level: PermissionLevel = "full"
    consented: bool = False
    """Whether the persona's configuration names a level for this very tool."""

    @property
    def side_effect(self) -> SideEffect:
        """The worst a call can do; a tool that does not say is taken for the worst."""
        return getattr(self.tool, "side_effect", "exec")

    @property
    def repeatable(self) -> bool:
        """Whether a call may be run again after a crash; not, unless the tool says so."""
        return bool(getattr(self.tool, "repeatable", False))


@dataclass(frozen=True, slots=True)
class Asked:
    """One call that is to be judged."""

    call_id: str
    permit: Permit
    arguments: Mapping[str, object]
    mode: PermissionMode = "default"
    tainted: bool = False
    """The run has read both something private and something that outsiders wrote."""

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self.permit.tool.name


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, and why, in words a model can act on."""

    decision: Decision
    reason: str = ""


Hook = Callable[[Asked], Verdict | None]
"""A rule of the program; None where it has no opinion."""
_ALLOWED = Verdict("allow")


class Approver(Protocol):
    """Somebody who can be asked."""

    async def approve(self, asked: Asked, reason: str) -> Verdict:
        """`allow` or `deny`; waits for the answer, and denies when none comes in time."""
        ...


class Approval:
    """The judge of one run."""

    def __init__(
        self, mode: PermissionMode = "default", hooks: Sequence[Hook] = (), approver: Approver | None = None
    ) -> None:
        self.mode: PermissionMode = mode
        self._hooks = tuple(hooks)
        self._approver = approver

    async def decide(self, asked: Asked) -> Verdict:
        """`allow` or `deny`."""
        verdict = self._ruled(asked)
        if verdict.decision != "ask":
            return verdict
        if self._approver is None:
            return Verdict("deny", f"{verdict.reason}, and nobody can be asked in this run")
        answer = await self._approver.approve(asked, verdict.reason)
        return answer if answer.decision != "ask" else Verdict("deny", verdict.reason)

    def _ruled(self, asked: Asked) -> Verdict:
        verdict = judge(asked)
        if verdict.decision == "deny":
            return verdict
        for hook in self._hooks:
            found = hook(asked)
            if found is not None and (found.decision == "deny" or verdict.decision == "ask"):
                return found
            if found is not None and found.decision == "ask":
                verdict = found
        return verdict


def judge(asked: Asked) -> Verdict:
    """The rules that need nobody."""
    permit, mode = asked.permit, asked.mode
    side_effect, level = permit.side_effect, permit.level
    try:
        check_level(permit.tool, level)
    except ToolDenied as error:
        return Verdict("deny", error.message)
    reads = side_effect == "read" or (side_effect == "network" and permit.repeatable)
    if mode == "plan":
        return _ALLOWED if reads else Verdict("deny", f"{asked.tool} changes something, and this run only plans")
    if mode == "bypassPermissions":
        return _ALLOWED
    # The platform's own tools look at each address themselves, and let those through that a person gave.
    if asked.tainted and side_effect == "network" and not isinstance(permit.tool, BuiltinTool):
        return Verdict(
            "ask", f"{asked.tool} sends to the network in a run that has read private data and text of outsiders"
        )
    if reads or permit.consented or (mode == "acceptEdits" and side_effect == "write"):
        return _ALLOWED
    return Verdict("ask", f"{asked.tool} needs an approval in the mode {mode}")


def canonical(arguments: Mapping[str, object]) -> bytes:
    """Arguments as bytes that do not depend on the order of their names."""
    return _json.dumps(_sorted(arguments))


def _sorted(value: object) -> object:
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return {key: _sorted(inner) for key, inner in sorted(items)}
    if isinstance(value, list | tuple):
        return [_sorted(inner) for inner in cast("Sequence[object]", value)]
    return value


@dataclass(frozen=True, slots=True)
class Sealed:
    """What an approval is for."""

    run_id: str
    call_id: str
    tool: str
    arguments: Mapping[str, object]
    owner: str
    expires: int
    """Unix time."""

    def seal(self, key: bytes) -> str:
        """The token that stands for exactly this."""
        words = (self.run_id, self.call_id, self.tool, self.owner, str(self.expires))
        text = b"\0".join((*(word.encode() for word in words), canonical(self.arguments)))
        return hmac.digest(key, b"ep approval\0" + text, hashlib.sha256).hex()

    def is_sealed_by(self, token: str, key: bytes) -> bool:
        """Whether `token` was made for exactly this, in constant time."""
        return hmac.compare_digest(self.seal(key).encode(), token.encode("utf-8", "replace"))
