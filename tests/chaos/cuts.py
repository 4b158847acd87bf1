"""A stream that breaks after its first content: told by the dialect's error event, with nothing doubled and nothing replayed."""

from msgspec.structs import replace

from chaos.outages import HASTE, SECOND
from chaos.scenario import Expect, Link, Scenario
from execution_platform.testing import (
    BrokenChunk,
    Cut,
    CutInside,
    CutInsideCharacter,
    Drip,
    EndAfter,
    Inject,
    NoTerminator,
    Script,
    Stall,
    StreamError,
    Text,
)
from execution_platform.testing.proxy_faults import Garbage, NeverEnding, Stop, Throttle


def _cut(name: str, title: str, link: Link, *, words: int | None = None, **more: object) -> Scenario:
    expect = Expect(outcome="cut", by=0, words=words, requests={0: (1, 1), 1: (0, 0)})
    return Scenario(
        id=f"cut_{name}",
        title=title,
        chain=(link, SECOND),
        expect=expect,
        promises="R7",
        ways=("stream",),
        **more,  # type: ignore[arg-type]
    )


PACED = Script(pace=0.1)
"""Content that has left before the fault comes: what arrives together with a fault is not yet committed."""


def _says(*faults: object, **more: object) -> Link:
    return Link(says=(replace(PACED, faults=faults),), **more)  # type: ignore[arg-type]


SCENARIOS = (
    *(
        _cut(
            f"{words}",
            f"closed after {words} words",
            _says(Cut(after=words, of="content")),
            words=words,
            short=words == 2,
        )
        for words in (1, 2, 3, 5, 11)
    ),
    _cut("rst", "reset after 3 words", _says(Cut(after=3, of="content", how="rst"))),
    _cut("inside", "cut inside an event", _says(CutInside(after=3, of="content")), words=3),
    _cut(
        "in_order", "body ended in order, events missing", _says(EndAfter(after=4, of="content")), words=4, short=True
    ),
    _cut("framing", "broken chunk framing", _says(BrokenChunk(after=3, of="content")), words=3),
    _cut("silence", "silence after 3 words", _says(Stall(after=3, of="content")), words=3, short=True),
    _cut(
        "error_event",
        "the provider's error event after 3 words",
        _says(StreamError(after=3, of="content")),
        words=3,
        short=True,
    ),
    _cut(
        "garbage", "bytes that break the framing after an event", Link(says=(PACED,), proxy=[[Garbage(after_events=6)]])
    ),
    _cut("junk", "an event of broken JSON after 3 words", _says(Inject(b"data: {broken\n\n", after=3, of="content"))),
    _cut(
        "never_ending",
        "comments for ever after 3 events",
        Link(says=(PACED,), proxy=[[NeverEnding(after_events=6)]], settings=HASTE),
    ),
    _cut("bytes", "cut after 1500 bytes", Link(says=(PACED,), proxy=[[Stop(after_bytes=1500)]])),
    Scenario(
        id="no_terminator",
        title="the finish reason comes, the terminator does not: still an answer",
        chain=(_says(NoTerminator()), SECOND),
        expect=Expect(by=0, requests={0: (1, 1), 1: (0, 0)}),
        promises="R7",
        ways=("stream",),
        raw=(),
    ),
    Scenario(
        id="half_character",
        title="cut inside a character: no half of it arrives",
        chain=(
            Link(
                says=(
                    Script(
                        Text("alpha0 alpha1 ünd weiter", chunks=0),
                        faults=(CutInsideCharacter(of="content"),),
                        pace=0.03,
                    ),
                )
            ),
            SECOND,
        ),
        expect=Expect(outcome="cut", by=0, requests={0: (1, 1), 1: (0, 0)}, words=2),
        promises="R7",
        ways=("stream",),
    ),
    Scenario(
        id="whole_cut",
        title="a whole answer cut in its body; another target",
        chain=(Link(proxy=[[Stop(after_bytes=300)]]), SECOND),
        expect=Expect(by=1, requests={1: (1, 1)}),
        promises="R3",
        ways=("whole",),
    ),
    Scenario(
        id="throttled",
        title="a slow line: every byte arrives",
        chain=(Link(proxy=[[Throttle(6000)]]), SECOND),
        expect=Expect(by=0, requests={0: (1, 1), 1: (0, 0)}),
        promises="R7",
    ),
    Scenario(
        id="dripping",
        title="one byte at a time: every byte arrives",
        chain=(_says(Drip()), SECOND),
        expect=Expect(by=0, requests={0: (1, 1), 1: (0, 0)}),
        promises="R7",
    ),
)
