"""Going on from a cut: plain text that one target began and another one finishes.

Theory of operation
-------------------
`Seam` sees every event that goes to the client and keeps the text. When the stream breaks after content, and nothing but
text (and closed thinking) has been sent, the next target of the chain gets the same request with the text so far as the
beginning of its own answer, or, where its model does not continue an answer, with the demand to go on exactly there. Its
events are joined to the open part, so that the client sees one answer; a comment, `done` and the log say that it has two
authors. White space at the cut is kept back from the request, since providers refuse an answer that begins with a text ending in
it, and is then dropped from the beginning of what comes.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from execution_platform.exceptions import ExecutionPlatformError, ProviderError
from execution_platform.router.attempt import Attempt, Detour
from execution_platform.router.chain import Committed, commit, first_to_commit
from execution_platform.router.patience import first_content
from execution_platform.runtime.call import Call
from execution_platform.runtime.exchange import departing
from execution_platform.runtime.request import canonical
from execution_platform.runtime.throttle import throttle_target
from execution_platform.spi.events import (
    CitationDelta,
    Event,
    Failed,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    SignatureDelta,
    Started,
    SummaryDelta,
    TextDelta,
    ThinkingDelta,
)
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import TextPart, ThinkingPart
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest

_GO_ON = (
    "Your answer was cut off. Go on exactly where it stopped, in the middle of a word if need be, "
    "without repeating any of it and without a word about the interruption."
)
_HARMLESS = TextDelta | ThinkingDelta | SummaryDelta | SignatureDelta | CitationDelta


class Seam:
    """What has been sent of a stream, as far as another target needs it to go on."""

    __slots__ = ("_dropped", "_indices", "_joining", "_next", "_open", "_plain", "_text", "_trim")

    def __init__(self) -> None:
        self._text: list[str] = []
        self._open: int | None = None
        self._next = 0
        self._plain = True
        self._joining = False
        self._trim = False
        self._indices: dict[int, int] = {}
        self._dropped: set[int] = set()

    @property
    def text(self) -> str:
        """The text that has been sent; empty when the stream cannot go on elsewhere."""
        return "".join(self._text) if self._plain else ""

    def see(self, events: Sequence[Event]) -> None:
        """Take note of what the client gets."""
        for event in events:
            match event:
                case PartDelta():
                    self._plain = self._plain and not event.choice and isinstance(event.delta, _HARMLESS)
                    if isinstance(event.delta, TextDelta):
                        self._text.append(event.delta.text)
                case PartStarted(part=TextPart() as part):
                    self._plain = self._plain and not event.choice
                    self._text.append(part.text)
                    self._open, self._next = event.index, max(self._next, event.index + 1)
                case PartStarted():
                    self._plain = self._plain and not event.choice and isinstance(event.part, ThinkingPart)
                    self._next = max(self._next, event.index + 1)
                case PartFinished():
                    if event.index == self._open:
                        self._open = None
                case _:
                    pass

    def cut(self) -> None:
        """From now on the events of another target come, to be `join`ed."""
        self._joining = self._open is not None
        self._trim = self.text != self.text.rstrip()
        self._indices = {}
        self._dropped = set()

    def join(self, events: Sequence[Event]) -> list[Event]:
        """The other target's events as the rest of the one answer."""
        out: list[Event] = []
        for event in events:
            self._one(event, out)
        return out

    def _one(self, event: Event, out: list[Event]) -> None:
        match event:
            case Started() | Raw():
                return
            case PartStarted():
                self._started(event, out)
            case PartDelta() | PartFinished():
                if event.index in self._dropped:
                    return
                event.index = self._indices.get(event.index, event.index)
                if isinstance(event, PartDelta) and isinstance(event.delta, TextDelta):
                    event.delta.text = self._trimmed(event.delta.text)
                    if not event.delta.text:
                        return
                out.append(event)
            case Finished():
                self._close(out)
                out.append(event)
            case _:
                out.append(event)

    def _started(self, event: PartStarted, out: list[Event]) -> None:
        part = event.part
        if isinstance(part, ThinkingPart):
            self._dropped.add(event.index)
            return
        if isinstance(part, TextPart) and self._joining and self._open is not None:
            self._joining = False
            self._indices[event.index] = self._open
            text = self._trimmed(part.text)
            if text:
                out.append(PartDelta(self._open, TextDelta(text)))
            return
        self._close(out)
        self._indices[event.index] = event.index = self._next
        self._next += 1
        out.append(event)

    def _close(self, out: list[Event]) -> None:
        """End the part that was cut, when nothing more comes to it."""
        if self._joining and self._open is not None:
            out.append(PartFinished(self._open))
        self._joining = False

    def _trimmed(self, text: str) -> str:
        if not self._trim:
            return text
        kept = text.lstrip()
        self._trim = not kept
        return kept


