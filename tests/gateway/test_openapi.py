"""The OpenAPI page: complete, valid, and true of the gateway when requests are made from it."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

from serving import serving

MOUNTS = ("/openai/", "/anthropic/", "/genai/", "/v1/models/{model}:")
"""The same endpoints once more."""
MASTER = "master-key-of-the-page-0123456789"
KEY = {"authorization": f"Bearer {MASTER}"}
VENDORS = {"openai": "openai_chat", "anthropic": "anthropic", "genai": "gemini", "v1beta": "gemini"}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway in development mode, in a loop of its own."""
    ready, leave = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def run() -> None:
        environ = {"EP_PROVIDER": "mock", "EP_MASTER_KEY": MASTER}
        async with serving(tmp_path_factory.mktemp("openapi"), environ=environ) as gateway:
            found.extend([gateway.url, asyncio.get_running_loop()])
            ready.set()
            await leave.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(30)
    yield found[0]
    found[1].call_soon_threadsafe(leave.set)
    thread.join(30)


@pytest.fixture(scope="module")
def page(simulated: str) -> dict[str, Any]:
    return schemathesis.openapi.from_url(f"{simulated}/openapi.json", headers=KEY).raw_schema


def test_the_page_is_openapi_3_1_and_lists_every_path(page: dict[str, Any]) -> None:
    assert page["openapi"].startswith("3.1")
    paths = page["paths"]
    for path in (
        "/v1/chat/completions",
        "/openai/v1/chat/completions",
        "/v1/messages",
        "/anthropic/v1/messages/count_tokens",
        "/v1/embeddings",
        "/v1/chat",
        "/chat",
        "/v1beta/models/{model}:streamGenerateContent",
        "/v1/models/{model}:generateContent",
        "/genai/v1/models/{model}:embedContent",
        "/v1/models",
        "/v1/explain",
        "/v1/personas/{name}",
        "/v1/config",
        "/v1/health/providers",
        "/metrics",
    ):
        assert path in paths, path
    operations = [operation for item in paths.values() for operation in item.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    for operation in operations:
        jsonschema_rs.meta.validate(
            operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        )
        assert operation.get("summary"), operation["operationId"]
    named = {name.removeprefix("#/components/schemas/") for name in re.findall(r'"\$ref": "([^"]+)"', json.dumps(page))}
    assert named == set(page["components"]["schemas"])


def test_the_documentation_page_is_there(simulated: str) -> None:
    import urllib.request

    with urllib.request.urlopen(urllib.request.Request(f"{simulated}/docs", headers=KEY)) as response:
        assert b"openapi.json" in response.read()


def dialect_of(path: str) -> str:
    first, second = path.split("/")[1:3] if path.count("/") > 1 else (path[1:], "")
    if first in VENDORS:
        return VENDORS[first]
    if second.startswith("models") and ":" in path:
        return "gemini"
    return "anthropic" if second == "messages" else "native"


def check_shape(path: str, status: int, body: bytes) -> None:
    """An error in the dialect of the path, with words in it."""
    answer = json.loads(body)
    error = answer["error"]
    assert error["message"].strip()
    assert "Traceback" not in error["message"]
    if dialect_of(path) == "anthropic":
        assert answer["type"] == "error"
        assert answer["request_id"]
    if dialect_of(path) == "gemini":
        assert error["code"] == status
        assert error["status"].isupper()


def requests_of(operation: Any, url: str, served: set[str]) -> Any:
    """A few dozen requests made from one operation, the same ones every time."""

    @seed(7)
    @settings(
        max_examples=20, deadline=None, database=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy())
    def holds(case: schemathesis.Case) -> None:
        response = case.call(base_url=url, headers=KEY)
        assert response.status_code < 500, (operation.path, case.body, response.content)
        if response.status_code >= 400:
            check_shape(operation.path, response.status_code, response.content)
        else:
            served.add(operation.path)

    return holds


def test_no_request_made_from_the_page_fails_us_and_every_refusal_is_in_its_dialect(simulated: str) -> None:
    """R40: requests made from the page's own schemas."""
    served: set[str] = set()
    found = schemathesis.openapi.from_url(f"{simulated}/openapi.json", headers=KEY).get_all_operations()
    # A budget that is made up stops the requests after it.
    for operation in sorted((result.ok() for result in found), key=lambda each: each.path.startswith("/v1/budgets")):
        if not operation.path.startswith(MOUNTS):
            requests_of(operation, simulated, served)()
    assert {"/v1/chat", "/v1/explain", "/v1/models", "/metrics", "/v1/config"} <= served
