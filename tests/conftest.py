"""Nothing from the machine's own environment reaches a test. Real servers are started once, when first asked for."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pytest
import redis
from hypothesis import settings

import servers

# The same examples in every CI run: a new counter-example is found where somebody can look at it.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "default")

_OURS = ("EP_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_", "AZURE_", "AWS_", "OLLAMA_")

Server = TypeVar("Server")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)


def _started(server: AbstractContextManager[Server]) -> Iterator[Server]:
    try:
        with server as running:
            yield running
    except servers.MissingServer as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.Postgres]:
    """A PostgreSQL of this test session. A test that stops or freezes it starts its own: `servers.postgres()`."""
    yield from _started(servers.postgres())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Redis]:
    """A Redis of this test session. A test that stops or freezes it starts its own: `servers.redis()`."""
    yield from _started(servers.redis())


@pytest.fixture
def redis_client(redis_server: servers.Redis) -> Iterator[redis.Redis]:
    """A plain client of the session's Redis, which is emptied first."""
    with redis.Redis.from_url(redis_server.url, protocol=2) as client:
        client.flushall()
        yield client


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database; every test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'books.db'}"
    server: servers.Postgres = request.getfixturevalue("postgres_server")
    return server.new_database()
