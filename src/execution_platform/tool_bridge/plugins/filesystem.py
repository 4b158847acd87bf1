"""The tools that work on files: `fs_read`, `fs_write`, `fs_edit`, `fs_list`, `fs_delete`, `fs_stat`, `dir_glob`."""

import asyncio
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from execution_platform.exceptions import InvalidToolArguments
from execution_platform.tool_bridge.builtin import BuiltinTool, Nature
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.files import FileRules, Files, Found
from execution_platform.tool_bridge.globs import Glob
from execution_platform.tool_bridge.text import decoded, shown_lines

_MOST_ENTRIES: Final = 1000
_MOST_SEEN: Final = 100_000
_PATH = "Path of the file, relative to the workspace; an absolute path inside it works too."
_READ: Final = Nature(side_effect="read", repeatable=True)

Path = Annotated[str, _PATH]
Directory = Annotated[str, "Directory, relative to the workspace."]


def filesystem_tools(rules: FileRules) -> tuple[BuiltinTool, ...]:
    """The tools, for workspaces under `rules`."""
    tools = _Filesystem(rules)
    return (
        BuiltinTool(tools.read, _READ, name="fs_read", returns=_READ_RETURNS),
        BuiltinTool(tools.write, Nature(side_effect="write", repeatable=True), name="fs_write", returns=_WRITE_RETURNS),
        BuiltinTool(tools.edit, Nature(side_effect="write", repeatable=False), name="fs_edit", returns=_EDIT_RETURNS),
        BuiltinTool(tools.list, _READ, name="fs_list", returns=_LIST_RETURNS),
        BuiltinTool(tools.delete, Nature(side_effect="write", repeatable=False), name="fs_delete"),
        BuiltinTool(tools.stat, _READ, name="fs_stat"),
        BuiltinTool(tools.glob, _READ, name="dir_glob"),
    )


def _object(**properties: str) -> dict[str, object]:
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in properties.items()}}


_READ_RETURNS = _object(path="string", content="string", lines="integer", truncated="boolean", next_offset="integer")
_WRITE_RETURNS = _object(path="string", bytes="integer", created="boolean")
_EDIT_RETURNS = _object(path="string", replaced="integer", line="integer")
_LIST_RETURNS = _object(path="string", entries="array", truncated="boolean")


class _Filesystem:
    def __init__(self, rules: FileRules) -> None:
        self._rules = rules

    def _open(self, context: ToolContext) -> Files:
        return Files(context.workspace, self._rules)

    async def read(
        self,
        context: ToolContext,
        path: Path,
        offset: Annotated[int, "First line to show, from 1."] = 1,
        limit: Annotated[int | None, "Lines to show; all that fit unless set."] = None,
    ) -> Mapping[str, object]:
        """Read a text file. Long files are shown in parts: the answer says where the next one begins."""

        def work() -> Mapping[str, object]:
            with self._open(context) as files:
                name = files.path(path)
                text = decoded(files.load(path).data, name)
            return {"path": name, **shown_lines(text, offset, limit)}

        return await asyncio.to_thread(work)

    async def write(
        self, context: ToolContext, path: Path, content: Annotated[str, "The whole text of the file."]
    ) -> Mapping[str, object]:
        """Write a text file, replacing what was there. Directories above it are made."""

        def work() -> Mapping[str, object]:
            data = _encoded(content, "content")
            with self._open(context) as files, files.changing(path):
                created = files.store(path, data)
                return {"path": files.path(path), "bytes": len(data), "created": created}

        return await asyncio.to_thread(work)

    async def edit(
        self,
        context: ToolContext,
        path: Path,
        old: Annotated[str, "The text to replace, exactly as it stands in the file, with its blanks and line ends."],
        new: Annotated[str, "The text in its place."],
        replace_all: Annotated[bool, "Replace every occurrence rather than the only one."] = False,  # noqa: FBT002 - by name
    ) -> Mapping[str, object]:
        """Replace one exact piece of text in a file. It must occur exactly once, unless replace_all is set."""

        def work() -> Mapping[str, object]:
            with self._open(context) as files, files.changing(path):
                name = files.path(path)
                loaded = files.load(path)
                text = decoded(loaded.data, name)
                found = _occurrences(text, old, new, name, replace_all=replace_all)
                changed = _encoded(text.replace(old, new), "new")
                files.store(path, changed, mode=loaded.mode & 0o777)
            return {"path": name, "replaced": found, "line": text.count("\n", 0, text.find(old)) + 1}

        return await asyncio.to_thread(work)

    async def list(
        self,
        context: ToolContext,
        path: Directory = ".",
        depth: Annotated[int, "How many levels to show."] = 1,
    ) -> Mapping[str, object]:
        """List a directory: names, kinds, sizes and times of change."""

        def work() -> Mapping[str, object]:
            with self._open(context) as files:
                found = list(itertools.islice(files.walk(path, deepest=max(1, depth)), _MOST_ENTRIES + 1))
                return {
                    "path": files.path(path),
                    "entries": [_entry(each) for each in found[:_MOST_ENTRIES]],
                    **_more(len(found) > _MOST_ENTRIES, "list a directory further down, or use dir_glob"),
                }

        return await asyncio.to_thread(work)

    async def delete(
        self,
        context: ToolContext,
        path: Path,
        recursive: Annotated[bool, "Remove a directory with everything in it."] = False,  # noqa: FBT002 - by name
    ) -> Mapping[str, object]:
        """Delete a file, or a directory. Nothing brings it back."""

        def work() -> Mapping[str, object]:
            with self._open(context) as files:
                return {"path": files.path(path), "removed": files.remove(path, recursive=recursive)}

        return await asyncio.to_thread(work)

    async def stat(self, context: ToolContext, path: Path) -> Mapping[str, object]:
        """Say what is at a path: its kind, size and time of change."""

        def work() -> Mapping[str, object]:
            with self._open(context) as files:
                return _entry(files.stat(path))

        return await asyncio.to_thread(work)

    async def glob(
        self,
        context: ToolContext,
        pattern: Annotated[
            str, "Such as **/*.py, src/*.{ts,tsx} or *.md; without a slash it holds in every directory."
        ],
        path: Directory = ".",
        limit: Annotated[int, "Most paths to give."] = _MOST_ENTRIES,
        order: Annotated[Literal["name", "newest"], "Order of the paths."] = "name",
    ) -> Mapping[str, object]:
        """Find files by a pattern of their paths."""

        def work() -> Mapping[str, object]:
            with self._open(context) as files:
                seen, matches = _matching(files, path, pattern)
            if order == "newest":
                matches.sort(key=lambda each: -each.modified)
            most = max(1, min(limit, _MOST_ENTRIES))
            cut = len(matches) > most or seen >= _MOST_SEEN
            shown = [each.path for each in matches[:most]]
            return {"matches": shown, "count": len(matches), **_more(cut, "narrow the pattern or the path")}

        return await asyncio.to_thread(work)


