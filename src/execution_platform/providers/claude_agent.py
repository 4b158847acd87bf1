"""The Claude agent runtime (`claude-agent-sdk`) as a provider: one run of one turn for each request.

The runtime has no tools: its own are denied, and those a caller brings are told in the prompt (the profile's
`tool_calling` is `prompted`) and run where the caller's tools always run. It is told the system text and the last
message as they are; what was said before is told as a record in front of them, since a run begins with one message.
Settings the runtime does not have are recorded as losses.

Its stream carries the Messages API's own events, which the Anthropic dialect reads.
"""

import asyncio
import importlib
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from execution_platform import _json
from execution_platform.dialects import dialect as dialect_named
from execution_platform.dialects.base import Upstream
from execution_platform.dialects.sse import event_frame
from execution_platform.exceptions import (
    ErrorKind,
    ExecutionPlatformError,
    NotConfigured,
    ProtocolError,
    ProviderError,
    RequirementError,
)
from execution_platform.exceptions import TimeoutError as ProviderTimeout
from execution_platform.providers.agent_process import PACKAGE, REMEDY, AgentProcess, environment, program
from execution_platform.providers.base import Exchange, Provider
from execution_platform.providers.registry import specs
from execution_platform.providers.wiring import ProviderConfig, StaticEndpoint, Wiring
from execution_platform.spi.assemble import Accumulator
from execution_platform.spi.events import Event
from execution_platform.spi.loss import Loss, enforce
from execution_platform.spi.parts import Origin
from execution_platform.spi.request import ChatRequest, EmbeddingsRequest
from execution_platform.spi.response import ChatResponse, EmbeddingsResponse

_DIALECT = dialect_named("anthropic")
_CARRIED = frozenset({"model", "messages", "system", "max_tokens", "stream", "thinking", "output_config"})
_EARLIER = "This is the conversation so far, one JSON object for each message. Answer the message that follows it.\n\n"


class _Sdk(Protocol):
    """What is used of the package, which is an extra."""

    StreamEvent: type
    ResultMessage: type
    ClaudeSDKError: type[Exception]
    ClaudeAgentOptions: "Callable[..., Any]"

    def query(self, *, prompt: Any, options: Any, transport: Any) -> AsyncIterator[Any]: ...


class _Installed(NamedTuple):
    sdk: _Sdk
    cli: Path


@dataclass(frozen=True, slots=True)
class _Errand:
    """What one run is started with."""

    arguments: tuple[str, ...]
    system: str
    content: object
    max_tokens: int | None


