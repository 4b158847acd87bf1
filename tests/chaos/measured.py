"""One measured number beside the number that was promised."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """A row of the measurements."""

    what: str
    got: str
    promised: str
    is_kept: bool
