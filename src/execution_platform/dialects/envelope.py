"""The envelope: how an opaque token of one provider travels through a client of another dialect.

Form: `ep1.` + base64url of a JSON list `[dialect, provider, deployment, model, kind, item id, value]`.
It is neither secret nor trusted: the provider that issued the token checks it. Whoever opens one gets
the signature with its origin and sends it home or nowhere.
"""

import base64
import binascii
from typing import NamedTuple, cast

from execution_platform import _json
from execution_platform.spi.parts import Origin, Signature

PREFIX = "ep1."
MARK = b"ep1.Wy"
"""How every envelope we sealed begins: the prefix, and base64 of `["`. A body without it holds none."""
BASE64_MARK = b"ZXAxLld5"
"""The same where a dialect's slot holds bytes, so that it is base64 once more."""


class Opened(NamedTuple):
    """What an envelope held."""

    signature: Signature
    item_id: str | None


def seal(signature: Signature, item_id: str | None = None) -> str:
    """The signature as a token that any client can carry."""
    origin = signature.origin
    fields = [origin.dialect, origin.provider, origin.deployment, origin.model]
    payload = _json.dumps([*fields, signature.kind, item_id, signature.value])
    return PREFIX + base64.urlsafe_b64encode(payload).rstrip(b"=").decode("ascii")


def unseal(token: str) -> Opened | None:
    """The signature inside `token`; None when it is no envelope (then it is a native token)."""
    if not token.startswith(PREFIX):
        return None
    text = token[len(PREFIX) :]
    try:
        fields = _json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        return None
    if not isinstance(fields, list):
        return None
    return _opened(cast("list[object]", fields))


def _opened(fields: list[object]) -> Opened | None:
    if len(fields) != 7 or any(field is not None and not isinstance(field, str) for field in fields):
        return None
    dialect, provider, deployment, model, kind, item_id, value = cast("list[str | None]", fields)
    if dialect is None or kind is None or value is None:
        return None
    origin = Origin(dialect=dialect, provider=provider, deployment=deployment, model=model)
    return Opened(Signature(value, origin, kind), item_id)


def read(token: str, dialect: str, kind: str) -> Signature:
    """A token found in a signature slot of `dialect`: opened if sealed, else native with unknown provider."""
    opened = unseal(token)
    return opened.signature if opened is not None else Signature(token, Origin(dialect=dialect), kind)


def is_home(signature: Signature, dialect: str, provider: str | None = None) -> bool:
    """Whether `signature` may be sent to this dialect and provider. An unknown provider counts as home."""
    origin = signature.origin
    if origin.dialect != dialect:
        return False
    return origin.provider is None or provider is None or origin.provider == provider
