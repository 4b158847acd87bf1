"""Words and small shapes of the Responses wire.

Source: openai SDK 3.52 `types/responses` (read 2026-11).
"""

import re
from typing import NamedTuple

from execution_platform.dialects import envelope
from execution_platform.spi.parts import Origin, Signature

NAME = "openai_responses"
ORIGIN = Origin(dialect=NAME)
ENCRYPTED = "encrypted"
"""Signature kind of `encrypted_content`."""
SEALED = "reasoning.encrypted_content"
"""What `include` names so that thoughts come with a token that carries them."""
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)


class DataUrl(NamedTuple):
    """A base64 data URL taken apart."""

    mime: str
    data: str


class Token(NamedTuple):
    """What an `encrypted_content` is: a token, and the item id that travelled with it in an envelope."""

    signature: Signature | None
    item_id: str | None = None


def data_url(url: str) -> DataUrl | None:
    """`url` taken apart, if it is a plain base64 data URL that `f"data:{mime};base64,{data}"` gives back."""
    found = _DATA_URL.match(url)
    return DataUrl(found.group(1), url[found.end() :]) if found else None


def read_token(value: str | None, origin: Origin) -> Token:
    """The token in `encrypted_content`: opened if it is an envelope, else that of `origin`."""
    if not value:
        return Token(None)
    opened = envelope.unseal(value)
    return Token(Signature(value, origin, ENCRYPTED)) if opened is None else Token(opened.signature, opened.item_id)


def sealed(signature: Signature, item_id: str | None) -> str:
    """A token as `encrypted_content`: our own form for those of other dialects."""
    return signature.value if signature.origin.dialect == NAME else envelope.seal(signature, item_id)


def joined(namespace: str | None, name: str) -> str:
    """A tool's name with its namespace. Names have no dots on this wire, so the two come apart again."""
    return name if namespace is None else f"{namespace}.{name}"


def parted(name: str) -> tuple[str | None, str]:
    """Namespace and name of a tool."""
    namespace, dot, plain = name.partition(".")
    return (namespace, plain) if dot else (None, name)


def chat_path(model: str, *, stream: bool) -> str:
    """Path below the provider's base URL; model and streaming stand in the body."""
    del model, stream
    return "/responses"
