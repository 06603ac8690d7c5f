"""psycopg_pool: who waits, who holds a connection, and who makes new ones.

A client that finds no connection waits in line; workers (threads or tasks of the pool's own) connect, and what they
make goes to the first in line. Only a pool without stock (NullConnectionPool) connects in its client's place. The
pool decides under its lock: so do the wrappers here that count, which are called there.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from psycopg_pool import PoolTimeout, TooManyRequests
from psycopg_pool.base import BasePool
from psycopg_pool.base_null_pool import _BaseNullConnectionPool

from otel_dynabase import faults
from otel_dynabase.adapters.psycopg.connections import PROBE, Marked, adopt, database_of
from otel_dynabase.adapters.psycopg.target import target_of_pool
from otel_dynabase.probes.acquire import Connecting, Supplying, Wait, current_wait
from otel_dynabase.probes.pool import PoolProbe
from otel_dynabase.tenant import is_internal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_dynabase.probes import Probes
    from otel_dynabase.probes.pool import Observation, Pools

PROJECT = "_otel_dynabase_project"
"""Attribute of a pool: the project that it was bound to."""
MADE = "_otel_dynabase_made"
"""Attribute of a connection that a worker has made and nobody has had yet: when that began."""

marked_pools = Marked(PROBE)


def bind(pool: Any, project_id: str) -> bool:
    """Say whose pool this is; False if it is none of psycopg_pool's."""
    if not isinstance(pool, BasePool):
        return False
    pool.__dict__[PROJECT] = project_id
    probe = pool.__dict__.get(PROBE)
    if probe is not None:
        probe.bind(project_id)
    return True


class StockProbe(PoolProbe):
    """A pool of psycopg_pool's, whose sizes may be changed, and which connections of it clients have."""

    __slots__ = ("_pool", "out")

    def __init__(self, pools: Pools, pool: Any) -> None:
        self._pool = weakref.ref(pool)
        self.out: dict[int, None] = {}
        """Connections that clients have, by identity, as the pool sees it: before they know it, until they let go."""
        name, database = target_of_pool(pool)
        super().__init__(
            pools,
            name=name,
            database=database,
            min_size=0,
            max_size=None,
            idle=_stock_of(self._pool),
            project=pool.__dict__.get(PROJECT),
        )

    def observe(self) -> Iterator[Observation]:
        """Read the pool's state, and its sizes as they are now."""
        pool = self._pool()
        if pool is not None:
            self.min_size, self.max_size = pool._min_size, pool._max_size or None
            self.max_idle = 0 if isinstance(pool, _BaseNullConnectionPool) else self.max_size
        return super().observe()

    def is_full(self) -> bool:
        """Say whether who lines up now must wait until a client lets go; called under the pool's lock."""
        pool = self._pool()
        return pool is not None and len(self.out) + len(pool._waiting) >= pool._max_size

    def learn(self, connection: Any) -> None:
        """Take the database of the first connection, where the pool did not say it before."""
        if self.database is None:
            self.database = database_of(connection)
            self.stale()


def _stock_of(reference: weakref.ref[Any]) -> Callable[[], int]:
    """Make a function that counts the connections waiting in a pool, if it still exists."""

    def stock() -> int:
        pool = reference()
        return 0 if pool is None else len(pool._pool)

    return stock


