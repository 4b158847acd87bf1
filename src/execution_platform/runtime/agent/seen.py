"""What a conversation brought into a run before the run began (H4): text of the user's own, and results of earlier calls."""

from collections.abc import Mapping, Sequence

from execution_platform.spi.messages import Message
from execution_platform.spi.parts import ToolCallPart, ToolResultPart
from execution_platform.tool_bridge.approval import Permit
from execution_platform.tool_bridge.provenance import Provenance


def note_transcript(provenance: Provenance, messages: Sequence[Message], permits: Mapping[str, Permit]) -> None:
    """Note the URLs that the user gave, and what the results of tools may have held.

    A tool that is not within reach now is the caller's own, or was somebody else's: its results may be anything.
    """
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "user":
            provenance.give(message.text)
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                names[part.call_id] = part.name
            elif isinstance(part, ToolResultPart):
                permit = permits.get(part.name or names.get(part.call_id, ""))
                provenance.note(None if permit is None else permit.side_effect)
