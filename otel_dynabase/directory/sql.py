"""A directory that a PostgreSQL server is asked for."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from otel_dynabase.directory.file import read_text
from otel_dynabase.directory.rows import MAX_ROWS
from otel_dynabase.directory.source import UnusableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CONNECT_TIMEOUT: Final = 5.0
COMMAND_TIMEOUT: Final = 10.0
APPLICATION_NAME: Final = "otel_dynabase_directory"
MAX_DSN_BYTES: Final = 64 * 1024


class SqlSource:
    """Rows from a query, in a read-only transaction over a connection of its own each time.

    `dsn` is the server's address, or the Path of a file with it, which is read each time: secrets are rotated.
    `quiet` makes the context in which the query runs without being measured itself.
    """

    name = "SQL query"

    def __init__(
        self, dsn: str | Path, query: str, *, quiet: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._dsn = dsn
        self._query = query
        self._quiet = quiet

    def load(self) -> Iterable[Mapping[str, object]]:
        """Run the query.

        Raises RuntimeError where an event loop runs, OSError (TimeoutError included), what the server says, or
        UnusableError; the DSN is in no message.
        """
        asyncpg = driver()
        dsn = read_text(self._dsn, MAX_DSN_BYTES).strip() if isinstance(self._dsn, Path) else self._dsn
        if _in_event_loop():
            raise RuntimeError("the query must run on a background thread, here is an event loop to block")
        with self._quiet():
            return asyncio.run(_ask(asyncpg, dsn, self._query))


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def driver() -> Any:
    """Import asyncpg. Raises UnusableError with the command that installs it."""
    try:
        return importlib.import_module("asyncpg")
    except ImportError:
        raise UnusableError('asyncpg is missing: pip install "otel-dynabase[asyncpg]"') from None


async def connect(asyncpg: Any, dsn: str, application_name: str = APPLICATION_NAME) -> Any:
    """Open a connection of our own.

    Raises OSError (TimeoutError included), what the server says, or UnusableError; the DSN is in no message.
    """
    try:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            statement_cache_size=0,  # unnamed statements pass through PgBouncer
            server_settings={"application_name": application_name},
        )
    except (OSError, asyncpg.PostgresError):
        raise
    except Exception as error:
        # A DSN that is hard to parse is quoted by the error: "invalid literal for int(): 'pass'".
        raise UnusableError(f"{type(error).__name__} of the DSN: it must be a postgresql:// address") from None


async def _ask(asyncpg: Any, dsn: str, query: str) -> list[dict[str, object]]:
    connection = await connect(asyncpg, dsn)
    try:
        # Not the start-up parameter default_transaction_read_only: PgBouncer refuses a connection that sets it.
        async with connection.transaction(readonly=True):
            statement = await connection.prepare(query, name="")
            rows: list[dict[str, object]] = []
            # One fetch with a bound, even for a query that joins too much. Iterating, because the other way to use a
            # cursor fails for columns of a type that asyncpg 0.30 must look up first, such as an enum.
            async for record in statement.cursor(prefetch=MAX_ROWS + 1):
                rows.append({column: _plain(value) for column, value in record.items()})
                if len(rows) > MAX_ROWS:
                    break
            return rows
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT)


def _plain(value: object) -> object:
    """Return what identifies as text: keys are often UUIDs or numbers, and unlike YAML the server does not guess."""
    if isinstance(value, UUID) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    return value
