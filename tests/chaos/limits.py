"""Refusals of an upstream and what each is worth: told apart, waited for as asked, never hammered."""

from chaos.outages import SECOND
from chaos.scenario import Expect, Link, Scenario
from execution_platform.testing import Script, Status

IN_A_MINUTE = "Tue, 01 Jan 2041 00:00:00 GMT"


def _limited(name: str, title: str, status: Status, *, most: int = 1, short: bool = False) -> Scenario:
    """Three requests one after the other: the first meets the limit, the others must not go near it (R5)."""
    return Scenario(
        id=f"429_{name}+",
        title=f"429, {title}; another target",
        chain=(Link(says=(Script(status),)), SECOND),
        expect=Expect(by=1, requests={0: (1, most), 1: (3, 3)}),
        promises="R5",
        times=3,
        short=short,
    )


SCENARIOS = (
    _limited("seconds", "Retry-After: 7", Status(429, retry_after=7), short=True),
    _limited("date", "Retry-After as a date", Status(429, retry_after=IN_A_MINUTE)),
    _limited("ms", "retry-after-ms: 7000", Status(429, retry_after_ms=7000)),
    _limited("garbage", "Retry-After: soon", Status(429, retry_after="soon"), most=3),
    _limited("huge", "Retry-After: 1000000000", Status(429, retry_after=1_000_000_000)),
    _limited("absent", "no Retry-After", Status(429), most=3),
    Scenario(
        id="429_short",
        title="429 with Retry-After: 0.2, no other target: waited for",
        chain=(Link(says=(Script(Status(429, retry_after=0.2)), Script())),),
        expect=Expect(by=0, requests={0: (2, 2)}),
        promises="R5",
    ),
    Scenario(
        id="429_long",
        title="429 with Retry-After: 70, no other target: told, and not tried again",
        chain=(Link(says=(Script(Status(429, retry_after=70)),)),),
        expect=Expect(outcome="error", status=(429,), retry_after=True, requests={0: (1, 1)}),
        promises="R5",
        times=2,
        short=True,
    ),
    Scenario(
        id="quota+",
        title="quota used up; another target",
        chain=(Link(says=(Script(Status(429, "quota")),)), SECOND),
        expect=Expect(by=1, requests={0: (1, 1)}),
        promises="R4 R5",
    ),
    Scenario(
        id="quota",
        title="quota used up, no other target: never retried",
        chain=(Link(says=(Script(Status(429, "quota")),)),),
        expect=Expect(outcome="error", status=(429,), requests={0: (1, 1)}),
        promises="R4 R5",
        short=True,
    ),
    Scenario(
        id="400",
        title="the request is wrong: told at once, no other target is asked",
        chain=(Link(says=(Script(Status(400)),)), SECOND),
        expect=Expect(outcome="error", status=(400,), requests={0: (1, 1), 1: (0, 0)}),
        promises="R4",
        short=True,
    ),
    Scenario(
        id="content_filter",
        title="refused by the content filter: no other target is asked",
        chain=(Link(says=(Script(Status(400, "content_filter")),)), SECOND),
        expect=Expect(outcome="error", status=(400,), requests={0: (1, 1), 1: (0, 0)}),
        promises="R4",
    ),
    Scenario(
        id="context_length",
        title="too long for the first model; another target",
        chain=(Link(says=(Script(Status(400, "context_length")),)), SECOND),
        expect=Expect(by=1, requests={0: (1, 1), 1: (1, 1)}),
        promises="R4",
    ),
    Scenario(
        id="flicker",
        title="one 500, then well, no other target: one retry",
        chain=(Link(says=(Script(Status(500)), Script())),),
        expect=Expect(by=0, requests={0: (2, 2)}),
        promises="R4",
        short=True,
    ),
    Scenario(
        id="sdk_retries",
        title="an outage, and SDKs that retry by themselves: the retries are not multiplied",
        chain=(Link(says=(Script(Status(500)),)),),
        expect=Expect(outcome="error", requests={0: (1, 5)}),
        promises="R4",
        sdk_retries=True,
        raw=(),
    ),
)
