"""Gateway keys we issue: `sk-ep-<id>-<secret>`.

The id is public and finds the record; its last six letters are a tag under the pepper, so that an id that somebody made up is
refused without asking the database. The secret has 256 bits and is kept as an HMAC-SHA-256 under the pepper, which is
not in the database. Keys of this strength need no slow hash, which would only be a way to exhaust the gateway.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

from execution_platform.config.secret import Secret

PREFIX = "sk-ep-"
_RANDOM_LETTERS = 9
_TAG_LETTERS = 6
_SECRET_BYTES = 32
_FORM = re.compile(rb"sk-ep-([a-z2-7]{15})-([A-Za-z0-9_-]{43})")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


class Issued(NamedTuple):
    """A new key. The text is shown once and kept nowhere."""

    id: str
    text: Secret


def new_key(pepper: Secret) -> Issued:
    """A key nobody has seen."""
    random = _letters(int.from_bytes(secrets.token_bytes(8)), _RANDOM_LETTERS)
    return key_for(random + _tag(random, pepper))


def key_for(identity: str) -> Issued:
    """A new secret for the key of this id."""
    return Issued(identity, Secret(f"{PREFIX}{identity}-{secrets.token_urlsafe(_SECRET_BYTES)}"))


def key_id(token: bytes) -> str | None:
    """The id of something that has the form of a key; None for everything else, before any look-up (E1)."""
    found = _FORM.fullmatch(token)
    return None if found is None else found[1].decode()


def is_ours(identity: str, pepper: Secret) -> bool:
    """Whether we may have made an id under `pepper`; one in a billion of those that others make up seems so."""
    return hmac.compare_digest(identity[_RANDOM_LETTERS:], _tag(identity[:_RANDOM_LETTERS], pepper))


def digest(token: bytes, pepper: Secret) -> bytes:
    """What is kept of a key."""
    return hmac.digest(pepper.reveal().encode(), token, hashlib.sha256)


def fingerprint(kept: bytes) -> str:
    """A short name of a key for lists and logs; says nothing about its text."""
    return hashlib.sha256(kept).hexdigest()[:12]


def _tag(random: str, pepper: Secret) -> str:
    sealed = hmac.digest(pepper.reveal().encode(), b"id " + random.encode(), hashlib.sha256)
    return _letters(int.from_bytes(sealed[:8]), _TAG_LETTERS)


def _letters(number: int, count: int) -> str:
    """Letters and digits without look-alikes, so that they can be read aloud."""
    found: list[str] = []
    for _ in range(count):
        number, place = divmod(number, len(_ALPHABET))
        found.append(_ALPHABET[place])
    return "".join(found)
