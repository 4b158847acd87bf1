"""`{{name}}` in prompts: nothing but names, and each is replaced once.

What is put in is text of models and users. It is not looked through for names again, so that no answer can reach for another value.
"""

import re
from collections.abc import Mapping

_NAME = re.compile(r"\{\{\s*([A-Za-z][A-Za-z0-9_]*)\s*\}\}")


def names_in(template: str) -> list[str]:
    """The names a template asks for, in order, each once."""
    return list(dict.fromkeys(_NAME.findall(template)))


def filled(template: str, values: Mapping[str, str]) -> str:
    """`template` with the value of each name. Raises `KeyError` for a name without one."""
    return _NAME.sub(lambda found: values[found[1]], template)
