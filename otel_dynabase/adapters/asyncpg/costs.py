"""asyncpg's statements for the planner: a sample of them, and how to connect where they run."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from random import random
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg import connect_utils

from otel_dynabase import faults
from otel_dynabase.probes.cost import APPLICATION_NAME, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_dynabase.adapters.asyncpg.statements import Begin
    from otel_dynabase.probes.cost import QueryCosts
    from otel_dynabase.probes.statement import StatementSeries


class Session:
    """A connection of ours, used by a thread without an event loop."""

    def __init__(self, runner: asyncio.Runner, connection: asyncpg.Connection) -> None:
        self._runner = runner
        self._connection = connection

    def run(self, script: str) -> None:
        """Run statements by the simple protocol."""
        self._runner.run(self._connection.execute(script))

    def ask(self, statement: str) -> str | None:
        """Run one statement by the extended protocol."""
        value = self._runner.run(self._connection.fetchval(statement))
        return None if value is None else str(value)


class Address:
    """Where a connection leads, and what it logged in with."""

    __slots__ = ("_addr", "_config", "_params", "key")

    def __init__(self, connection: asyncpg.Connection) -> None:
        params = self._params = connection._params
        self._addr = connection._addr
        self._config = connection._config
        settings = params.server_settings
        self.key = (self._addr, params.user, params.database, tuple(settings.items()) if settings else None)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Connect to the same server in the same way."""
        with asyncio.Runner() as runner:
            connection = runner.run(self._connect())
            try:
                yield Session(runner, connection)
            finally:
                runner.run(connection.close(timeout=TIMEOUT))

    async def _connect(self) -> asyncpg.Connection:
        settings = {**(self._params.server_settings or {}), "application_name": APPLICATION_NAME}
        async with asyncio.timeout(TIMEOUT):
            return await connect_utils._connect_addr(
                addr=self._addr,
                loop=asyncio.get_running_loop(),
                params=self._params._replace(server_settings=settings),
                # unnamed statements pass through PgBouncer
                config=self._config._replace(statement_cache_size=0, command_timeout=TIMEOUT),
                connection_class=asyncpg.Connection,
                record_class=asyncpg.Record,
            )


def address_of(connection: asyncpg.Connection) -> Address | None:
    """Return how to connect once more; None where a function of the application's gives the password."""
    return None if callable(connection._params.password) else Address(connection)


class Sampling:
    """Makes what begins a statement offer a sample of them; where none is wanted, nothing is added."""

    def __init__(self, costs: QueryCosts | None) -> None:
        self._costs = costs

    def of_connection(self, begin: Begin, sql_name: str) -> Begin:
        """Sample the statements of a connection's methods, whose first parameter is called `sql_name`."""
        return self._sampled(
            begin, lambda subject, args, kwargs: (args[0] if args else kwargs.get(sql_name, ""), address_of(subject))
        )

    def of_prepared(self, begin: Begin) -> Begin:
        """Sample the executions of prepared statements and cursors."""
        return self._sampled(begin, lambda subject, _args, _kwargs: (subject._query, address_of(subject._connection)))

    def _sampled(
        self, begin: Begin, facts: Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[str, Address | None]]
    ) -> Begin:
        costs = self._costs
        if costs is None:
            return begin
        share = costs.share

        def begin_sampled(subject: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> StatementSeries | None:
            series = begin(subject, args, kwargs)
            if random() < share and series is not None:  # noqa: S311  # no secret
                try:
                    costs.offer(series, *facts(subject, args, kwargs))
                except Exception:
                    faults.ignore("sampling a statement")
            return series

        return begin_sampled