def _matching(files: Files, path: str, pattern: str) -> tuple[int, "list[Found]"]:
    """How many entries were looked at, and those files that match, seen from the directory that is searched."""
    glob = Glob(pattern if "/" in pattern else f"**/{pattern}")
    top = files.path(path)
    skipped = 0 if top == "." else len(top) + 1
    seen, matches = 0, list[Found]()
    for found in itertools.islice(files.walk(path), _MOST_SEEN):
        seen += 1
        if found.kind == "file" and not found.protected and glob.matches(found.path[skipped:]):
            matches.append(found)
    return seen, matches


def _encoded(text: str, argument: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidToolArguments(f"args.{argument}: holds half a character", param=f"args.{argument}") from None


def _occurrences(text: str, old: str, new: str, path: str, *, replace_all: bool) -> int:
    """How often `old` stands in the text. Raises `InvalidToolArguments` unless that is how often it should."""
    if not old:
        raise InvalidToolArguments("args.old: is empty; give the text to replace", param="args.old")
    if old == new:
        raise InvalidToolArguments("args.new: is the same as args.old, so nothing would change", param="args.new")
    found = text.count(old)
    if found == 0:
        raise InvalidToolArguments(
            f"args.old: does not occur in {path!r}{_near(text, old)}. Read the file again and copy the text exactly, with "
            "its blanks and line ends.",
            param="args.old",
        )
    if found > 1 and not replace_all:
        raise InvalidToolArguments(
            f"args.old: occurs {found} times in {path!r}, first at line {text.count(chr(10), 0, text.find(old)) + 1}. Give "
            "more of the lines around the one you mean, or pass replace_all: true.",
            param="args.old",
        )
    return found


def _near(text: str, old: str) -> str:
    """Why a text that looks the same may not have been found."""
    if " ".join(old.split()) in " ".join(text.split()):
        return " as given, though it does with other blanks or line ends"
    return ""


def _entry(found: Found) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": found.path, "type": found.kind}
    if found.protected:
        return {**entry, "protected": True}
    if found.kind == "file":
        entry["size"] = found.size
    return {**entry, "modified": datetime.fromtimestamp(found.modified, UTC).isoformat(timespec="seconds")}


def _more(cut: bool, remedy: str) -> dict[str, object]:  # noqa: FBT001 - the one thing it is about
    return {"truncated": True, "note": f"There is more; {remedy}."} if cut else {"truncated": False}
