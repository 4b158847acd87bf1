"""The program that started the command, and its own tools: a line to it for each call, a line from it for each result.

With `--caller-tools` the first line of standard input names the tools, `{"tools": [{"name", "description", "input_schema"}]}`. A call
is a line of type `caller_call` on standard output, with `id`, `name` and `input`; its answer is `{"id", "content", "is_error"}` on
standard input, in any order.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from itertools import count
from typing import cast

from execution_platform import _json
from execution_platform.cli.hive.arguments import UsageError, Wanted
from execution_platform.client import OwnTool
from execution_platform.exceptions import ToolError

_LONGEST_LINE = 16 * 1024 * 1024
Object = dict[str, object]


class CallerProgram:
    """The other end of standard input and output."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._waiting: dict[str, asyncio.Future[Object]] = {}
        self._numbers = count(1)
        self._listening: asyncio.Task[None] | None = None

    async def tools(self, wanted: Wanted) -> tuple[OwnTool, ...]:
        """Its tools, those that the command line leaves open; its answers are listened for from now on. Raises `UsageError`."""
        reader = asyncio.StreamReader(limit=_LONGEST_LINE)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        try:
            told = cast("list[Object]", cast("Object", _json.loads(await reader.readline()))["tools"])
            found = [self._tool(each) for each in told]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"--caller-tools: the first line of standard input names no tools ({error})") from error
        self._listening = asyncio.create_task(self._listen(reader))
        return tuple(tool for tool in found if wanted.offers(tool.name))

    def _tool(self, told: Object) -> OwnTool:
        name = str(told["name"])

        async def run(arguments: Mapping[str, object]) -> object:
            return await self._call(name, arguments)

        schema = cast("Object", told.get("input_schema") or {"type": "object"})
        return OwnTool(name=name, description=str(told.get("description") or ""), parameters=schema, run=run)

    async def _call(self, name: str, arguments: Mapping[str, object]) -> object:
        number = f"call-{next(self._numbers)}"
        future: asyncio.Future[Object] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        call = {"type": "caller_call", "id": number, "name": name, "input": dict(arguments)}
        self._write(_json.dumps(call).decode() + "\n")
        try:
            answer = await future
        finally:
            del self._waiting[number]
        if answer.get("is_error"):
            raise ToolError(str(answer.get("content")))
        return answer.get("content")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            answer = cast("Object", _json.loads(line))
            future = self._waiting.get(str(answer.get("id")))
            if future is not None and not future.done():
                future.set_result(answer)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ToolError("the program that has this tool reads and answers no more"))
