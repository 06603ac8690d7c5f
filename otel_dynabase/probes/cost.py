"""What a sample of the statements costs in the planner's opinion, asked over a connection of our own.

Nothing of the application's is ever executed. Its text stands in `PREPARE … AS …` alone, whose grammar takes nothing
but SELECT, INSERT, UPDATE, DELETE, MERGE and VALUES, sent by the extended protocol, which takes one statement. EXPLAIN
then gets a text of ours. It never says ANALYZE; the planner evaluates no volatile function, and what else it
evaluates (an IMMUTABLE or STABLE one) runs in a read-only transaction with time limits, as it would for the
application. A session's own settings (SET search_path, SET ROLE, temporary tables) are not known: such a statement is
skipped, or planned as in a fresh session.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from otel_dynabase.catalog.metrics import QUERY_COST, SELF_COSTS
from otel_dynabase.probes.failures import sqlstate

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from otel_dynabase.probes.statement import StatementSeries
    from otel_dynabase.probes.tenants import Tenants
    from otel_dynabase.store import Store

logger = logging.getLogger("otel_dynabase")

APPLICATION_NAME = "otel_dynabase_costs"
TIMEOUT = 5.0
"""Seconds to connect, and for any answer, at most."""
EXPLAINED = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"})
QUEUED = 1000
"""Sampled statements that wait at most."""
LONGEST = 16_384
"""Characters of a statement that is worth waiting with."""
INTERVAL = 5.0
"""Seconds between two rounds: short, for the tenant's compute to be awake still."""
ROUND = 30.0
"""Seconds after which a round begins with no further database."""
ASKED = 100
"""Statements that one database is asked about in one round, at most, for TURN seconds."""
TURN = 5.0
REMEMBERED = 10_000
"""Statements whose cost is known without asking again, for FRESH seconds."""
FRESH = 600.0
PAUSES = (60.0, 300.0, 900.0, 3600.0)
"""Seconds that a database which could not be asked is left alone for."""

ROOM = """
SELECT least(
    (SELECT nullif(rolconnlimit, -1) - (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid)
     FROM pg_roles r WHERE rolname = session_user),
    (SELECT nullif(datconnlimit, -1) - (SELECT count(*) FROM pg_stat_activity WHERE datid = d.oid)
     FROM pg_database d WHERE datname = current_database()),
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0)
        - (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL))
"""
"""Connections that the role, the database and the server have left beside ours."""
BEGIN = (
    "BEGIN READ ONLY; SET LOCAL statement_timeout = '1s'; SET LOCAL lock_timeout = '100ms'; "
    "SET LOCAL plan_cache_mode = force_generic_plan"
)
NAME = "otel_dynabase_cost"
PREPARE = f"PREPARE {NAME} AS "
PARAMETERS = f"SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = '{NAME}'"  # noqa: S608  # ours
EXPLAIN = f"EXPLAIN (FORMAT JSON) EXECUTE {NAME}"
TRANSIENT = frozenset({"40", "53", "55"})
"""Classes of SQLSTATE: rolled back, out of resources, locked. A planner that ran into its time limit is not asked again
soon."""
TOTAL = re.compile(r'"Total Cost": ([0-9.]+)')
"""The first one is the whole plan's; inside a name the quotation marks are escaped."""


class Session(Protocol):
    """A connection of ours; both methods raise what the driver raises."""

    def run(self, script: str) -> None:
        """Run statements of ours by the simple protocol, in one message."""

    def ask(self, statement: str) -> str | None:
        """Run one statement by the extended protocol, which refuses several; return its first value."""


class Address(Protocol):
    """Where a connection leads, and how to make another one: a secret, to be shown nowhere."""

    @property
    def key(self) -> Hashable:
        """Tell databases, roles and their settings apart, without what is secret."""

    def session(self) -> AbstractContextManager[Session]:
        """Connect; called on the asking thread."""


class NoRoomError(Exception):
    """The tenant would have no connection left beside ours."""


class NotNowError(Exception):
    """The planner did not say this time: a lock was in the way."""


class Sample(NamedTuple):
    """A statement that was executed for a project."""

    project_id: str
    sql: str
    address: Address


