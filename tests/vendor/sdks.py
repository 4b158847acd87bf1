"""The three vendor SDKs behind one face, so that one test can ask the same of each of them.

A client keeps the history in its SDK's own types: what the SDK gave is what goes back in the next turn.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import anthropic
import openai
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

KEY = "ep-test-key-000000000001"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Name of a city"}},
    "required": ["city"],
}
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
    "additionalProperties": False,
}
TOOL = ("get_weather", "The weather in a city.")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass
class Answer:
    """What the caller of any of the SDKs reads."""

    text: str
    finish: str
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    thinking: str = ""
    input: int | None = None
    output: int | None = None
    cached: int | None = None
    model: str | None = None
    id: str | None = None
    pieces: int = 0


@dataclass
class Ask:
    """A request in words that every SDK can say."""

    model: str
    text: str = "hello"
    stream: bool = False
    system: str | None = None
    tools: bool = False
    force: bool = False
    one_call: bool = False
    results: Sequence[str] = ()
    """Answers to the calls of the turn before; then nothing new is said."""
    max_tokens: int | None = None
    stop: str | None = None
    temperature: float | None = None
    schema: bool = False
    image: bool = False
    effort: bool = False


class Sdk(Protocol):
    """One SDK as a client of the gateway."""

    name: str

    def ask(self, ask: Ask) -> Answer:
        """Add a turn and read the answer."""
        ...

    def errors(self) -> dict[int, type[Exception]]:
        """The SDK's exception class by status."""
        ...

    def status_of(self, error: Any) -> int | None:
        """The status an exception of the SDK tells."""
        ...


class OpenAiSdk:
    """openai-python, chat completions."""

    name = "openai_chat"

    def __init__(self, url: str, prefix: str = "", key: str = KEY, **options: Any) -> None:
        base = f"{url}{prefix}/v1"
        self.client = openai.OpenAI(base_url=base, api_key=key, max_retries=options.pop("max_retries", 0), **options)
        self.history: list[Any] = []
        self.calls: list[str] = []

    def ask(self, ask: Ask) -> Answer:
        if ask.system and not self.history:
            self.history.append({"role": "system", "content": ask.system})
        if ask.results:
            for call_id, text in zip(self.calls, ask.results, strict=True):
                self.history.append({"role": "tool", "tool_call_id": call_id, "content": text})
        else:
            image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
            parts = [{"type": "text", "text": ask.text}, image]
            self.history.append({"role": "user", "content": parts if ask.image else ask.text})
        options = self._options(ask)
        if not ask.stream:
            return self._whole(
                self.client.chat.completions.create(model=ask.model, messages=self.history, **options), 0
            )
        with self.client.chat.completions.stream(
            model=ask.model, messages=self.history, stream_options={"include_usage": True}, **options
        ) as stream:
            pieces = sum(event.type == "content.delta" for event in stream)
            try:
                return self._whole(stream.get_final_completion(), pieces)
            except openai.LengthFinishReasonError as error:
                return self._whole(error.completion, pieces)

    def _options(self, ask: Ask) -> dict[str, Any]:
        options: dict[str, Any] = {"max_completion_tokens": ask.max_tokens, "temperature": ask.temperature}
        if ask.tools:
            function = {"name": TOOL[0], "description": TOOL[1], "parameters": SCHEMA}
            options["tools"] = [{"type": "function", "function": function}]
        if ask.force:
            options["tool_choice"] = {"type": "function", "function": {"name": TOOL[0]}}
        if ask.one_call:
            options["parallel_tool_calls"] = False
        if ask.stop:
            options["stop"] = [ask.stop]
        if ask.schema:
            form = {"name": "city", "schema": CITY, "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": form}
        if ask.effort:
            options["reasoning_effort"] = "low"
        return {name: value for name, value in options.items() if value is not None}

    def _whole(self, completion: Any, pieces: int) -> Answer:
        choice = completion.choices[0]
        message = choice.message
        self.history.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        for call in self.history[-1].get("tool_calls", ()):
            call["function"].pop("parsed_arguments", None)
        calls = message.tool_calls or []
        self.calls = [call.id for call in calls]
        usage = completion.usage
        extra = message.model_extra or {}
        return Answer(
            message.content or "",
            choice.finish_reason,
            [(call.function.name, loads(call.function.arguments)) for call in calls],
            str(extra.get("reasoning_content") or extra.get("reasoning") or ""),
            usage.prompt_tokens if usage else None,
            usage.completion_tokens if usage else None,
            usage.prompt_tokens_details.cached_tokens if usage and usage.prompt_tokens_details else None,
            completion.model,
            completion.id,
            pieces,
        )

    def errors(self) -> dict[int, type[Exception]]:
        return {
            400: openai.BadRequestError,
            401: openai.AuthenticationError,
            404: openai.NotFoundError,
            429: openai.RateLimitError,
            502: openai.InternalServerError,
            503: openai.InternalServerError,
        }

    def status_of(self, error: Any) -> int | None:
        return getattr(error, "status_code", None)


