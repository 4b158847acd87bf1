"""Where everything that must outlive the process is kept: SQLite beside the workspace, or PostgreSQL.

Importing this package imports no database library; `engine.Storage` does when it is first used.
"""
