"""The sandbox as commands meet it: what they get, what they cannot reach, and how they end."""

import asyncio
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from execution_platform.exceptions import SandboxUnavailable, ToolError, ToolTimeout
from execution_platform.tool_bridge.sandbox import Command, Limits
from execution_platform.tool_bridge.sandbox.bubblewrap import ENVIRONMENT, Bubblewrap, find_programs
from loops import in_loop
from sandboxes import CANARY, MIB, Box, mounts, needs_bubblewrap, open_descriptors, running

pytestmark = needs_bubblewrap
root = pytest.mark.skipif(os.geteuid() != 0, reason="only a gateway that is root can choose the sandbox's user")
CONNECT = """
import socket, sys
KINDS = {"tcp": (socket.AF_INET, socket.SOCK_STREAM), "udp": (socket.AF_INET, socket.SOCK_DGRAM),
         "tcp6": (socket.AF_INET6, socket.SOCK_STREAM), "unix": (socket.AF_UNIX, socket.SOCK_STREAM),
         "raw": (socket.AF_INET, socket.SOCK_RAW), "packet": (17, socket.SOCK_RAW), "vsock": (40, socket.SOCK_STREAM)}
for line in sys.stdin.read().splitlines():
    kind, host, port = line.split("|")
    try:
        s = socket.socket(*KINDS[kind])
        s.settimeout(1)
        to = host.replace("@", chr(0), 1) if kind == "unix" else (int(host), int(port)) if kind == "vsock" else (host, int(port))
        if kind == "udp":
            s.sendto(b"\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x03www\\x07example\\x03com\\x00\\x00\\x01\\x00\\x01", to)
            s.recv(100)
        elif kind != "packet":
            s.connect(to)
        print("REACHED", line)
    except OSError as error:
        print(type(error).__name__, error.errno, line)
"""


# --- what a command gets ---


@in_loop
async def test_a_command_works_in_the_workspace(tmp_path: Path) -> None:
    box = Box(tmp_path)
    (box.workspace / "given").write_text("hello")
    outcome = await box.sh("pwd; cat given; echo made > made; cat; echo problem >&2; exit 3", stdin=b"input")
    assert (outcome.ended, outcome.status, outcome.truncated) == ("exit", 3, False)
    assert (outcome.stdout, outcome.stderr) == (b"/workspace\nhelloinput", b"problem\n")
    assert (box.workspace / "made").read_text() == "made\n"
    assert not outcome.succeeded


@in_loop
async def test_a_workspace_to_read_is_not_written(tmp_path: Path) -> None:
    box = Box(tmp_path)
    outcome = await box.sh("echo x > made", writable=False)
    assert outcome.status != 0
    assert b"Read-only file system" in outcome.stderr
    assert list(box.workspace.iterdir()) == []


@in_loop
async def test_without_a_workspace_it_works_in_an_empty_directory(tmp_path: Path) -> None:
    box = Box(tmp_path)
    outcome = await box.sh("ls -A; echo x > made; cat made /run/more", workspace=None, files={"/run/more": b"more"})
    assert outcome.stdout == b"x\nmore"


@in_loop
async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    outcome = await Box(tmp_path).run("no-such-program")
    assert (outcome.status, outcome.stderr) == (127, b"no-such-program: not found in the sandbox\n")


@in_loop
async def test_it_starts_in_the_directory_asked_for(tmp_path: Path) -> None:
    box = Box(tmp_path)
    (box.workspace / "below").mkdir()
    assert (await box.sh("pwd", folder="below")).stdout == b"/workspace/below\n"
    missing = await box.sh("pwd", folder="missing")
    assert missing.status != 0
    assert b"missing" in missing.stderr


