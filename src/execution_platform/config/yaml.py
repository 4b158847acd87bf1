"""YAML as a configuration may use it: plain data, without tags, duplicate keys, alias bombs or surprises.

Scalars follow YAML 1.2's core rules, so `no` is a word, `2026-10-21` a word and `1:30` a word; only
`true`/`false` are booleans. JSON is read by the same function.
"""

# PyYAML has no types: what the loader's methods give is narrowed where it is used.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import yaml

from execution_platform.config.problems import ConfigProblems, Problem

MAX_NODES = 50_000
"""Values a document may have once its aliases are written out."""
MAX_YAML_DEPTH = 40
MAX_YAML_BYTES = 4 * 1024 * 1024

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The data of a file and the line on which each path begins."""

    data: object
    lines: Mapping[Path, int] = field(default_factory=dict[Path, int])
    name: str = "configuration"

    def line(self, path: Path) -> int | None:
        """The line of the nearest enclosing path that was written."""
        for end in range(len(path), 0, -1):
            found = self.lines.get(path[:end])
            if found is not None:
                return found
        return None


def load_yaml(text: str, *, name: str = "configuration") -> Document:
    """Parse one YAML or JSON document. Raises `ConfigProblems` with line and column; the text is never quoted."""
    if len(text) > MAX_YAML_BYTES:
        raise _refusal(name, f"is over {MAX_YAML_BYTES} characters", "A configuration is smaller; check the path.")
    # JSON may be indented by tabs, which YAML refuses; outside strings JSON has no other use for them.
    source = text.replace("\t", " ") if text.lstrip()[:1] in {"{", "["} else text
    try:
        return _parse(source, name)
    except _RefusedError as error:
        refusal = _refusal(name, error.problem_text, error.remedy, error.at)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        refusal = _refusal(name, f"is not valid YAML: {error.problem or error.context}", _begun(error), mark)
    except yaml.YAMLError:
        refusal = _refusal(
            name, "is not valid YAML: it holds a character YAML does not allow", "Save it as UTF-8 text."
        )
    # Raised outside the handlers: the parser's errors quote lines, which may hold secrets, and would come along as context.
    raise refusal


def _parse(source: str, name: str) -> Document:
    loader = _Loader(source)
    try:
        node = loader.get_single_node()
        data: object = None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()
    lines: dict[Path, int] = {}
    if node is not None:
        _note_lines(node, (), lines)
    return Document(data, lines, name)


def _refusal(name: str, message: str, remedy: str, mark: yaml.Mark | None = None) -> ConfigProblems:
    line = None if mark is None else mark.line + 1
    place = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
    return ConfigProblems([Problem(name, f"{message}{place}.", remedy, line=line)])


def _begun(error: yaml.MarkedYAMLError) -> str:
    """Where that began which the parser could not end; the fault is often there rather than where it noticed."""
    if error.context is None or error.context_mark is None:
        return "Check the indentation, quotes and brackets there."
    return f"It came {error.context} that begins in line {error.context_mark.line + 1}: look for what is not closed."


def _note_lines(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    """The composer has already bounded the size of the tree, aliases included."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if isinstance(key, yaml.ScalarNode):
                below = (*path, str(key.value))
                lines.setdefault(below, key.start_mark.line + 1)
                _note_lines(value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(cast("list[yaml.Node]", node.value)):
            _note_lines(value, (*path, index), lines)


class _RefusedError(Exception):
    def __init__(self, problem: str, remedy: str, at: yaml.Mark) -> None:
        super().__init__(problem)
        self.problem_text = problem
        self.remedy = remedy
        self.at = at


class _Loader(yaml.SafeLoader):
    """The safe loader with the composer guarded: every refusal happens before a value is built."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._nodes = 0
        self._depth = 0
        self._weights: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event = self.peek_event()
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            self._count(self._alias_weight(event), mark)
            return super().compose_node(parent, index)  # pyright: ignore[reportArgumentType]
        if getattr(event, "tag", None) is not None:
            raise _RefusedError("uses a YAML tag", "Write the plain value; tags are not read.", mark)
        self._depth += 1
        if self._depth > MAX_YAML_DEPTH:
            raise _RefusedError(f"is nested deeper than {MAX_YAML_DEPTH} levels", "Flatten it.", mark)
        before = self._nodes
        self._count(1, mark)
        node = super().compose_node(parent, index)  # pyright: ignore[reportArgumentType]
        self._depth -= 1
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._weights[anchor] = self._nodes - before
        if isinstance(node, yaml.MappingNode):
            _refuse_equal_keys(node)
        return node

    def _alias_weight(self, event: yaml.AliasEvent) -> int:
        anchor = str(event.anchor)
        if anchor in self.anchors and anchor not in self._weights:
            raise _RefusedError(
                f"has an alias *{anchor} inside its own anchor", "Write the value out.", event.start_mark
            )
        return self._weights.get(anchor, 1)

    def _count(self, nodes: int, mark: yaml.Mark) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise _RefusedError(
                f"has more than {MAX_NODES} values once its aliases are written out", "Use fewer aliases.", mark
            )


def _refuse_equal_keys(node: yaml.MappingNode) -> None:
    first: dict[str, yaml.Mark] = {}
    for key, _ in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
        if not isinstance(key, yaml.ScalarNode):
            raise _RefusedError("has a key that is not a word", "Keys are plain text.", key.start_mark)
        text = str(key.value)
        if text in first and text != "<<":
            raise _RefusedError(
                f"has the key {text} twice, first on line {first[text].line + 1}",
                "Keep one of the two.",
                key.start_mark,
            )
        first[text] = key.start_mark


_CORE_SCALARS: tuple[tuple[str, str, str], ...] = (
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:int", r"^[-+]?(?:0|[1-9][0-9_]*)$", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"^[-+]?(?:(?:0|[1-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|(?:0|[1-9][0-9_]*)[eE][-+]?[0-9]+)$",
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    ("tag:yaml.org,2002:merge", r"^(?:<<)$", "<"),
)

_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _CORE_SCALARS:
    _Loader.add_implicit_resolver(
        _tag, re.compile(_pattern), [*_first.replace("\0", ""), *([""] if "\0" in _first else [])]
    )
