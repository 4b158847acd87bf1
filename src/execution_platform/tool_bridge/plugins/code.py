"""The tools that work on source code: `code_search`, `code_analyze`, `code_format`."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from execution_platform.config.tools import CodeToolsConfig
from execution_platform.exceptions import InvalidToolArguments, ToolDenied, ToolError
from execution_platform.tool_bridge.analysis import LANGUAGES, Analysis, analysed, language_of
from execution_platform.tool_bridge.builtin import BuiltinTool, Nature
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.files import FileRules, Files
from execution_platform.tool_bridge.sandbox import Command, Sandbox
from execution_platform.tool_bridge.search import Hits, Search, compiled
from execution_platform.tool_bridge.text import decoded

_MOST_LINES: Final = 1000
_MOST_CONTEXT: Final = 20
_MOST_ANALYSED: Final = 200
_READ: Final = Nature(side_effect="read", repeatable=True)
_WRITE: Final = Nature(side_effect="write", repeatable=True, least="read_only")

Where = Annotated[str, "File or directory, relative to the workspace."]


def code_tools(rules: FileRules, config: CodeToolsConfig, sandbox: Sandbox) -> tuple[BuiltinTool, ...]:
    """The tools, for workspaces under `rules`; formatters run in `sandbox`."""
    tools = _Code(rules, config, sandbox)
    return (
        BuiltinTool(tools.search, _READ, name="code_search"),
        BuiltinTool(tools.analyze, _READ, name="code_analyze"),
        BuiltinTool(tools.format, _WRITE, name="code_format"),
    )


class _Code:
    def __init__(self, rules: FileRules, config: CodeToolsConfig, sandbox: Sandbox) -> None:
        self._rules = rules
        self._config = config
        self._sandbox = sandbox

    async def search(  # noqa: PLR0913, PLR0917 - a model names them
        self,
        context_: ToolContext,
        pattern: Annotated[str, "Regular expression in RE2's syntax, matched line by line."],
        path: Where = ".",
        glob: Annotated[str | None, "Only files whose path matches, such as *.py or src/**/*.ts."] = None,
        literal: Annotated[bool, "Take the pattern as plain text."] = False,  # noqa: FBT002 - by name
        ignore_case: Annotated[bool, "Ignore upper and lower case."] = False,  # noqa: FBT002 - by name
        context: Annotated[int, "Lines to show around each match."] = 0,
        limit: Annotated[int, "Most lines to show."] = 200,
        output_mode: Annotated[Literal["content", "files_with_matches", "count"], "What to show."] = "content",
    ) -> Mapping[str, object]:
        """Search the files of the workspace for a pattern, with line numbers and context."""
        regex = compiled(pattern, literal=literal, ignore_case=ignore_case)
        around = max(0, min(context, _MOST_CONTEXT)) if output_mode == "content" else 0

        def work() -> Mapping[str, object]:
            search = Search(regex, glob=glob, context=around)
            with Files(context_.workspace, self._rules) as files:
                return _shown(search, files, path, max(1, min(limit, _MOST_LINES)), output_mode)

        return await asyncio.to_thread(work)

    async def analyze(
        self,
        context: ToolContext,
        path: Where,
        symbols: Annotated[bool, "List functions, classes and methods."] = True,  # noqa: FBT002 - by name
    ) -> Mapping[str, object]:
        """Describe source code: symbols with their lines, imports, sizes, and how complex each function is."""

        def work() -> Mapping[str, object]:
            with Files(context.workspace, self._rules) as files:
                return _analysis(files, path, symbols=symbols)

        return await asyncio.to_thread(work)

    async def format(
        self,
        context: ToolContext,
        path: Annotated[str, "Source file, relative to the workspace."],
        check: Annotated[bool, "Only say whether it would change."] = False,  # noqa: FBT002 - by name
    ) -> Mapping[str, object]:
        """Format a source file in the style of its language, or say whether it is formatted."""
        if not check and context.level == "read_only":
            raise ToolDenied("code_format writes the file; pass check: true, which this level allows")

        def load() -> tuple[str, bytes]:
            with Files(context.workspace, self._rules) as files:
                name, data = files.path(path), files.load(path).data
                decoded(data, name)
                return name, data

        name, before = await asyncio.to_thread(load)
        argv = self._formatter(name)
        after = await self._formatted(context, argv, before, name)
        if after != before and not check:

            def store() -> None:
                with Files(context.workspace, self._rules) as files, files.changing(path):
                    if files.load(path).data != before:
                        raise ToolError(f"{name!r}: was changed while it was formatted; try again", param="args.path")
                    files.store(path, after)

            await asyncio.to_thread(store)
        return {"path": name, "changed": after != before, "written": after != before and not check}

    def _formatter(self, name: str) -> tuple[str, ...]:
        ending = name.rpartition(".")[2].lower()
        argv = self._config.formatters.get(ending)
        if argv is None:
            known = ", ".join(sorted(self._config.formatters))
            raise InvalidToolArguments(
                f"args.path: no formatter is configured for .{ending} files, only for {known}; an operator adds one to "
                "tools.code.formatters",
                param="args.path",
            )
        return argv

    async def _formatted(self, context: ToolContext, argv: tuple[str, ...], before: bytes, name: str) -> bytes:
        """The text after the formatter, which sees nothing but the text: no workspace, no configuration in it."""
        command = Command(
            argv=[part.replace("{name}", name.rpartition("/")[2]) for part in argv], tenant=context.tenant, stdin=before
        )
        outcome = await self._sandbox.run(command)
        if outcome.succeeded and not outcome.truncated:
            return outcome.stdout
        said = outcome.stderr.decode("utf-8", "replace").strip()[:1000]
        reason = said or f"it ended with status {outcome.status} ({outcome.ended})"
        raise ToolError(f"{name!r}: {argv[0]} cannot format it: {reason}", param="args.path")


def _shown(
    search: Search, files: Files, path: str, limit: int, mode: Literal["content", "files_with_matches", "count"]
) -> dict[str, object]:
    found: list[Hits] = []
    lines, cut = 0, False
    for hits in search.hits(files, path):
        found.append(hits)
        lines += len(hits.lines) if mode == "content" else 1
        if lines >= limit:
            cut = True
            break
    answer: dict[str, object] = {"files": search.files, "matches": sum(hits.count for hits in found)}
    if mode == "content":
        answer["results"] = _lines(found, limit)
    elif mode == "count":
        answer["counts"] = {hits.path: hits.count for hits in found}
    else:
        answer["paths"] = [hits.path for hits in found]
    if search.skipped:
        answer["skipped"] = search.skipped
    answer["truncated"] = cut
    if cut:
        answer["note"] = f"Stopped at {limit} lines; narrow the pattern, the glob or the path."
    return answer


def _lines(found: list[Hits], limit: int) -> list[str]:
    """`path:12:text` for a match, `path-13-text` for a line around one, as grep writes them."""
    written = [
        f"{hits.path}{mark}{line.number}{mark}{line.text}"
        for hits in found
        for line in hits.lines
        for mark in (":" if line.matched else "-",)
    ]
    return written[:limit]


def _analysis(files: Files, path: str, *, symbols: bool) -> dict[str, object]:
    if files.stat(path).kind == "file":
        name = files.path(path)
        return analysed(decoded(files.load(path).data, name), language_of(name)).as_json(name, symbols=symbols)
    found: list[tuple[str, Analysis]] = []
    for entry in files.walk(path):
        if entry.kind == "file" and not entry.protected and entry.path.rpartition(".")[2] in LANGUAGES:
            found.append(
                (entry.path, analysed(decoded(files.load(entry.path).data, entry.path), language_of(entry.path)))
            )
        if len(found) >= _MOST_ANALYSED:
            break
    return {
        "path": files.path(path),
        "files": [analysis.as_json(name, symbols=symbols) for name, analysis in found],
        "lines": sum(analysis.lines for _, analysis in found),
        "truncated": len(found) >= _MOST_ANALYSED,
    }
