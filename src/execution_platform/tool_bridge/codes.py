"""What may be wrong with a call of a tool: every code that a model is told, and what it means.

The table is closed: whatever else a tool fails with is told as `tool_error`. docs/reference/runs.md is made of it, and a test
holds it to the codes that the source raises.
"""

from collections.abc import Mapping
from typing import Final

from execution_platform.exceptions import ExecutionPlatformError, ToolDenied

CODES: Final[Mapping[str, str]] = {
    "not_found": "no such tool in this run, or what it was to work on is not there",
    "invalid_args": "the arguments do not fit; the message names the field and shows the schema",
    "permission_denied": "out of reach, above the level, against the mode, or not approved",
    "path_outside_root": "the path leads out of the workspace",
    "path_protected": "the path is protected: no tool reads or changes it",
    "egress_blocked": "the address is none that tools may call",
    "exfil_blocked": "the run has read private data and text of outsiders, or has sent as much as a run may",
    "tool_definition_changed": "an MCP server describes the tool otherwise than it was approved; nothing was sent",
    "timeout": "it took longer than tools may",
    "sandbox_unavailable": "there is no sandbox on this machine, or commands are switched off; nothing was run",
    "workspace_missing": "the tool works in a workspace, and there is none",
    "workspace_unavailable": "the workspace cannot be opened",
    "run_missing": "the tool works in a run only",
    "not_configured": "an operator has not set up what the tool needs",
    "unavailable": "a database cannot be reached; it may work later",
    "mcp_login_needed": "an MCP server wants a login that its operator has not given it",
    "mcp_login_failed": "an MCP server or the issuer of its tokens did not let the login come to its end",
    "invalid_authorization_endpoint": "the issuer of an MCP server's tokens names a place that is no address; nothing was sent there",
    "mcp_server_failed": "an MCP server did not answer as the protocol says, or not at all",
    "result_too_large": "the answer is larger than a model is given",
    "outcome_unknown": "a crash interrupted it; it was not repeated",
    "tool_error": "anything else",
}


def code_of(error: ExecutionPlatformError) -> str:
    """The code a model is told of a failure."""
    if error.code in CODES:
        return error.code
    return "permission_denied" if isinstance(error, ToolDenied) else "tool_error"
