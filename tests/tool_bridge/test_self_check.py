"""What every tool owes its callers."""

from pathlib import Path

import pytest

from execution_platform.tool_bridge import FunctionTool
from execution_platform.tool_bridge.self_check import findings
from tooling import bench

NAMES = [
    "fs_read", "fs_write", "fs_edit", "fs_list", "fs_delete", "fs_stat", "dir_glob",
    "code_search", "code_analyze", "code_format", "http_fetch", "http_post", "http_json",
    "db_query", "db_migrate", "web_search", "todo_write",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_platforms_own_tools_keep_to_the_contract(name: str, tmp_path: Path) -> None:
    assert findings(bench(tmp_path).registry.tool(name)) == []


def test_a_tool_that_does_not_is_told_what_is_wrong() -> None:
    tool = FunctionTool(
        lambda **_: 1, name="bad name", description="d", parameters={"type": "object", "properties": {"a": {}}}
    )
    told = "\n".join(findings(tool))
    for word in ("bad name", "side_effect", "repeatable", "parameters.a", "additionalProperties"):
        assert word in told
