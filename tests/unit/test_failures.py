"""What an exception means."""

import asyncio
import errno
import re

import asyncpg
import psycopg
import psycopg_pool
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dynabase.probes.failures import (
    SQLSTATE_CLASSES,
    canceled_on_request,
    error_type,
    server_absent,
    sqlstate,
    statement_timeout,
)


class Answered(Exception):  # noqa: N818
    """An error that a server answered with."""

    def __init__(self, state, text=""):
        super().__init__(text)
        self.sqlstate = state


KINDS = [
    (Answered("23505"), "integrity_constraint_violation"),
    (Answered("57014"), "operator_intervention"),
    (Answered("99999"), "other"),
    (Answered(None), "client"),
    (Answered("abc"), "client"),
    (Answered(23505), "client"),
    (asyncpg.UniqueViolationError("x"), "integrity_constraint_violation"),
    (asyncpg.InterfaceError("x"), "client"),
    (asyncpg.ConnectionDoesNotExistError("x"), "connection_exception"),
    (psycopg.errors.UniqueViolation("x"), "integrity_constraint_violation"),
    (psycopg.OperationalError("the connection is lost"), "connection"),
    (psycopg.OperationalError('FATAL:  database "x" does not exist'), "invalid_catalog_name"),
    (psycopg.errors.ConnectionTimeout("x"), "timeout"),
    (psycopg.errors.CancellationTimeout("x"), "timeout"),
    (psycopg.errors.PipelineAborted("x"), "client"),
    (psycopg.InterfaceError("x"), "client"),
    (psycopg.ProgrammingError('database "x" does not exist'), "client"),
    (psycopg_pool.PoolTimeout("too many clients already"), "timeout"),
    (psycopg_pool.TooManyRequests("x"), "client"),
    (psycopg_pool.PoolClosed("x"), "client"),
    (TimeoutError(), "timeout"),
    (asyncio.CancelledError(), "cancelled"),
    (GeneratorExit(), "cancelled"),
    (KeyboardInterrupt(), "cancelled"),
    (ConnectionResetError(), "connection"),
    (OSError(errno.ENOSPC, "x"), "connection"),
    (EOFError(), "connection"),
    (ValueError("x"), "client"),
    (RuntimeError("x"), "client"),
]


@pytest.mark.parametrize(("error", "kind"), KINDS, ids=lambda value: repr(value)[:40])
def test_an_error_has_a_type(error, kind):
    assert error_type(error) == kind


@given(st.one_of(st.text(max_size=8), st.none(), st.integers(), st.binary(max_size=5)))
def test_the_types_are_a_bounded_set_whatever_the_server_says(state):
    assert error_type(Answered(state)) in {*SQLSTATE_CLASSES.values(), "other", "client"}


@pytest.mark.parametrize("errors", [asyncpg.exceptions, psycopg.errors], ids=["asyncpg", "psycopg"])
def test_every_error_of_the_drivers_has_a_name(errors):
    """The drivers' own lists of SQLSTATEs: a new class of errors shows here."""
    states = {
        error.sqlstate
        for error in vars(errors).values()
        if isinstance(error, type) and isinstance(getattr(error, "sqlstate", None), str)
    }
    assert len(states) > 200
    assert {state[:2] for state in states} <= set(SQLSTATE_CLASSES)
    assert all(re.fullmatch(r"[a-z_]+", name) for name in SQLSTATE_CLASSES.values())


@pytest.mark.parametrize(
    ("error", "absent"),
    [
        (Answered("57P03"), True),
        (Answered("57P01"), False),
        (Answered("53300"), False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), True),
        (FileNotFoundError(errno.ENOENT, "socket"), True),
        (OSError(errno.EHOSTUNREACH, "x"), True),
        (OSError(f"Multiple exceptions: [Errno {errno.ECONNREFUSED}] a, [Errno {errno.ECONNREFUSED}] b"), True),
        (OSError("Multiple exceptions: [Errno 5] a"), False),
        (ConnectionResetError(errno.ECONNRESET, "x"), False),
        (TimeoutError(errno.ETIMEDOUT, "x"), False),
        (TimeoutError(), False),
        (asyncio.CancelledError(), False),
        (ValueError("x"), False),
        (psycopg.OperationalError("connection failed: FATAL:  the database system is starting up"), True),
        (
            psycopg.OperationalError("connection failed: FATAL:  the database system is not yet accepting connections"),
            True,
        ),
        (psycopg.OperationalError("connection failed: … failed: No route to host"), True),
        (psycopg.OperationalError("server closed the connection unexpectedly"), False),
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), False),
        (psycopg_pool.PoolTimeout("Connection refused"), False),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_absence_is_told_from_other_trouble(error, absent):
    assert server_absent(error) is absent


@pytest.mark.parametrize(
    ("error", "expired"),
    [
        (Answered("57014", "canceling statement due to statement timeout"), True),
        (Answered("57014", "canceling statement due to user request"), False),
        (Answered("57014", "Abbruch der Anfrage wegen Zeitüberschreitung"), True),
        (Answered("57P01", "statement timeout"), False),
        (TimeoutError(), False),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_statement_timeout_is_told_from_a_cancel_request(error, expired):
    assert statement_timeout(error) is expired


@pytest.mark.parametrize(
    ("error", "requested"),
    [
        (Answered("57014", "canceling statement due to user request"), True),
        (Answered("57014", "canceling statement due to statement timeout"), False),
        (Answered("57P01", "user request"), False),
        (asyncio.CancelledError(), False),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_cancel_request_is_told_from_a_time_limit(error, requested):
    assert canceled_on_request(error) is requested


def test_a_broken_attribute_is_no_sqlstate():
    assert sqlstate(Answered("1234567")) is None
