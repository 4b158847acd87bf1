"""What goes wrong: refusals of the provider, streams that break, callers that leave."""

from execution_platform.exceptions import ErrorKind
from execution_platform.spi.messages import Message
from execution_platform.spi.request import ChatRequest
from execution_platform.testing.faults import EndAfter, Stall, StreamError
from execution_platform.testing.scenario import Expected, Scenario
from execution_platform.testing.script import Script, Status, Text

_REQUEST = ChatRequest([Message("user", "Say hello.")])
_WORDS = Text("one two three four five six", chunks=6)


def _failure(name: str, title: str, status: Status, kind: ErrorKind, retry_after: float | None = None) -> Scenario:
    expect = Expected(error=kind, retry_after=retry_after)
    return Scenario(id=name, title=title, request=_REQUEST, reply=Script(status), expect=expect)


FAILURES = (
    _failure("bad_key", "Key refused", Status(401), ErrorKind.AUTH),
    _failure("bad_request", "Request refused", Status(400, message="bad value"), ErrorKind.BAD_REQUEST),
    _failure("unknown_model", "Unknown model", Status(404), ErrorKind.NOT_FOUND),
    _failure("rate_limit", "Rate limit with its waiting time", Status(429, retry_after=7), ErrorKind.RATE_LIMIT, 7.0),
    _failure("overloaded", "Provider overloaded", Status(529), ErrorKind.OVERLOADED),
    _failure("server_error", "Provider fails", Status(500), ErrorKind.SERVER),
    _failure("context_length", "Request too long", Status(400, "context_length"), ErrorKind.CONTEXT_LENGTH),
    Scenario(
        id="broken_stream",
        title="Stream that ends too early",
        request=_REQUEST,
        reply=Script(_WORDS, faults=[EndAfter(3, of="content")]),
        expect=Expected(error=ErrorKind.PROTOCOL),
        ways=("stream",),
    ),
    Scenario(
        id="error_in_stream",
        title="Error inside a stream",
        request=_REQUEST,
        reply=Script(_WORDS, faults=[StreamError(status=500, after=3, of="content")]),
        expect=Expected(error=ErrorKind.SERVER),
        ways=("stream",),
    ),
    Scenario(
        id="cancel",
        title="Caller leaves in mid-stream",
        request=_REQUEST,
        reply=Script(_WORDS, faults=[Stall(after=2, of="content")]),
        expect=Expected(),
        ways=("stream",),
        leaves=True,
        live=Expected(),
    ),
)
