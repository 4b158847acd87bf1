"""The clients of the rehearsal: three vendors' SDKs, each asked once, and what its caller sees."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import types

LEAVE_AFTER = 2
"""Pieces of text after which a client leaves a stream."""
KEY = "ep-test-key-000000000001"


@dataclass
class Seen:
    """What one request brought."""

    text: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    finish: str | None = None
    error: str = ""
    """The exception, or for raw sockets what was wrong on the wire."""
    began: float = field(default_factory=time.monotonic)
    first: float | None = None
    """Seconds to the first content."""
    ended: float = 0.0
    left_at: float | None = None
    wire: list[str] = field(default_factory=list)
    """Names of the events, for raw sockets."""

    def heard(self, text: str) -> None:
        """Take a piece of text."""
        if text and self.first is None:
            self.first = time.monotonic() - self.began
        self.text += text


@dataclass(frozen=True)
class Question:
    """One request, the same for every client."""

    url: str
    model: str
    stream: bool
    leave: str = ""
    retries: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: float = 30.0

    @property
    def timeout(self) -> float:
        """Seconds the client waits; one that leaves before the answer is a client of little patience."""
        return 0.25 if self.leave == "waiting" else self.patience


Pieces = Callable[[Question, Seen, dict[str, Any]], Iterator[str]]


def ask(client: str, question: Question) -> Seen:
    """Ask by the SDK of this name; whatever it raises becomes part of what was seen."""
    seen = Seen()

    def noted(response: Any) -> None:
        seen.status, seen.headers = response.status_code, dict(response.headers)

    pieces = SDKS[client](question, seen, {"response": [noted]})
    count = 0
    try:
        for piece in pieces:
            seen.heard(piece)
            count += bool(piece)
            if question.leave == "streaming" and count == LEAVE_AFTER:
                seen.left_at = time.monotonic()
                break
    except Exception as error:  # noqa: BLE001 - an SDK's own exceptions and those of its HTTP library
        seen.error = f"{type(error).__name__}: {error}"[:300]
        if question.leave == "waiting" and "time" in seen.error.lower():
            seen.left_at = time.monotonic()
    finally:
        pieces.close()  # type: ignore[attr-defined]
    seen.ended = time.monotonic() - seen.began
    return seen


def _openai(question: Question, seen: Seen, hooks: dict[str, Any]) -> Iterator[str]:
    http = openai.DefaultHttpxClient(event_hooks=hooks, timeout=question.timeout)
    with openai.OpenAI(
        base_url=f"{question.url}/v1",
        api_key=KEY,
        max_retries=2 if question.retries else 0,
        http_client=http,
        default_headers=dict(question.headers),
    ) as client:
        messages: Any = [{"role": "user", "content": "hello"}]
        if not question.stream:
            whole = client.chat.completions.create(model=question.model, messages=messages)
            seen.finish = whole.choices[0].finish_reason
            yield whole.choices[0].message.content or ""
            return
        with client.chat.completions.create(model=question.model, messages=messages, stream=True) as stream:
            for chunk in stream:
                for choice in chunk.choices:
                    seen.finish = choice.finish_reason or seen.finish
                    yield choice.delta.content or ""


def _anthropic(question: Question, seen: Seen, hooks: dict[str, Any]) -> Iterator[str]:
    http = anthropic.DefaultHttpxClient(event_hooks=hooks, timeout=question.timeout)
    with anthropic.Anthropic(
        base_url=question.url,
        api_key=KEY,
        max_retries=2 if question.retries else 0,
        http_client=http,
        default_headers=dict(question.headers),
    ) as client:
        messages: Any = [{"role": "user", "content": "hello"}]
        if not question.stream:
            whole = client.messages.create(model=question.model, max_tokens=500, messages=messages)
            seen.finish = whole.stop_reason
            yield "".join(block.text for block in whole.content if block.type == "text")
            return
        with client.messages.create(model=question.model, max_tokens=500, messages=messages, stream=True) as stream:
            reason = None
            for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    yield event.delta.text
                elif event.type == "message_delta":
                    reason = event.delta.stop_reason
                elif event.type == "message_stop":
                    seen.finish = reason


def _genai(question: Question, seen: Seen, hooks: dict[str, Any]) -> Iterator[str]:
    options = types.HttpOptions(
        base_url=question.url,
        timeout=int(question.timeout * 1000),
        client_args={"event_hooks": hooks},
        headers=dict(question.headers),
    )
    client = genai.Client(api_key=KEY, http_options=options)
    try:
        if not question.stream:
            whole = client.models.generate_content(model=question.model, contents="hello")
            seen.finish = _reason(whole)
            yield whole.text or ""
            return
        stream = client.models.generate_content_stream(model=question.model, contents="hello")
        try:
            for chunk in stream:
                seen.finish = _reason(chunk) or seen.finish
                yield chunk.text or ""
        finally:
            stream.close()  # type: ignore[attr-defined]
    finally:
        client.close()


def _reason(response: Any) -> str | None:
    for candidate in response.candidates or ():
        if candidate.finish_reason is not None:
            return str(candidate.finish_reason.value)
    return None


SDKS: Mapping[str, Pieces] = {"openai_chat": _openai, "anthropic": _anthropic, "gemini": _genai}
