"""What a command writes, as far as it is kept: the beginning and the end."""


class Capture:
    """Keeps the first and the last half of `most` bytes, and counts the rest."""

    def __init__(self, most: int) -> None:
        self._half = max(most // 2, 1)
        self._first = bytearray()
        self._last = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Take what was written next."""
        self.total += len(data)
        room = self._half - len(self._first)
        self._first += data[:room]
        self._last += data[room:]
        del self._last[: -self._half]

    @property
    def truncated(self) -> bool:
        """Whether anything is missing."""
        return self.total > len(self._first) + len(self._last)

    @property
    def kept(self) -> bytes:
        """What is there, with a mark where something is missing."""
        missing = self.total - len(self._first) - len(self._last)
        mark = f"\n[... {missing:,} bytes left out ...]\n".encode() if missing else b""
        return bytes(self._first) + mark + bytes(self._last)