class AgentProvider:
    """Answers by a run of the agent runtime."""

    simulated = False
    dialect = None

    def __init__(self, config: ProviderConfig, wiring: Wiring) -> None:
        spec = specs()[config.kind]
        self.name = config.name
        self.kind = config.kind
        self._base_url = (config.base_url or spec.base_url or "").rstrip("/")
        self._endpoint = StaticEndpoint(config, spec, wiring)
        self._timeouts = config.timeouts

    async def stream(self, request: ChatRequest, exchange: Exchange) -> AsyncIterator[Sequence[Event]]:
        """Answer as a stream of event batches. Raises `NotConfigured` without the package or a key."""
        sdk, cli = self._sdk()
        key = self._endpoint.credential_headers()["x-api-key"]
        errand = self._errand(request, exchange)
        with tempfile.TemporaryDirectory(prefix="ep-agent-", ignore_cleanup_errors=True) as folder:
            home = Path(folder)
            (home / "system.txt").write_text(errand.system, encoding="utf-8")
            arguments = (*errand.arguments, f"--system-prompt-file={home / 'system.txt'}")
            environ = environment(home, key, self._base_url, errand.max_tokens)
            process = AgentProcess(cli, arguments, environ, home)
            batches: asyncio.Queue[Sequence[Event] | ExecutionPlatformError | None] = asyncio.Queue()
            # The SDK's generator must begin and end in one task, and callers may close this one in another.
            run = asyncio.create_task(self._run(sdk, process, errand, exchange, batches))
            run.add_done_callback(lambda task: batches.put_nowait(self._broken(task, exchange.model)))
            try:
                async for batch in self._in_time(batches):
                    yield batch
            finally:
                run.cancel()
                process.kill()
                await asyncio.wait([run])
                await process.close()

    async def complete(self, request: ChatRequest, exchange: Exchange) -> ChatResponse:
        """Answer as a whole."""
        accumulator = Accumulator()
        async for batch in self.stream(request, exchange):
            for event in batch:
                accumulator.feed(event)
        return accumulator.result()

    async def embed(self, request: EmbeddingsRequest, exchange: Exchange) -> EmbeddingsResponse:
        """Raises `RequirementError`: the runtime has no embeddings."""
        raise RequirementError(f"{self.name} ({self.kind}) has no embeddings; choose a model of another provider")

    async def count(self, request: ChatRequest, exchange: Exchange) -> int | None:
        """The runtime does not count."""
        return None

    async def aclose(self) -> None:
        """Holds nothing between runs."""

    def _sdk(self) -> "_Installed":
        """The package and its program, imported when they are first needed."""
        cli = program()
        if cli is None:
            raise NotConfigured(f"provider {self.name}: the package claude-agent-sdk is not installed; {REMEDY}")
        try:
            return _Installed(cast("_Sdk", importlib.import_module(PACKAGE)), cli)
        except ImportError as error:
            message = f"provider {self.name}: the package claude-agent-sdk lacks {error.name}; {REMEDY}"
            raise NotConfigured(message) from error

    def _errand(self, request: ChatRequest, exchange: Exchange) -> _Errand:
        """The request as arguments, system text and one message. Raises `UnsupportedFeature` as a wire dialect would."""
        asked = replace(request, model=exchange.model, stream=True)
        encoded = _DIALECT.encode_request(asked, exchange.profile)
        body = cast("dict[str, Any]", _json.loads(encoded.body))
        losses = list(encoded.losses)
        messages = cast("list[dict[str, Any]]", body["messages"])
        losses += [Loss(name, "the agent runtime has no such setting") for name in body if name not in _CARRIED]
        if len(messages) > 1:
            losses.append(Loss("messages", "earlier turns are told to the agent runtime as a record"))
        enforce(losses, exchange.loss_policy, target=f"{self.name}/{exchange.model}")
        exchange.losses.extend(losses)
        return _Errand(
            (f"--model={exchange.model}", *_thinking(body)),
            _text(body.get("system", "")),
            _told(messages),
            request.max_tokens,
        )

    async def _run(
        self,
        sdk: _Sdk,
        process: AgentProcess,
        errand: _Errand,
        exchange: Exchange,
        batches: "asyncio.Queue[Sequence[Event] | ExecutionPlatformError | None]",
    ) -> None:
        """One run, from the start of the child to its last word; the end of the queue says how it went."""
        try:
            async for batch in self._events(sdk, process, errand, exchange):
                batches.put_nowait(batch)
            batches.put_nowait(None)
        except ExecutionPlatformError as error:
            batches.put_nowait(error)
        except (sdk.ClaudeSDKError, OSError, ValueError) as error:
            message = f"the agent runtime failed: {type(error).__name__}"
            batches.put_nowait(self._failure(message, exchange.model, process.said()))

    def _broken(self, run: "asyncio.Task[None]", model: str) -> ExecutionPlatformError | None:
        """What a reader is told who still waits when the run is over."""
        error = None if run.cancelled() else run.exception()
        return None if error is None else self._failure(f"the agent runtime failed: {type(error).__name__}", model, b"")

    async def _events(
        self, sdk: _Sdk, process: AgentProcess, errand: _Errand, exchange: Exchange
    ) -> AsyncIterator[Sequence[Event]]:
        decoder = _DIALECT.stream_decoder(
            Upstream(Origin(dialect="anthropic", provider=self.name, model=exchange.model))
        )
        options = sdk.ClaudeAgentOptions(verbatim_prompts=True)
        message: Any
        async for message in sdk.query(prompt=_once(errand.content), options=options, transport=process):
            if isinstance(message, sdk.StreamEvent):
                event = message.event
                events = decoder.feed(event_frame(str(event.get("type")), _json.dumps(event)))
                if events:
                    yield events
            elif isinstance(message, sdk.ResultMessage):
                if message.is_error:
                    raise self._refused(message, exchange.model)
                if message.total_cost_usd is not None:
                    exchange.told["agent-cost-usd"] = f"{message.total_cost_usd:.9f}"
                yield decoder.close()
                return
        raise self._failure("the agent runtime ended without an answer", exchange.model, process.said())

    def _refused(self, result: Any, model: str) -> ProviderError:
        """The error of a run that failed; that of the API, where the runtime tells it."""
        said = str(result.result or "; ".join(result.errors or ()) or result.subtype)
        if result.api_error_status is None:
            return self._failure(f"the agent runtime failed: {said[:500]}", model, said.encode())
        body = said[said.find("{") :] if "{" in said else ""
        error = _DIALECT.decode_error(int(result.api_error_status), {}, body.encode())
        error.provider, error.model, error.provider_dialect = self.name, model, "anthropic"
        return error

    def _failure(self, message: str, model: str, said: bytes) -> ProviderError:
        return ProtocolError(message, kind=ErrorKind.CONNECTION, provider=self.name, model=model, raw=said)

    async def _in_time(
        self, batches: "asyncio.Queue[Sequence[Event] | ExecutionPlatformError | None]"
    ) -> AsyncIterator[Sequence[Event]]:
        """The batches, none of which may keep us waiting for longer than the provider's limits."""
        limit = self._timeouts.connect + max(self._timeouts.first_token, self._timeouts.idle)
        until = asyncio.get_running_loop().time() + self._timeouts.total
        while True:
            left = until - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(min(limit, left)):
                    batch = await batches.get()
            except TimeoutError as error:
                message = f"{self.name}: the agent runtime said nothing for {min(limit, left):.0f} s"
                raise ProviderTimeout(message, kind=ErrorKind.TIMEOUT, provider=self.name) from error
            if isinstance(batch, ExecutionPlatformError):
                raise batch
            if batch is None:
                return
            yield batch
            limit = self._timeouts.idle


