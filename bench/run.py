"""The performance table: `make bench`, or `bench/run.py [--seconds 2] [--only unary,stream] [--peer NAME=COMMAND]`.

Everything runs on loopback with one worker. What counts is CPU time of the gateway's processes per request, because elapsed
time on a shared machine is noise; the bare proxy runs in the same table as the yardstick, and peers beside both. Targets are
for the machine they were set on; a second table has them in proportion to this one (`proportion.py`). A peer's command is started with `{port}` and `{upstream}` filled in and must serve `POST /v1/chat/completions` for `gpt-4o-mini`.
"""

import argparse
import compileall
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import attempts
import bodies
import books
import load
import proportion
import uvloop
from processes import Server, free_port
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
PYTHON = sys.executable
CHAT = "/v1/chat/completions"
GATEWAY, BARE, UPSTREAM = "gateway", "bare proxy", "upstream"
STREAMS = 1000
STREAM_DELAY = 0.1
"""Seconds between two frames; a stream takes 5.5 of them, and all are open at once after the ramp."""
RAMP = 2.0
ROUNDS = 7


@dataclass
class Row:
    """One line of the table: a measure of every server that has it."""

    key: str
    title: str
    unit: str
    target: str = ""
    values: dict[str, float] = field(default_factory=dict[str, float])
    notes: list[str] = field(default_factory=list[str])

    def ratio(self) -> float | None:
        """The gateway's figure in terms of the yardstick's."""
        ours, bare = self.values.get(GATEWAY), self.values.get(BARE)
        return ours / bare if ours and bare else None


