"""Databases as tools reach them: by roles that may only read, one statement at a time, within limits."""

from execution_platform.tool_bridge.db.interfaces import Answer, Database, Question
from execution_platform.tool_bridge.db.postgres import PostgresDatabase
from execution_platform.tool_bridge.db.sqlite import SqliteDatabase

__all__ = ["Answer", "Database", "PostgresDatabase", "Question", "SqliteDatabase"]
