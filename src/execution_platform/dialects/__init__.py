"""The wire languages, found by name. A dialect is imported when it is first asked for."""

from functools import cache
from importlib import import_module

from execution_platform.dialects.base import Dialect

NAMES = ("openai_chat", "openai_responses", "anthropic", "gemini", "native")


@cache
def dialect(name: str) -> Dialect:
    """The dialect called `name`. Raises `KeyError` for a name that is not in `NAMES`."""
    if name not in NAMES:
        raise KeyError(name)
    found: Dialect = import_module(f"execution_platform.dialects.{name}").DIALECT
    return found
