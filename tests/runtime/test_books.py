"""What the kernel tells the books of a call, and what it leaves behind."""

import gc
import weakref
from pathlib import Path

from execution_platform.config.settings import Settings
from execution_platform.dialects import dialect
from execution_platform.dialects.base import Peek
from execution_platform.exceptions import ErrorKind, ProviderError
from execution_platform.gateway.snapshots import SnapshotBuilder
from execution_platform.identity.principal import Principal
from execution_platform.resilience.retry import Option
from execution_platform.router.attempt import Attempt
from execution_platform.router.target import Target
from execution_platform.runtime.books import Books, counts_of
from execution_platform.runtime.call import Call
from execution_platform.spi.usage import Usage


class _Headers(dict[bytes, bytes]):
    """Headers that can be watched while they live."""


def test_no_count_of_a_usage_is_negative_or_larger_than_its_column() -> None:
    """B6: whatever a dialect let through."""
    for usage in (Usage(-5, -7), Usage(10**25, 10**25), Usage(-5, -7, cache_read_tokens=-3, units={"web_search": -1})):
        counts = counts_of(usage)
        numbers = (counts.input_tokens, counts.output_tokens, counts.cache_read_tokens, *(counts.units or {}).values())
        assert all(0 <= number <= 2**62 for number in numbers)


def test_a_call_that_is_over_is_freed_at_once_and_not_when_the_collector_comes_by(tmp_path: Path) -> None:
    config = tmp_path / "platform.yaml"
    config.write_text("version: 1\n")
    snapshot = SnapshotBuilder(Settings({"EP_CONFIG": str(config), "EP_WORKSPACE_ROOT": str(tmp_path)})).build()
    headers = _Headers()
    watched = weakref.ref(headers)
    call = Call("req_1", Principal("key"), dialect("openai_chat"), b"{}", Peek("m"), snapshot, headers=headers)
    option = Option(snapshot.board.deployment("mock", "m"))
    books = Books()
    gc.disable()
    try:
        attempt = Attempt(Target("mock", "m"), "first", option, snapshot.board, 1)
        assert books.begin(call, attempt).depart() is None
        attempt.fail(ProviderError("no", kind=ErrorKind.UNAVAILABLE))
        books.close(call)
        del call, headers
        assert watched() is None
    finally:
        gc.enable()
