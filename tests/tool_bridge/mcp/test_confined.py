"""What a program is held to in its sandbox, and what its operator is told where it cannot be started."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from execution_platform.exceptions import ToolError
from loops import in_loop
from mcp_bench import bench

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")
NEEDED = pytest.mark.skipif(
    PYTHON is None or shutil.which("bwrap") is None, reason="a Python of the system and bubblewrap are needed"
)
SERVER = """
import ctypes, json, os, resource, socket, subprocess, sys

def unshare(): return os.strerror(ctypes.get_errno()) if C.unshare(0x10000000) else "a new user namespace"
def ptrace(): return os.strerror(ctypes.get_errno()) if C.ptrace(16, os.getppid(), 0, 0) else "attached"
def netlink():
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
    except OSError as error:
        return os.strerror(error.errno)
    return "a socket"
def hog():
    try:
        return str(len(bytearray(512 << 20)))
    except MemoryError:
        return "no memory"
def herd():
    part = "import time; kept = bytearray(64 << 20); print(1, flush=True); time.sleep(60)"
    made = [subprocess.Popen([sys.executable, "-c", part], stdout=subprocess.PIPE) for _ in range(4)]
    [each.stdout.readline() for each in made]
    [each.wait() for each in made]
    return "all of them"
def files():
    return str(resource.getrlimit(resource.RLIMIT_CORE)[0])

C = ctypes.CDLL(None, use_errno=True)
TOOLS = {each.__name__: each for each in (unshare, ptrace, netlink, hog, herd, files)}
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method, result = asked["method"], None
    if method == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
    elif method == "tools/call":
        result = {"content": [{"type": "text", "text": TOOLS[asked["params"]["name"]]()}]}
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    answer |= {"error": {"code": -32601, "message": "none"}} if result is None else {"result": result}
    print(json.dumps(answer), flush=True)
"""


def confined(**more: Any) -> dict[str, Any]:
    return {"confined": {"command": PYTHON, "args": ["-I", "-c", SERVER], "memory": 192 << 20, **more}}


@NEEDED
@in_loop
async def test_a_program_is_held_to_the_filter_of_system_calls(tmp_path: Path) -> None:
    """X5: neither namespaces nor other processes nor the kernel's own sockets."""
    async with bench(tmp_path, confined()) as it:
        assert await it.call("confined.unshare") == os.strerror(1)
        assert await it.call("confined.ptrace") == os.strerror(1)
        assert await it.call("confined.netlink") == os.strerror(97)
        assert await it.call("confined.files") == "0"


@NEEDED
@in_loop
async def test_a_program_is_held_to_its_memory_alone_and_together(tmp_path: Path) -> None:
    """M11: what one process may not have, several may not either; the next call starts it again."""
    async with bench(tmp_path, confined()) as it:
        assert await it.call("confined.hog") == "no memory"
        with pytest.raises(ToolError, match="confined failed"):
            await it.call("confined.herd")
        assert await it.call("confined.hog") == "no memory"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives something up")
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is needed")
@in_loop
async def test_a_directory_that_only_root_may_enter_is_told_with_the_remedy(tmp_path: Path) -> None:
    place = tmp_path / "servers"
    place.mkdir(mode=0o700)
    program = place / "server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    async with bench(tmp_path, {"own": {"command": str(program), "read": [str(place)]}}) as it:
        said = str(dict(it.told)["mcp_server_failed"]["reason"])
        assert "`read.0`" in said
        assert "sandbox: false" in said
        assert str(tmp_path) not in said


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is needed")
@pytest.mark.parametrize(
    ("given", "remedy"),
    [({"command": sys.executable}, "in `read`"), ({"command": "/bin/sh", "read": ["/no/such/place"]}, "`read.0`")],
)
@in_loop
async def test_a_program_that_its_sandbox_does_not_have_is_told_with_the_remedy(
    tmp_path: Path, given: dict[str, Any], remedy: str
) -> None:
    if Path(given["command"]).is_relative_to("/usr"):
        pytest.skip("this Python is one of the system")
    async with bench(tmp_path, {"own": given}) as it:
        assert remedy in str(dict(it.told)["mcp_server_failed"]["reason"])
