"""What a pool of SQLAlchemy's has: its limits, the connections that rest in it, and the queue for them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import AssertionPool, NullPool, Pool, QueuePool, StaticPool

from otel_dynabase import faults
from otel_dynabase.probes.acquire import current_wait

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., Any]


def queue_get(original: Function) -> Function:
    """Wrap Queue.get of threads' pools, and see whether who asks it finds it empty: with its lock held, exactly."""

    def get(queue: Any, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002  # as wrapped
        if not block or current_wait.get() is None:
            return original(queue, block, timeout)
        with queue.mutex:  # can be taken again by its owner; waiting gives it back altogether
            if not queue.queue:
                _queues()
            return original(queue, block, timeout)

    return get


def watch(queue: Any) -> None:
    """See whether those who ask an asyncio queue find it empty: some ask in a task of their own, later."""
    if queue is None:
        return
    reference, get = weakref.ref(queue), type(queue).get

    async def observed_get() -> Any:
        asked: Any = reference()  # there: it is being asked
        if asked.empty():
            _queues()
        return await get(asked)

    queue.get = observed_get


def _queues() -> None:
    try:
        wait = current_wait.get()
        if wait is not None:
            wait.queues()
    except Exception:
        faults.ignore("noting a wait")


def for_postgresql(pool: Pool) -> bool:
    """Say whether a pool is for PostgreSQL; one without an engine does not know, and whoever binds it does."""
    return getattr(pool._dialect, "name", "postgresql") == "postgresql"


def limits(pool: Pool) -> tuple[int | None, int | None]:
    """Return how many connections a pool may have, and keep; None where nothing limits them."""
    if isinstance(pool, QueuePool):
        size: int | None = pool.size() or None
        return (None if size is None or pool._max_overflow < 0 else size + pool._max_overflow), size
    if isinstance(pool, StaticPool | AssertionPool):
        return 1, 1
    return None, 0 if isinstance(pool, NullPool) else None


def asyncio_queue(pool: Pool) -> Any:
    """Return the asyncio queue that a pool waits at, or None."""
    return getattr(pool.__dict__.get("_pool"), "_queue", None)


def idle_in(reference: weakref.ref[Pool]) -> Callable[[], int]:
    """Make a function that counts the open connections resting in a pool, if the pool still exists."""

    def idle() -> int:
        pool = reference()
        resting = () if pool is None else _resting(pool)
        return sum(record.dbapi_connection is not None and not record.in_use for record in resting)

    return idle


def _resting(pool: Pool) -> list[Any]:
    """Return the records that a pool keeps; called on another thread."""
    if isinstance(pool, QueuePool):
        queue = asyncio_queue(pool)
        return list(pool._pool.queue if queue is None else queue._queue)  # type: ignore[attr-defined]  # a threads' one
    kept = pool.__dict__.get("connection") or pool.__dict__.get("_conn")  # StaticPool, AssertionPool
    return [kept] if hasattr(kept, "in_use") else list(pool.__dict__.get("_all_conns", ()))  # SingletonThreadPool