class QueryCosts:
    """Takes 1 in `sample` statements, and finds out on a thread of its own what they cost.

    The histogram is of executions: one whose text was asked about lately counts with the cost known from then.
    `quiet` makes the context in which we connect without being measured ourselves.
    """

    def __init__(
        self,
        store: Store,
        tenants: Tenants,
        sample: int,
        *,
        quiet: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tenants = tenants
        self.share = 1 / sample
        """The probability with which a statement is to be offered: lots, not steps, since every Nth statement of a
        repeated sequence may always be the same one."""
        self._quiet = quiet
        self._clock = clock
        self._counts = {
            outcome: store.sum(SELF_COSTS, (outcome,)) for outcome in ("explained", "skipped", "dropped", "failed")
        }
        self._known: dict[int, tuple[float, float | None]] = {}
        """By database and text: until when, and the cost, or None where the planner does not say."""
        self._pauses: dict[Hashable, tuple[float, int]] = {}
        """Databases that are left alone: until when, and failures in a row."""
        self._said = False
        self._stopped = False
        self.after_fork()

    def after_fork(self) -> None:
        """Start empty: what waits is the parent's."""
        self._waiting: deque[Sample] = deque()

    # --- on the request's path ----------------------------------------------------------------------------------------

    def offer(self, series: StatementSeries, sql: str, address: Address | None) -> None:
        """Have a statement wait for the next round; None is a place that we have no way to connect to."""
        if address is None or series.operation not in EXPLAINED or len(sql) > LONGEST:
            self._counts["skipped"].add()
        elif len(self._waiting) >= QUEUED:
            self._counts["dropped"].add()
        else:
            self._waiting.append(Sample(series.project_id, sql, address))

    # --- on the asking thread -----------------------------------------------------------------------------------------

    def round(self) -> float:
        """Account for everything that waits; return the seconds until the next round."""
        databases: dict[Hashable, list[Sample]] = {}
        for sample in self._take():
            databases.setdefault(sample.address.key, []).append(sample)
        end = self._clock() + ROUND
        with self._quiet():
            for key, samples in databases.items():
                unasked = "dropped"
                if not self._over(end):
                    unasked = self._ask(key, samples)
                for sample in samples:
                    self._account(key, sample, unasked)
        return INTERVAL

    def stop(self) -> None:
        """Ask nothing more; what waits is dropped."""
        self._stopped = True
        for _ in self._take():
            self._counts["dropped"].add()

    def _take(self) -> Iterator[Sample]:
        """Take what waits out of the queue, which others may do too."""
        with suppress(IndexError):
            while True:
                yield self._waiting.popleft()

    def _account(self, key: Hashable, sample: Sample, unasked: str) -> None:
        """Account for one sampled execution; `unasked` is the outcome where its cost is not known."""
        known = self._known.get(hash((key, sample.sql)))
        if known is None:
            self._counts[unasked].add()
        elif known[1] is None:
            self._counts["skipped"].add()
        else:
            self._tenants.of(sample.project_id).record(QUERY_COST, known[1])
            self._counts["explained"].add()

    def _ask(self, key: Hashable, samples: Sequence[Sample]) -> str:
        """Ask a database about the texts that are not known; return what becomes of those that it did not come to."""
        now = self._clock()
        texts = {sample.sql: hash((key, sample.sql)) for sample in samples}
        new = {sql: text for sql, text in texts.items() if self._known.get(text, (0.0,))[0] <= now}
        for text in new.values():
            self._known.pop(text, None)
        until, failures = self._pauses.get(key, (0.0, 0))
        if not new or now < until:
            return "failed"
        try:
            with samples[0].address.session() as session:
                self._ask_in(session, new, now + TURN)
        except Exception as error:
            self._pause(key, failures, error)
            return "failed"
        self._pauses.pop(key, None)
        return "dropped" if len(new) > ASKED or self._over(now + TURN) else "failed"

    def _over(self, end: float) -> bool:
        return self._stopped or self._clock() >= end

    def _ask_in(self, session: Session, new: dict[str, int], end: float) -> None:
        """Ask about each text, unless the tenant needs the connection: then let go of it."""
        left = session.ask(ROOM)
        if left is None or int(left) < 1:
            raise NoRoomError
        for sql, text in list(new.items())[:ASKED]:
            if self._over(end):
                break
            try:
                self._remember(text, _cost(session, sql))
            except NotNowError:
                continue

    def _remember(self, text: int, cost: float | None) -> None:
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[text] = (self._clock() + FRESH, cost)

    def _pause(self, key: Hashable, failures: int, error: Exception) -> None:
        """Leave a database alone: for longer each time."""
        if len(self._pauses) >= REMEMBERED:
            del self._pauses[next(iter(self._pauses))]
        self._pauses[key] = (self._clock() + PAUSES[min(failures, len(PAUSES) - 1)], failures + 1)
        if not self._said:
            self._said = True
            logger.warning(
                "otel-dynabase: a database could not be asked for the cost of statements (%s %s); it is left alone for "
                "%g s, and further failures are only counted (otel_dynabase.query_costs)",
                type(error).__name__,
                sqlstate(error) or "",
                PAUSES[0],
            )


def _cost(session: Session, sql: str) -> float | None:
    """Return the planner's total cost, or None if it will never say; raises NotNowError, and what breaks a session."""
    session.run(BEGIN)
    end = "ROLLBACK"
    try:
        session.ask(PREPARE + sql)
        end = f"ROLLBACK; DEALLOCATE {NAME}"  # one message, so that a pooler keeps both on one server connection
        parameters = ", ".join(["NULL"] * int(session.ask(PARAMETERS) or 0))
        plan = session.ask(f"{EXPLAIN}({parameters})" if parameters else EXPLAIN)
        total = TOTAL.search(plan or "")
        return float(total[1]) if total else None
    except Exception as error:
        state = sqlstate(error)
        if state is None and not isinstance(error, ValueError):  # such as a text that cannot be encoded
            raise
        if state is not None and state[:2] in TRANSIENT:
            raise NotNowError from None
        return None
    finally:
        session.run(end)
