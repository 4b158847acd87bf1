"""The test servers themselves: what other tests rely on."""

import servers


def test_a_frozen_postgresql_answers_again_when_it_is_resumed() -> None:
    with servers.postgres() as server:
        server.freeze()
        server.resume()
        assert server.execute("SELECT 1") == "1"


def test_a_stopped_postgresql_keeps_its_rows() -> None:
    with servers.postgres() as server:
        server.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        server.stop()
        assert not server.accepts()
        server.start()
        assert server.execute("SELECT n FROM kept") == "7"


def test_a_stopped_redis_starts_at_the_same_address() -> None:
    with servers.redis() as server:
        url = server.url
        server.stop()
        assert not server.accepts()
        server.start()
        assert server.accepts()
        assert server.url == url
