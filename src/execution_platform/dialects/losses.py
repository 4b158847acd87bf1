"""Losses every encoder reports in the same way."""

from collections.abc import Iterable, Mapping

from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.tools import ToolDefinition


def dropped(request: ChatRequest, fields: Iterable[str], *, severity: Severity = "knob") -> list[Loss]:
    """A loss for each of `fields` that the request sets and the target has no slot for."""
    return [
        Loss(name, "the target has no such setting", severity)
        for name in fields
        if getattr(request, name) not in (None, ())
    ]


def foreign_extra(extra: Mapping[str, object], source: str | None, dialect: str, *, path: str = "") -> list[Loss]:
    """A knob loss for each leftover member of another dialect's wire object."""
    if not extra or source == dialect:
        return []
    prefix = f"{path}." if path else ""
    # A null or empty member says nothing, so nothing is lost with it.
    return [
        Loss(prefix + name, "not known to the target", "knob")
        for name, value in extra.items()
        if value not in (None, {}, [])
    ]


def server_tool(tool: ToolDefinition, path: str) -> Loss:
    """A tool that another provider runs itself.

    Without a search the model still answers from what it knows, and callers such as coding agents declare one with every
    request; without any other tool it could not do what was asked.
    """
    kind = str((tool.raw or {}).get("type") or tool.name)
    severity: Severity = "knob" if kind.startswith(("web_search", "google_search")) else "content"
    return Loss(path, f"the tool {tool.name} is run by another provider", severity)
