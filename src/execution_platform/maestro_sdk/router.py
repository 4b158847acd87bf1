"""The persona router and clients for single providers under their older path; they live in `execution_platform.router`."""

from execution_platform.exceptions import RouterError
from execution_platform.router import PersonaRouter, get_adapter

__all__ = ["PersonaRouter", "RouterError", "get_adapter"]
