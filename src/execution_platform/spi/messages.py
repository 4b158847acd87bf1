"""A message: a role and an ordered list of parts."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Literal

from execution_platform.spi.parts import Part, TextPart, ToolCallPart, ToolResultPart
from execution_platform.spi.value import overwrite, value

Role = Literal["system", "developer", "user", "assistant", "tool"]
Placement = Literal["inline", "top"]


@value()
class Message:
    """One turn.

    `content` is text or parts; read `.parts`, which normalises both. `placement="top"` marks system
    text that came from a slot of its own (Anthropic `system`, Gemini `systemInstruction`) and goes
    back there. A tool result may be given as `Message("tool", "42", tool_call_id="c1")`.
    """

    role: Role
    content: str | Sequence[Part] = ()
    name: str | None = field(default=None, kw_only=True)
    tool_call_id: str | None = field(default=None, kw_only=True)
    placement: Placement = field(default="inline", kw_only=True)
    wire_role: str | None = field(default=None, kw_only=True)
    """The wire's own word for the role where it is not the dialect's usual one; empty when the wire gave none."""
    extra: Mapping[str, object] = field(default_factory=dict[str, object], kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.content, str | tuple):
            overwrite(self, "content", tuple(self.content))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts; text of a tool message becomes a tool result."""
        content = self.content
        if isinstance(content, str):
            text = (TextPart(content),) if content else ()
            if self.role == "tool" and self.tool_call_id is not None:
                return (ToolResultPart(self.tool_call_id, text, name=self.name),)
            return text
        return tuple(content)

    @property
    def text(self) -> str:
        """The visible text, without refusals and thinking."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The calls in the order in which the model wrote them."""
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))