@dataclass
class Bench:
    """The servers of a run and the rows so far."""

    seconds: float
    upstream: Server
    slow: Server
    gateway: Server | None
    gateway_slow: Server | None
    others: list[Server]
    rows: list[Row] = field(default_factory=list[Row])
    failures: list[str] = field(default_factory=list[str])

    def row(self, key: str, title: str, unit: str, target: str = "") -> Row:
        """A new row."""
        self.rows.append(Row(key, title, unit, target))
        return self.rows[-1]

    def model(self, server: Server, *, translated: bool = False) -> str:
        """What a request to `server` names as its model."""
        if server is not self.gateway and server is not self.gateway_slow:
            return "gpt-4o-mini"
        return "persona/bench_anthropic" if translated else "persona/bench"

    def cpu(self, row: Row, bodies_of: Sequence[tuple[Server, bytes]], *, connections: int = 32) -> None:
        """Fill a row with CPU time per request: the round with the median ratio of those in which the servers take turns.

        The machine becomes another one within a minute, so that only figures of one round can be compared; a bad moment
        decides nothing.
        """
        rounds: list[dict[str, float]] = []
        for _ in range(ROUNDS):
            rounds.append({})
            for server, body in bodies_of:
                cost = load.cpu_per_request(server, CHAT, body, seconds=self.seconds, connections=connections)
                rounds[-1][server.name] = cost.microseconds
                if cost.errors or not cost.requests:
                    self.failures.append(
                        f"{row.title}, {server.name}: {cost.errors} of {cost.requests} requests failed"
                    )
        rounds.sort(key=lambda costs: costs.get(GATEWAY, 0.0) / (costs.get(BARE) or 1.0))
        row.values.update(rounds[ROUNDS // 2])

    def all(self) -> list[Server]:
        """With the upstream itself, for scale."""
        return [self.upstream, *self.served()]

    def served(self) -> list[Server]:
        """The gateway and what it is compared with."""
        return [*self.others, *([self.gateway] if self.gateway else [])]


def unary(bench: Bench) -> None:
    """A 1 KB request answered whole."""
    row = bench.row("unary", proportion.UNARY, "us CPU", "<= 150, stretch 110")
    bench.cpu(row, [(each, bodies.small(bench.model(each), stream=False)) for each in bench.all()])


def stream(bench: Bench) -> None:
    """A 1 KB request answered in 53 frames."""
    row = bench.row("stream", proportion.STREAM, "us CPU", "<= 300, stretch 250")
    bench.cpu(row, [(each, bodies.small(bench.model(each), stream=True)) for each in bench.all()])


def translated(bench: Bench) -> None:
    """An OpenAI client's stream from an Anthropic upstream."""
    row = bench.row("translated", "stream, OpenAI client, Anthropic upstream", "us CPU", "<= 600, stretch 400")
    if bench.gateway:
        bench.cpu(row, [(bench.gateway, bodies.small(bench.model(bench.gateway, translated=True), stream=True))])


def large(bench: Bench) -> None:
    """An agent's request of 487 KB."""
    bench.row("large", proportion.JSON, "us CPU").values[BARE] = proportion.json_microseconds()
    same = bench.row("large", "487 KB request, same dialect", "us CPU")
    bench.cpu(same, [(each, bodies.large(bench.model(each))) for each in bench.all()], connections=4)
    across = bench.row("large", "487 KB request, translated", "us CPU")
    added = bench.row("large", "487 KB request, same dialect, added p50", "ms", "<= 1")
    added_across = bench.row("large", "487 KB request, translated, added p50", "ms", "<= 5")
    for server in bench.served():
        _added(bench, added, server, bodies.large(bench.model(server)), calls=100)
    if bench.gateway:
        body = bodies.large(bench.model(bench.gateway, translated=True))
        bench.cpu(across, [(bench.gateway, body)], connections=4)
        _added(bench, added_across, bench.gateway, body, calls=100)


def _added(bench: Bench, row: Row, server: Server, body: bytes, *, calls: int) -> None:
    latency = load.added_latency(server, bench.upstream, CHAT, body, bodies.large("gpt-4o-mini"), calls=calls)
    row.values[server.name] = latency.added_p50


def latency(bench: Bench) -> None:
    """What a call over one connection takes longer than a direct one."""
    median = bench.row("latency", "added latency, 1 connection, p50", "ms", "<= 0.5")
    tail = bench.row("latency", "added latency, 1 connection, p99", "ms", "<= 2")
    for server in bench.served():
        body = bodies.small(bench.model(server), stream=False)
        direct = bodies.small("gpt-4o-mini", stream=False)
        measured = load.added_latency(server, bench.upstream, CHAT, body, direct, calls=1500)
        median.values[server.name], tail.values[server.name] = measured.added_p50, measured.added_p99


def crowd(bench: Bench) -> None:
    """A thousand streams at once on one worker."""
    errors = bench.row("crowd", f"{STREAMS:,} streams at once, errors", "", "0")
    memory = bench.row("crowd", f"{STREAMS:,} streams at once, memory", "MB", "<= 150")
    first = bench.row("crowd", f"{STREAMS:,} streams at once, first frame p99", "ms")
    for server in [bench.slow, *([bench.gateway_slow] if bench.gateway_slow else [])]:
        body = bodies.small(bench.model(server), stream=True)
        result = uvloop.run(load.crowd(server, CHAT, body, streams=STREAMS, within=RAMP))
        name = GATEWAY if server is bench.gateway_slow else UPSTREAM
        errors.values[name], memory.values[name] = result.errors, result.peak_bytes / 1e6
        first.values[name] = result.first_p99_ms
        if result.errors:
            bench.failures.append(f"{errors.title}, {name}: {result.reasons}")


def memory(bench: Bench) -> None:
    """Memory after the start, once every part was used, and after many requests."""
    before = bench.row("memory", "memory after start", "MB", "<= 90")
    warm = bench.row("memory", "memory once everything was used", "MB")
    after = bench.row("memory", "memory after 100,000 requests", "MB", "+ < 5 %")
    for server in bench.served():
        before.values[server.name] = server.started_bytes / 1e6
    for server in bench.served():
        body = bodies.small(bench.model(server), stream=False)
        load.cpu_per_request(server, CHAT, body, seconds=1)
        warm.values[server.name] = server.resident_bytes() / 1e6
        done = 0
        while done < 100_000:
            cost = load.cpu_per_request(server, CHAT, body, seconds=max(bench.seconds, 5))
            done += cost.requests
            if cost.errors or cost.requests < 500:
                bench.failures.append(f"{after.title}, {server.name}: {cost.errors} of {cost.requests} requests failed")
                break
        after.values[server.name] = server.resident_bytes() / 1e6
        after.notes.append(f"{server.name} after {done:,}")


def start(bench: Bench) -> None:
    """Seconds to import and to serve."""
    code = "import time; t = time.perf_counter(); import execution_platform.router, execution_platform.spi; print(time.perf_counter() - t)"
    runs = [subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False) for _ in range(5)]
    imports = bench.row("start", "import of router and spi", "ms", "<= 150")
    bare = [PYTHON, "-c", code.replace("execution_platform.router, execution_platform.spi", "execution_platform")]
    package = bench.row("start", "import of the package", "ms", "<= 150")
    if all(run.returncode == 0 for run in runs):
        imports.values[GATEWAY] = min(float(run.stdout) for run in runs) * 1000
    package.values[GATEWAY] = min(float(subprocess.check_output(bare)) for _ in range(5)) * 1000
    ready = bench.row("start", "start until the first answer", "s", "<= 1.5")
    for server in bench.served():
        ready.values[server.name] = server.ready_seconds


def machinery(bench: Bench) -> None:
    """What retries, breakers and bulkheads add to a request that nothing happens to."""
    for count in (1, 3):
        row = bench.row("resilience", f"retries, breaker, bulkhead; targets: {count}", "us CPU", "<= 15")
        row.values[GATEWAY] = attempts.added_microseconds(count)


def money(bench: Bench) -> None:
    """What reserving, journalling, pricing, charging and storing add to a request."""
    costs = {count: books.cost(count) for count in (0, 1, 3)}
    for count, found in costs.items():
        bench.row("money", f"money side; budgets: {count}", "us CPU", "<= 25").values[GATEWAY] = found.money
    bench.row("money", "request log", "us CPU").values[GATEWAY] = min(found.log for found in costs.values())


MEASURES: dict[str, Callable[[Bench], None]] = {
    "start": start,
    "unary": unary,
    "stream": stream,
    "translated": translated,
    "large": large,
    "latency": latency,
    "crowd": crowd,
    "memory": memory,
    "resilience": machinery,
    "money": money,
}


def _gateway(name: str, upstream: Server, directory: Path) -> Server:
    port = free_port()
    config = directory / f"platform-{port}.yaml"
    config.write_text((HERE / "platform.yaml").read_text().replace("http://upstream.invalid", upstream.url))
    command = [str(Path(PYTHON).with_name("ep")), "serve", "--config", str(config), "--port", str(port)]
    # Books of its own, empty: not those of whoever works in this directory.
    workspace = directory / f"workspace-{port}"
    workspace.mkdir()
    return Server(name, command, port, {"EP_WORKSPACE_ROOT": str(workspace)})


def _peer(given: str, upstream: Server) -> Server:
    name, _, command = given.partition("=")
    port = free_port()
    filled = command.replace("{port}", str(port)).replace("{upstream}", upstream.url)
    return Server(name, shlex.split(filled), port)


def _upstream(name: str, delay: float) -> Server:
    port = free_port()
    return Server(name, [PYTHON, str(HERE / "upstreams.py"), str(port), "--delay", str(delay)], port)


def measure(arguments: argparse.Namespace, console: Console) -> Bench:
    """Start the servers, take the measures, end the servers."""
    chosen = arguments.only.split(",") if arguments.only else list(MEASURES)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        upstream = stack.enter_context(_upstream(UPSTREAM, 0.0))
        slow = stack.enter_context(_upstream("slow upstream", STREAM_DELAY))
        proxy_port = free_port()
        proxy = Server(BARE, [PYTHON, str(HERE / "bare_proxy.py"), str(proxy_port), upstream.url], proxy_port)
        others = [stack.enter_context(proxy)]
        others += [stack.enter_context(_peer(given, upstream)) for given in arguments.peer]
        gateway = gateway_slow = None
        if not arguments.without_gateway:
            gateway = stack.enter_context(_gateway(GATEWAY, upstream, directory))
            gateway_slow = (
                stack.enter_context(_gateway(f"{GATEWAY} for streams", slow, directory)) if "crowd" in chosen else None
            )
        bench = Bench(arguments.seconds, upstream, slow, gateway, gateway_slow, others)
        for key in chosen:
            console.print(f"[dim]measuring {key}[/dim]")
            MEASURES[key](bench)
    return bench


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _lines(bench: Bench) -> tuple[list[str], list[list[str]]]:
    names = list(dict.fromkeys([UPSTREAM, *(server.name for server in bench.others), GATEWAY]))
    lines = [
        [row.title, row.unit, *(_figure(row.values.get(name)) for name in names), _figure(row.ratio()), row.target]
        for row in bench.rows
    ]
    return ["", "unit", *names, "ratio", "target"], lines


def _in_proportion(bench: Bench) -> tuple[list[str], list[list[str]]]:
    ours, bare = ({r.title: r.values[name] for r in bench.rows if name in r.values} for name in (GATEWAY, BARE))
    units = {row.title: row.unit for row in bench.rows}
    lines = [
        [
            line.aim.row,
            units[line.aim.row],
            *(_figure(value) for value in (line.aim.target, line.slower, line.target, line.measured)),
            "met" if line.is_met else "missed",
        ]
        for line in proportion.lines(ours, bare)
    ]
    return ["", "unit", "target there", "slower here by", "target here", "gateway", ""], lines


def _markdown(bench: Bench) -> str:
    tables = [[head, ["---"] * len(head), *lines] for head, lines in (_lines(bench), _in_proportion(bench)) if lines]
    return "\n".join("".join("| " + " | ".join(line) + " |\n" for line in table) for table in tables)


def _table(title: str, head: list[str], lines: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number in {0, 1, len(head) - 1} else "right")
    for line in lines:
        table.add_row(*line)
    return table


def _print(bench: Bench, console: Console) -> None:
    console.print(_table("CPU time, latency and memory; ratio is gateway to bare proxy", *_lines(bench)))
    head, lines = _in_proportion(bench)
    if lines:
        console.print(_table("The targets in proportion to the machine they were set on", head, lines))
    for row in bench.rows:
        for note in row.notes:
            console.print(f"[dim]{row.title}: {note}[/dim]")
    for failure in bench.failures:
        console.print(f"[red]{failure}[/red]")


def main() -> int:
    """Read the command line, measure and print; 1 when requests failed."""
    parser = argparse.ArgumentParser(description="Print the performance table.")
    parser.add_argument("--seconds", type=float, default=2.0, help=f"load for each figure of CPU time, {ROUNDS} times")
    parser.add_argument("--only", default="", help=f"some of {','.join(MEASURES)}")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=COMMAND", help="another gateway; may be repeated"
    )
    parser.add_argument("--without-gateway", action="store_true", help="measure the yardstick and the peers only")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table as Markdown")
    arguments = parser.parse_args()
    unknown = set(filter(None, arguments.only.split(","))) - set(MEASURES)
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))} is not one of {', '.join(MEASURES)}")
    console = Console(stderr=arguments.json, width=None if sys.stdout.isatty() else 160)
    # As an installer leaves it: what starts here is no compiler.
    compileall.compile_dir(HERE.parent / "src", quiet=1)
    bench = measure(arguments, console)
    if arguments.json:
        rows = [{"key": r.key, "title": r.title, "unit": r.unit, "target": r.target, **r.values} for r in bench.rows]
        sys.stdout.write(json.dumps({"rows": rows, "failures": bench.failures}, indent=2) + "\n")
    else:
        _print(bench, console)
    if arguments.markdown:
        arguments.markdown.write_text(_markdown(bench))
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
