"""Rules of the house that linters cannot check: sizes, banned calls, one door to the network."""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "execution_platform"
MODULES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in MODULES]

BANNED_CALLS = {"eval", "exec", "compile", "__import__"}
BANNED_MODULES = {
    "pickle",
    "marshal",
    "shelve",
    "requests",
    "httpx",
    "urllib.request",
    "http.client",
    "litellm",
    "langchain",
    "jose",
    "diskcache",
    "RestrictedPython",
    "smolagents",
    "bleach",
    "sse_starlette",
    "backoff",
    "asyncio_throttle",
}
BANNED_PACKAGES = {
    "litellm", "langchain", "langchain-core", "python-jose", "diskcache", "restrictedpython", "smolagents", "bleach",
    "sse-starlette", "fastapi-limiter", "slowapi", "advocate", "httpx", "requests", "urllib3", "pyyaml-include", "gitpython",
    "python-multipart", "ecdsa",
}  # fmt: skip
"""Packages with a record: malicious releases, unfixed holes, or controls that do not hold."""
NETWORK = {
    "aiohappyeyeballs": {"transport"},
    "aiohttp": set(),
    "httpx2": {"client", "tool_bridge"},
    "socket": {"cli", "gateway", "testing", "providers", "transport"},
}
VENDORS = re.compile(r"(openai|anthropic|gemini|groq|deepseek|mistral|ollama|openrouter|fireworks)\Z")


@pytest.fixture(params=MODULES, ids=NAMES, scope="module")
def module(request: pytest.FixtureRequest) -> Path:
    return request.param


@lru_cache(maxsize=1)
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All that stands in a module; the rules come to it one after the other, as the fixture's scope has it."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


def test_no_module_is_over_500_lines(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 500


def test_no_function_is_over_70_lines(module: Path) -> None:
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions(module) if (f.end_lineno or 0) - f.lineno + 1 > 70}
    assert long == {}


def test_nothing_executes_data(module: Path) -> None:
    calls = [node.func.id for node in nodes(module) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert BANNED_CALLS.isdisjoint(calls)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_only_the_transport_and_the_sdk_reach_the_network(module: Path) -> None:
    found = imports(module)
    assert BANNED_MODULES.isdisjoint(found)
    for library, rooms in NETWORK.items():
        if library in {name.split(".")[0] for name in found}:
            assert room(module) in rooms


def test_no_package_with_a_bad_record_is_installed_with_the_gateway() -> None:
    """L9: of all that its lock names."""
    lock = (SOURCE.parents[1] / "requirements" / "runtime.lock").read_text()
    named = {name.lower().replace("_", "-") for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}
    assert len(named) > 20
    assert named.isdisjoint(BANNED_PACKAGES)


def test_authentication_never_reads_the_url_of_the_request() -> None:
    """E2: who is let in is decided by the route that was found."""
    for name in ("auth.py", "policy.py", "serve.py", "edge.py"):
        assert "request.url" not in (SOURCE / "gateway" / name).read_text()


def test_middleware_is_pure_asgi(module: Path) -> None:
    """T5: the other kind hides that a client has left."""
    assert "BaseHTTPMiddleware" not in module.read_text()


def test_every_task_is_kept(module: Path) -> None:
    """A task whose reference is dropped may vanish: `create_task` is never a statement of its own."""
    for node in nodes(module):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
        ):
            assert node.value.func.attr not in {"create_task", "ensure_future"}


MAY_BE_HELD_UNSEEN = {
    "str", "int", "float", "bool", "bytes", "None", "dict", "Mapping", "EventStatus", "Confidence", "Account", "Counts",
    "Dispatch", "Settlement",
    "EndpointSpec",  # lives as long as the process, and knows no request
}  # fmt: skip
"""What a value that the collector does not see may hold: nothing that could hold it in turn."""


def test_what_the_collector_does_not_see_closes_no_circle(module: Path) -> None:
    """R19: a circle through such a value is never collected."""
    if "gc=False" not in module.read_text():
        return
    for made in nodes(module):
        if isinstance(made, ast.ClassDef) and "gc" in {word.arg for word in made.keywords}:
            for field in made.body:
                if isinstance(field, ast.AnnAssign):
                    names = {node.id for node in ast.walk(field.annotation) if isinstance(node, ast.Name)}
                    assert names <= MAY_BE_HELD_UNSEEN, f"{made.name}.{ast.unparse(field)}"


def test_json_has_one_door(module: Path) -> None:
    if module.name in {"_json.py", "model_server.py"} or "doors" in module.parts:
        return  # programs of their own: a child process, and modules that run in the Python of others
    assert {"json", "orjson"}.isdisjoint(imports(module))


def test_assert_is_for_tests(module: Path) -> None:
    """K12: `python -O` removes them."""
    assert not any(isinstance(node, ast.Assert) for node in nodes(module))


BROAD_EXCEPTS = {"gateway/serve.py", "gateway/edge.py", "tool_bridge/registry.py"}


def test_broad_excepts_stand_at_the_edge_only(module: Path) -> None:
    caught = [
        node
        for node in nodes(module)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    if caught:
        assert str(module.relative_to(SOURCE)) in BROAD_EXCEPTS
