"""Secrets and references to them: values that never show themselves.

A configuration holds `SecretRef`s; the value behind one is read with `resolve_secret` at the moment of
use and travels as a `Secret`, whose text only `reveal` gives.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, SupportsIndex

from execution_platform.exceptions import ConfigError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core.core_schema import CoreSchema

HIDDEN = "***"
MAX_SECRET_FILE = 65_536
"""Bytes read of a secret's file; anything longer is not a key."""

SecretScheme = Literal["literal", "env", "file", "aws-sm", "vault"]

_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REMOTE = re.compile(r"(aws-sm|vault)://([^#\s]+)(?:#([^#\s]+))?")
_EXTRAS: Mapping[str, str] = {"aws-sm": "aws", "vault": "vault"}


class Secret:
    """A text that no str, repr, format, copy to disk or pickle shows; `reveal` gives it."""

    __slots__ = ("_text",)
    __hash__ = None  # type: ignore[assignment] # a hash in a dict's order or a log would tell equal secrets apart

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; call it where the text is used and keep it nowhere."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Equal texts, in a time that does not depend on where they differ."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Secret is not pickled: it would lie readable wherever the pickle does")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        of_text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=of_text,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), of_text]),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: HIDDEN),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: "CoreSchema", handler: "GetJsonSchemaHandler") -> "JsonSchemaValue":
        return {"type": "string", "writeOnly": True}


@dataclass(frozen=True, slots=True, repr=False)
class SecretRef:
    """Where a secret is found. `source` says it for people; nothing says the secret itself."""

    scheme: SecretScheme
    locator: str = ""
    """Name of the environment variable, path of the file, or name in the store; empty for a literal."""
    part: str | None = None
    """The field of a structured secret, after `#`."""
    literal: Secret | None = None

    def __repr__(self) -> str:
        return f"SecretRef({HIDDEN})"

    def __hash__(self) -> int:
        return hash((self.scheme, self.locator, self.part))

    @property
    def source(self) -> str:
        """The reference as written; a literal is only said to be one."""
        if self.scheme == "literal":
            return "a literal value"
        if self.scheme == "env":
            return f"${{{self.locator}}}"
        suffix = f"#{self.part}" if self.part else ""
        return f"{self.scheme}://{self.locator}{suffix}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            _as_reference, serialization=core_schema.plain_serializer_function_ser_schema(lambda _: HIDDEN)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: "CoreSchema", handler: "GetJsonSchemaHandler") -> "JsonSchemaValue":
        return {"type": "string", "writeOnly": True}


def _as_reference(value: object) -> SecretRef:
    if isinstance(value, SecretRef):
        return value
    if not isinstance(value, str):
        from pydantic_core import PydanticKnownError

        raise PydanticKnownError("string_type")
    return parse_secret(value)


def literal_secret(text: str) -> SecretRef:
    """A reference that holds its own value."""
    return SecretRef("literal", literal=Secret(text))


def environment_secret(name: str) -> SecretRef:
    """A reference to an environment variable."""
    return SecretRef("env", name)


def parse_secret(text: str) -> SecretRef:
    """Read `${ENV}`, `file:///path`, `aws-sm://name#field` or `vault://mount/path#field`; other text is a literal.

    Raises `ValueError`, which does not repeat the text, when it begins like a reference and is not one.
    """
    if not text:
        raise ValueError("an empty secret; leave the key out, or refer to one as ${ENV_NAME}")
    whole = _ENV.fullmatch(text)
    if whole:
        return SecretRef("env", whole.group(1))
    if text.startswith("file://"):
        path = text.removeprefix("file://")
        if not path.startswith("/"):
            raise ValueError("a file reference needs an absolute path: file:///run/secrets/name")
        return SecretRef("file", path)
    remote = _REMOTE.fullmatch(text)
    if remote:
        scheme: SecretScheme = "aws-sm" if remote.group(1) == "aws-sm" else "vault"
        return SecretRef(scheme, remote.group(2), remote.group(3))
    if text.startswith(("${", "$(", "aws-sm:", "vault:", "file:")):
        raise ValueError(
            "not a complete reference; write ${ENV_NAME}, file:///path, aws-sm://name#field or vault://mount/path#field"
        )
    return literal_secret(text)


def resolve_secret(ref: SecretRef, environ: Mapping[str, str]) -> Secret:
    """The value behind a reference. `environ` is the process environment with `.env` beneath it.

    Raises `ConfigError` that names the reference: a variable that is not set, a file that cannot be read,
    or a store whose extra is not installed.
    """
    if ref.literal is not None:
        return ref.literal
    if ref.scheme == "env":
        return _from_environment(ref, environ)
    if ref.scheme == "file":
        return _from_file(ref)
    extra = _EXTRAS[ref.scheme]
    raise ConfigError(
        f"{ref.source}: reading this store needs the extra '{extra}' "
        f"(pip install 'execution-platform[{extra}]'); until then give the secret as ${{ENV_NAME}} or file:///path"
    )


def has_secret(ref: SecretRef | None, environ: Mapping[str, str]) -> bool:
    """Whether a value can be expected behind the reference, without reading it."""
    if ref is None:
        return False
    if ref.scheme == "env":
        return bool(environ.get(ref.locator))
    if ref.scheme == "file":
        return Path(ref.locator).is_file()
    return True


def _from_environment(ref: SecretRef, environ: Mapping[str, str]) -> Secret:
    text = environ.get(ref.locator, "")
    if not text:
        raise ConfigError(f"{ref.source}: the environment variable is not set; export it or put it into .env")
    return Secret(text)


def _from_file(ref: SecretRef) -> Secret:
    try:
        with Path(ref.locator).open("rb") as file:
            data = file.read(MAX_SECRET_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{ref.source}: cannot be read ({error.strerror}); check path and permissions") from error
    # The error of a strict decoder would hold the file's bytes.
    text = data.decode(errors="replace").strip()
    if "\ufffd" in text:
        raise ConfigError(f"{ref.source}: is not text; a secret's file holds the secret and nothing else")
    if not text or len(data) > MAX_SECRET_FILE:
        raise ConfigError(f"{ref.source}: is empty or over {MAX_SECRET_FILE} bytes; it must hold one secret")
    return Secret(text)
