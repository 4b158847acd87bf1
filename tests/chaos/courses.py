"""What takes many requests, or happens to the client or the gateway meanwhile: brown-outs, breakers, leaving, reloads, the end."""

import signal
import time
import urllib.error
import urllib.request

from chaos.outages import SECOND
from chaos.scenario import Expect, Link, Scenario
from chaos.stage import Stage
from execution_platform.testing import Cut, NoAnswer, Script, Status

FAILS = Script(Status(500))
FINE = Script()
SLOWLY = Script(pace=0.08)
"""A stream of a second or two."""
LEFT = Expect(outcome="left", by=None, closed_within=0.25)


def reload_often(stage: Stage) -> None:
    """Change the configuration again and again while requests run; each change is a version of its own."""
    gateway = stage.gateway
    if gateway is None:
        return
    for number in range(20):
        gateway.write(stage.config(limits={"depth": 40 + number}))
        request = urllib.request.Request(f"{gateway.url}/v1/config/reload", b"{}", {"content-type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"POST /v1/config/reload answers {error.code}") from error
        time.sleep(0.03)


def break_config(stage: Stage) -> None:
    """Put a configuration in place that cannot be used: the old one stays."""
    gateway = stage.gateway
    if gateway is None:
        return
    time.sleep(0.1)
    gateway.config_path.write_text("version: 1\nproviders: {cell0n0: {kind: nonsense}}\n")
    request = urllib.request.Request(f"{gateway.url}/v1/config/reload", b"{}", {"content-type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise RuntimeError("POST /v1/config/reload answers 404") from error
    else:
        raise RuntimeError("a broken configuration was accepted")


def end(stage: Stage) -> None:
    """SIGTERM while all answers are under way."""
    if stage.gateway is not None:
        time.sleep(0.6)
        stage.gateway.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]


def heal(stage: Stage) -> None:
    """After a second everything listens again."""
    time.sleep(1.0)
    for post in stage.posts(0):
        if post.proxy is not None:
            stage.do(post.proxy.listen("serve"))


SCENARIOS = (
    Scenario(
        id="brown_out+",
        title="every second request fails; another target",
        chain=(Link(says=(FAILS, FINE) * 30), SECOND),
        expect=Expect(by=None, success=0.99),
        promises="R4",
        times=30,
        at_once=3,
        raw=(),
        short=True,
    ),
    Scenario(
        id="brown_out",
        title="every second request fails, no other target: load at most 1.2 times",
        chain=(Link(says=(FAILS, FINE) * 30),),
        expect=Expect(by=0, success=0.2),
        promises="R4",
        times=30,
        at_once=3,
        raw=(),
    ),
    Scenario(
        id="outage_load",
        title="a full outage without another target: load at most 1.2 times",
        chain=(Link(says=(FAILS,)),),
        expect=Expect(outcome="error", status=(502, 503)),
        promises="R4",
        times=30,
        at_once=3,
        raw=(),
        short=True,
    ),
    Scenario(
        id="breaker_opens",
        title="the breaker opens: a failing target is left alone",
        chain=(Link(says=(FAILS,)), SECOND),
        expect=Expect(by=1, requests={0: (1, 8), 1: (20, 20)}),
        promises="R3 R4",
        times=20,
        raw=(),
        short=True,
    ),
    Scenario(
        id="breaker_heals",
        title="the breaker lets probes through and traffic comes back",
        chain=(
            Link(
                says=(FAILS,) * 5 + (FINE,),
                settings={"circuit_breaker": {"failure_threshold": 5, "timeout_seconds": 1}},
            ),
            SECOND,
        ),
        expect=Expect(by=None, last_by=0, requests={0: (6, 40)}),
        promises="R3",
        times=40,
        pause=0.1,
        raw=(),
    ),
    Scenario(
        id="outage_heals",
        title="refused for a second, then well again: no request fails, traffic comes back",
        chain=(
            Link(listen="refuse", settings={"circuit_breaker": {"failure_threshold": 5, "timeout_seconds": 1}}),
            SECOND,
        ),
        expect=Expect(by=None, last_by=0),
        promises="R3",
        times=40,
        pause=0.1,
        act=heal,
        raw=(),
    ),
    Scenario(
        id="breaker_alone",
        title="the breaker is open and there is no other target: 503 at once",
        chain=(Link(says=(FAILS,)),),
        expect=Expect(outcome="error", status=(502, 503), requests={0: (5, 12)}),
        promises="R4",
        times=12,
        raw=(),
    ),
    Scenario(
        id="last_resort",
        title="every target was failing and is well again: one of them is tried although all cool down",
        chain=(Link(says=(FAILS,) * 5 + (FINE,)), Link(kind="anthropic", says=(FAILS,) * 5 + (FINE,))),
        expect=Expect(by=None, success=0.2, last_by=-1),
        promises="R3",
        # Half open, a target takes one request of ten for two seconds: the requests go on well beyond that.
        times=32,
        pause=0.15,
        raw=(),
    ),
    Scenario(
        id="bulkhead+",
        title="a slow target is full: the others do not wait for it; another target",
        # It is slow and not given up: that another target has more room is all that counts here.
        chain=(
            Link(says=(Script(delay=0.8),), settings={"concurrency": 1, "timeouts": {"first_token": 20, "idle": 20}}),
            SECOND,
        ),
        expect=Expect(by=None, requests={0: (1, 2), 1: (2, 3)}),
        promises="R6",
        times=4,
        at_once=4,
        raw=(),
        short=True,
    ),
    Scenario(
        id="bulkhead",
        title="a target is full for a moment, no other target: a place is waited for",
        chain=(Link(says=(Script(delay=0.2),), settings={"concurrency": 1}),),
        expect=Expect(by=0, requests={0: (3, 3)}),
        promises="R6",
        times=3,
        at_once=3,
        raw=(),
    ),
    Scenario(
        id="hedged",
        title="hedging: the first target is slow, the second one answers, the loser is left",
        chain=(Link(says=(Script(delay=5.0),)), SECOND),
        expect=Expect(by=1, requests={0: (1, 1), 1: (1, 1)}, within=1.0),
        promises="R3",
        model={"hedge": 0.2},
        ways=("stream",),
    ),
    Scenario(
        id="continued",
        title="continue_on_cut: a cut stream goes on at the next target",
        chain=(Link(says=(Script(faults=(Cut(after=4, of="content"),)),)), SECOND),
        expect=Expect(outcome="continued", requests={0: (1, 1), 1: (1, 1)}),
        promises="R7",
        model={"continue_on_cut": True},
        ways=("stream",),
    ),
    Scenario(
        id="leaves_waiting",
        title="the client leaves before the answer",
        chain=(
            Link(says=(Script(faults=(NoAnswer("silence"),)),), settings={"timeouts": {"first_token": 20, "idle": 20}}),
        ),
        expect=LEFT,
        promises="R16",
        leave="waiting",
        short=True,
    ),
    Scenario(
        id="leaves_failover",
        title="the client leaves while the second target is asked",
        chain=(
            Link(says=(FAILS,)),
            Link(
                kind="anthropic",
                says=(Script(faults=(NoAnswer("silence"),)),),
                settings={"timeouts": {"first_token": 20, "idle": 20}},
            ),
        ),
        expect=LEFT,
        promises="R16",
        leave="waiting",
    ),
    Scenario(
        id="leaves_streaming",
        title="the client leaves a running stream",
        chain=(Link(says=(SLOWLY,)),),
        expect=LEFT,
        promises="R16",
        leave="streaming",
        ways=("stream",),
        short=True,
    ),
    Scenario(
        id="leaves_backoff",
        title="the client leaves while a retry is waited for",
        chain=(Link(says=(Script(Status(429, retry_after=3)),)),),
        expect=Expect(outcome="left", by=None, requests={0: (1, 1)}),
        promises="R16",
        leave="waiting",
        ways=("whole",),
        config={"retry": {"base_seconds": 5}},
        raw=(),
    ),
    Scenario(
        id="reload",
        title="twenty reloads while requests run",
        chain=(Link(says=(Script(pace=0.03),)), SECOND),
        expect=Expect(by=0, requests={1: (0, 0)}),
        promises="R20",
        act=reload_often,
        times=6,
        at_once=2,
        raw=(),
    ),
    Scenario(
        id="reload_broken",
        title="a broken configuration is refused and the old one serves on",
        chain=(Link(says=(Script(pace=0.03),)), SECOND),
        expect=Expect(by=0, requests={1: (0, 0)}),
        promises="R20",
        act=break_config,
        times=4,
        raw=(),
    ),
    Scenario(
        id="redis_refused",
        title="Redis is configured and refuses connections: no caller notices",
        chain=(Link(), SECOND),
        expect=Expect(by=0, requests={1: (0, 0)}),
        promises="R8",
        times=5,
        environ={"EP_REDIS_URL": "redis://127.0.0.1:1/0"},
        raw=(),
    ),
    Scenario(
        id="drain",
        title="SIGTERM while answers run: none is dropped",
        chain=(Link(says=(Script(pace=0.1, delay=0.2),)), SECOND),
        expect=Expect(by=0, requests={1: (0, 0)}),
        promises="R2 T4",
        act=end,
        short=True,
    ),
)
