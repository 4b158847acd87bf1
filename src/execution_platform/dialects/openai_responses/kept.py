"""A conversation that the API keeps: what a request asks of it, and what is kept of a turn.

Source: openai SDK 3.52 `resources/responses` (read 2026-11). A turn is the items that came in and the response that went out. The
next turn names the response, and its input is then everything since the first turn: all input and all output, in order. What
only the API that wrote it can look up (ids of items, thoughts without their token) stays behind; `instructions` are of one turn.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, cast

from execution_platform import _json
from execution_platform.dialects.sse import event_frame, read_frame, split_frames
from execution_platform.dialects.take import Object, Taker, as_list, as_object, body_object
from execution_platform.exceptions import InvalidRequest

MARKS = (b'"previous_response_id"', b'"store"', b'"background"', b'"conversation"', b'"item_reference"')
"""A body without any of these asks for nothing that is kept."""
_UNSUPPORTED = "unsupported_parameter"
_ENDS = frozenset({"response.completed", "response.incomplete"})
_WITHOUT_ID = frozenset({"message", "function_call", "custom_tool_call"})
"""Items whose id nobody needs when they come back."""
_OPAQUE = frozenset({"encrypted_content", "result"})
"""Members that hold tokens or pictures: nothing in them can be read, and one changed byte makes them worthless."""
_BASE64_URL = re.compile(r"data:[\w.+/-]+;base64,[A-Za-z0-9+/=]*", re.ASCII)


class Asked(NamedTuple):
    """What a request asks of what is kept."""

    previous_id: str | None
    store: bool
    """Whether its answer may be kept: the API's default is yes."""


class Turn(NamedTuple):
    """What is kept of one turn."""

    input: list[Object]
    response: Object


def asked(body: bytes) -> Asked:
    """Read what `body` asks for. Raises `InvalidRequest` for what is kept by nobody here."""
    members = body_object(body)
    take = Taker({name: members[name] for name in ("previous_response_id", "store", "background") if name in members})
    if take.bool("background"):
        raise InvalidRequest(
            "background: the gateway answers while the caller waits; leave it out, or give an agent the task with POST /v1/runs",
            code=_UNSUPPORTED,
            param="background",
        )
    if members.get("conversation") is not None:
        raise InvalidRequest(
            "conversation: the gateway keeps responses and no conversation objects; continue with previous_response_id",
            code=_UNSUPPORTED,
            param="conversation",
        )
    for index, item in enumerate(own_items(body)):
        if item.get("type") == "item_reference":
            at = f"input[{index}]"
            raise InvalidRequest(
                f"{at}: items cannot be referred to; send the item itself, or name its response in previous_response_id",
                code=_UNSUPPORTED,
                param=at,
            )
    return Asked(take.str("previous_response_id"), take.bool("store") is not False)


def own_items(body: bytes) -> list[Object]:
    """The items that a request brings itself."""
    value = body_object(body).get("input")
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": value}]}]
    return [as_object(item, f"input[{index}]") for index, item in enumerate(as_list(value, "input"))]


def continued(body: bytes, earlier: Iterable[Turn]) -> bytes:
    """`body` with the whole conversation as its input, and with nothing in it that asks a provider to keep anything."""
    members = dict(body_object(body))
    turns = list(earlier)
    if turns:
        members["input"] = [*context(turns), *own_items(body)]
    members.pop("previous_response_id", None)
    if members.get("store") is not False:
        members.pop("store", None)
    return _json.dumps(members)


def context(turns: Iterable[Turn]) -> list[Object]:
    """All items of some turns as a model is told of them."""
    items: list[Object] = []
    for turn in turns:
        items += turn.input
        items += filter(None, map(_again, _objects(turn.response.get("output"))))
    return items


def _again(item: Object) -> Object | None:
    """An item of the model as input; None for a thought that its API would have to look up."""
    kind = item.get("type")
    if kind == "reasoning" and not item.get("encrypted_content"):
        return None
    return {name: value for name, value in item.items() if name != "id"} if kind in _WITHOUT_ID else item


def _objects(value: object) -> list[Object]:
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Object", item) for item in found if isinstance(item, dict)]


def listed(items: Sequence[Object], response_id: str) -> list[Object]:
    """Input items as the API lists them: each with an id, and a message's text as a part."""
    return [_listed(item, f"{response_id.removeprefix('resp_')}_{number}") for number, item in enumerate(items)]


def _listed(item: Object, tail: str) -> Object:
    kind = str(item.get("type") or "message")
    shown: Object = {"id": f"{'msg' if kind == 'message' else 'item'}_{tail}", **item, "type": kind}
    content = item.get("content")
    if kind == "message":
        word = "output_text" if item.get("role") == "assistant" else "input_text"
        if isinstance(content, str):
            shown["content"] = [{"type": word, "text": content}]
        shown.setdefault("status", "completed")
    return shown


# Answers that are kept


def ended(frame: bytes) -> Object | None:
    """The response of a frame that ends a stream as it should; None for any other."""
    wire = _event(frame)
    return cast("Object", wire["response"]) if wire is not None and wire.get("type") in _ENDS else None


def retold(frame: bytes, changes: Mapping[str, object]) -> bytes:
    """`frame` with members of its response changed; a frame without one stays as it is."""
    wire = _event(frame)
    if wire is None:
        return frame
    response = {**cast("Object", wire["response"]), **changes}
    return event_frame(str(wire.get("type")), _json.dumps({**wire, "response": response}))


def frames(data: bytes) -> list[bytes]:
    """Some writes of a stream, one frame each; what holds no response at all is left together."""
    return split_frames(data) if b'"response"' in data else [data]


def _event(block: bytes) -> Object | None:
    """The event of a frame that holds a response."""
    if b'"response"' not in block:
        return None
    frame = read_frame(block)
    value = None if frame is None else _json.loads(frame.data)
    if not isinstance(value, dict) or not isinstance(cast("Object", value).get("response"), dict):
        return None
    return cast("Object", value)


def cleaned(value: object, clean: Callable[[str], str]) -> object:
    """A JSON value whose texts went through `clean`. What holds no text at all stays as it is."""
    if isinstance(value, str):
        return value if _BASE64_URL.fullmatch(value) else clean(value)
    if isinstance(value, list):
        return [cleaned(each, clean) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        members = cast("Object", value)
        return {name: each if name in _OPAQUE else cleaned(each, clean) for name, each in members.items()}
    return value
