"""The second net under the role: statements that are refused by their words, with a reason a model understands.

What a statement may do is decided by the role it runs as and by the transaction, never here: half of the statements that do harm
parse as plain SELECTs. This net catches functions that every role may call and that reach beyond a question (settings of the
session, locks, other sessions, statements within texts), and tells early what would fail anyhow.
"""

import re
from typing import Final

from execution_platform.exceptions import InvalidToolArguments, ToolDenied

LONGEST: Final = 20_000
_COMMENTS: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_FIRST: Final = re.compile(r"[\s(]*([A-Za-z]+)")
_READING: Final = frozenset({"select", "with", "values", "table", "explain", "show", "pragma"})
_TRANSACTION: Final = frozenset(
    {
        "begin",
        "start",
        "commit",
        "end",
        "rollback",
        "abort",
        "savepoint",
        "release",
        "prepare",
        "set",
        "reset",
        "discard",
    }
)
_CALLS: Final = re.compile(
    r"\b(set_config|pg_sleep\w*|nextval|setval|lo_\w+|lowrite|loread|pg_read_\w+|pg_ls_\w+|pg_stat_file|pg_current_logfile|dblink\w*|"
    r"pg_terminate_backend|pg_cancel_backend|pg_reload_conf|pg_rotate_logfile|pg_notify|pg_(?:try_)?advisory_\w+|"
    r"pg_switch_wal|pg_create_\w+|pg_drop_\w+|pg_logical_\w+|pg_replication_\w+|pg_promote|pg_backup_\w+|pg_start_backup|"
    r"query_to_xml\w*|table_to_xml\w*|schema_to_xml\w*|database_to_xml\w*|cursor_to_xml\w*|ts_stat|pg_export_snapshot|"
    r"pg_log_backend_memory_contexts|load_extension|readfile|writefile|edit|fts3_tokenizer|zeroblob|randomblob)"
    r"\"?\s*\(",
    re.IGNORECASE,
)
_UNICODE: Final = re.compile(r"\bU&\s*[\"']", re.IGNORECASE)


def check_question(statement: str) -> None:
    """Raises `ToolDenied` or `InvalidToolArguments` for what is no question."""
    word = _first_word(statement)
    if word not in _READING:
        raise ToolDenied(
            f"args.sql: begins with {word.upper() or 'nothing'}; only statements that read are run: SELECT, WITH, VALUES, "
            "TABLE, SHOW, EXPLAIN. db_migrate changes a database, where an operator allows it.",
            param="args.sql",
        )
    found = _CALLS.search(statement)
    if found is not None:
        raise ToolDenied(f"args.sql: the function {found.group(1).lower()} is not for questions", param="args.sql")
    if _UNICODE.search(statement):
        raise ToolDenied(
            "args.sql: names and texts by Unicode escapes (U&) are not read; write them out", param="args.sql"
        )


def check_change(statement: str) -> None:
    """Raises `ToolDenied` or `InvalidToolArguments` for what would leave the transaction."""
    word = _first_word(statement)
    if word in _TRANSACTION or not word:
        raise ToolDenied(
            f"args.statements: {word.upper() or 'an empty statement'} has no place here; all statements run in one "
            "transaction that is begun and ended for you",
            param="args.statements",
        )


def _first_word(statement: str) -> str:
    if len(statement) > LONGEST or "\0" in statement:
        raise InvalidToolArguments(f"args.sql: must be text of at most {LONGEST} characters", param="args.sql")
    found = _FIRST.match(_COMMENTS.sub(" ", statement))
    return "" if found is None else found.group(1).lower()
