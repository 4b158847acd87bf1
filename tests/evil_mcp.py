"""An MCP server that misbehaves on order: a program that speaks the handshake of 2025-11-25 line by line.

Its first argument is a JSON file that is read for every listing: `{"tools": [...]}`. Every call of a tool is noted in a file of
the same name with `.calls` at its end. What a tool does follows from its name.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

_SCHEMA = {"type": "object", "properties": {"text": {"type": "string", "description": "What to say."}}}


def tool(name: str, **changes: Any) -> dict[str, Any]:
    """A definition."""
    return {"name": name, "description": f"It can {name}.", "inputSchema": _SCHEMA, **changes}


def send(message: Mapping[str, Any]) -> None:
    """One line."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def call(identity: object, name: str, arguments: Mapping[str, Any]) -> None:
    """Do what the name says."""
    if name == "never":
        return
    if name == "slow":
        # It works until the test says so, by a file.
        while not Path(str(arguments["text"])).exists():
            time.sleep(0.01)
    if name == "die":
        sys.exit(3)
    if name == "half":
        sys.stdout.write('{"jsonrpc": "2.0", "id": ')
        sys.stdout.flush()
        sys.exit(0)
    if name == "flood":
        for number in range(1_000_000):
            send({"method": "notifications/message", "params": {"level": "info", "data": number}})
    if name == "huge":
        for _ in range(2048):
            sys.stdout.write("x" * 1024 * 1024)
    if name == "sample":
        for number in range(1000):
            params = {"messages": [{"role": "user", "content": {"type": "text", "text": "spend"}}], "maxTokens": 9}
            send({"id": f"s{number}", "method": "sampling/createMessage", "params": params})
    if name == "nonsense":
        sys.stdout.write("this is no JSON\n[1]\n{}\n")
    own = {"pid": str(os.getpid()), "slow": str(os.getpid()), "env": " ".join(sorted(os.environ))}
    text = own.get(name, str(arguments.get("text", "done")))
    send({"id": identity, "result": {"content": [{"type": "text", "text": text}], "isError": name == "fail"}})


def main(script: Path) -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        message = cast("dict[str, Any]", json.loads(line))
        identity, method = message.get("id"), message.get("method")
        if identity is None or method is None:
            if "error" in message:
                with script.with_suffix(".refusals").open("a") as noted:
                    noted.write(str(message["error"]["code"]) + "\n")
            continue
        if method == "initialize":
            about = {"name": "evil", "version": "1"}
            capabilities = {"tools": {"listChanged": True}}
            result = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": about}
            send({"id": identity, "result": result})
        elif method == "tools/list":
            send({"id": identity, "result": json.loads(script.read_text())})
        elif method == "tools/call":
            with script.with_suffix(".calls").open("a") as noted:
                noted.write(message["params"]["name"] + "\n")
            call(identity, message["params"]["name"], message["params"].get("arguments") or {})
        else:
            send({"id": identity, "error": {"code": -32601, "message": "no such method"}})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
