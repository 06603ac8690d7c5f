"""Asking a PostgreSQL server (14 or later) for what it counts of its databases: one short connection each time.

The role needs `GRANT pg_monitor`, or less: `pg_read_all_stats` for other roles' connections and for the size of
databases that it may not connect to; `pg_monitor` for pg_buffercache. With less, what cannot be read is absent. It
should be a role of its own: pg_stat_statements tells the observer's statements from others' by their role. The two
extensions are used where they were created in the database that is connected to.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.directory.source import UnusableError
from otel_dynabase.observer import host
from otel_dynabase.observer.reading import Counters, Reading
from otel_dynabase.probes.failures import AUTHENTICATION, TOO_MANY_CONNECTIONS, server_absent, sqlstate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

APPLICATION_NAME: Final = "otel_dynabase_observer"
CLOSE_TIMEOUT: Final = 1.0

DATABASES: Final = f"""
SELECT d.datname::text AS database, d.oid::int8 AS oid, d.datname = current_database() AS here,
       d.datallowconn AND d.datconnlimit <> 0 AS accepting,
       extract(epoch FROM clock_timestamp())::float8 AS at,
       concat_ws(' ', host(inet_server_addr()), inet_server_port(), pg_is_in_recovery()) AS server,
       extract(epoch FROM pg_postmaster_start_time())::float8 AS started,
       coalesce(extract(epoch FROM s.stats_reset), 0)::float8 AS reset,
       coalesce(extract(epoch FROM greatest(s.stats_reset, b.stats_reset)), 0)::float8 AS began,
       s.xact_commit + s.xact_rollback AS transactions, s.sessions, s.active_time / 1000 AS finished,
       s.blks_read * current_setting('block_size')::int8 AS read, s.temp_bytes AS temporary,
       current_setting('track_activities')::bool AS timed, pg_has_role('pg_read_all_stats', 'USAGE') AS privileged,
       coalesce(a.clients, 0) AS clients, coalesce(a.running, 0) AS running, coalesce(a.busy, false) AS busy,
       coalesce(a.pids, '') AS pids, pg_backend_pid() AS own_pid, inet_client_port() AS own_port,
       coalesce(a.in_flight, 0)::float8 AS in_flight, coalesce(a.last_query, 0)::float8 AS last_query,
       (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
         WHERE e.extname = 'pg_stat_statements') AS statements,
       (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
         WHERE e.extname = 'pg_buffercache') AS buffercache
  FROM pg_database d
  JOIN pg_stat_database s ON s.datid = d.oid
 CROSS JOIN (SELECT stats_reset FROM pg_stat_bgwriter) b
  LEFT JOIN (
        SELECT datid, count(*) AS clients, string_agg(pid::text, ' ') AS pids, bool_or(xact_start IS NOT NULL) AS busy,
               count(*) FILTER (WHERE state IN ('active', 'fastpath function call')) AS running,
               sum(extract(epoch FROM clock_timestamp() - state_change))
                   FILTER (WHERE state IN ('active', 'fastpath function call')) AS in_flight,
               extract(epoch FROM max(query_start)) AS last_query
          FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> '{APPLICATION_NAME}'
         GROUP BY datid) a ON a.datid = d.oid
 WHERE NOT d.datistemplate
"""  # noqa: S608  # our own constant
"""Everything that is cheap, of every database; the first statement of a connection, because its own are counted."""

STATEMENTS: Final = """
SELECT d.oid::int8 AS oid, (SELECT concat_ws('/', extract(epoch FROM stats_reset), dealloc)
                              FROM {schema}.pg_stat_statements_info) AS epoch,
       coalesce(sum(s.calls), 0)::int8 AS calls,
       coalesce(sum(s.shared_blks_written + s.local_blks_written), 0)::int8
           * current_setting('block_size')::int8 AS written
  FROM pg_database d
  LEFT JOIN {schema}.pg_stat_statements(false) s ON s.dbid = d.oid AND s.toplevel
        AND s.userid <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
 GROUP BY d.oid
"""
BUFFERS: Final = """
SELECT reldatabase::int8 AS oid, count(*) * current_setting('block_size')::int8 AS bytes
  FROM {schema}.pg_buffercache WHERE reldatabase <> 0 GROUP BY reldatabase