@in_loop
async def test_hidden_files_are_there_and_empty(tmp_path: Path) -> None:
    box = Box(tmp_path)
    (box.workspace / ".env").write_text(CANARY)
    (box.workspace / "secrets").mkdir()
    (box.workspace / "secrets" / "key").write_text(CANARY)
    (box.workspace / "plain").write_text("plain")
    outcome = await box.sh(
        "cat .env plain secrets/*; rm -f .env; mv secrets moved; ls secrets; grep -r canary .",
        hides=lambda path: path in {".env", "secrets"},
    )
    assert CANARY.encode() not in outcome.stdout + outcome.stderr
    assert b"plain" in outcome.stdout
    assert (box.workspace / ".env").read_text() == CANARY
    assert (box.workspace / "secrets" / "key").read_text() == CANARY


def test_it_works_in_the_event_loop_of_the_server(tmp_path: Path) -> None:
    async def both() -> None:
        box = Box(tmp_path, limits=Limits(seconds=0.5))
        assert (await box.sh("cat", stdin=b"x" * 300_000)).truncated
        assert (await box.sh("sleep 30")).ended == "time"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(both())


@in_loop
async def test_only_what_is_limited_in_size_can_be_written(tmp_path: Path) -> None:
    """X5: the root, /dev and /etc inside are memory of the machine, and stay as they are."""
    outcome = await Box(tmp_path).sh(
        "for f in / /dev /etc /run /usr /home /mnt; do echo x > $f/made 2>/dev/null && echo $f; done"
    )
    assert outcome.stdout == b""
    limits = Limits()
    sizes = await Box(tmp_path).sh("df -k --output=size /tmp /dev/shm | tail -n 2")
    assert [int(size) for size in sizes.stdout.split()] == [limits.scratch // 1024] * 2


# --- X3 ---


@in_loop
async def test_nothing_of_the_gateway_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """X3: no variable, no descriptor, no process of the gateway, and no way to the metadata service."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    box = Box(tmp_path)
    with box.secret.open() as held:
        os.set_inheritable(held.fileno(), True)
        outcome = await box.sh("env; cat /proc/*/environ; cat /proc/*/cmdline; ls -l /proc/self/fd; ls -d /proc/[0-9]*")
    assert CANARY.encode() not in outcome.stdout
    seen = outcome.stdout.decode(errors="replace")
    assert str(tmp_path) not in seen
    assert "memfd" not in seen
    assert len(re.findall(r"^/proc/[0-9]+$", seen, re.MULTILINE)) < 10
    names = await box.python(
        "import os; print(sorted(os.environ))\nprint([fd for fd in range(256) if os.path.exists(f'/proc/self/fd/{fd}')])"
    )
    variables, descriptors = names.stdout.decode().splitlines()
    assert variables == str(sorted([*ENVIRONMENT, "PWD"]))
    assert descriptors == "[0, 1, 2]"
    first = await box.sh("tr '\\0' '\\n' < /proc/1/environ")
    assert first.stdout == b""
    metadata = await box.python(CONNECT, stdin=b"tcp|169.254.169.254|80")
    assert b"OSError 101" in metadata.stdout  # ENETUNREACH


@root
@in_loop
async def test_a_gateway_that_is_root_is_not_root_inside(tmp_path: Path) -> None:
    """X3: the user of the machine is an unprivileged one, so that no file of the kernel can be written."""
    box = Box(tmp_path)
    await box.sh("touch made")
    assert (box.workspace / "made").stat().st_uid >= 1_900_000_000
    outcome = await box.sh("cat /proc/self/uid_map; id -u; echo x > /proc/sys/kernel/core_pattern")
    assert outcome.stdout.split()[-1] == b"1000"
    assert b"Permission denied" in outcome.stderr


@root
@in_loop
async def test_a_workspace_is_reached_though_its_parents_are_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    outcome = await Box(closed).sh("echo x > made && cat made; cat /mnt/* /proc/self/mountinfo")
    assert outcome.stdout.startswith(b"x\n")


@root
def test_a_gateway_that_is_not_root_runs_commands_too(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from execution_platform.tool_bridge.sandbox import Bubblewrap\n"
        "from execution_platform.tool_bridge.sandbox.self_check import check_sandbox\n"
        "print([f for f in asyncio.run(check_sandbox(Bubblewrap(), folder=Path(sys.argv[1]))) if not f.holds])"
    )
    place = tempfile.mkdtemp()
    try:
        os.chown(place, 4242, 4242)
        source = Path(__file__).parents[3] / "src"
        if not all(folder.stat().st_mode & 0o005 == 0o005 for folder in [source, *source.parents]):
            pytest.skip("this tree cannot be read by another user")
        line = ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups", sys.executable, "-c", script, place]
        ended = subprocess.run(
            line,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={"PYTHONPATH": str(source), "PATH": os.environ["PATH"]},
        )
        if "Permission denied" in ended.stderr:
            pytest.skip("this interpreter cannot be run by another user")
        assert ended.stdout.strip() == "[]", ended.stderr
    finally:
        shutil.rmtree(place)


# --- X5 ---

BOMBS = {
    "fork bomb": (":(){ :|:& };:; wait; sleep 20", Limits(seconds=1.5), {"time", "exit", "cpu", "memory"}),
    "python fork bomb": (
        "python3 -c 'import os\nwhile True:\n try: os.fork()\n except OSError: pass'",
        Limits(seconds=1.5),
        {"time", "cpu", "memory"},
    ),
    "memory of one": ("python3 -c \"'a' * 10**11\"", Limits(), {"exit"}),
    "memory of one by and by": (
        'python3 -c "x = [bytearray(10**7) for _ in range(1000)]"',
        Limits(),
        {"exit", "memory"},
    ),
    "memory of many": (
        "python3 -c 'import os, time; [os.fork() for _ in range(4)]; x = bytearray(10**8); time.sleep(20)'",
        Limits(memory=256 * MIB),
        {"memory"},
    ),
    "shared memory": (
        "python3 -c 'import mmap, time; m = mmap.mmap(-1, 2 * 10**9); m.write(bytes(10**8) * 20); time.sleep(20)'",
        Limits(memory=256 * MIB),
        {"memory", "exit"},
    ),
    "output": ("yes", Limits(), {"output"}),
    "errors": ("yes >&2", Limits(), {"output"}),
    "one file": ("dd if=/dev/zero of=big bs=1M count=10240", Limits(file_size=8 * MIB), {"exit"}),
    "many files": (
        "i=0; while :; do i=$((i+1)); head -c 8000000 /dev/zero > f$i; sleep 0.1; done",
        Limits(workspace=40 * MIB, file_size=16 * MIB),
        {"disk"},
    ),
    "tmp": ("head -c 300000000 /dev/zero > /tmp/big; head -c 300000000 /dev/zero > /dev/shm/big", Limits(), {"exit"}),
    "processor": ("while :; do :; done", Limits(cpu_seconds=1), {"cpu"}),
    "processor of many": ("for i in 1 2 3 4; do while :; do :; done & done; wait", Limits(cpu_seconds=2), {"cpu"}),
    "time": ("sleep 1000", Limits(seconds=0.5), {"time"}),
    "deaf to signals": ("trap '' TERM INT HUP XCPU; while :; do sleep 1; done", Limits(seconds=0.5), {"time"}),
    "daemon": (
        'setsid sh -c "sleep 999; :" "$0" & (setsid sh -c "sleep 999; :" "$0" &) ; sleep 0.2',
        Limits(),
        {"exit"},
    ),
    "stopped": ("kill -STOP $$", Limits(seconds=0.5), {"time"}),
}


@pytest.mark.parametrize("bomb", BOMBS)
@in_loop
async def test_a_bomb_ends_at_its_limit_and_leaves_nothing(bomb: str, tmp_path: Path) -> None:
    """X5: floods of every kind end within the limit and a second; no process and no mount is left."""
    script, limits, ends = BOMBS[bomb]
    mark = f"bomb-{uuid.uuid4().hex}"  # the directory's name is that of another worker's too
    before = mounts()
    started = time.monotonic()
    outcome = await Box(tmp_path, limits=limits).run("bash", "-c", script, mark)
    taken = time.monotonic() - started
    assert outcome.ended in ends
    assert taken < limits.seconds + 2
    assert len(outcome.stdout) <= limits.output + 100
    assert running(mark) == []
    assert mounts() == before
    written = sum(path.stat().st_size for path in (tmp_path / "workspace").iterdir())
    assert written < 2 * limits.workspace


@in_loop
async def test_the_reason_and_the_output_up_to_it_are_kept(tmp_path: Path) -> None:
    outcome = await Box(tmp_path, limits=Limits(seconds=0.5)).sh("echo before; sleep 100; echo after")
    assert (outcome.ended, outcome.status, outcome.stdout) == ("time", None, b"before\n")


@in_loop
async def test_long_output_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    outcome = await Box(tmp_path, limits=Limits(output=1000)).sh("seq 100000")
    assert outcome.succeeded
    assert outcome.truncated
    assert outcome.stdout.startswith(b"1\n2\n")
    assert outcome.stdout.endswith(b"99999\n100000\n")
    assert b"bytes left out" in outcome.stdout


@in_loop
async def test_a_cancelled_command_is_gone(tmp_path: Path) -> None:
    """X5: whoever gives up waiting leaves nothing running."""
    box = Box(tmp_path)
    waiting = asyncio.create_task(box.sh("touch started; setsid sleep 999.25 & sleep 999.25"))
    async with asyncio.timeout(5):
        while not (box.workspace / "started").exists():
            await asyncio.sleep(0.01)
    assert running("999.25") != []
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert running("999.25") == []


@pytest.mark.parametrize("moment", range(0, 30, 3))
@in_loop
async def test_a_command_cancelled_while_it_starts_is_gone(moment: int, tmp_path: Path) -> None:
    """X5: the same at every moment of the start."""
    box = Box(tmp_path)
    mark = f"999.3{moment:02}"
    waiting = asyncio.create_task(box.run("sleep", mark))
    await asyncio.sleep(moment / 1000)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert running(mark) == []


@in_loop
async def test_fifty_commands_at_once_run_a_few_at_a_time(tmp_path: Path) -> None:
    box = Box(tmp_path, concurrency=4)
    script = "mkdir at-$$.$1; ls -d at-* | wc -l; sleep 0.02; rmdir at-$$.$1"
    outcomes = await asyncio.gather(*(box.run("sh", "-c", script, "sh", str(number)) for number in range(50)))
    assert all(outcome.succeeded for outcome in outcomes)
    assert max(int(outcome.stdout) for outcome in outcomes) <= 4


@in_loop
async def test_who_waits_for_a_place_in_vain_is_told(tmp_path: Path) -> None:
    box = Box(tmp_path, concurrency=1)
    first = asyncio.create_task(box.sh("touch started; sleep 5", limits=Limits(seconds=5)))
    async with asyncio.timeout(5):
        while not (box.workspace / "started").exists():
            await asyncio.sleep(0.01)
    with pytest.raises(ToolTimeout, match="too many commands"):
        await box.sh("true", limits=Limits(seconds=0.1))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await box.sh("echo free")).stdout == b"free\n"


@in_loop
async def test_no_descriptor_of_the_gateway_is_left_open(tmp_path: Path) -> None:
    box = Box(tmp_path, limits=Limits(seconds=0.3))
    await box.sh("true")
    before = open_descriptors()
    for script in ("true", "sleep 9", "yes", "exit 4", "setsid sleep 9 &"):
        await box.sh(script)
    assert open_descriptors() == before


# --- X6 ---


@in_loop
async def test_no_address_is_reached_from_inside(tmp_path: Path) -> None:
    """X6: twelve kinds of targets, listeners of this machine among them; none of them sees a connection."""
    seen: list[str] = []

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("connection")
        writer.close()

    abstract = f"ep-canary-{os.getpid()}"
    path = tmp_path / "admin.sock"
    tcp = await asyncio.start_server(note, "127.0.0.1", 0)
    v6 = await asyncio.start_server(note, "::1", 0)
    unix = await asyncio.start_unix_server(note, path)
    hidden = await asyncio.start_unix_server(note, "\0" + abstract)
    targets = [
        f"tcp|127.0.0.1|{tcp.sockets[0].getsockname()[1]}",
        f"tcp6|::1|{v6.sockets[0].getsockname()[1]}",
        f"unix|@{abstract}|0",
        f"unix|{path}|0",
        "unix|/var/run/docker.sock|0",
        "unix|/run/dbus/system_bus_socket|0",
        "tcp|169.254.169.254|80",
        "tcp|10.0.0.1|80",
        "tcp|93.184.216.34|443",
        "udp|8.8.8.8|53",
        "udp|127.0.0.53|53",
        "tcp|0.0.0.0|6379",
        "raw|127.0.0.1|0",
        "packet|lo|0",
        "vsock|2|1024",
    ]
    try:
        outcome = await Box(tmp_path).python(CONNECT, stdin="\n".join(targets).encode())
    finally:
        for server in (tcp, v6, unix, hidden):
            server.close()
    lines = outcome.stdout.decode().splitlines()
    assert len(lines) == len(targets) >= 12
    assert [line for line in lines if line.startswith("REACHED")] == []
    assert seen == []


# --- X9 ---


@in_loop
async def test_nothing_is_left_for_the_next_tenant(tmp_path: Path) -> None:
    """X9: what one leaves in /tmp, /dev/shm, /run or its workspace is not there for another."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a, b = Box(tmp_path / "a", tenant="a"), Box(tmp_path / "b", tenant="b")
    places = "/workspace/left /tmp/left /dev/shm/left /var/tmp/left /run/left"
    await a.sh(f"for f in {places}; do echo {CANARY} > $f; done 2>/dev/null; ipcmk -M 100 -Q 2>/dev/null")
    assert (a.workspace / "left").exists()
    outcome = await b.sh(f"cat {places}; ls -RA /tmp /dev/shm /var /run /workspace /mnt /home; ipcs")
    assert CANARY.encode() not in outcome.stdout
    assert b"left" not in outcome.stdout


@root
@in_loop
async def test_tenants_are_different_users_of_the_machine(tmp_path: Path) -> None:
    """X9: a workspace of one tenant is refused to another, whoever mixed them up."""
    box = Box(tmp_path, tenant="a")
    await box.sh("touch made")
    owner = (box.workspace / "made").stat().st_uid
    with pytest.raises(ToolError, match="another tenant"):
        await box.sh("ls", tenant="b")
    (tmp_path / "other").mkdir()
    other = Box(tmp_path / "other", tenant="b")
    await other.sh("touch made")
    assert (other.workspace / "made").stat().st_uid != owner


# --- X2 ---


def test_without_bubblewrap_there_is_no_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """X2: off PATH, it says what is missing and how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match=r"bwrap.*not found.*apt-get install bubblewrap"):
        Bubblewrap()


def test_other_machines_have_no_filter_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        Bubblewrap()


@in_loop
async def test_a_starter_that_fails_is_no_result(tmp_path: Path) -> None:
    """X2: a sandbox that does not come up is never taken for a command that failed."""
    broken = dataclasses.replace(find_programs(), bwrap="/bin/false")
    sandbox = Bubblewrap(programs=broken)
    with pytest.raises(SandboxUnavailable, match="did not start"):
        await sandbox.run(Command(argv=["true"], workspace=tmp_path))


@in_loop
async def test_a_workspace_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="workspace"):
        await Bubblewrap().run(Command(argv=["true"], workspace=tmp_path / "gone"))


@pytest.fixture
def toolchain() -> Iterator[Path]:
    """A directory that every user can read, with a program in it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        folder = Path(place)
        folder.chmod(0o755)
        (folder / "tool").write_text("#!/bin/sh\necho ran")
        (folder / "tool").chmod(0o755)
        yield folder


@in_loop
async def test_directories_of_tools_can_be_shown(toolchain: Path, tmp_path: Path) -> None:
    sandbox = Bubblewrap(visible=[str(toolchain)])
    outcome = await sandbox.run(Command(argv=[f"{toolchain}/tool"], workspace=tmp_path))
    assert outcome.stdout == b"ran\n"
    written = await sandbox.run(Command(argv=["touch", f"{toolchain}/made"], workspace=tmp_path))
    assert not written.succeeded
