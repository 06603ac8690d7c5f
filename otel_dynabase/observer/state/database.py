"""The state in a table of a PostgreSQL server: for an observer that may run on any of several machines."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.directory.sql import connect, driver
from otel_dynabase.observer.state import LostError, NotSavedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

PING: Final = 1.0
"""Seconds between two looks at whether the session lives."""
ANSWER: Final = 3.0
"""Seconds without an answer to such a look after which the session counts as lost. Less than KEEPALIVE."""
SAVE: Final = 30.0
"""Seconds that saving may take."""
KEEPALIVE: Final = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11000",
}
"""The server gives up a session whose machine has vanished after 11 seconds, and with it the lock."""
APPLICATION_NAME: Final = "otel_dynabase_observer"

CREATE: Final = """
CREATE TABLE IF NOT EXISTS {table} (
    name text PRIMARY KEY, state text NOT NULL, saved_at timestamptz NOT NULL DEFAULT now()
)"""
IDENTIFY: Final = """
SELECT hashtextextended('otel-dynabase observe ' || n.nspname || '.' || c.relname, 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)"""
SAVED: Final = """
INSERT INTO {table} (name, state)
SELECT 'observer', $1 WHERE EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid::bigint << 32 | objid::bigint = $2
)
ON CONFLICT (name) DO UPDATE SET state = excluded.state, saved_at = now()"""
"""Saves nothing if this session does not have the lock: behind a pooler it may be another one each time."""
NO_SESSION: Final = "the session that saves is not the one with the lock: a pooler such as PgBouncer must pool sessions"


class DatabaseState:
    """One row of a table, and a session-level advisory lock for as long as the connection lives.

    `dsn` gives the server's address each time it is needed: secrets are rotated.
    """

    def __init__(self, dsn: Callable[[], str], table: str) -> None:
        self.name = f"table {table}"
        self._dsn = dsn
        self._table = table
        self._key = 0
        self._connection: Any = None
        self._turn = asyncio.Lock()
        """One statement at a time: a session has no more."""

    async def acquire(self) -> bool:
        """Ask for the lock, over the connection of the last try if that still lives."""
        try:
            if self._connection is None or self._connection.is_closed():
                await self._open()
            return bool(await self._fetch("SELECT pg_try_advisory_lock($1)", self._key))
        except Exception as error:
            await self.release()
            raise UnreachableError(_reason(error)) from None

    async def _open(self) -> None:
        self._connection = await connect(driver(), self._dsn(), APPLICATION_NAME)
        for setting, value in KEEPALIVE.items():  # not at the start: PgBouncer refuses connections that set them then
            await self._fetch("SELECT set_config($1, $2, false)", setting, value)
        if await self._fetch("SELECT pg_is_in_recovery()"):  # where a lock of the same name is another lock
            raise UnreachableError("the server is a standby, and takes no writes")
        if await self._fetch("SELECT to_regclass($1) IS NULL", self._table):
            await self._connection.execute(CREATE.format(table=self._table))
        self._key = await self._fetch(IDENTIFY, self._table)

    async def _fetch(self, query: str, *arguments: Any, within: float = ANSWER) -> Any:
        async with self._turn:
            return await self._connection.fetchval(query, *arguments, timeout=within)

    async def load(self) -> str | None:
        """Read the row."""
        query = f"SELECT state FROM {self._table} WHERE name = 'observer'"  # noqa: S608  # the setting is an identifier
        try:
            found = await self._fetch(query, within=SAVE)
        except Exception as error:
            kind = LostError if self._connection.is_closed() else UnreachableError
            raise kind(_reason(error)) from None
        return None if found is None else str(found)

    async def save(self, document: str) -> None:
        """Replace the row, if this session has the lock."""
        try:
            async with self._turn:
                status = await self._connection.execute(
                    SAVED.format(table=self._table), document, self._key, timeout=SAVE
                )
        except Exception as error:
            if self._connection.is_closed() or _is_gone(error):
                raise LostError(_reason(error)) from None
            raise NotSavedError(_reason(error)) from None
        if status != "INSERT 0 1":
            raise LostError(NO_SESSION)

    async def lost(self) -> str:
        """Ask the server for a sign of life now and then."""
        while not self._connection.is_closed():
            await asyncio.sleep(PING)
            if self._turn.locked():  # saving at the moment, which tells as much
                continue
            try:
                await self._fetch("SELECT 1")
            except Exception as error:
                return _reason(error)
        return "the connection was closed"

    async def release(self) -> None:
        """End the session."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                await connection.close(timeout=ANSWER)


def _is_gone(error: Exception) -> bool:
    """Tell the end of a session, or of a server's being the primary, from a statement that failed."""
    state = getattr(error, "sqlstate", None) or ""
    return isinstance(error, (OSError, TimeoutError)) or state[:2] in {"08", "57"} or state == "25006"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return text if isinstance(error, UnreachableError) else f"{type(error).__name__}: {text}".rstrip(": ")
