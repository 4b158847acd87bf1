"""Test equipment for everything that talks to an LLM: an upstream that speaks the vendors' dialects, scripts and a meter.

::

    async with FakeUpstream() as upstream:
        upstream.script(Script(Text("hello"), faults=[Cut(after=2)]))
        ...                                        # let a client call upstream.url
        exchange = await upstream.wait_closed(0)
        assert exchange.end == "server"

`python -m execution_platform.testing` serves other processes. Nothing here needs a test framework.
"""

from execution_platform.testing import proxy_faults
from execution_platform.testing.fault_proxy import FaultProxy, Listening, Passage
from execution_platform.testing.faults import (
    BrokenChunk,
    ContentType,
    Cut,
    CutHeaders,
    CutInside,
    CutInsideCharacter,
    Drip,
    EndAfter,
    Fault,
    Inject,
    NoAnswer,
    NoTerminator,
    Sse,
    Stall,
    StreamError,
)
from execution_platform.testing.frames import Told, WireRequest
from execution_platform.testing.gate import Gate
from execution_platform.testing.meter import Connection, Exchange, Meter
from execution_platform.testing.script import (
    Call,
    Citation,
    Echo,
    Native,
    Part,
    Raw,
    RawSocket,
    Refusal,
    Reply,
    Script,
    ScriptError,
    Status,
    Text,
    Thinking,
    Tokens,
    Vectors,
    script_from_json,
)
from execution_platform.testing.threaded import ThreadedUpstream
from execution_platform.testing.upstream import FakeUpstream

__all__ = [
    "BrokenChunk",
    "Call",
    "Citation",
    "Connection",
    "ContentType",
    "Cut",
    "CutHeaders",
    "CutInside",
    "CutInsideCharacter",
    "Drip",
    "Echo",
    "EndAfter",
    "Exchange",
    "FakeUpstream",
    "Fault",
    "FaultProxy",
    "Gate",
    "Inject",
    "Listening",
    "Meter",
    "Native",
    "NoAnswer",
    "NoTerminator",
    "Part",
    "Passage",
    "Raw",
    "RawSocket",
    "Refusal",
    "Reply",
    "Script",
    "ScriptError",
    "Sse",
    "Stall",
    "Status",
    "StreamError",
    "Text",
    "Thinking",
    "ThreadedUpstream",
    "Tokens",
    "Told",
    "Vectors",
    "WireRequest",
    "proxy_faults",
    "script_from_json",
]
