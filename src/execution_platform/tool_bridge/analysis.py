"""What source code holds: its symbols, its imports and how complex its functions are, by tree-sitter's grammars.

A grammar's names of nodes are a row of `LANGUAGES`. Complexity is McCabe's: 1, and 1 more for each place where a function
branches. Parsing is done on bytes and never runs anything; text that is no valid code is described as far as it goes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from execution_platform.exceptions import InvalidToolArguments, ToolError

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_DEEPEST: Final = 500
_MOST_SYMBOLS: Final = 2000
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Language:
    """The grammar of a language, and what its nodes mean."""

    name: str
    module: str
    functions: frozenset[str]
    classes: frozenset[str]
    imports: frozenset[str]
    branches: frozenset[str]
    operators: frozenset[str] = frozenset({"&&", "||"})
    """Operators that branch, as tokens of an expression."""
    entry: str = "language"
    """The function of the module that gives the grammar."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PYTHON: Final = Language(
    "python",
    "tree_sitter_python",
    _words("function_definition"),
    _words("class_definition"),
    _words("import_statement import_from_statement future_import_statement"),
    _words(
        "if_statement elif_clause for_statement while_statement except_clause conditional_expression case_clause "
        "assert_statement if_clause for_in_clause"
    ),
    _words("and or"),
)
_SCRIPT_BRANCHES: Final = _words(
    "if_statement for_statement for_in_statement while_statement do_statement catch_clause ternary_expression switch_case"
)
_SCRIPT_FUNCTIONS: Final = _words(
    "function_declaration method_definition generator_function_declaration arrow_function function_expression"
)
_JAVASCRIPT: Final = Language(
    "javascript",
    "tree_sitter_javascript",
    _SCRIPT_FUNCTIONS,
    _words("class_declaration"),
    _words("import_statement"),
    _SCRIPT_BRANCHES,
    _words("&& || ??"),
)
_TYPES: Final = _words(
    "class_declaration interface_declaration type_alias_declaration enum_declaration abstract_class_declaration"
)
_TYPESCRIPT: Final = Language(
    "typescript",
    "tree_sitter_typescript",
    _SCRIPT_FUNCTIONS,
    _TYPES,
    _words("import_statement"),
    _SCRIPT_BRANCHES,
    _words("&& || ??"),
    entry="language_typescript",
)
_TSX: Final = Language(
    "tsx",
    "tree_sitter_typescript",
    _SCRIPT_FUNCTIONS,
    _TYPES,
    _words("import_statement"),
    _SCRIPT_BRANCHES,
    _words("&& || ??"),
    entry="language_tsx",
)
_GO: Final = Language(
    "go",
    "tree_sitter_go",
    _words("function_declaration method_declaration"),
    _words("type_spec"),
    _words("import_spec"),
    _words("if_statement for_statement expression_case type_case communication_case"),
)
_RUST: Final = Language(
    "rust",
    "tree_sitter_rust",
    _words("function_item"),
    _words("struct_item enum_item trait_item impl_item"),
    _words("use_declaration extern_crate_declaration"),
    _words("if_expression for_expression while_expression loop_expression match_arm"),
)
_JAVA: Final = Language(
    "java",
    "tree_sitter_java",
    _words("method_declaration constructor_declaration"),
    _words("class_declaration interface_declaration enum_declaration record_declaration"),
    _words("import_declaration"),
    _words(
        "if_statement for_statement enhanced_for_statement while_statement do_statement catch_clause ternary_expression "
        "switch_label"
    ),
)

LANGUAGES: Final[Mapping[str, Language]] = {
    "py": _PYTHON,
    "pyi": _PYTHON,
    "js": _JAVASCRIPT,
    "jsx": _JAVASCRIPT,
    "mjs": _JAVASCRIPT,
    "cjs": _JAVASCRIPT,
    "ts": _TYPESCRIPT,
    "mts": _TYPESCRIPT,
    "tsx": _TSX,
    "go": _GO,
    "rs": _RUST,
    "java": _JAVA,
}
"""By the ending of a file's name."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function, method or class, by its lines from 1."""

    name: str
    kind: str
    line: int
    end: int
    complexity: int | None = None
    """None for classes."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one file holds."""

    language: str
    lines: int
    code: int
    """Lines that are not blank."""
    symbols: tuple[Symbol, ...]
    imports: tuple[str, ...]
    broken: bool
    """Whether parts of it are no valid code."""

    def as_json(self, path: str, *, symbols: bool) -> dict[str, object]:
        """The analysis of the file at `path`."""
        complexities = [each.complexity for each in self.symbols if each.complexity is not None]
        answer: dict[str, object] = {
            "path": path,
            "language": self.language,
            "lines": self.lines,
            "code_lines": self.code,
            "functions": len(complexities),
            "classes": len(self.symbols) - len(complexities),
            "complexity": {"most": max(complexities, default=0), "sum": sum(complexities)},
            "imports": list(self.imports),
        }
        if self.broken:
            answer["note"] = "Parts of the file are no valid code; they are left out."
        if symbols:
            answer["symbols"] = [_row(each) for each in self.symbols]
        return answer


