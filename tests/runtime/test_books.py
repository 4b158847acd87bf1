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
from execution_platform.runtime.books import Books
from execution_platform.runtime.call import Call


class _Headers(dict[bytes, bytes]):
    """Headers that can be watched while they live."""


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
