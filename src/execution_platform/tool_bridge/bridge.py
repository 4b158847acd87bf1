"""One call of a tool from beginning to end: request, check, approval, run, answer.

Theory of operation
-------------------
In: a call as a model wrote it. Out: always an answer for the model, never an exception: a model that is told what was wrong can do
better, and one call's failure is no reason to lose the others. Only cancellation passes through, because then nobody reads answers.

Codes of failed calls are those of `codes`. The answer is text; it has no invisible characters and is no longer than the limit.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from execution_platform import _json
from execution_platform.config.problems import suggest
from execution_platform.exceptions import (
    ExecutionPlatformError,
    InvalidToolArguments,
    PermissionDenied,
    ToolNotFound,
)
from execution_platform.spi.parts import TextPart, ToolCallPart, ToolResultPart
from execution_platform.tool_bridge.aliases import to_platform
from execution_platform.tool_bridge.approval import Approval, Asked, Permit
from execution_platform.tool_bridge.codes import code_of
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.protocol import ToolResult
from execution_platform.tool_bridge.visible import visible

RESULT_CHARACTERS = 64 * 1024
_SCHEMA_CHARACTERS = 4000

Invoke = Callable[[str, Mapping[str, object], ToolContext], Awaitable[ToolResult]]
"""Runs a tool whose arguments are checked. Raises `ToolError`."""


Why = Callable[[str], ExecutionPlatformError | None]
"""Why a tool that is not within reach cannot be called; None for a name nobody knows."""


@dataclass(frozen=True, slots=True)
class Done:
    """A call and its answer."""

    call: ToolCallPart
    text: str
    code: str | None = None
    """What went wrong; None when nothing did."""
    hidden: int = 0
    """Invisible characters that were written out."""
    left_out: int = 0
    """Characters that were left out."""

    @property
    def part(self) -> ToolResultPart:
        """The answer as the model gets it."""
        is_error = True if self.code is not None else None
        return ToolResultPart(self.call.call_id, (TextPart(self.text),), name=self.call.name, is_error=is_error)


@dataclass(frozen=True, slots=True)
class Ready:
    """A call that may run now."""

    call: ToolCallPart
    permit: Permit
    arguments: Mapping[str, object]


class Bridge:
    """The calls of one run. `permits` are the tools within its reach, by the names the model knows."""

    def __init__(
        self,
        permits: Mapping[str, Permit],
        approval: Approval,
        invoke: Invoke,
        *,
        why: Why | None = None,
        characters: int = RESULT_CHARACTERS,
    ) -> None:
        """`why` knows tools that exist and are out of this run's reach: calling one is forbidden, not a mistake."""
        self.permits = permits
        self.approval = approval
        self._why = why
        self._invoke = invoke
        self._characters = characters

    async def prepare(self, call: ToolCallPart, call_id: str, *, tainted: bool = False) -> Ready | Done:
        """Check and approve a call; a `Done` when it may not run."""
        try:
            ready = self._checked(call)
            asked = Asked(call_id, ready.permit, ready.arguments, self.approval.mode, tainted)
            verdict = await self.approval.decide(asked)
            if verdict.decision != "allow":
                raise PermissionDenied(verdict.reason)
        except ExecutionPlatformError as error:
            return self.failed(call, error)
        return ready

    async def run(self, ready: Ready, context: ToolContext) -> Done:
        """Run a call that may run. `context` has everything but the level."""
        name = ready.permit.tool.name
        try:
            result = await self._invoke(name, ready.arguments, replace(context, level=ready.permit.level))
        except ExecutionPlatformError as error:
            return self.failed(ready.call, error)
        return self.answered(ready.call, result)

    def _checked(self, call: ToolCallPart) -> Ready:
        permit = self.permits.get(call.name)
        if permit is None:
            known = suggest(call.name, self.permits) or "This run has no tools."
            reason = None if self._why is None else self._why(call.name)
            if reason is not None:
                raise reason
            raise ToolNotFound(f"there is no tool {call.name!r} in this run. {known}")
        arguments = _arguments(call, permit)
        if call.name != permit.tool.name:
            arguments = to_platform(call.name, arguments).args
        permit.tool.validate_args(arguments)
        return Ready(call, permit, arguments)

    def answered(self, call: ToolCallPart, result: ToolResult) -> Done:
        """The answer of a call that went well."""
        output = result.output
        text = output if isinstance(output, str) else _json.dumps(output).decode()
        shown = visible(text, self._characters)
        return Done(call, shown.text, None, shown.hidden, shown.left_out)

    def failed(self, call: ToolCallPart, error: ExecutionPlatformError) -> Done:
        """The answer of a call that went wrong."""
        code = code_of(error)
        shown = visible(error.message, self._characters)
        text = _json.dumps({"error": {"code": code, "message": shown.text}}).decode()
        return Done(call, text, code, shown.hidden, shown.left_out)


def _arguments(call: ToolCallPart, permit: Permit) -> Mapping[str, object]:
    """The arguments as the model meant them. Raises `InvalidToolArguments` that shows the schema."""
    text = call.arguments.strip() or "{}"
    try:
        value = _json.loads(text)
    except (_json.JsonError, UnicodeEncodeError) as error:
        raise InvalidToolArguments(_wrong(call, permit, f"the arguments are not JSON ({error})")) from error
    if not isinstance(value, dict):
        raise InvalidToolArguments(_wrong(call, permit, "the arguments are no JSON object"))
    return cast("dict[str, object]", value)


def _wrong(call: ToolCallPart, permit: Permit, sentence: str) -> str:
    schema = _json.dumps(dict(permit.tool.parameters)).decode()[:_SCHEMA_CHARACTERS]
    return f"tool {call.name!r}: {sentence}. The schema is {schema}"
