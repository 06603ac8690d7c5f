"""asyncpg's pools and connections: who waits, who connects, who holds."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from asyncpg.pool import Pool

from otel_dynabase import faults
from otel_dynabase.adapters.asyncpg.target import target_of
from otel_dynabase.probes.acquire import Connecting, Wait, current_wait, leave
from otel_dynabase.probes.pool import PoolProbe
from otel_dynabase.tenant import Mark, is_internal, mark_connecting, mark_internal, marked, unmark

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.probes import Probes
    from otel_dynabase.probes.tenants import TenantSeries

    Function = Callable[..., Any]

PROBE = "_otel_dynabase_probe"
PROJECT = "_otel_dynabase_project"
"""Attributes of a pool's queue: pools have slots and cannot be weakly referenced, and their queue dies with them."""

_watched: weakref.WeakSet[Any] = weakref.WeakSet()


def bind(pool: Any, project_id: str) -> bool:
    """Say whose pool this is; False if it is no open pool of asyncpg's."""
    queue = pool._queue if isinstance(pool, Pool) else None
    if queue is None:
        return False
    setattr(queue, PROJECT, project_id)
    probe = getattr(queue, PROBE, None)
    if probe is not None:
        probe.bind(project_id)
    return True


def release() -> None:
    """Take back what was put on pools that are still open."""
    for queue in list(_watched):
        queue.__dict__.pop(PROBE, None)
        queue.__dict__.pop("get", None)
        _watched.discard(queue)


def internal(original: Function) -> Function:
    """Wrap a coroutine function whose statements are the driver's own work."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        if marked() is not None and is_internal():
            return await original(*args, **kwargs)
        mark = mark_internal()
        try:
            return await original(*args, **kwargs)
        finally:
            unmark(mark)

    return run


def holder_release(original: Function) -> Function:
    """Wrap PoolConnectionHolder.release: a pool's `reset` callback is upkeep; without one there is nothing to mark."""

    async def marked_release(holder: Any, timeout: float | None) -> None:  # noqa: ASYNC109  # the driver's signature
        mark = Mark()
        try:
            await original(holder, timeout)
        finally:
            mark.end()

    def release(holder: Any, timeout: float | None) -> Any:
        return (original if holder._pool._reset is None else marked_release)(holder, timeout)

    return release


