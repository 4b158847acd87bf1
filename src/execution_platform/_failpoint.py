"""Named places where a test lets the process fail: `FAILPOINT=name:mode` in the environment of a child process.

A place is one line, and without the variables it costs one check of a constant::

    if ARMED:
        hit("kernel.before_settle")            # in a coroutine: await reach("kernel.before_settle")

`FAILPOINT=name:mode[@n][,name:mode[@n]...]`: `@n` means the n-th time the place is passed, otherwise every time.
`FAILPOINT_HITS=path` appends the name of every place to that file when it is first passed, also when nothing is to
fail there, so that a test can prove that its place exists and was reached.

The modes:

* `exit`: the process is gone at once (status 86), as after `kill -9`: nothing is flushed, no handler runs.
* `exception`: `FailpointError`, which no code of ours expects.
* `hang`: for ever. `hit` stops the whole process, `reach` only its task.
* `ENOSPC`: the `OSError` of a full disk.
* `lost_reply`: `ConnectionResetError`, as if the peer had acted and its answer had been lost.
"""

import asyncio
import errno
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args

Mode = Literal["exit", "exception", "hang", "ENOSPC", "lost_reply"]
EXIT_STATUS: Final = 86
"""What `exit` leaves as the status, which nothing else of ours uses."""
_MODES: Final = get_args(Mode)


class FailpointError(RuntimeError):
    """A failure that was asked for."""


@dataclass(frozen=True, slots=True)
class _Order:
    mode: Mode
    turn: int
    """The pass at which it fires, counted from 1; 0 for all of them."""


@dataclass(slots=True)
class Failpoints:
    """What shall fail in this process, and what has been passed."""

    orders: Mapping[str, _Order]
    log: str = ""
    passed: dict[str, int] = field(default_factory=dict[str, int])

    def due(self, name: str) -> Mode | None:
        """Count a pass; the mode when this one fails. `exit` does not come back."""
        count = self.passed[name] = self.passed.get(name, 0) + 1
        if self.log and count == 1:
            _append(self.log, name)
        order = self.orders.get(name)
        if order is None or order.turn not in {0, count}:
            return None
        if order.mode == "exit":
            os._exit(EXIT_STATUS)
        return order.mode


def read_failpoints(environ: Mapping[str, str]) -> Failpoints:
    """What the variables ask for.

    Raises:
        ValueError: an order that nothing could obey; the message names it.
    """
    orders: dict[str, _Order] = {}
    for text in filter(None, environ.get("FAILPOINT", "").split(",")):
        name, _, rest = text.strip().partition(":")
        mode, at, turn = rest.partition("@")
        if not name or mode not in _MODES or (at and not (turn.isascii() and turn.isdigit() and int(turn) > 0)):
            raise ValueError(
                f"FAILPOINT has {text!r}: write name:mode or name:mode@n with one of {', '.join(_MODES)}, "
                "or unset the variable"
            )
        orders[name] = _Order(cast(Mode, mode), int(turn or 0))
    return Failpoints(orders, environ.get("FAILPOINT_HITS", ""))


def _append(path: str, name: str) -> None:
    """One line by one write, which stays whole when several processes append."""
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(log, f"{name}\n".encode())
    finally:
        os.close(log)


def _fail(name: str, mode: Mode) -> None:
    if mode == "ENOSPC":
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} (failpoint {name})")
    if mode == "lost_reply":
        raise ConnectionResetError(errno.ECONNRESET, f"{os.strerror(errno.ECONNRESET)} (failpoint {name})")
    raise FailpointError(f"failpoint {name}")


_POINTS: Final = read_failpoints(os.environ)
ARMED: Final = bool(_POINTS.orders or _POINTS.log)
"""Whether this process was started with failpoints. Ask before every `hit` and `reach`."""


def hit(name: str, points: Failpoints = _POINTS) -> None:
    """Fail here if it was asked for; a hang stops the thread.

    Raises:
        FailpointError: mode `exception`.
        OSError: modes `ENOSPC` and `lost_reply`.
    """
    mode = points.due(name)
    if mode == "hang":
        threading.Event().wait()
    elif mode is not None:
        _fail(name, mode)


async def reach(name: str, points: Failpoints = _POINTS) -> None:
    """Fail here if it was asked for; a hang stops the task, which can be cancelled."""
    mode = points.due(name)
    if mode == "hang":
        await asyncio.Event().wait()
    elif mode is not None:
        _fail(name, mode)
