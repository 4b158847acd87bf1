"""The pepper: what the digests of issued keys are made with, and what is not in the database.

In this order: `EP_KEY_PEPPER`; derived from `EP_MASTER_KEY`; a file below the workspace that only its owner can read, made when
the first key is issued. Replicas need the same one, which the file cannot give them.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from execution_platform.config.secret import Secret
from execution_platform.exceptions import ConfigError

FILE = "key-pepper"
_BYTES = 32
_CONTEXT = b"execution-platform key pepper"


class Pepper:
    """Where the pepper of this process comes from. Making one reads nothing."""

    def __init__(self, given: Secret | None, master_key: Secret | None, workspace: Path) -> None:
        self._path = workspace / FILE
        self._pepper = given
        if given is None and master_key is not None:
            self._pepper = Secret(hmac.digest(master_key.reveal().encode(), _CONTEXT, hashlib.sha256).hex())

    def read(self) -> Secret | None:
        """The pepper; None when no key has been issued with one of this workspace yet."""
        if self._pepper is None and self._path.exists():
            self._pepper = Secret(self._path.read_text(encoding="ascii").strip())
        return self._pepper

    def make(self) -> Secret:
        """The pepper, made now if there is none. Raises `ConfigError` when the workspace is not writable."""
        found = self.read()
        if found is not None:
            return found
        beside = self._path.with_name(f"{FILE}.{os.getpid()}-{secrets.token_hex(4)}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # a worker beside this one was first: its pepper counts
                os.link(beside, self._path)
            beside.unlink()
        except OSError as error:
            raise ConfigError(
                f"the key pepper cannot be written below the workspace: {error.strerror}; set EP_KEY_PEPPER, or "
                "EP_WORKSPACE_ROOT to a folder this process may write"
            ) from error
        self._pepper = Secret(self._path.read_text(encoding="ascii").strip())
        return self._pepper


def name_of(pepper: Secret) -> str:
    """A short name that tells peppers apart and says nothing about them; kept beside each digest."""
    return hmac.digest(pepper.reveal().encode(), b"name", hashlib.sha256).hex()[:16]
