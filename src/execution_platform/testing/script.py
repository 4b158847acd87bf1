"""The language in which a test says what the upstream answers.

A `Script` is a value: content parts, usage, finish reason, faults. The same script is written in whichever dialect the
request came in. Every value can also be written as JSON (field names as here, `"type"` naming the class in
snake_case, gates by name, bytes in base64); `script_from_json` reads it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, cast

import msgspec

from execution_platform.testing.faults import Fault
from execution_platform.testing.gate import Gate


class ScriptError(ValueError):
    """A script that cannot be played: the message names the value and the remedy."""


class Citation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="citation"):
    """A source of the text before it: a web page with `url`, else a place in the request's documents.

    `start` and `end` count characters of the answer for web pages and of the document otherwise.
    """

    cited_text: str
    url: str = ""
    title: str = ""
    start: int = 0
    end: int = 0
    document_index: int = 0


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="text"):
    """Answer text, streamed in `chunks` pieces (0: one per word)."""

    text: str
    chunks: int = 0
    citations: Sequence[Citation] = ()
    logprobs: bool = False
    signature: str = ""
    """Gemini only: `thoughtSignature` on this part."""


class Thinking(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="thinking"):
    """The model's thought, with the signature that must come back.

    Gemini puts the signature on the part that follows. OpenAI shows no thought and only counts it, unless
    `openai_field` names the member in which a compatible vendor shows it (`reasoning_content`, `reasoning`) or is
    `tags` for `<think>` in the text. `redacted`: Anthropic sends only the signature, as data.
    """

    text: str
    signature: str = "c2lnbmF0dXJl"
    chunks: int = 0
    redacted: bool = False
    openai_field: str = ""


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="call"):
    """A function call. `arguments` as text is sent as it is, also when it is not JSON, where the dialect has text.

    `id` empty: one is made up in the vendor's form (none in Gemini, which sends none).
    """

    name: str
    arguments: dict[str, object] | str = {}
    id: str = ""
    chunks: int = 2
    signature: str = ""


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="refusal"):
    """The model declines: a refusal text (OpenAI), a stop reason with details (Anthropic), a blocked prompt (Gemini)."""

    text: str = "I cannot help with that."


class Native(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="native"):
    """A part of one dialect in its own JSON: a content block, a Gemini part, members of an OpenAI message.

    A request in another dialect does not get it.
    """

    dialect: Literal["openai_chat", "anthropic", "gemini"]
    payload: dict[str, object]


Part = Text | Thinking | Call | Refusal | Native


class Echo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="echo"):
    """Answer with the request's last text behind a prefix; cut at the request's token limit."""

    prefix: str = "echo: "
    chunks: int = 0


class Vectors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="vectors"):
    """Embedding vectors, one per input; made from a hash of the input when empty."""

    values: Sequence[Sequence[float]] = ()
    dimensions: int = 8


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="status"):
    """An HTTP error in the vendor's shape.

    `kind` refines what the status does not say: `rate_limit` or `quota` (429), `context_length`, `content_filter`
    (400), `billing` (402). `retry_after` is sent as it is written: seconds or a date. `sent_as` sends the same body
    under another status, for errors that arrive with 200.
    """

    status: int
    kind: str = ""
    message: str = ""
    retry_after: float | str | None = None
    retry_after_ms: int | None = None
    sent_as: int | None = None


class Raw(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="raw"):
    """An answer of exactly these bytes, dialect or not. `text` is for scripts in JSON."""

    body: bytes = b""
    text: str = ""
    status: int = 200
    content_type: str = "application/json"
    chunked: bool = False


class RawSocket(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="raw_socket"):
    """Bytes written to the socket in place of an HTTP response; then the connection ends."""

    data: bytes = b""
    text: str = ""


class Tokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="tokens"):
    """Usage as the upstream tells it; what is not given is counted (one token per word).

    `input` contains `cached` and `cache_write`, `output` contains `reasoning`, whatever the dialect's own sums are.
    `told=False`: the upstream says nothing about usage. `opening_*` override what Anthropic says in `message_start`.
    """

    input: int | None = None
    output: int | None = None
    cached: int = 0
    cache_write: int = 0
    reasoning: int | None = None
    told: bool = True
    opening_input: int | None = None
    opening_output: int | None = None


Reply = str | Text | Thinking | Call | Refusal | Native | Echo | Vectors | Status | Raw | RawSocket | Sequence[Part]

_FINISH = ("", "stop", "stop_sequence", "length", "context_window", "tool_calls", "content_filter", "refusal", "pause")


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="script"):
    """One answer of the upstream.

    `finish` is a canonical reason (`stop`, `length`, `tool_calls` ...) or a word of the dialect, sent as it is; empty
    follows from the reply. `gate` or `delay` come before the first byte, `pace_gate` or `pace` before every event.
    """

    reply: Reply = Echo()
    usage: Tokens = Tokens()
    finish: str = ""
    stop_sequence: str = ""
    faults: Sequence[Fault] = ()
    delay: float = 0.0
    gate: Gate | None = None
    pace: float = 0.0
    pace_gate: Gate | None = None
    headers: Mapping[str, str] = {}
    model: str = ""
    id: str = ""
    interleave_calls: bool = False
    """OpenAI: argument pieces of parallel calls take turns instead of following one another."""
    close: bool = False
    """Close the connection after the answer, and say so in the headers."""

    def parts(self) -> tuple[Part, ...]:
        """The reply as content parts; empty for replies that are none."""
        reply = self.reply
        if isinstance(reply, str):
            return (Text(reply),)
        if isinstance(reply, Text | Thinking | Call | Refusal | Native):
            return (reply,)
        if isinstance(reply, Echo | Vectors | Status | Raw | RawSocket):
            return ()
        return tuple(reply)

    def finish_reason(self) -> str:
        """The canonical finish reason, or the dialect's word that was asked for."""
        if self.finish:
            return self.finish
        kinds = {type(part) for part in self.parts()}
        if Call in kinds:
            return "tool_calls"
        if Refusal in kinds:
            return "refusal"
        return "stop_sequence" if self.stop_sequence else "stop"

    def is_canonical_finish(self) -> bool:
        """Whether `finish` is a word to translate into the dialect, not one to send as it is."""
        return self.finish in _FINISH


def script_from_json(value: object, find_gate: Callable[[str], Gate]) -> Script:
    """Read a script from decoded JSON; a gate is named by a string and looked up.

    Raises:
        ScriptError: with the path and the problem.
    """

    def hook(expected: type, found: object) -> object:
        if expected is object:
            return found
        if expected is Gate and isinstance(found, str):
            return find_gate(found)
        raise ValueError(f"expected the name of a gate as a string, found {found!r}")

    if not isinstance(value, dict) or cast("dict[str, object]", value).get("type", "script") != "script":
        value = {"reply": cast("object", value)}
    try:
        return msgspec.convert(value, Script, dec_hook=hook)
    except msgspec.ValidationError as error:
        raise ScriptError(f"The script cannot be read: {error}") from error
