"""How long a credential must leave a model alone because the provider said so."""

LONGEST = 3600.0
"""Seconds; a provider that names more is asked again after an hour."""


class Cooldown:
    """The end of the wait a provider asked for, in monotonic seconds. It only moves forward."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = 0.0

    def cool(self, seconds: float, now: float) -> bool:
        """Leave alone for `seconds` from `now`; whether that is longer than was known."""
        return self.extend(now + min(seconds, LONGEST))

    def extend(self, until: float) -> bool:
        """Leave alone until `until`; whether that is longer than was known."""
        if until <= self.until:
            return False
        self.until = until
        return True

    def wait(self, now: float) -> float:
        """Seconds that are left; 0 when it may be asked."""
        return self.until - now if self.until > now else 0.0
