"""The way out of a client's connection: what is written to it in one turn of the event loop leaves in one write.

uvicorn hands the head and the pieces of a body to the transport one after the other, and the transport writes each at once: several
system calls and packets for an answer that fits into one. Here they leave together, with what the turn has for other clients
(`transport/bursts.py`). A head whose body is late leaves without it.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from execution_platform.transport.bursts import Bursts


class Joining:
    """Stands for a connection's transport; whatever is no write is passed on."""

    __slots__ = ("_bursts", "_transport", "abort", "get_extra_info", "is_closing")

    def __init__(self, transport: asyncio.Transport, bursts: Bursts) -> None:
        self._transport = transport
        self._bursts = bursts
        self.abort, self.is_closing, self.get_extra_info = (
            transport.abort,
            transport.is_closing,
            transport.get_extra_info,
        )

    def __getattr__(self, name: str) -> Any:
        """Everything else a transport can do."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write at the end of the turn."""
        self._bursts.write(self._transport, data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """Write several pieces, which need not be joined, at the end of the turn."""
        self._bursts.write(self._transport, *pieces)

    def close(self) -> None:
        """Close, after what waits."""
        self._bursts.flush()
        self._transport.close()
