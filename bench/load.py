"""Load and its measure: wrk for CPU time per request, plain sockets for latency, asyncio for many streams at once."""

import asyncio
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from processes import Server

KEY = "ep-bench-key"
_SCRIPT = Path(__file__).with_name("post.lua")
_REQUESTS = re.compile(r"(\d+) requests in")
_REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_BROKEN = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


@dataclass
class Cost:
    """CPU microseconds per request, how many there were, and how many failed."""

    microseconds: float
    requests: int
    errors: int
    per_second: float


def cpu_per_request(server: Server, path: str, body: bytes, *, seconds: float, connections: int = 32) -> Cost:
    """Load one path with wrk and read the CPU time of the server's processes before and after."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        _wrk(server.url + path, file.name, connections, 1)
        before = server.cpu_microseconds()
        started = time.perf_counter()
        output = _wrk(server.url + path, file.name, connections, max(1, round(seconds)))
        elapsed = time.perf_counter() - started
        spent = server.cpu_microseconds() - before
    found = _REQUESTS.search(output)
    requests = int(found.group(1)) if found else 0
    refused = _REFUSED.search(output)
    broken = _BROKEN.search(output)
    errors = (int(refused.group(1)) if refused else 0) + (sum(map(int, broken.groups())) if broken else 0)
    return Cost(spent / max(requests, 1), requests, errors, requests / elapsed)


def _wrk(url: str, body_file: str, connections: int, seconds: int) -> str:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(_SCRIPT), url]
    env = {**os.environ, "EP_BENCH_BODY": body_file, "EP_BENCH_KEY": KEY}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=seconds + 60, check=True)
    return done.stdout


def request(path: str, body: bytes) -> bytes:
    """The bytes of one POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nauthorization: Bearer {KEY}\r\n"
    )
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Latency:
    """Milliseconds a gateway adds to a call made directly, over one connection each."""

    added_p50: float
    added_p99: float
    direct_p50: float


def added_latency(server: Server, direct: Server, path: str, body: bytes, direct_body: bytes, *, calls: int) -> Latency:
    """Call both in turns, so that whatever else the machine does befalls both."""
    times: dict[str, list[float]] = {server.name: [], direct.name: []}
    with (
        socket.create_connection(("127.0.0.1", server.port), 30) as one,
        socket.create_connection(("127.0.0.1", direct.port), 30) as other,
    ):
        turns = ((server.name, one, request(path, body)), (direct.name, other, request(path, direct_body)))
        for connection in (one, other):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(calls + 20):
            for name, connection, data in turns:
                started = time.perf_counter()
                connection.sendall(data)
                _receive(connection)
                if number >= 20:
                    times[name].append((time.perf_counter() - started) * 1000)
    ours, theirs = sorted(times[server.name]), sorted(times[direct.name])
    direct_p50 = statistics.median(theirs)
    return Latency(
        statistics.median(ours) - direct_p50, _percentile(ours, 0.99) - _percentile(theirs, 0.99), direct_p50
    )


def _receive(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            raise ConnectionError("the server closed the connection")
        data += received
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    if b" 200" not in lines[0]:
        raise RuntimeError(f"the server answered {lines[0].decode()}: {rest[:300].decode(errors='replace')}")
    missing = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")) - len(rest)
    while missing > 0:
        missing -= len(connection.recv(65536))


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


@dataclass
class Crowd:
    """What many streams at once came to."""

    streams: int
    errors: int = 0
    peak_bytes: int = 0
    first_p50_ms: float = 0.0
    first_p99_ms: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict[str, int])


async def crowd(server: Server, path: str, body: bytes, *, streams: int, within: float) -> Crowd:
    """Open `streams` connections within so many seconds, one stream each, and read all to their ends."""
    result = Crowd(streams)
    firsts: list[float] = []
    data = request(path, body)

    async def one(number: int) -> None:
        await asyncio.sleep(within * number / streams)
        try:
            async with asyncio.timeout(60):
                firsts.append(await _stream(server.port, data))
        except (OSError, RuntimeError, TimeoutError, asyncio.IncompleteReadError) as error:
            result.errors += 1
            reason = f"{type(error).__name__}: {error}"[:120]
            result.reasons[reason] = result.reasons.get(reason, 0) + 1

    running = asyncio.gather(*(one(number) for number in range(streams)))
    while not running.done():
        result.peak_bytes = max(result.peak_bytes, server.resident_bytes())
        await asyncio.wait([running], timeout=0.2)
    await running
    firsts.sort()
    result.first_p50_ms, result.first_p99_ms = _percentile(firsts, 0.5), _percentile(firsts, 0.99)
    return result


async def _stream(port: int, data: bytes) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        started = time.perf_counter()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200" not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(head.split(b"\r\n", 1)[0].decode())
        first = 0.0
        tail = b""
        while b"0\r\n\r\n" not in tail[-5:]:
            received = await reader.read(65536)
            if not received:
                raise RuntimeError("the stream was cut")
            first = first or (time.perf_counter() - started) * 1000
            tail = (tail + received)[-64:]
        if b"[DONE]" not in tail:
            raise RuntimeError("the stream ended without its end")
        return first
    finally:
        writer.close()
