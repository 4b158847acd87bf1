"""Tools for runs in a gateway of its own process: a package on the path that publishes them."""

from pathlib import Path

_CODE = '''
"""Tools whose effects can be counted."""

import os

from execution_platform.tool_bridge import ToolResult

SCHEMA = {"type": "object", "properties": {"step": {"type": "integer"}}, "required": ["step"]}


class Append:
    """Writes a line; running it twice shows."""

    name = "append"
    description = "Append a line."
    parameters = SCHEMA
    side_effect = "write"
    repeatable = False
    least = "write"

    def validate_args(self, args):
        pass

    async def execute(self, args):
        raise RuntimeError

    async def execute_in(self, context, args):
        line(context, f"{args['step']}")
        return ToolResult("appended")


class Keyed(Append):
    """Writes a line once for each call, however often it is run."""

    name = "keyed"
    repeatable = True

    async def execute_in(self, context, args):
        if f" {context.call_id}\\n" not in read(context):
            line(context, f"{args['step']} {context.call_id}")
        return ToolResult("appended")


def line(context, text):
    with open(os.environ["TEST_EFFECTS"], "a") as file:
        file.write(text + "\\n")
        file.flush()
        os.fsync(file.fileno())


def read(context):
    try:
        with open(os.environ["TEST_EFFECTS"]) as file:
            return file.read()
    except FileNotFoundError:
        return ""


append, keyed = Append(), Keyed()
'''


def publish(folder: Path) -> dict[str, str]:
    """Write the package into `folder`; the environment in which a gateway finds it."""
    (folder / "countable_tools.py").write_text(_CODE)
    info = folder / "countable_tools-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: countable-tools\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[execution_platform.tools]\nappend = countable_tools:append\nkeyed = countable_tools:keyed\n"
    )
    return {"TEST_EFFECTS": str(folder / "effects.txt")}