class PoolRecords:
    """What wrappers, blocking and asynchronous alike, tell the probes of pools."""

    def __init__(self, probes: Probes) -> None:
        self._pools = probes.pools

    def probe(self, pool: Any) -> StockProbe:
        """Return a pool's probe, from its first use on."""
        probe: StockProbe | None = pool.__dict__.get(PROBE)
        if probe is None:
            probe = pool.__dict__.setdefault(PROBE, StockProbe(self._pools, pool))
            marked_pools.add(pool)
            if not pool._closed:
                self._pools.opened(probe)
        return probe

    def begin(self, pool: Any) -> Wait | None:
        """Begin an acquire; a pool that is not open has nothing to wait for."""
        try:
            probe = pool.__dict__.get(PROBE)
            if probe is None:
                if pool._closed:
                    return None
                probe = self.probe(pool)
            return Wait(probe, None)
        except Exception:
            faults.ignore("beginning an acquire")
            return None

    @staticmethod
    def given(wait: Wait, connection: Any) -> None:
        """End an acquire with a connection."""
        made = None
        try:
            adopt(connection, wait.probe)
            made = connection.__dict__.pop(MADE, None)
        except Exception:
            faults.ignore("noting a connection given")
        wait.done(id(connection), None if wait.given is None else made)

    @staticmethod
    def failed(wait: Wait, error: BaseException, outer: Wait | None) -> None:
        """End an acquire without one; for another library's pool, of which this is the connect, too."""
        if outer is not None:
            outer.connect_failed = True
        wait.failed(error, expired=isinstance(error, PoolTimeout), refused=isinstance(error, TooManyRequests))

    @staticmethod
    def lines_up() -> None:
        """Note that the current acquire found no connection; called under the pool's lock, before it is in line."""
        try:
            wait = current_wait.get()
            if wait is not None and isinstance(wait.probe, StockProbe):
                wait.given = None
                if wait.probe.is_full():
                    wait.queues()
        except Exception:
            faults.ignore("noting a wait")

    @staticmethod
    def has_turn() -> None:
        """Note that the current acquire, which was in line, has a connection."""
        try:
            wait = current_wait.get()
            if wait is not None:
                wait.turn()
        except Exception:
            faults.ignore("noting a turn")

    @staticmethod
    def promised(connection: Any, owner: Any) -> None:
        """Note that a connection goes to a client; called under the pool's lock. `owner` carries the pool's probe."""
        try:
            probe = owner.__dict__.get(PROBE)
            if probe is not None and connection is not None:
                probe.out[id(connection)] = None
        except Exception:
            faults.ignore("noting a connection taken")

    @staticmethod
    def comes_back(pool: Any, connection: Any) -> None:
        """Note that a client lets go of a connection, before the pool gives it to the next."""
        try:
            probe = pool.__dict__.get(PROBE)
            if probe is not None:
                probe.out.pop(id(connection), None)
                probe.returned(id(connection))
        except Exception:
            faults.ignore("noting a connection returned")

    @staticmethod
    def taken_in(pool: Any, connection: Any) -> None:
        """Note that a pool takes a connection back, which its client may never have had."""
        try:
            probe = pool.__dict__.get(PROBE)
            if probe is not None:
                probe.out.pop(id(connection), None)
                adopt(connection, probe)
        except Exception:
            faults.ignore("noting a connection taken in")

    def begin_connect(self, pool: Any) -> Connecting | Supplying | None:
        """Begin a connect in its client's place, or by a worker."""
        try:
            probe, wait = self.probe(pool), current_wait.get()
            if wait is None or wait.probe is not probe:
                return Supplying(probe)
            return None if is_internal() else Connecting(self._pools, wait.series, probe, wait)
        except Exception:
            faults.ignore("beginning a connect")
            return None

    @staticmethod
    def connected(pool: Any, making: Connecting | Supplying | None, connection: Any) -> None:
        """End a connect with a connection, whose owner is known before anybody has it."""
        try:
            probe = pool.__dict__.get(PROBE)
            if probe is not None:
                adopt(connection, probe)
                probe.learn(connection)
                if isinstance(making, Supplying):
                    connection.__dict__[MADE] = making.began
        except Exception:
            faults.ignore("noting a connection made")
        if making is not None:
            making.done()

    def closed(self, pool: Any) -> None:
        """Stop showing a pool that is closed."""
        try:
            probe = pool.__dict__.get(PROBE)
            if probe is not None and pool._closed:
                self._pools.closed(probe)
        except Exception:
            faults.ignore("noting a closed pool")