def may_continue(call: Call) -> bool:
    """Whether this call's stream may go on at another target after a cut."""
    route = call.route
    if route is None or not route.continue_on_cut or not call.peek.stream or len(route.targets) < 2:
        return False
    request = canonical(call)
    output = request.output
    return (request.n or 1) == 1 and not request.logprobs and (output is None or output.kind == "text")


async def events_of(call: Call, attempt: Attempt, committed: Committed) -> AsyncIterator[Sequence[Event]]:
    """The event batches of `committed`, and after a cut those of the target that goes on.

    Raises what broke the stream when nobody can.
    """
    seam = Seam()
    joined = False
    try:
        while True:
            try:
                async for batch in _batches(committed):
                    events = seam.join(batch) if joined else batch
                    seam.see(events)
                    yield events
                return
            except ProviderError as error:
                attempt.leave()
                await committed.aclose()
                if not seam.text or not error.failover:
                    raise
                attempt, committed = await _next(call, attempt, seam.text, error)
            seam.cut()
            joined = True
    finally:
        attempt.leave()
        await committed.aclose()


async def _batches(committed: Committed) -> AsyncIterator[Sequence[Event]]:
    """All batches; a failure among the events is raised after what came before it."""
    if committed.held:
        yield committed.take()
    async for batch in committed.rest:
        for place, event in enumerate(batch):
            if isinstance(event, Failed):
                if place:
                    yield batch[:place]
                raise event.error
        yield batch


async def _next(call: Call, before: Attempt, text: str, error: ProviderError) -> tuple[Attempt, Committed]:
    """The target that goes on, committed. Raises `error` when there is none."""
    outcome, run, route = call.outcome, call.outcome.run, call.route
    if run is None or route is None:
        raise error
    before.status, before.error = "cut", error
    run.detours.append(Detour(before.target, error.kind.value))
    asked = {attempt.target for attempt in run.tried}
    request = canonical(call)

    async def attempt(tried: Attempt) -> tuple[Attempt, Committed]:
        tried.why = "continuation"
        await throttle_target(call, tried)
        provider = call.snapshot.provider(tried.target.provider)
        exchange = await departing(call, tried, provider)
        wanted = continuation(request, text, exchange.profile)
        committed = await first_content(
            tried, provider, exchange, commit(provider.stream(wanted, exchange), tried.metered)
        )
        tried.keeps, tried.discard, tried.simulated = True, committed.aclose, provider.simulated
        return tried, committed

    targets = [target for target in route.targets if target not in asked]
    try:
        winner, committed = await first_to_commit(targets, attempt, run)
    except ExecutionPlatformError:
        raise error from None
    losses = outcome.losses
    outcome.adopt(winner)
    outcome.losses = [*losses, *winner.losses]
    outcome.continued += 1
    return winner, committed


def continuation(request: ChatRequest, text: str, profile: ModelProfile) -> ChatRequest:
    """`request` with `text` as the beginning of its answer."""
    begun = Message("assistant", text.rstrip())
    messages = (*request.messages, begun) if profile.prefill else (*request.messages, begun, Message("user", _GO_ON))
    return replace(request, messages=messages, stream=True)