def _row(symbol: Symbol) -> dict[str, object]:
    row: dict[str, object] = {"name": symbol.name, "kind": symbol.kind, "line": symbol.line, "end_line": symbol.end}
    return row if symbol.complexity is None else {**row, "complexity": symbol.complexity}


def language_of(path: str) -> Language:
    """The language of a file, by its name. Raises `InvalidToolArguments`."""
    found = LANGUAGES.get(path.rpartition(".")[2].lower())
    if found is None:
        raise InvalidToolArguments(
            f"args.path: {path!r} is in no language that is understood; these endings are: {', '.join(sorted(LANGUAGES))}",
            param="args.path",
        )
    return found


def analysed(text: str, language: Language) -> Analysis:
    """What a text in a language holds. Raises `ToolError` without the grammar."""
    root = _parser(language).parse(text.encode("utf-8", "replace")).root_node
    symbols: list[Symbol] = []
    imports: list[str] = []
    for node, scope in _walk(root, language):
        if node.type in language.imports:
            imports.append(_text(node))
        elif len(symbols) < _MOST_SYMBOLS and (symbol := _symbol(node, scope, language)) is not None:
            symbols.append(symbol)
    lines = text.splitlines()
    code = sum(bool(line.strip()) for line in lines)
    return Analysis(language.name, len(lines), code, tuple(symbols), tuple(imports), root.has_error)


@cache
def _parser(language: Language) -> "Parser":
    try:
        core, grammar = import_module("tree_sitter"), import_module(language.module)
    except ImportError:
        raise ToolError(
            f"the grammar of {language.name} is not installed; an operator installs the extra: execution-platform[code]",
            code="not_configured",
        ) from None
    parser: Parser = core.Parser(core.Language(getattr(grammar, language.entry)()))
    return parser


def _walk(root: "Node", language: Language) -> Iterator[tuple["Node", str]]:
    """Every node with the name of what it is within, in order; what is nested too deeply is left out."""
    waiting: list[tuple[Node, str, int]] = [(root, "", 0)]
    while waiting:
        node, scope, depth = waiting.pop()
        yield node, scope
        if depth >= _DEEPEST:
            continue
        inner = scope
        if node.type in language.classes or node.type in language.functions:
            name = _name(node)
            inner = f"{scope}.{name}" if scope and name else name or scope
        waiting.extend((child, inner, depth + 1) for child in reversed(node.named_children))


def _symbol(node: "Node", scope: str, language: Language) -> Symbol | None:
    name = _name(node)
    if not name or node.type not in language.functions | language.classes:
        return None
    full = f"{scope}.{name}" if scope else name
    line, end = node.start_point[0] + 1, node.end_point[0] + 1
    if node.type in language.classes:
        return Symbol(full, "class", line, end)
    kind = "method" if scope or "method" in node.type else "function"
    return Symbol(full, kind, line, end, _complexity(node, language))


def _name(node: "Node") -> str:
    """The name of a definition; of an anonymous function that of the variable it is assigned to."""
    found = node.child_by_field_name("name") or node.child_by_field_name("type")
    if found is None and node.parent is not None and node.parent.type in ("variable_declarator", "pair"):
        found = node.parent.child_by_field_name("name") or node.parent.child_by_field_name("key")
    return "" if found is None else _text(found)


def _complexity(function: "Node", language: Language) -> int:
    """Its own branches; those of named functions within are theirs."""
    found = 1
    waiting: list[Any] = list(function.children)
    while waiting:
        node: Node = waiting.pop()
        if node.type in language.functions and _name(node):
            continue
        if node.type in language.branches or (not node.is_named and node.type in language.operators):
            found += 1
        waiting.extend(node.children)
    return found


def _text(node: "Node") -> str:
    return " ".join((node.text or b"").decode("utf-8", "replace").split())[:_LONGEST]
