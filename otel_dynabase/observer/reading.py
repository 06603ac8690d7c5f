"""What a server says of one database, and what was used between two such readings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Counters(NamedTuple):
    """What PostgreSQL counts for a database, at one moment: all that the next reading is compared with.

    Times are the server's own clock, in unix seconds. None: could not be read.
    """

    at: float
    oid: int
    server: str
    """Its address as the server itself has it, and whether it is a standby."""
    started: float
    """When the server started."""
    reset: float
    """When somebody reset the database's statistics; 0: never."""
    began: float
    """When the counters were at zero for sure, as far as the server says: its statistics were reset, or lost."""
    transactions: int
    sessions: int
    finished: float | None
    """Seconds that statements of clients executed, in transactions that have ended; without track_activities: None."""
    executing: float | None
    """The same, and of the statements that run now."""
    read: int
    """Bytes."""
    temporary: int
    """Bytes."""
    clients: int | None
    """Connections of clients, without the observer's own."""
    busy: bool
    """Whether one of them is in a transaction."""
    last_query: float
    """When one of them last began a statement; 0: never, or could not be read."""
    statements: str | None
    """The epoch of pg_stat_statements: another one when entries were reset or evicted."""
    calls: int | None
    written: int | None
    """Bytes."""
    own: int
    """Statements of the observer in this very database from this reading to the end of its connection."""
    own_sessions: int
    """Connections of the observer to it from this reading to the next."""
    own_time: float
    """Seconds that they took, as the observer saw it: at least what the server counts for them."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer about one database."""

    database: str
    counters: Counters
    running: int | None
    """Statements of clients that execute now."""
    accepting: bool
    """Whether new connections are let in: neither `ALLOW_CONNECTIONS false` nor `CONNECTION LIMIT 0`."""
    here: bool
    """Whether the observer is connected to this database."""
    size: int | None = None
    """Bytes; None when it was not asked for this time, or could not be read."""
    buffers: int | None = None
    """Bytes of the server's shared buffers with pages of this database; None as above."""

    private: int | None = None
    """Bytes that its clients' backends have allocated for themselves; None where the server is on another machine."""

    @property
    def draining(self) -> bool | None:
        """Say whether nobody is let in any more and somebody is still there; None where that cannot be known."""
        if self.accepting:
            return False
        return None if self.counters.clients is None else self.counters.clients > 0


class Usage(NamedTuple):
    """What was used between two readings; never negative. None: could not be read."""

    elapsed: float
    """Seconds of the server's clock; 0 where it was set back."""
    queries: int | None
    executing: float | None
    """Seconds."""
    read: int
    written: int
    most_clients: int | None
    """More connections than this cannot have been executing at one time."""


GROWING = ("transactions", "sessions", "finished", "read", "temporary")
CLOCK_GRAIN = 1e-6
"""Seconds in which the server counts."""


def broken(before: Counters, after: Counters) -> str | None:
    """Say why two readings cannot be compared, or None.

    A server that has started since kept its statistics if it was shut down cleanly. One that started before we asked
    the other is another one: a replica that took over, with statistics of its own. So is one that started since at
    another address; the same server may just have moved there, which then costs what it counted since.
    """
    if after.oid != before.oid:
        return "recreated"
    if after.reset != before.reset:
        return "reset"
    if after.started != before.started and (after.started <= before.at or after.server != before.server):
        return "moved"
    if any((getattr(after, name) or 0) < (getattr(before, name) or 0) for name in GROWING):
        return "lost"
    return None


def since(before: Counters, after: Counters) -> tuple[Usage | None, Counters, str | None]:
    """Return what was used between two readings, what to compare the next one with, and what had broken the count.

    A broken count begins anew, and nothing is known of the time between: unless the server says that its counters began
    at zero after the earlier reading (a reset; a compute that woke without its statistics).
    """
    reason = broken(before, after)
    if reason is None:
        return _difference(before, after), _carried(before, after), None
    if after.began > before.at:
        return _difference(_zero(before.at, after), after), after, reason
    return None, after, reason


def tried_in_vain(before: Counters, timeout: float) -> Counters:
    """Allow for a connection of the observer's to the database that gave no reading.

    What became of it on the server is not known: it may have run a statement for all of `timeout`.
    """
    return before._replace(own=before.own + 1, own_sessions=before.own_sessions + 1, own_time=before.own_time + timeout)


def _zero(at: float, after: Counters) -> Counters:
    timed = None if after.finished is None else 0.0
    return after._replace(
        at=at, transactions=0, sessions=0, finished=timed, executing=timed, read=0, temporary=0,
        statements=None, calls=None, written=None, own=0, own_sessions=0, own_time=0.0,
    )  # fmt: skip


def _carried(before: Counters, after: Counters) -> Counters:
    """Keep what was counted of statements that still ran: the server counts them itself once their transaction ends.

    It never counts the last statement of a connection that was killed; so when nobody is in a transaction, twice in a
    row, what the server says is all there is.
    """
    if before.executing is None or after.executing is None or not (before.busy or after.busy):
        return after
    return after._replace(executing=max(before.executing, after.executing))


def _difference(before: Counters, after: Counters) -> Usage:
    comparable = after.statements is not None and after.statements == before.statements
    executing = None
    if before.executing is not None and after.executing is not None:
        executing = max(0.0, after.executing - before.executing)
    clients = None
    if after.clients is not None:
        clients = max(before.clients or 0, after.clients) + after.sessions - before.sessions
    written = max(0, (after.written or 0) - (before.written or 0)) if comparable else 0
    return Usage(
        elapsed=max(0.0, after.at - before.at),
        queries=_queries(before, after, comparable=comparable),
        executing=executing,
        read=after.read - before.read,
        written=after.temporary - before.temporary + written,
        most_clients=clients,
    )


def _queries(before: Counters, after: Counters, *, comparable: bool) -> int | None:
    """Count the statements between two readings, by pg_stat_statements, or estimate them by transactions.

    Transactions are autovacuum's too, each minute, in a database that nobody uses: they count only where a client
    executed anything. Every connection begins with a transaction of its own, which is not a statement.
    """
    if comparable and before.calls is not None and after.calls is not None and after.calls >= before.calls:
        return after.calls - before.calls
    if before.finished is None or after.finished is None:
        return None
    if _idle(before, after, after.finished - before.finished):
        return 0
    transactions, sessions = after.transactions - before.transactions, after.sessions - before.sessions
    return max(0, transactions - sessions - before.own)


def _idle(before: Counters, after: Counters, executed: float) -> bool:
    """Say whether no client executed anything, as far as can be told.

    That is exact where the observer asks from another database. In this one its own statements take time too, and would
    hide a client's short ones: so nobody may have come or gone either.
    """
    if executed > before.own_time + CLOCK_GRAIN or after.last_query > before.at:
        return False
    if not before.own:
        return True
    came = after.sessions - before.sessions > before.own_sessions
    return not came and (after.clients or 0) >= (before.clients or 0)
