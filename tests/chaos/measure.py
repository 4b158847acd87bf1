"""What the promises on time and load are measured by."""

from chaos.measured import Measured


def measure_all() -> list[Measured]:
    """Every measurement, one after the other."""
    return []
