"""SQLAlchemy's pools: who waits, who connects, who holds."""

from __future__ import annotations

import sys
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine
from sqlalchemy.exc import TimeoutError  # noqa: A004  # what its pools raise; it is not the built-in one
from sqlalchemy.pool import Pool

from otel_dynabase import faults
from otel_dynabase.adapters.sqlalchemy.stock import asyncio_queue, for_postgresql, idle_in, limits, watch
from otel_dynabase.adapters.sqlalchemy.target import target_of
from otel_dynabase.probes.acquire import Connecting, Wait, current_wait, leave
from otel_dynabase.probes.pool import PoolProbe
from otel_dynabase.tenant import Mark, is_internal

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.probes import Probes

    Function = Callable[..., Any]

PROBE = "_otel_dynabase_probe"
PROJECT = "_otel_dynabase_project"
RETIRED = "_otel_dynabase_retired"
"""Attributes of a pool: its probe, None where it is left alone; whose it is; whether another has taken its place."""

_was_open: ContextVar[bool] = ContextVar("otel_dynabase_was_open", default=False)
"""Whether the connection that is being replaced was open until its pool closed it."""
_watched: weakref.WeakSet[Pool] = weakref.WeakSet()


def bind(target: Any, project_id: str) -> bool:
    """Say whose engine or pool this is; False if it is none of SQLAlchemy's, or of another database."""
    extension = sys.modules.get("sqlalchemy.ext.asyncio")
    if extension is not None and isinstance(target, extension.AsyncEngine):
        target = target.sync_engine
    pool = target.pool if isinstance(target, Engine) else target
    if not isinstance(pool, Pool) or not for_postgresql(pool):
        return False
    pool.__dict__[PROJECT] = project_id
    probe = pool.__dict__.get(PROBE)
    if probe is not None:
        probe.bind(project_id)
    return True


def release() -> None:
    """Take back what was put on pools that are still in use."""
    for pool in list(_watched):
        pool.__dict__.pop(PROBE, None)
        pool.__dict__.pop(RETIRED, None)
        queue = asyncio_queue(pool)
        if queue is not None:
            queue.__dict__.pop("get", None)
        _watched.discard(pool)


