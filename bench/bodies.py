"""The requests of the measurements."""

import json

_SYSTEM = {"role": "system", "content": "You are a helpful assistant."}


def small(model: str, *, stream: bool) -> bytes:
    """A chat request of about 1 KB, as a client library writes it."""
    asked = "Write me a short story about a fox and a dog, please. " + "context " * 90
    body = {
        "model": model,
        "stream": stream,
        "messages": [_SYSTEM, {"role": "user", "content": asked}],
        "max_tokens": 256,
    }
    return _compact(body)


def large(model: str) -> bytes:
    """An agent's request of about 487 KB: 389 turns with tool calls and their results, and 40 tools."""
    messages: list[object] = [_SYSTEM]
    for number in range(389):
        arguments = json.dumps({"path": f"src/module_{number}.py", "start": 1, "end": 200})
        call = {"id": f"call_{number}", "type": "function", "function": {"name": "tool_1", "arguments": arguments}}
        messages += [
            {"role": "user", "content": [{"type": "text", "text": "Read the file and say: what does it do? " * 7}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"call_{number}", "content": 'def f(x):\n    return "é%s"\n' * 20},
        ]
    messages.append({"role": "user", "content": "Go on."})
    parameters = {
        "type": "object",
        "properties": {"path": {"type": "string", "description": "Where."}, "start": {"type": "integer"}},
        "required": ["path"],
    }
    tools = [
        {
            "type": "function",
            "function": {"name": f"tool_{n}", "description": "Does one thing. " * 6, "parameters": parameters},
        }
        for n in range(40)
    ]
    return _compact({"model": model, "stream": False, "messages": messages, "tools": tools, "max_tokens": 256})


def _compact(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
