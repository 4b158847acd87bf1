"""How long the slow ones of the last answers took."""

_KEPT = 64
_ENOUGH = 20


class Quantile:
    """The 95th percentile of the last 64 values; unknown before there are 20."""

    __slots__ = ("_next", "_values")

    def __init__(self) -> None:
        self._values: list[float] = []
        self._next = 0

    def note(self, value: float) -> None:
        """One more value."""
        values = self._values
        if len(values) < _KEPT:
            values.append(value)
            return
        values[self._next] = value
        self._next = (self._next + 1) % _KEPT

    def p95(self) -> float | None:
        """The value that one in twenty exceeds."""
        values = self._values
        return sorted(values)[len(values) * 95 // 100] if len(values) >= _ENOUGH else None
