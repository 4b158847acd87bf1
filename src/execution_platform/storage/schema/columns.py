"""The kinds of columns every table is made of, on both databases."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Identity, Integer, MetaData, String, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

NAME = 200
"""Longest name of a tenant, persona, provider, model, key."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """A point in time: `timestamptz` on PostgreSQL, text in UTC on SQLite. A time without a zone is refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """PostgreSQL keeps the zone itself."""
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Into UTC. Raises `ValueError` for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time in the database needs a zone; use datetime.now(UTC)")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Always in UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)


Document = JSON().with_variant(JSONB(), "postgresql")
_Sequence = BigInteger().with_variant(Integer(), "sqlite")


def sequence() -> Column[int]:
    """The primary key of an append-only table: tells the order, is never used twice."""
    return Column("seq", _Sequence, Identity(), primary_key=True)


def uuid_column(name: str = "id", **options: Any) -> Column[str]:
    """A UUID as text."""
    return Column(name, Uuid(as_uuid=False), **options)


def name_column(name: str, *, default: str | None = None, **options: Any) -> Column[str]:
    """A name. With `default` (usually the empty string) it is never null, so that it can be part of a key."""
    if default is not None:
        options = {"nullable": False, "server_default": default, **options}
    return Column(name, String(NAME), **options)


def count_column(name: str, **options: Any) -> Column[int]:
    """A number that starts at zero: tokens, requests, nano-dollars."""
    return Column(name, BigInteger(), nullable=False, server_default="0", **options)


def moment_column(name: str, **options: Any) -> Column[datetime]:
    """A point in time."""
    return Column(name, Moment(), **options)
