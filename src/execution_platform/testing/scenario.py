"""What a scenario of the matrix is: a request, the upstream's script, and what must be true of both ends.

Expectations are data. What was sent is checked on the JSON that the upstream received, by path and per dialect, because a
request that silently loses something still gets a perfect answer from a scripted upstream.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from execution_platform import _json
from execution_platform.exceptions import ErrorKind
from execution_platform.spi.parts import ThinkingPart
from execution_platform.spi.request import ChatRequest, EmbeddingsRequest
from execution_platform.spi.response import ChatResponse, FinishReason
from execution_platform.testing.script import Script

Operation = Literal["chat", "embed", "count"]
Way = Literal["whole", "stream"]
Wire = Mapping[str, object]
"""Paths in a body (`messages.-1.role`, `max_tokens|max_completion_tokens`) and the values or `Test`s there."""
BOTH: tuple[Way, ...] = ("whole", "stream")
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on a value of the body, with the sentence that names it."""

    sentence: str
    holds: Callable[[object], bool]


def says(text: str) -> Test:
    """A string, or a list of text blocks that say the same."""
    return Test(f"says {text!r}", lambda value: _said(value) == text)


def holds(text: str) -> Test:
    """The JSON at this place has `text` somewhere in it."""
    return Test(f"holds {text!r}", lambda value: text in _json.dumps(value).decode())


def one_of(*values: object) -> Test:
    """Any of these values."""
    return Test(f"is one of {values}", lambda value: value in values)


def like(members: Mapping[str, object]) -> Test:
    """An object with at least these members."""
    return Test(
        f"has {dict(members)}",
        lambda value: isinstance(value, Mapping) and members.items() <= cast("Mapping[str, object]", value).items(),
    )


PRESENT = Test("is there", lambda value: value is not None)


def _said(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        blocks = [cast("Mapping[str, object]", block) for block in cast("Sequence[object]", value) if block]
        return "".join(str(block.get("text", "")) for block in blocks)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must come back. `None` and empty mean "does not matter"."""

    text: str | None = None
    finish: tuple[FinishReason, ...] = (FinishReason.STOP,)
    calls: Sequence[tuple[str, Mapping[str, object]]] | None = None
    thinking: str | None = None
    outputs: int = 1
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    deltas: int = 0
    """Text must come in at least so many pieces when it is streamed."""
    vectors: int = 0
    tokens: int | None = None
    """The answer of a token count."""
    error: ErrorKind | None = None
    retry_after: float | None = None
    check: Callable[[ChatResponse], Iterable[str]] | None = None
    """More conditions; gives a sentence for each that fails."""

    def problems(self, response: ChatResponse, *, is_told: bool = True) -> list[str]:
        """What is wrong with an answer; empty when nothing is. `is_told`: the upstream said what was used."""
        pairs = [*self._compared(response), *(self._counted(response) if is_told else ())]
        found = [f"{what} is {got!r}, expected {want!r}" for what, got, want in pairs if got != want]
        if self.finish and response.finish.reason not in self.finish:
            found.append(f"finish reason is {response.finish.reason!r}, expected one of {[*self.finish]}")
        if response.usage is None and is_told:
            found.append("no usage is reported")
        return [*found, *(self.check(response) if self.check else ())]

    def _compared(self, response: ChatResponse) -> Iterable[tuple[str, object, object]]:
        yield "number of outputs", len(response.outputs), self.outputs
        if self.text is not None:
            for output in response.outputs:
                yield "text", output.message.text, self.text
        if self.calls is not None:
            got = [(call.name, _json.loads(call.arguments.encode())) for call in response.tool_calls]
            yield "tool calls", got, [(name, dict(arguments)) for name, arguments in self.calls]
            ids = [call.call_id for call in response.tool_calls]
            yield "number of different call ids", len(set(ids)), len(self.calls)
        if self.thinking is not None:
            thoughts = [part for part in response.message.parts if isinstance(part, ThinkingPart)]
            yield "thinking", "".join(part.text or "".join(part.summary) for part in thoughts), self.thinking

    def _counted(self, response: ChatResponse) -> Iterable[tuple[str, object, object]]:
        for name, count in self.usage.items():
            yield f"usage.{name}", getattr(response.usage, name, None), count


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One row of the matrix."""

    id: str
    title: str
    request: ChatRequest | EmbeddingsRequest
    reply: Script | Sequence[Script]
    expect: Expected
    sent: Mapping[str, Wire] = field(default_factory=dict[str, Wire])
    """What the upstream must have received last, by dialect."""
    about: tuple[str, ...] = ()
    """Beginnings of the loss paths by which a translation tells that it does not carry this."""
    operation: Operation = "chat"
    ways: tuple[Way, ...] = BOTH
    need: str = "chat"
    """The kind of model it takes: `chat`, `reasoning`, `vision`, `audio`, `embeddings`."""
    then: Callable[[ChatResponse], ChatRequest] | None = None
    """The next request of the same conversation, made from the first answer."""
    leaves: bool = False
    """The caller goes away after the first piece of text."""
    live: Expected | None = None
    """What a real model, whose words nobody can script, must answer."""

    def wrong_in(self, dialect: str, body: object) -> list[str]:
        """What is wrong with the body that was sent; empty when nothing is."""
        return [
            sentence
            for path, want in self.sent.get(dialect, {}).items()
            if (sentence := _mismatch(body, path, want)) is not None
        ]


def _mismatch(body: object, path: str, want: object) -> str | None:
    found = [find(body, one) for one in path.split("|")]
    got = next((value for value in found if value is not ABSENT), ABSENT)
    if isinstance(want, Test):
        fine = got is not ABSENT and want.holds(got)
        return None if fine else f"sent: {path} is {_shown(got)}; it should be a value that {want.sentence}"
    return None if got is want or got == want else f"sent: {path} is {_shown(got)}, expected {_shown(want)}"


def _shown(value: object) -> str:
    return "absent" if value is ABSENT else repr(value)[:300]


def find(body: object, path: str) -> object:
    """The value at a dotted path; numbers index lists, the empty path is the body itself."""
    value = body
    for step in path.split(".") if path else ():
        if isinstance(value, Mapping) and step in value:
            value = cast("Mapping[str, object]", value)[step]
        elif isinstance(value, list) and step.lstrip("-").isdigit() and -len(cast("list[object]", value)) <= int(step):
            items = cast("list[object]", value)
            if int(step) >= len(items):
                return ABSENT
            value = items[int(step)]
        else:
            return ABSENT
    return value
