"""What a run tells, as the vendor's agent writes it: plain text, one JSON object, or a JSON object for each message."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from execution_platform import _json
from execution_platform.cli.hive.arguments import Form, Wanted
from execution_platform.client import RunEvent, RunResult
from execution_platform.tool_bridge.aliases import aliases, from_platform

Write = Callable[[str], object]
_VENDORS_NAME = {alias.tool: name for name, alias in aliases().items()}


class Transcript:
    """Writes one run. Text of a turn is held until the turn's next call or end, since messages are whole."""

    def __init__(self, wanted: Wanted, cwd: Path, write: Write) -> None:
        self._form: Form = wanted.form
        self._wanted = wanted
        self._cwd = cwd
        self._write = write
        self._began = time.monotonic()
        self._text: list[str] = []
        self._session = ""
        self._model = wanted.model or ""

    def show(self, event: RunEvent) -> None:
        """One more event."""
        data = event.data
        inner = cast("Mapping[str, object]", data.get("data") or {})
        match event.event:
            case "run_started":
                self._session = str(data.get("id") or "")
                self._line({"type": "system", "subtype": "init", **self._setting()})
            case "turn_started":
                self._flush()
                self._model = str(data.get("model") or self._model)
            case "token":
                self._text.append(str(data.get("text") or ""))
            case "tool_call":
                self._flush()
                self._assistant(self._use(inner))
            case "tool_result":
                self._flush()
                self._user(inner)
            case _:
                pass

    def end(self, result: RunResult) -> None:
        """The run is over."""
        self._flush()
        is_error = result.status != "done"
        if self._form == "text":
            self._write(result.text + "\n" if result.text else "")
            return
        usage = result.usage
        self._out(
            {
                "type": "result",
                "subtype": "success"
                if not is_error
                else "error_max_turns"
                if result.reason == "step_limit"
                else "error_during_execution",
                "is_error": is_error,
                "duration_ms": round((time.monotonic() - self._began) * 1000),
                "num_turns": result.steps,
                "result": result.text,
                "stop_reason": result.reason,
                "session_id": result.id,
                "total_cost_usd": usage.cost_usd,
                "usage": {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens},
            }
        )

    def fail(self, message: str) -> None:
        """The run did not come to an end."""
        self._flush()
        if self._form != "text":
            failed = {"type": "result", "subtype": "error_during_execution", "is_error": True, "result": message}
            self._out({**failed, "session_id": self._session})

    def _setting(self) -> dict[str, object]:
        tools = None if self._wanted.tools is None else [_VENDORS_NAME.get(name, name) for name in self._wanted.tools]
        return {
            "session_id": self._session,
            "cwd": str(self._cwd),
            "tools": tools,
            "model": self._model,
            "permissionMode": self._wanted.mode,
        }

    def _use(self, call: Mapping[str, object]) -> dict[str, object]:
        """A call by the vendor's names; paths as the vendor's tools take them, whole."""
        name, args = str(call.get("name")), cast("Mapping[str, object]", call.get("args") or {})
        vendors = _VENDORS_NAME.get(name, name)
        spelled = dict(from_platform(vendors, name, args))
        path = spelled.get("file_path")
        if isinstance(path, str):
            spelled["file_path"] = str(self._cwd / path)
        return {"type": "tool_use", "id": call.get("id"), "name": vendors, "input": spelled}

    def _flush(self) -> None:
        text = "".join(self._text)
        self._text.clear()
        if text:
            self._assistant({"type": "text", "text": text})

    def _assistant(self, block: Mapping[str, object]) -> None:
        message = {"type": "message", "role": "assistant", "model": self._model, "content": [block]}
        self._line({"type": "assistant", "message": message, "session_id": self._session})

    def _user(self, result: Mapping[str, object]) -> None:
        block = {
            "type": "tool_result",
            "tool_use_id": result.get("id"),
            "content": result.get("result"),
            "is_error": bool(result.get("is_error")),
        }
        message = {"role": "user", "content": [block]}
        self._line({"type": "user", "message": message, "session_id": self._session})

    def _line(self, value: Mapping[str, object]) -> None:
        if self._form == "stream-json":
            self._out(value)

    def _out(self, value: Mapping[str, object]) -> None:
        self._write(_json.dumps(value).decode() + "\n")