class PoolWrappers:
    """Wrappers of what engines, pools and their records do; together they share the probes."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes

    def follow(self, pool: Pool, engine: Engine | None = None) -> PoolProbe | None:
        """Give a pool its probe; an engine knows where its pool leads, a pool alone is followed once it is bound."""
        probe = None
        if for_postgresql(pool):
            target, database = (type(pool).__name__, None) if engine is None else target_of(engine)
            max_size, max_idle = limits(pool)
            probe = PoolProbe(
                self._probes.pools,
                name=pool._orig_logging_name or target,
                database=database,
                min_size=0,
                max_size=max_size,
                max_idle=max_idle,
                idle=idle_in(weakref.ref(pool)),
                project=pool.__dict__.get(PROJECT),
            )
        kept: PoolProbe | None = pool.__dict__.setdefault(PROBE, probe)  # another thread may have been first
        if kept is probe:
            _watched.add(pool)
            if probe is not None:
                watch(asyncio_queue(pool))
                self._probes.pools.opened(probe)
        return kept

    # --- checking out -------------------------------------------------------------------------------------------------

    def raw_connection(self, original: Function) -> Function:
        """Wrap Engine.raw_connection, which every use of an engine's pool begins with."""

        def raw_connection(engine: Engine) -> Any:
            try:
                if PROBE not in engine.pool.__dict__:
                    self.follow(engine.pool, engine)
            except Exception:
                faults.ignore("following a pool")
            return original(engine)

        return raw_connection

    def connect(self, original: Function) -> Function:
        """Wrap Pool.connect, which gives out every connection; what it runs on one itself (a ping) is upkeep."""

        def connect(pool: Pool) -> Any:
            wait = self._begin(pool)
            if wait is None:
                return original(pool)
            token, mark = current_wait.set(wait), Mark()
            try:
                fairy = original(pool)
            except BaseException as error:
                wait.failed(error, expired=isinstance(error, TimeoutError))
                raise
            finally:
                mark.end()
                leave(current_wait, token)
            self._given(wait, fairy)
            return fairy

        return connect

    def connect_in_thread(self, original: Function) -> Function:
        """Wrap SingletonThreadPool.connect, which gives a thread the connection that it has out already once more."""
        first = self.connect(original)

        def connect(pool: Any) -> Any:
            held = getattr(pool._fairy, "current", None)
            return (first if held is None or held() is None else original)(pool)

        return connect

    def _begin(self, pool: Pool) -> Wait | None:
        try:
            known = pool.__dict__
            probe: PoolProbe | None = known.get(PROBE) or (self.follow(pool) if PROJECT in known else None)
            return None if probe is None else Wait(probe, None)
        except Exception:
            faults.ignore("beginning a checkout")
            return None

    def _given(self, wait: Wait, fairy: Any) -> None:
        try:
            record = fairy._connection_record
            wait.done(record)
            if record is None:  # a listener has detached it
                wait.probe.returned(None)
            else:
                self._probes.pools.owns(wait.probe, record.driver_connection)
        except Exception:
            faults.ignore("noting a connection given out")

    def do_get(self, original: Function) -> Function:
        """Wrap QueuePool._do_get: who has queued has a place in the pool once it returns."""

        def _do_get(pool: Pool) -> Any:
            record = original(pool)
            try:
                wait = current_wait.get()
                if wait is not None and wait.queued and wait.given is None:
                    wait.turn()
            except Exception:
                faults.ignore("noting a turn")
            return record

        return _do_get

    # --- connecting ---------------------------------------------------------------------------------------------------

    def record_connect(self, original: Function) -> Function:
        """Wrap _ConnectionRecord.__connect: a pool's connection, with what the dialect and listeners set up on it."""

        def connect(record: Any) -> None:
            probe = self._probe(record)
            if probe is None:  # the driver's adapter sees a connection that is nobody's pool's
                original(record)
                return
            connecting, mark = self._begin_connect(probe), Mark()
            try:
                original(record)
            except BaseException as error:
                if connecting is not None:
                    connecting.failed(error)
                raise
            finally:
                mark.end()
            if connecting is not None:
                connecting.done()

        return connect

    @staticmethod
    def _probe(record: Any) -> PoolProbe | None:
        try:
            probe: PoolProbe | None = record._ConnectionRecord__pool.__dict__.get(PROBE)
            return probe
        except Exception:
            faults.ignore("finding a record's pool")
            return None

    def _begin_connect(self, probe: PoolProbe) -> Connecting | None:
        """Begin a connect, if somebody waits for it; below, the driver's connect is this one's."""
        try:
            wait = current_wait.get()
            if wait is None or wait.probe is not probe:
                return None if is_internal() else Connecting(self._probes.pools, probe.series(), probe, None)
            return Connecting(self._probes.pools, wait.series, probe, wait, again=_was_open.get())
        except Exception:
            faults.ignore("beginning a connect")
            return None

    @staticmethod
    def record_get(original: Function) -> Function:
        """Wrap _ConnectionRecord.get_connection, which replaces connections: lost ones, and open ones for their age."""

        def get_connection(record: Any) -> Any:
            token = _was_open.set(record.dbapi_connection is not None)
            try:
                return original(record)
            finally:
                leave(_was_open, token)

        return get_connection

    # --- checking in --------------------------------------------------------------------------------------------------

    def record_checkin(self, original: Function) -> Function:
        """Wrap _ConnectionRecord.checkin, which every way back into the pool ends with."""

        def checkin(record: Any, *args: Any, **kwargs: Any) -> None:
            self._returned(record)
            original(record, *args, **kwargs)

        return checkin

    def fairy_detach(self, original: Function) -> Function:
        """Wrap _ConnectionFairy.detach: the connection leaves the pool, its place in the pool is free."""

        def detach(fairy: Any) -> None:
            record = fairy._connection_record
            if record is not None:
                self._returned(record)
            original(fairy)

        return detach

    def _returned(self, record: Any) -> None:
        try:
            pool = record._ConnectionRecord__pool
            probe: PoolProbe | None = pool.__dict__.get(PROBE)
            if probe is not None:
                probe.returned(record)
                if RETIRED in pool.__dict__ and not probe.held:
                    self._probes.pools.closed(probe)
        except Exception:
            faults.ignore("noting a connection returned")

    # --- the pool itself ----------------------------------------------------------------------------------------------

    def recreate(self, original: Function) -> Function:
        """Wrap recreating a pool (Engine.dispose): another takes its place; connections still out come back to it."""

        def recreate(pool: Pool) -> Pool:
            successor: Pool = original(pool)
            try:
                if PROJECT in pool.__dict__:
                    successor.__dict__[PROJECT] = pool.__dict__[PROJECT]
                probe: PoolProbe | None = pool.__dict__.get(PROBE)
                if probe is not None:
                    pool.__dict__[RETIRED] = True
                    if not probe.held:
                        self._probes.pools.closed(probe)
            except Exception:
                faults.ignore("noting a pool replaced")
            return successor

        return recreate
