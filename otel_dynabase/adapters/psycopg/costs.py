"""psycopg's statements for the planner: a sample of them as the server got them, and how to connect where they run.

A statement is offered when it has ended: only then is it there with `$1` for each `%s`. A server-side cursor's is a
DECLARE, which is skipped.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from random import random
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import ExecStatus

from otel_dynabase import faults
from otel_dynabase.adapters.psycopg.statements import StatementRecords
from otel_dynabase.probes.cost import APPLICATION_NAME, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_dynabase.adapters.psycopg.connections import ConnectionWrappers
    from otel_dynabase.probes import Probes
    from otel_dynabase.probes.cost import QueryCosts
    from otel_dynabase.probes.statement import StatementSeries

DONE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})
DATABASE = ("host", "hostaddr", "port", "dbname", "user", "options")
"""What tells databases, roles and their settings apart."""


class Session:
    """A connection of ours; libpq is called as it is, since psycopg would look for `%s` in the text."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._pgconn = connection.pgconn

    def run(self, script: str) -> None:
        """Run statements by the simple protocol."""
        _checked(self._pgconn.exec_(script.encode()))

    def ask(self, statement: str) -> str | None:
        """Run one statement by the extended protocol."""
        result = _checked(self._pgconn.exec_params(statement.encode(), None))
        value: bytes | None = result.get_value(0, 0) if result.ntuples else None
        return None if value is None else value.decode()


def _checked(result: Any) -> Any:
    if result.status not in DONE:
        raise psycopg.errors.error_from_result(result)
    return result


class Address:
    """Where a connection leads, and what it logged in with."""

    __slots__ = ("_parameters", "key")

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        parameters = connection.info.get_parameters()
        self.key = tuple(map(parameters.get, DATABASE))
        self._parameters = parameters | {
            "password": connection.info.password,
            "application_name": APPLICATION_NAME,
            "client_encoding": "utf8",
            "connect_timeout": str(int(TIMEOUT)),
            "tcp_user_timeout": str(int(TIMEOUT * 1000)),
        }

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Connect to the same server in the same way; blocking, whatever the application's connections are."""
        with psycopg.Connection.connect(autocommit=True, **self._parameters) as connection:  # type: ignore[arg-type]
            yield Session(connection)


class SampledSeries:
    """Where one statement goes that was drawn: to its series, and when it has ended, to the planner."""

    __slots__ = ("_records", "_series")

    def __init__(self, records: SampledRecords, series: StatementSeries) -> None:
        self._records = records
        self._series = series

    def done(self, began: float, rows: Callable[[Any, Any], int | None], subject: Any, result: Any) -> None:
        """Account for a result, and offer the statement."""
        self._series.done(began, rows, subject, result)
        self._records.offer(self._series, subject)

    def failed(self, began: float, error: BaseException, *, driver_timeout: bool) -> None:
        """Account for a failure."""
        self._series.failed(began, error, driver_timeout=driver_timeout)


class SampledRecords(StatementRecords):
    """The same records, with a sample for the planner."""

    def __init__(self, probes: Probes, connections: ConnectionWrappers, costs: QueryCosts) -> None:
        super().__init__(probes, connections)
        self._costs = costs
        self._addresses: weakref.WeakKeyDictionary[Any, Address] = weakref.WeakKeyDictionary()

    def of_query(self, cursor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Begin a statement, and draw lots."""
        series = super().of_query(cursor, args, kwargs)
        return SampledSeries(self, series) if random() < self._costs.share else series  # noqa: S311  # no secret

    def offer(self, series: StatementSeries, cursor: Any) -> None:
        """Offer the statement that a cursor has run."""
        try:
            query = cursor._query
            if query is not None:
                text = query.query.decode(cursor.connection.info.encoding)
                self._costs.offer(series, text, self._address_of(cursor.connection))
        except psycopg.Error:  # closed meanwhile
            self._costs.offer(series, "", None)
        except Exception:
            faults.ignore("sampling a statement")

    def _address_of(self, connection: Any) -> Address:
        address = self._addresses.get(connection)
        if address is None:
            address = self._addresses[connection] = Address(connection)
        return address
