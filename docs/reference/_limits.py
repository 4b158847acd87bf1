"""The defaults that bound what one process takes and how long things last, read from the code that applies them."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

from _tables import table

from execution_platform import _json
from execution_platform.config.values import DrainLimits, LedgerConfig, Limits, Retry
from execution_platform.config.yaml import MAX_YAML_BYTES
from execution_platform.gateway import pulse, versions
from execution_platform.identity import directory
from execution_platform.ledger import journal
from execution_platform.limits import failures
from execution_platform.resilience import breaker, budget, cooldown
from execution_platform.runtime import books, shadow, stash
from execution_platform.transport import resolver, wire
from execution_platform.transport.timeouts import Timeouts

_MIB = 1024 * 1024
Row = tuple[str, str, str]


def _size(count: int) -> str:
    return f"{count // _MIB} MiB" if count >= _MIB else f"{count // 1024} KiB"


def _calls() -> Iterator[Row]:
    times, limits, retry = Timeouts(), Limits(), Retry()
    yield "connect to a provider", f"{times.connect:g} s", "`timeouts.connect`"
    yield (
        "first content of a stream, while another target is left; the last target is not cut",
        f"{times.first_token:g} s",
        "`timeouts.first_token`",
    )
    yield "silence within an answer", f"{times.idle:g} s", "`timeouts.idle`"
    yield "whole answer of a provider", f"{times.total:g} s", "`timeouts.total`"
    yield "head of a stream is held back, then sent with a sign of life", f"{pulse.HEARTBEAT_SECONDS:g} s", ""
    yield "sign of life in a silent stream, every", f"{pulse.HEARTBEAT_SECONDS:g} s", ""
    yield "tries of a request over all targets", f"{limits.attempts}", "`limits.attempts`"
    yield "tries at one target", f"{retry.max_attempts}", "`retry.max_attempts`"
    yield (
        "pause before a repetition: first, longest",
        f"{retry.base_seconds:g} s, {retry.max_seconds:g} s",
        "`retry.base_seconds`, `retry.max_seconds`",
    )
    yield (
        "repetitions of one tenant at one upstream, of its requests of the last 10 s; at least",
        f"{budget._SHARE:.0%}; {budget._FLOOR} a second",
        "",
    )
    yield "longest wait a provider can ask for", f"{cooldown.LONGEST / 60:g} min", ""
    yield "window of the breaker", f"{breaker._WINDOW:g} s", ""
    yield "shortest time a breaker is open", f"{breaker._SHORTEST_OPEN:g} s", ""
    yield "an address that cannot be resolved any more is used for", f"{resolver.STALE_SECONDS / 60:g} min", ""


def _process() -> Iterator[Row]:
    limits, drain = Limits(), DrainLimits()
    yield "requests under way", f"{limits.in_flight:,}", "`limits.in_flight`"
    yield "streams among them", f"{limits.streams:,}", "`limits.streams`"
    yield "delay of the event loop from which fewer are admitted", f"{limits.lag_seconds:g} s", "`limits.lag_seconds`"
    yield "request body", _size(limits.body), "`limits.body`"
    yield "depth of JSON", f"{limits.depth}", "`limits.depth`"
    yield "block of headers", _size(limits.header_block), "`limits.header_block`"
    yield "request target", _size(limits.url_length), "`limits.url_length`"
    yield "head of a request", f"{limits.head_seconds:g} s", "`limits.head_seconds`"
    yield "body of a request", f"{limits.body_seconds:g} s", "`limits.body_seconds`"
    yield "client that reads nothing", f"{limits.write_seconds:g} s", "`limits.write_seconds`"
    yield "idle connection", f"{limits.idle_seconds:g} s", "`limits.idle_seconds`"
    yield "failed authentications of one address, in a minute", f"{failures.PER_MINUTE}", ""
    yield (
        "drain: accept, put down, end, after a second signal",
        f"{drain.accept_seconds:g}, {drain.soft_seconds:g}, {drain.hard_seconds:g}, {drain.fast_seconds:g} s",
        "`drain.*`",
    )
    yield "whole answer of a provider, in memory", _size(256 * _MIB), ""
    yield "headers of an answer", f"{wire._MOST_HEADERS}, each of {_size(wire._LONGEST_LINE)}", ""
    yield "copies to shadow targets, and bytes of them", f"{shadow._MOST}, {_size(shadow._MOST_BYTES)}", ""
    yield "signatures remembered for other dialects", f"{stash._MOST:,}", ""
    yield "configuration file", _size(MAX_YAML_BYTES), ""
    yield "versions of the configuration kept", f"{versions.KEPT}", ""


def _kept() -> Iterator[Row]:
    ledger = LedgerConfig()
    yield "journal of a worker while the database is away", _size(ledger.journal_cap), "`ledger.journal_cap`"
    yield "reserve for streams that run when the disk is full", _size(journal.RESERVE_BYTES), ""
    yield (
        "checkpoint of a running stream, every",
        f"{books.CHECKPOINT_SECONDS:g} s or {books.CHECKPOINT_TOKENS} tokens",
        "",
    )
    yield "days of the request log", f"{ledger.request_days}", "`ledger.request_days`"
    yield "changed or revoked keys are known everywhere within", f"{directory.POLL_SECONDS * 2:g} s", ""
    yield "known keys go on working without the database for", f"{directory.STALE_SECONDS / 60:g} min", ""


_GROUPS = {"calls": _calls, "process": _process, "kept": _kept}


def measured() -> str:
    """What `make load` found, beside what is promised."""
    rows = _json.loads((Path(__file__).parent / "_measured.json").read_bytes())
    found = cast("list[tuple[str, str, str, str, bool, str]]", rows)
    marks = {True: "ok", False: "**not kept**"}
    return table(
        ("promise", "measured", "result", "promised", "", "taken away"),
        ((promise, what, got, wanted, marks[kept], taken) for promise, what, got, wanted, kept, taken in found),
    )


def defaults(group: str) -> str:
    """The rows of a group: what is bounded, by how much, and the key of the file that changes it."""
    return table(("what", "default", "set by"), _GROUPS[group]())
