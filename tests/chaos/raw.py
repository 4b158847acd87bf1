"""A client on a bare socket: what is really on the wire of a stream, byte by byte."""

import http.client
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from chaos.clients import LEAVE_AFTER, Question, Seen
from execution_platform import _json
from serving import chat_body

TERMINATORS = {"openai_chat": "[DONE]", "anthropic": "message_stop", "gemini": "finishReason"}


def ask_raw(dialect: str, question: Question) -> Seen:
    """Ask for a stream and take the answer apart. What the wire does wrong becomes the error."""
    seen = Seen()
    path, body = chat_body(dialect, "hello", question.model, stream=True)
    split = urlsplit(question.url)
    connection = http.client.HTTPConnection(str(split.hostname), split.port, timeout=question.timeout)
    try:
        headers = {"content-type": "application/json", **question.headers}
        connection.request("POST", path, _json.dumps(body), headers)
        response = connection.getresponse()
        seen.status, seen.headers = response.status, {name.lower(): value for name, value in response.getheaders()}
        if response.status != 200:
            response.read()
            seen.error = f"status {response.status}"
            return seen
        for name, text in _events(dialect, response):
            seen.wire.append(name)
            seen.heard(text)
            if name == "error":
                seen.error = "error event"
            if question.leave == "streaming" and len(seen.text.split()) >= LEAVE_AFTER:
                seen.left_at = time.monotonic()
                break
        if TERMINATORS[dialect] in seen.wire:
            seen.finish = TERMINATORS[dialect]
    except TimeoutError:
        seen.error = "TimeoutError"
        if question.leave == "waiting":
            seen.left_at = time.monotonic()
    except (http.client.HTTPException, OSError, ValueError) as error:
        seen.error = f"the wire broke: {type(error).__name__}: {error}"
        seen.wire.append("broken")
    finally:
        connection.close()
        seen.ended = time.monotonic() - seen.began
    return seen


def wrong_on_the_wire(dialect: str, seen: Seen) -> list[str]:
    """What no stream may look like, whatever was expected of it."""
    problems: list[str] = []
    end = TERMINATORS[dialect]
    if "broken" in seen.wire:
        problems.append(seen.error)
    if seen.wire.count("error") > 1:
        problems.append(f"{seen.wire.count('error')} error events")
    if "error" in seen.wire and (seen.wire[-1] != "error" or end in seen.wire):
        problems.append(f"something follows the error event, or the stream also ends cleanly: {seen.wire[-3:]}")
    if seen.wire.count(end) > 1:
        problems.append(f"{seen.wire.count(end)} ends")
    if seen.wire.count("message_start") > 1:
        problems.append("message_start twice")
    return problems


def _events(dialect: str, response: http.client.HTTPResponse) -> Iterator[tuple[str, str]]:
    """Names and texts of the events. The body must be well framed to its end."""
    for block in _blocks(response):
        data = b"\n".join(line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:"))
        if data == b"[DONE]":
            yield "[DONE]", ""
        elif data:
            yield _told(dialect, _json.loads(data))


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    held = b""
    while data := response.read1(65536):
        held += data
        # Gemini writes CRLF; half of one may be all that has come.
        kept = b"\r" if held.endswith(b"\r") else b""
        *blocks, held = held.removesuffix(b"\r").replace(b"\r\n", b"\n").split(b"\n\n")
        held += kept
        yield from blocks
    if held.lstrip().startswith(b"{") and held.rstrip().endswith(b"}"):
        yield b"data:" + held.replace(b"\n", b"")  # Gemini tells an error inside a stream as a bare object
    elif held.strip():
        raise ValueError(f"the stream ends inside an event: {held[-80:]!r}")


def _told(dialect: str, value: object) -> tuple[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"an event is no object: {value!r}")
    if value.get("error") is not None:
        return "error", ""
    if dialect == "openai_chat":
        deltas = [choice.get("delta", {}).get("content") or "" for choice in value.get("choices", ())]
        return "chunk", "".join(deltas)
    if dialect == "anthropic":
        return str(value["type"]), str(value.get("delta", {}).get("text", ""))
    candidates = value.get("candidates", ())
    parts = [part for one in candidates for part in one.get("content", {}).get("parts", ())]
    ended = any(one.get("finishReason") for one in candidates)
    return ("finishReason" if ended else "chunk"), "".join(str(part.get("text", "")) for part in parts)
