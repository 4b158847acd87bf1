"""The names of capabilities under their older path; they live in `execution_platform.spi`."""

from execution_platform.spi import CAPABILITIES

__all__ = ["CAPABILITIES"]
