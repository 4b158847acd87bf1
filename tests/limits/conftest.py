"""A Redis of this session, asked directly."""

from collections.abc import Iterator

import pytest
import redis

import servers


@pytest.fixture
def redis_client(redis_server: servers.Redis) -> Iterator[redis.Redis]:
    """A plain client of an empty Redis."""
    with redis.Redis.from_url(redis_server.url, protocol=2) as client:
        client.flushall()
        yield client