class AnthropicSdk:
    """anthropic-sdk-python, messages."""

    name = "anthropic"

    def __init__(self, url: str, prefix: str = "", key: str = KEY, **options: Any) -> None:
        base = f"{url}{prefix}"
        retries = options.pop("max_retries", 0)
        self.client = anthropic.Anthropic(base_url=base, api_key=key, max_retries=retries, **options)
        self.history: list[Any] = []
        self.calls: list[str] = []

    def ask(self, ask: Ask) -> Answer:
        if ask.results:
            blocks = [
                {"type": "tool_result", "tool_use_id": call_id, "content": text}
                for call_id, text in zip(self.calls, ask.results, strict=True)
            ]
            self.history.append({"role": "user", "content": blocks})
        else:
            image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
            parts = [{"type": "text", "text": ask.text}, image]
            self.history.append({"role": "user", "content": parts if ask.image else ask.text})
        options = self._options(ask)
        if not ask.stream:
            return self._whole(self.client.messages.create(model=ask.model, messages=self.history, **options), 0)
        with self.client.messages.stream(model=ask.model, messages=self.history, **options) as stream:
            pieces = sum(event.type == "text" for event in stream)
            return self._whole(stream.get_final_message(), pieces)

    def _options(self, ask: Ask) -> dict[str, Any]:
        options: dict[str, Any] = {"max_tokens": ask.max_tokens or 8000}
        if ask.system:
            options["system"] = ask.system
        if ask.temperature is not None:
            # The newest models take none, so the SDK has no argument for it.
            options["extra_body"] = {"temperature": ask.temperature}
        if ask.tools:
            options["tools"] = [{"name": TOOL[0], "description": TOOL[1], "input_schema": SCHEMA}]
        if ask.force:
            options["tool_choice"] = {"type": "tool", "name": TOOL[0]}
        if ask.one_call:
            options["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
        if ask.stop:
            options["stop_sequences"] = [ask.stop]
        if ask.schema:
            options["output_config"] = {"format": {"type": "json_schema", "schema": CITY}}
        if ask.effort:
            options["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        return options

    def _whole(self, message: Any, pieces: int) -> Answer:
        self.history.append({"role": "assistant", "content": message.content})
        calls = [block for block in message.content if block.type == "tool_use"]
        self.calls = [block.id for block in calls]
        usage = message.usage
        cached = usage.cache_read_input_tokens
        return Answer(
            "".join(block.text for block in message.content if block.type == "text"),
            message.stop_reason,
            [(block.name, block.input) for block in calls],
            "".join(block.thinking for block in message.content if block.type == "thinking"),
            usage.input_tokens + (cached or 0) + (usage.cache_creation_input_tokens or 0),
            usage.output_tokens,
            cached,
            message.model,
            message.id,
            pieces,
        )

    def errors(self) -> dict[int, type[Exception]]:
        return {
            400: anthropic.BadRequestError,
            401: anthropic.AuthenticationError,
            404: anthropic.NotFoundError,
            429: anthropic.RateLimitError,
            502: anthropic.InternalServerError,
            503: anthropic.InternalServerError,
        }

    def status_of(self, error: Any) -> int | None:
        return getattr(error, "status_code", None)


class GenaiSdk:
    """google-genai, generate_content."""

    name = "gemini"

    def __init__(self, url: str, prefix: str = "", key: str = KEY, **options: Any) -> None:
        version = options.pop("api_version", "v1beta")
        http = types.HttpOptions(base_url=f"{url}{prefix}", api_version=version, **options)
        self.client = genai.Client(api_key=key, http_options=http)
        self.history: list[Any] = []
        self.calls: list[Any] = []

    def ask(self, ask: Ask) -> Answer:
        if ask.results:
            parts = [
                types.Part(
                    function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": text})
                )
                for call, text in zip(self.calls, ask.results, strict=True)
            ]
        else:
            parts = [types.Part(text=ask.text)]
            if ask.image:
                blob = types.Blob(mime_type="image/png", data=base64.b64decode(PIXEL))
                parts.append(types.Part(inline_data=blob))
        self.history.append(types.Content(role="user", parts=parts))
        config = self._config(ask)
        if not ask.stream:
            response = self.client.models.generate_content(model=ask.model, contents=self.history, config=config)
            return self._whole([response])
        return self._whole(
            list(self.client.models.generate_content_stream(model=ask.model, contents=self.history, config=config))
        )

    def _config(self, ask: Ask) -> types.GenerateContentConfig:
        config = types.GenerateContentConfig(
            system_instruction=ask.system, max_output_tokens=ask.max_tokens, temperature=ask.temperature
        )
        if ask.tools:
            declared = types.FunctionDeclaration(name=TOOL[0], description=TOOL[1], parameters_json_schema=SCHEMA)
            config.tools = [types.Tool(function_declarations=[declared])]
        if ask.force:
            calling = types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=[TOOL[0]]
            )
            config.tool_config = types.ToolConfig(function_calling_config=calling)
        if ask.stop:
            config.stop_sequences = [ask.stop]
        if ask.schema:
            config.response_mime_type, config.response_json_schema = "application/json", CITY
        if ask.effort:
            config.thinking_config = types.ThinkingConfig(include_thoughts=True, thinking_budget=2048)
        return config

    def _whole(self, chunks: list[Any]) -> Answer:
        parts = [
            part
            for chunk in chunks
            for candidate in chunk.candidates or ()
            for part in (candidate.content.parts if candidate.content else None) or ()
        ]
        self.history.append(types.Content(role="model", parts=parts))
        self.calls = [part.function_call for part in parts if part.function_call]
        texts = [part.text for part in parts if part.text and not part.thought]
        last = chunks[-1]
        usage = next((chunk.usage_metadata for chunk in reversed(chunks) if chunk.usage_metadata), None)
        reasons = [c.finish_reason for chunk in chunks for c in chunk.candidates or () if c.finish_reason]
        return Answer(
            "".join(texts),
            reasons[-1].name if reasons else "",
            [(call.name, dict(call.args or {})) for call in self.calls],
            "".join(part.text for part in parts if part.text and part.thought),
            usage.prompt_token_count if usage else None,
            (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0) if usage else None,
            usage.cached_content_token_count if usage else None,
            last.model_version,
            last.response_id,
            len(texts),
        )

    def errors(self) -> dict[int, type[Exception]]:
        client, server = genai_errors.ClientError, genai_errors.ServerError
        return {400: client, 401: client, 404: client, 429: client, 502: server, 503: server}

    def status_of(self, error: Any) -> int | None:
        return getattr(error, "code", None)


def loads(text: str) -> Any:
    """JSON as the platform reads it."""
    from execution_platform import _json

    return _json.loads(text.encode())


SDKS: dict[str, type[Any]] = {"openai_chat": OpenAiSdk, "anthropic": AnthropicSdk, "gemini": GenaiSdk}
MOUNTS = {"openai_chat": "/openai", "anthropic": "/anthropic", "gemini": "/genai"}
FINISH = {
    "stop": {"openai_chat": "stop", "anthropic": "end_turn", "gemini": "STOP"},
    "stop_sequence": {"openai_chat": "stop", "anthropic": "stop_sequence", "gemini": "STOP"},
    "length": {"openai_chat": "length", "anthropic": "max_tokens", "gemini": "MAX_TOKENS"},
    "tool_calls": {"openai_chat": "tool_calls", "anthropic": "tool_use", "gemini": "STOP"},
}
