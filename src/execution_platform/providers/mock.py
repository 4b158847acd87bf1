"""The mock: a deterministic provider without a network, for development and for machines without a model.

It echoes the last user text, calls the tool it is forced to call, answers a JSON schema with the
smallest value that fits, and keeps to `max_tokens` (one word is one token) and `stop`. Every reply says that
it is simulated; what it does not look at is recorded as a loss. With the option `script` (a list of
texts) it answers those in turn.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

from execution_platform import _json
from execution_platform.exceptions import RequirementError
from execution_platform.providers.base import Exchange, Provider
from execution_platform.providers.wiring import ProviderConfig, Wiring
from execution_platform.spi.assemble import Accumulator
from execution_platform.spi.events import (
    ArgumentsDelta,
    Event,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    Started,
    TextDelta,
    UsageReported,
)
from execution_platform.spi.loss import Loss, enforce
from execution_platform.spi.parts import MediaPart, Origin, TextPart, ToolCallPart, ToolResultPart
from execution_platform.spi.request import ChatRequest, EmbeddingsRequest
from execution_platform.spi.response import ChatResponse, EmbeddingsResponse, Finish, FinishReason
from execution_platform.spi.tools import ToolDefinition
from execution_platform.spi.usage import Usage

_DEEPEST = 8


class MockProvider:
    """Answers without a model. One instance stands for one provider name."""

    simulated = True
    dialect = None

    def __init__(self, name: str, kind: str = "mock", *, script: Sequence[str] = ()) -> None:
        self.name = name
        self.kind = kind
        self._script = tuple(script)
        self._answered = 0

    async def stream(self, request: ChatRequest, exchange: Exchange) -> AsyncIterator[Sequence[Event]]:
        """The answer word by word."""
        _record(request, exchange)
        events = self._answer(request, exchange.model)
        yield events[:1]
        for event in events[1:]:
            yield [event]

    async def complete(self, request: ChatRequest, exchange: Exchange) -> ChatResponse:
        """The answer as a whole."""
        _record(request, exchange)
        accumulator = Accumulator()
        for event in self._answer(request, exchange.model):
            accumulator.feed(event)
        return accumulator.result()

    async def embed(self, request: EmbeddingsRequest, exchange: Exchange) -> EmbeddingsResponse:
        """Raises `RequirementError`: a made-up vector would be worse than none."""
        raise RequirementError(f"{self.name}/{exchange.model} is simulated and has no embeddings")

    async def count(self, request: ChatRequest, exchange: Exchange) -> int | None:
        """Words, the mock's tokens."""
        return _words(request)

    async def aclose(self) -> None:
        """Holds nothing."""

    def _answer(self, request: ChatRequest, model: str) -> list[Event]:
        origin = Origin(dialect="mock", provider=self.name, model=model)
        finish = Finish(FinishReason.STOP)
        events: list[Event] = [Started(id=f"mock-{self._answered + 1}", model=model, origin=origin)]
        tool = _forced_tool(request)
        if tool is not None:
            arguments = _json.dumps(smallest(tool.input_schema or {})).decode()
            events += [
                PartStarted(0, ToolCallPart(f"call_mock_{self._answered + 1}", tool.name, "")),
                PartDelta(0, ArgumentsDelta(arguments)),
                PartFinished(0),
            ]
            text, finish = arguments, Finish(FinishReason.TOOL_CALLS)
        else:
            text, finish = _within_limits(self._text(request), request)
            events.append(PartStarted(0, TextPart("")))
            events += [PartDelta(0, TextDelta(piece)) for piece in _pieces(text)]
            events.append(PartFinished(0))
        self._answered += 1
        events.append(UsageReported(Usage(_words(request), len(text.split()), 0.0)))
        events.append(Finished(finish))
        return events

    def _text(self, request: ChatRequest) -> str:
        if self._script:
            return self._script[self._answered % len(self._script)]
        if request.output is not None and request.output.kind != "text":
            return _json.dumps(smallest(request.output.schema or {"type": "object"})).decode()
        said = next((m.text for m in reversed(request.messages) if m.role == "user" and m.text), "")
        return f"[simulated {self.name}] {said}"