class PoolWrappers:
    """Wrappers of what pools and holders do. Each is a function of the original; together they share the probes."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes

    def probe(self, pool: Any) -> PoolProbe:
        """Return a pool's probe, from its first use on."""
        queue = pool._queue
        probe: PoolProbe | None = queue.__dict__.get(PROBE)
        if probe is None:
            name, database = target_of(pool._connect_args, pool._connect_kwargs)
            probe = PoolProbe(
                self._probes.pools,
                name=name,
                database=database,
                min_size=pool._minsize,
                max_size=pool._maxsize,
                idle=_idle_in(weakref.ref(queue)),
                project=queue.__dict__.get(PROJECT),
            )
            _watch(queue, probe)
            if not pool._closed:
                self._probes.pools.opened(probe)
        return probe

    # --- acquiring ----------------------------------------------------------------------------------------------------

    def acquire(self, original: Function) -> Function:
        """Wrap Pool._acquire, which both ways of acquiring and all shortcuts go through."""

        async def _acquire(pool: Any, timeout: float | None) -> Any:  # noqa: ASYNC109  # the driver's signature
            wait = None
            try:
                if pool._queue is not None:  # a pool that is not open yet has none
                    wait = Wait(pool._queue.__dict__.get(PROBE) or self.probe(pool), timeout)
            except Exception:
                faults.ignore("beginning an acquire")
            if wait is None:
                return await original(pool, timeout)
            token = current_wait.set(wait)
            try:
                connection = await original(pool, timeout)
            except BaseException as error:
                wait.failed(error)
                raise
            finally:
                leave(current_wait, token)
            wait.done(connection._holder)
            return connection

        return _acquire

    def holder_acquire(self, original: Function) -> Function:
        """Wrap PoolConnectionHolder.acquire: a place in the pool was found; it may have to connect, and run `setup`."""

        async def marked_acquire(holder: Any) -> Any:
            mark = Mark()
            try:
                return await original(holder)
            finally:
                mark.end()

        def acquire(holder: Any) -> Any:
            try:
                wait = current_wait.get()
                if wait is not None:
                    wait.turn()
            except Exception:
                faults.ignore("noting a turn")
            return (original if holder._setup is None else marked_acquire)(holder)

        return acquire

    def holder_released(self, original: Function) -> Function:
        """Wrap PoolConnectionHolder._release, which every way back into the pool ends with."""

        def _release(holder: Any) -> None:
            in_use = holder._in_use is not None
            original(holder)
            if in_use:
                try:
                    probe: PoolProbe | None = holder._pool._queue.__dict__.get(PROBE)
                    if probe is not None:
                        probe.returned(holder)
                except Exception:
                    faults.ignore("noting a connection returned")

        return _release

    # --- connecting ---------------------------------------------------------------------------------------------------

    def holder_connect(self, original: Function) -> Function:
        """Wrap PoolConnectionHolder.connect: a pool's connection, with the application's `init`."""

        async def connect(holder: Any) -> None:
            await _connecting(self._begin_in_pool(holder._pool), Mark(), original, holder)

        return connect

    def _begin_in_pool(self, pool: Any) -> Connecting | None:
        """Begin a connect that somebody waits for; a pool's upkeep is nobody's."""
        try:
            if is_internal():
                return None
            probe, wait = self.probe(pool), current_wait.get()
            series = probe.series() if wait is None else wait.series
            return Connecting(self._probes.pools, series, probe, wait)
        except Exception:
            faults.ignore("beginning a connect")
            return None

    def connect(self, original: Function) -> Function:
        """Wrap connect_utils._connect, which every connection is made by; a pool's is under way already."""

        async def _connect(*args: Any, **kwargs: Any) -> Any:
            return await _connecting(self._begin_alone(kwargs), mark_connecting(), original, *args, **kwargs)

        return _connect

    def _begin_alone(self, kwargs: dict[str, Any]) -> Connecting | None:
        try:
            if is_internal():
                return None
            wait = current_wait.get()
            if wait is not None:  # another library's pool, which connects through the driver
                return Connecting(self._probes.pools, wait.series, wait.probe, wait)
            series = self.series_of_database(target_of((), kwargs)[1])
            return Connecting(self._probes.pools, series, None, None)
        except Exception:
            faults.ignore("beginning a connect")
            return None

    def series_of_database(self, database: str | None) -> TenantSeries:
        """Return the series of a database's tenant, or of the current task's."""
        tenants = self._probes.tenants
        project = tenants.project_of(database)
        return tenants.current() if project is None else tenants.of(project)

    # --- the pool itself ----------------------------------------------------------------------------------------------

    def opening(self, original: Function) -> Function:
        """Wrap Pool._async__init__: a pool that could not be opened is closed by it."""

        async def _async__init__(pool: Any) -> Any:
            try:
                return await original(pool)
            except BaseException:
                self._closed(pool)
                raise

        return _async__init__

    def closing(self, original: Function) -> Function:
        """Wrap Pool.close."""

        async def close(pool: Any) -> None:
            try:
                await original(pool)
            finally:
                self._closed(pool)

        return close

    def terminating(self, original: Function) -> Function:
        """Wrap Pool.terminate."""

        def terminate(pool: Any) -> None:
            try:
                original(pool)
            finally:
                self._closed(pool)

        return terminate

    def _closed(self, pool: Any) -> None:
        try:
            probe = getattr(pool._queue, PROBE, None)
            if probe is not None and pool._closed:
                self._probes.pools.closed(probe)
        except Exception:
            faults.ignore("noting a closed pool")


async def _connecting(connecting: Connecting | None, mark: Mark, original: Function, *args: Any, **kwargs: Any) -> Any:
    """Connect under a mark, and forget the wait: what a transport calls later runs in the context it was made in."""
    token = current_wait.set(None)
    try:
        made = await original(*args, **kwargs)
    except BaseException as error:
        if connecting is not None:
            connecting.failed(error)
        raise
    finally:
        leave(current_wait, token)
        mark.end()
    if connecting is not None:
        connecting.done()
    return made


def _watch(queue: Any, probe: PoolProbe) -> None:
    """Put a probe on a pool's queue, and see whether those who ask it find it empty.

    Nothing else tells exactly who queued: on Python 3.11 an acquire with a timeout asks in a task of its own, later.
    """
    free, get = queue._queue, type(queue).get

    def observed_get() -> Any:
        if not free:
            try:
                wait = current_wait.get()
                if wait is not None:
                    wait.queues()
            except Exception:
                faults.ignore("noting a wait")
        return get(queue)

    setattr(queue, PROBE, probe)
    queue.get = observed_get
    _watched.add(queue)


def _idle_in(reference: weakref.ref[Any]) -> Callable[[], int]:
    """Make a function that counts the open connections waiting in a pool's queue, if the pool still exists."""

    def idle() -> int:
        queue = reference()
        return 0 if queue is None else sum(map(_is_open, list(queue._queue)))

    return idle


def _is_open(holder: Any) -> bool:
    """Say whether a holder has an open connection; called on another thread, which its closing may race with."""
    connection = holder._con
    try:
        return connection is not None and not connection.is_closed()
    except AttributeError:
        return False