def _thinking(body: Mapping[str, Any]) -> list[str]:
    """How much to think, as arguments."""
    thinking = cast("Mapping[str, Any]", body.get("thinking") or {})
    output = cast("Mapping[str, Any]", body.get("output_config") or {})
    arguments: list[str] = []
    if thinking.get("type") == "enabled":
        arguments.append(f"--max-thinking-tokens={int(thinking['budget_tokens'])}")
    elif thinking.get("type") in ("adaptive", "disabled"):
        arguments.append(f"--thinking={thinking['type']}")
    if "effort" in output:
        arguments.append(f"--effort={output['effort']}")
    return arguments


def _text(content: object) -> str:
    """The text of a content in either of the wire's forms."""
    if isinstance(content, str):
        return content
    blocks = cast("list[dict[str, Any]]", content or [])
    return "\n\n".join(str(block["text"]) for block in blocks if block.get("type") == "text")


def _told(messages: Sequence[Mapping[str, Any]]) -> object:
    """The last message's content, behind a record of those before it."""
    last = messages[-1]["content"]
    if len(messages) == 1:
        return last
    lines = [_json.dumps({"role": each["role"], "content": each["content"]}).decode() for each in messages[:-1]]
    record = {"type": "text", "text": _EARLIER + "\n".join(lines)}
    return [record, *([{"type": "text", "text": last}] if isinstance(last, str) else last)]


async def _once(content: object) -> AsyncIterator[dict[str, object]]:
    """The one message of a run."""
    message = {"role": "user", "content": content}
    yield {"type": "user", "session_id": "", "message": message, "parent_tool_use_id": None}


def build(config: ProviderConfig, wiring: Wiring) -> Provider:
    """The provider of kind `claude_agent`; without its package it is there, and says so when it is asked."""
    return AgentProvider(config, wiring)
