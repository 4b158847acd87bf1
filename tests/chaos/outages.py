"""An upstream that fails before its first content: with another target the client sees one clean answer, without one the real status."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.scenario import DIALECTS, LIFECYCLE, Expect, Link, Scenario
from execution_platform.testing import (
    Cut,
    CutHeaders,
    Inject,
    NoAnswer,
    Raw,
    RawSocket,
    Script,
    Stall,
    Status,
    StreamError,
)
from execution_platform.testing.proxy_faults import Delay, NeverEnding, Stop

SECOND = Link(kind="anthropic")
HASTE = {"timeouts": {"connect": 1, "first_token": 1, "idle": 1, "total": 1.5}}
"""A whole answer is held to the total limit alone."""


@dataclass(frozen=True)
class Outage:
    """A way to fail before the first content."""

    id: str
    title: str
    link: Link
    alone: tuple[int, ...]
    """The status where no other target is left."""
    promises: str = "R3"
    within: float | None = 2.0
    short: bool = False
    expect: dict[str, Any] = field(default_factory=dict)


def _says(*faults: Any, **more: Any) -> Link:
    return Link(says=(Script(faults=faults),), **more)


OUTAGES: Sequence[Outage] = (
    Outage("refused", "connection refused", Link(listen="refuse"), (502,), short=True),
    Outage("reset", "accepted and reset", Link(listen="reset"), (502,)),
    Outage("dropped", "SYN dropped", Link(listen="drop"), (504,), within=5.0, short=True),
    Outage("never_read", "accepted, nothing read", Link(listen="silent", settings=HASTE), (504,), within=4.5),
    Outage("tls_expired", "TLS: expired certificate", Link(tls="expired"), (502,), "R3 R28"),
    Outage("tls_name", "TLS: certificate of another name", Link(tls="wrong_name"), (502,), "R3 R28"),
    Outage("tls_unknown", "TLS: unknown authority", Link(tls="unknown"), (502,), "R3 R28", short=True),
    Outage("500", "status 500", Link(says=(Script(Status(500)),)), (502,), "R3"),
    Outage("503", "status 503", Link(says=(Script(Status(503)),)), (503,), "R3"),
    Outage("529", "status 529, overloaded", Link(says=(Script(Status(529)),)), (503,), "R3"),
    Outage("closed", "request taken, connection closed", _says(NoAnswer("fin")), (502,)),
    Outage("answer_reset", "request taken, connection reset", _says(NoAnswer("rst")), (502,)),
    Outage(
        "silent", "request taken, silence", _says(NoAnswer("silence"), settings=HASTE), (504,), within=4.5, short=True
    ),
    Outage(
        "swallowed",
        "request lost on its way, silence",
        Link(proxy=[[Stop(goes="silence", swallow=True)]], settings=HASTE),
        (504,),
        within=4.5,
    ),
    Outage(
        "head_then_silence",
        "200 and a head, then silence",
        Link(proxy=[[Stop(after_bytes=120, goes="silence")]], settings=HASTE),
        (504,),
        within=4.5,
    ),
    Outage("head_cut", "cut inside the head", _says(CutHeaders()), (502,)),
    Outage(
        "garbage", "bytes that are no HTTP", Link(says=(Script(RawSocket(b"\x16\x03\x01 nonsense\r\n\r\n")),)), (502,)
    ),
    Outage(
        "html_200",
        "a page in HTML with 200",
        Link(says=(Script(Raw(b"<html><body>Sign in</body></html>", content_type="text/html")),)),
        (502,),
        short=True,
    ),
    Outage(
        "html_502",
        "a page in HTML with 502",
        Link(says=(Script(Raw(b"<html><h1>Bad gateway</h1></html>", status=502, content_type="text/html")),)),
        (502,),
    ),
    Outage("redirect", "a redirect, which is not followed", Link(says=(Script(Raw(b"", status=302)),)), (502,)),
    Outage("empty_200", "200 and no body", Link(says=(Script(Raw(b"")),)), (502,)),
    Outage("broken_json", "200 and half a JSON text", Link(says=(Script(Raw(b'{"id": "x", "choi')),)), (502,)),
    Outage("key_refused", "our key is refused", Link(says=(Script(Status(401)),)), (502,)),
    Outage("no_model", "the model is gone", Link(says=(Script(Status(404)),)), (404,)),
)


def _outage_rows() -> list[Scenario]:
    rows = []
    for one in OUTAGES:
        by_second = Expect(by=1, within=one.within, requests={1: (1, 1)})
        rows.append(
            Scenario(
                id=f"{one.id}+",
                title=f"{one.title}; another target",
                chain=(one.link, SECOND),
                expect=by_second,
                promises=one.promises,
                short=one.short,
            )
        )
        rows.append(
            Scenario(
                id=one.id,
                title=one.title,
                chain=(one.link,),
                expect=Expect(outcome="error", status=one.alone),
                promises=f"{one.promises} R4",
            )
        )
    return rows


def _before_content() -> list[Scenario]:
    """Failures inside a 200 stream, before any content (T3)."""
    rows = []
    for events in (0, 1):
        rows.append(
            Scenario(
                id=f"cut_lifecycle_{events}",
                title=f"stream cut after {events} events without content; another target",
                chain=(_says(Cut(after=events)), SECOND),
                expect=Expect(by=1, requests={1: (1, 1)}),
                promises="R7 T3",
                ways=("stream",),
                raw=LIFECYCLE if events else DIALECTS,
                short=events == 1,
            )
        )
    rows += [
        Scenario(
            id="error_event_first",
            title="200, then an error event; another target",
            chain=(_says(StreamError(after=1)), SECOND),
            expect=Expect(by=1, requests={1: (1, 1)}),
            promises="R3 T3",
            ways=("stream",),
            raw=LIFECYCLE,
            short=True,
        ),
        Scenario(
            id="error_event_first_alone",
            title="200, then an error event, no other target: a real status",
            chain=(_says(StreamError(after=1)),),
            expect=Expect(outcome="error", status=(502, 503)),
            promises="T3",
            ways=("stream",),
            raw=LIFECYCLE,
        ),
        Scenario(
            id="silence_first",
            title="events without content, then silence; another target",
            chain=(_says(Stall(after=1)), SECOND),
            expect=Expect(by=1, within=4.5, requests={1: (1, 1)}),
            promises="R3 T3",
            ways=("stream",),
            raw=LIFECYCLE,
        ),
        Scenario(
            id="comments_first",
            title="comments for ever instead of content; another target",
            chain=(Link(proxy=[[NeverEnding(after_events=1)]]), SECOND),
            expect=Expect(by=1, within=4.5, requests={1: (1, 1)}),
            promises="R3 T3",
            ways=("stream",),
            raw=LIFECYCLE,
        ),
        Scenario(
            id="junk_first",
            title="a broken event before the first content; another target",
            chain=(_says(Inject(b"data: {broken\n\n", after=0)), SECOND),
            expect=Expect(by=1, requests={1: (1, 1)}),
            promises="T3",
            ways=("stream",),
        ),
        Scenario(
            id="junk_after_an_event",
            title="a broken event after one without content; another target",
            chain=(_says(Inject(b"data: {broken\n\n", after=1)), SECOND),
            expect=Expect(by=1, requests={1: (1, 1)}),
            promises="T3",
            ways=("stream",),
            raw=LIFECYCLE,
        ),
        Scenario(
            id="late_but_there",
            title="a slow head within the limit: no failover",
            chain=(Link(proxy=[[Delay(0.5)]]), SECOND),
            expect=Expect(by=0, requests={0: (1, 1), 1: (0, 0)}),
            promises="R3",
        ),
        Scenario(
            id="last_is_patient",
            title="the last target may be slow: its first token comes after the limit",
            chain=(
                Link(listen="refuse"),
                Link(
                    kind="anthropic",
                    proxy=[[Delay(1.3)]],
                    settings={"timeouts": {"first_token": 0.5, "idle": 3, "total": 10}},
                ),
            ),
            expect=Expect(by=1, requests={1: (1, 1)}),
            promises="R3",
            ways=("stream",),
        ),
    ]
    return rows


def _double() -> list[Scenario]:
    """Every target fails: the client gets a real status, never a 200 (T3)."""
    pairs: tuple[tuple[str, str, Link, Link, tuple[int, ...]], ...] = (
        (
            "503_503",
            "503 and 503",
            Link(says=(Script(Status(503)),)),
            Link(kind="anthropic", says=(Script(Status(503)),)),
            (503,),
        ),
        (
            "500_refused",
            "500 and refused",
            Link(says=(Script(Status(500)),)),
            Link(kind="anthropic", listen="refuse"),
            (502,),
        ),
        (
            "refused_429",
            "refused and 429",
            Link(listen="refuse"),
            Link(kind="anthropic", says=(Script(Status(429, retry_after=7)),)),
            (429, 502),
        ),
        (
            "event_event",
            "an error event in each 200",
            _says(StreamError(after=1)),
            Link(kind="anthropic", says=(Script(faults=(StreamError(after=1),)),)),
            (502, 503),
        ),
        (
            "silent_silent",
            "silence and silence",
            _says(NoAnswer("silence"), settings=HASTE),
            Link(kind="anthropic", says=(Script(faults=(NoAnswer("silence"),)),), settings=HASTE),
            (504,),
        ),
    )
    return [
        Scenario(
            id=f"both_{name}",
            title=f"both targets fail: {title}",
            chain=(first, second),
            expect=Expect(outcome="error", status=status),
            promises="T3 R4",
            ways=("stream",) if name == "event_event" else ("whole", "stream"),
            raw=LIFECYCLE if name == "event_event" else DIALECTS,
            short=name == "event_event",
        )
        for name, title, first, second, status in pairs
    ]


SCENARIOS = (*_outage_rows(), *_before_content(), *_double())