def _within_limits(text: str, request: ChatRequest) -> tuple[str, Finish]:
    """The text up to the first stop sequence and the limit of words, and why it ends there."""
    ends = [(text.index(stop), stop) for stop in request.stop or () if stop and stop in text]
    finish = Finish(FinishReason.STOP)
    if ends:
        at, stop = min(ends)
        text, finish = text[:at], Finish(FinishReason.STOP_SEQUENCE, stop_sequence=stop)
    words = text.split(" ")
    if request.max_tokens is not None and len(words) > request.max_tokens:
        return " ".join(words[: request.max_tokens]), Finish(FinishReason.LENGTH)
    return text, finish


def _record(request: ChatRequest, exchange: Exchange) -> None:
    """Enter as losses what the answer takes no notice of. Raises `UnsupportedFeature` as a wire dialect would."""
    unseen = [
        Loss(f"messages[{number}].content[{index}]", "the mock reads text alone")
        for number, message in enumerate(request.messages)
        for index, part in enumerate(message.parts)
        if isinstance(part, MediaPart) or (isinstance(part, ToolResultPart) and _has_media(part))
    ]
    if request.reasoning is not None:
        unseen.append(Loss("reasoning", "the mock does not think"))
    if request.logprobs:
        unseen.append(Loss("logprobs", "the mock has no probabilities"))
    if request.n is not None and request.n > 1:
        unseen.append(Loss("n", "the mock gives one answer", "content"))
    enforce(unseen, exchange.loss_policy, target=f"mock/{exchange.model}")
    exchange.losses.extend(unseen)


def _has_media(result: ToolResultPart) -> bool:
    return any(isinstance(part, MediaPart) for part in result.parts)


def _forced_tool(request: ChatRequest) -> ToolDefinition | None:
    """The tool the request insists on, or the first one when it has not been answered yet."""
    tools = [tool for tool in request.tools or () if tool.kind == "function"]
    choice = request.tool_choice
    if not tools or (choice is not None and choice.mode == "none"):
        return None
    if choice is not None and choice.names:
        return next((tool for tool in tools if tool.name in choice.names), None)
    answered = any(message.role == "tool" for message in request.messages)
    return tools[0] if choice is not None and choice.mode == "required" and not answered else None


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if number == 0 else f" {word}" for number, word in enumerate(words)]


def _words(request: ChatRequest) -> int:
    return sum(len(message.text.split()) for message in request.messages)


def smallest(schema: Mapping[str, object], depth: int = 0) -> object:
    """The smallest value that fits the common keywords of `schema`."""
    if "const" in schema:
        return schema["const"]
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return cast("list[object]", choices)[0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = cast("list[object]", kind)[0] if kind else "null"
    if kind == "object" or (kind is None and "properties" in schema):
        return _smallest_object(schema, depth)
    if kind == "array":
        items = schema.get("items")
        least = schema.get("minItems")
        count = least if isinstance(least, int) else 0
        return [smallest(cast("Mapping[str, object]", items or {}), depth + 1) for _ in range(min(count, 16))]
    plain: dict[object, object] = {"string": "", "integer": 0, "number": 0, "boolean": False}
    return plain.get(kind)


def _smallest_object(schema: Mapping[str, object], depth: int) -> dict[str, object]:
    if depth > _DEEPEST:
        return {}
    properties = cast("Mapping[str, Mapping[str, object]]", schema.get("properties") or {})
    required = cast("Sequence[str]", schema.get("required") or ())
    return {name: smallest(properties.get(name, {}), depth + 1) for name in required}


def build(config: ProviderConfig, wiring: Wiring) -> Provider:
    """The provider of kind `mock`."""
    script = config.options.get("script")
    lines = [str(line) for line in cast("list[object]", script)] if isinstance(script, list) else []
    return MockProvider(config.name, script=lines)