"""
SIZES: Final = "SELECT oid::int8 AS oid, pg_database_size(oid) AS bytes FROM pg_database WHERE oid = ANY($1::oid[])"

ALWAYS: Final = ("connections", "executing", "statements")
ABSENT: Final = "the extension is not there"
Unreadable = dict[str, str]
"""What could not be read, and why."""


@dataclass(frozen=True, slots=True)
class Want:
    """What is due of what is expensive."""

    sizes: Callable[[Iterable[tuple[str, int]]], list[int]] = lambda _databases: []
    """Chooses out of (name, oid) the databases whose size is asked for."""
    buffers: bool = False


@dataclass(slots=True)
class Answer:
    """What a server said."""

    readings: list[Reading]
    unreadable: Unreadable = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    """All that was tried to read."""


async def ask(dsn: str, want: Want, timeout: float) -> Answer:  # noqa: ASYNC109  # a deadline for several steps
    """Ask a server about its databases, within `timeout` seconds.

    Raises OSError (TimeoutError included), what the server says, or UnusableError; the DSN is in no message. What only
    some of the statements need is noted in the answer instead.
    """
    end = time.monotonic() + timeout
    connection = await _connect(dsn, timeout)
    try:
        answer = await _Session(connection, end).answer(want)
    except BaseException:
        connection.terminate()
        raise
    try:
        await connection.close(timeout=CLOSE_TIMEOUT)
    except Exception:  # we have what we came for; a connection that does not close in time is cut off
        connection.terminate()
    return answer


async def _connect(dsn: str, timeout: float) -> Any:  # noqa: ASYNC109
    asyncpg = _driver()
    try:
        return await asyncpg.connect(
            dsn,
            timeout=timeout,
            statement_cache_size=0,  # unnamed statements pass through PgBouncer
            server_settings={"application_name": APPLICATION_NAME},
        )
    except (OSError, asyncpg.PostgresError):
        raise
    except asyncpg.InterfaceError as error:
        raise UnusableError(f"{type(error).__name__} while connecting") from None
    except Exception as error:
        # A DSN that is hard to parse is quoted by the error: "invalid literal for int(): 'pass'".
        raise UnusableError(f"{type(error).__name__} of the DSN: it must be a postgresql:// address") from None


def _driver() -> Any:
    try:
        return importlib.import_module("asyncpg")
    except ImportError:
        raise UnusableError('asyncpg is missing: pip install "otel-dynabase[observe]"') from None


class _Session:
    """One connection: its statements, how many they were, and how long they took."""

    def __init__(self, connection: Any, end: float) -> None:
        self._connection = connection
        self._end = end
        self._statements = 0
        self._time = 0.0
        self._unreadable: Unreadable = {}

    async def answer(self, want: Want) -> Answer:
        rows = {row["oid"]: row for row in await self._fetch(DATABASES)}
        if not rows:
            return Answer([])
        first = next(iter(rows.values()))
        counted = await self._optional("statements", STATEMENTS, first["statements"])
        buffers = await self._optional("buffers", BUFFERS, first["buffercache"]) if want.buffers else None
        due = want.sizes((row["database"], oid) for oid, row in rows.items())
        sizes = (await self._noted("size", SIZES, due) if due else None) or {}
        if not first["privileged"]:
            self._unreadable["connections"] = "the role is no member of pg_read_all_stats"
        if not first["timed"]:
            self._unreadable["executing"] = "track_activities is off"
        beside = first["privileged"] and host.is_here(first["own_pid"], first["own_port"])
        readings = [
            replace(
                self._reading(row, (counted or {}).get(oid)),
                private=host.private_memory(row["pids"].split()) if beside else None,
                size=sizes[oid]["bytes"] if oid in sizes else None,
                buffers=None if buffers is None else buffers[oid]["bytes"] if oid in buffers else 0,
            )
            for oid, row in rows.items()
        ]
        asked = {*ALWAYS, *(["buffers"] if want.buffers else []), *(["size"] if due else [])}
        return Answer(readings, self._unreadable, frozenset(asked))

    async def _fetch(self, query: str, *args: Any) -> list[Any]:
        began = time.monotonic()
        self._statements += 1
        try:
            return list(await self._connection.fetch(query, *args, timeout=max(0.001, self._end - began)))
        finally:
            self._time += time.monotonic() - began

    async def _optional(self, what: str, query: str, schema: str | None) -> Mapping[int, Any] | None:
        """Ask an extension, where it is there; what it refuses is noted."""
        if schema is None:
            self._unreadable[what] = ABSENT
            return None
        return await self._noted(what, query.format(schema=schema))

    async def _noted(self, what: str, query: str, *args: Any) -> Mapping[int, Any] | None:
        try:
            return {row["oid"]: row for row in await self._fetch(query, *args)}
        except (_driver().PostgresError, TimeoutError) as error:
            self._unreadable[what] = f"{type(error).__name__}: {error}".rstrip(": ")
            return None

    def _reading(self, row: Any, counted: Any) -> Reading:
        timed, privileged = row["timed"], row["privileged"]
        finished = row["finished"] if timed else None
        counters = Counters(
            at=row["at"],
            oid=row["oid"],
            server=row["server"],
            started=row["started"],
            reset=row["reset"],
            began=row["began"],
            transactions=row["transactions"],
            sessions=row["sessions"],
            finished=finished,
            executing=finished + row["in_flight"] if timed and privileged else None,
            read=row["read"],
            temporary=row["temporary"],
            clients=row["clients"] if privileged else None,
            busy=row["busy"],
            last_query=row["last_query"],
            statements=counted and counted["epoch"],
            calls=counted and counted["calls"],
            written=counted and counted["written"],
            own=self._statements if row["here"] else 0,
            own_sessions=int(row["here"]),
            own_time=self._time if row["here"] else 0.0,
        )
        running = row["running"] if privileged and timed else None
        return Reading(row["database"], counters, running, row["accepting"], row["here"])


REASONS: Final = {**dict.fromkeys(AUTHENTICATION, "auth_failure"), TOO_MANY_CONNECTIONS: "max_concurrent"}


def reason_of(error: Exception) -> str:
    """Say in one word of a bounded set why a server could not be asked."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if server_absent(error):
        return "absent"
    if isinstance(error, UnusableError):
        return "settings"
    if isinstance(error, OSError):
        return "connection"
    return REASONS.get(sqlstate(error) or "", "refused" if sqlstate(error) else "connection")
