"""The persona router under its older path; it lives in `execution_platform.router`."""

from execution_platform.exceptions import RouterError
from execution_platform.router import PersonaRouter

__all__ = ["PersonaRouter", "RouterError"]
