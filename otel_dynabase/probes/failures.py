"""What an exception means: its bounded type, and the limit or the refusal behind it. No driver is imported here."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from dataclasses import dataclass
from typing import Self

SQLSTATE_CLASSES = {
    "01": "warning",
    "02": "no_data",
    "03": "sql_statement_not_yet_complete",
    "08": "connection_exception",
    "09": "triggered_action_exception",
    "0A": "feature_not_supported",
    "0B": "invalid_transaction_initiation",
    "0F": "locator_exception",
    "0L": "invalid_grantor",
    "0P": "invalid_role_specification",
    "0Z": "diagnostics_exception",
    "10": "xquery_error",
    "20": "case_not_found",
    "21": "cardinality_violation",
    "22": "data_exception",
    "23": "integrity_constraint_violation",
    "24": "invalid_cursor_state",
    "25": "invalid_transaction_state",
    "26": "invalid_sql_statement_name",
    "27": "triggered_data_change_violation",
    "28": "invalid_authorization_specification",
    "2B": "dependent_privilege_descriptors_still_exist",
    "2D": "invalid_transaction_termination",
    "2F": "sql_routine_exception",
    "34": "invalid_cursor_name",
    "38": "external_routine_exception",
    "39": "external_routine_invocation_exception",
    "3B": "savepoint_exception",
    "3D": "invalid_catalog_name",
    "3F": "invalid_schema_name",
    "40": "transaction_rollback",
    "42": "syntax_error_or_access_rule_violation",
    "44": "with_check_option_violation",
    "53": "insufficient_resources",
    "54": "program_limit_exceeded",
    "55": "object_not_in_prerequisite_state",
    "57": "operator_intervention",
    "58": "system_error",
    "72": "snapshot_failure",
    "F0": "config_file_error",
    "HV": "foreign_data_wrapper_error",
    "P0": "plpgsql_error",
    "XX": "internal_error",
}
"""PostgreSQL documentation, appendix A, "PostgreSQL Error Codes": the classes, in snake case."""

TOO_MANY_CONNECTIONS = "53300"
STATEMENT_CANCELED = "57014"
SERVER_STARTING = "57P03"
AUTHENTICATION = frozenset({"28000", "28P01"})
ABSENT_ERRNOS = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENOENT})

_LOGIN_REFUSED = tuple(
    (state, re.compile(text))
    for state, text in (
        (SERVER_STARTING, "the database system is (starting up|shutting down|in recovery mode|not (yet )?accepting)"),
        (TOO_MANY_CONNECTIONS, "too many clients already|remaining connection slots are reserved"),
        (TOO_MANY_CONNECTIONS, 'too many connections for (role|database) "'),
        ("28P01", 'password authentication failed for user "'),
        ("28000", 'authentication failed for user "|no pg_hba.conf entry for|pg_hba.conf rejects connection'),
        ("28000", 'role ".*" (does not exist|is not permitted to log in)'),
        ("3D000", 'database ".*" does not exist'),
        ("55000", 'database ".*" is not currently accepting connections'),
    )
)
"""What PostgreSQL (src/backend: postmaster, libpq/auth.c, utils/init) says to whom it does not let in."""

TIMEOUTS = frozenset({"TimeoutError", "PoolTimeout", "ConnectionTimeout", "CancellationTimeout"})
"""Classes of errors by which drivers and pools say that a time limit of their own was reached."""


def sqlstate(error: BaseException) -> str | None:
    """Return the error's five-character SQLSTATE, where the server sent one.

    libpq has none for a connection that the server refuses: only the server's words say why.
    """
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str) and len(state) == 5:  # noqa: PLR2004  # the length of an SQLSTATE
        return state
    if _of_libpq(error):
        text = str(error)
        return next((state for state, words in _LOGIN_REFUSED if words.search(text)), None)
    return None


def _of_libpq(error: BaseException) -> bool:
    """Say whether this is what a driver above libpq raises where the server sent no SQLSTATE: PEP 249's name for it.

    Subclasses of it, such as a pool's, mean something else.
    """
    return type(error).__name__ == "OperationalError" and not isinstance(error, OSError)


def error_type(error: BaseException) -> str:
    """Return a failure's type out of a bounded set.

    The SQLSTATE's class where the server answered; timeout and cancelled for what ended on this side; connection for
    the network; client for what the driver refused before the server saw it.
    """
    state = sqlstate(error)
    if state is not None:
        return SQLSTATE_CLASSES.get(state[:2], "other")
    if not TIMEOUTS.isdisjoint(kind.__name__ for kind in type(error).__mro__):
        return "timeout"
    if isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt):
        return "cancelled"
    if isinstance(error, OSError | EOFError) or _of_libpq(error):
        return "connection"
    return "client"


def server_absent(error: BaseException) -> bool:
    """Say whether nobody was there to connect to: the server is starting, stopped, or has no route.

    asyncio reports several failed addresses of one host as one OSError without a number, its message naming each; libpq
    has nothing but the message.
    """
    if sqlstate(error) == SERVER_STARTING:
        return True
    if _of_libpq(error):
        return any(os.strerror(number) in str(error) for number in ABSENT_ERRNOS)
    if not isinstance(error, OSError) or isinstance(error, TimeoutError):
        return False
    if error.errno is None:
        return any(f"[Errno {number}]" in str(error) for number in ABSENT_ERRNOS)
    return error.errno in ABSENT_ERRNOS


@dataclass(frozen=True, slots=True)
class Failure:
    """What is kept of an error: not the error, which holds on to the frames that it went through."""

    kind: str
    state: str | None
    absent: bool

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Read an error."""
        return cls(error_type(error), sqlstate(error), server_absent(error))


def statement_timeout(error: BaseException) -> bool:
    """Say whether the server ended a statement by its time limit.

    PostgreSQL has one SQLSTATE for that and for a cancel request (pg_cancel_backend); only its text tells them apart.
    """
    return sqlstate(error) == STATEMENT_CANCELED and "user request" not in str(error)


def canceled_on_request(error: BaseException) -> bool:
    """Say whether the server ended a statement because somebody asked it to."""
    return sqlstate(error) == STATEMENT_CANCELED and "user request" in str(error)
