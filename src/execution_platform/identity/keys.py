"""Gateway keys we issue: `sk-ep-<id>-<secret>`.

The id is public and finds the record; the secret has 256 bits and is kept as an HMAC-SHA-256 under a pepper that
is not in the database. Keys of this strength need no slow hash, which would only be a way to exhaust the
gateway (trust: "slow hashes on keys = DoS").
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

from execution_platform.config.secret import Secret

PREFIX = "sk-ep-"
_ID_BYTES = 9
_SECRET_BYTES = 32
_FORM = re.compile(rb"sk-ep-([a-z2-7]{15})-([A-Za-z0-9_-]{43})")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


class Issued(NamedTuple):
    """A new key. The text is shown once and kept nowhere."""

    id: str
    text: Secret


def new_key() -> Issued:
    """A key nobody has seen."""
    identity = new_id()
    return Issued(identity, Secret(f"{PREFIX}{identity}-{secrets.token_urlsafe(_SECRET_BYTES)}"))


def new_id() -> str:
    """A public id: 15 letters and digits without look-alikes, so that it can be read aloud."""
    number = int.from_bytes(secrets.token_bytes(_ID_BYTES + 1))
    letters: list[str] = []
    for _ in range(15):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return "".join(letters)


def key_id(token: bytes) -> str | None:
    """The id of something that has the form of a key; None for everything else, before any look-up (E1)."""
    found = _FORM.fullmatch(token)
    return None if found is None else found[1].decode()


def digest(token: bytes, pepper: Secret) -> bytes:
    """What is kept of a key."""
    return hmac.digest(pepper.reveal().encode(), token, hashlib.sha256)


def fingerprint(kept: bytes) -> str:
    """A short name of a key for lists and logs; says nothing about its text."""
    return hashlib.sha256(kept).hexdigest()[:12]
