"""What the shared tests of pools need of each: a small driver, and what its library does differently, as data."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

THREADS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="client")


async def in_thread(function, *args, **kwargs):
    """Call a function of a blocking pool in a thread, for the tenant and in the span of the current task."""
    call = partial(contextvars.copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(THREADS, call)


@dataclass(frozen=True)
class Library:
    """What a library does that another does not; what is not said here is the same for all of them."""

    limited: bool = True
    """It has a greatest number of connections, for which its clients queue."""
    keeps: bool = True
    """A connection that comes back is kept for the next client."""
    timeout: type[BaseException] | None = TimeoutError
    """What it raises when there is no connection in time; None if it has no such limit."""
    refusal: type[BaseException] | None = None
    """What it raises when the server refuses to connect; None: whatever its driver raises, without waiting."""
    cancellable: bool = True
    """A client that waits can be cancelled: a thread cannot."""
    closed: type[BaseException] | None = None
    """What it raises in clients that wait when it is closed; None: it lets them wait."""
    statement_errors: type[BaseException] = Exception
    """What its driver's errors are."""
    cut_off: tuple[str, ...] = ("operator_intervention",)
    """What its driver, old or new, makes of a connection that the server ends under a statement."""

    @property
    def waits_out_refusals(self):
        """Its own workers connect: a client waits until its time is up."""
        return self.refusal is not None


class Session:
    """One connection that a client holds."""

    async def rows(self, sql: str) -> list[Any]:
        """Run a statement and fetch all its rows."""
        raise NotImplementedError

    async def run(self, sql: str) -> None:
        """Run a statement that gives no rows."""
        raise NotImplementedError

    async def transaction(self, *statements: str) -> None:
        """Run statements in a transaction of the driver's own."""
        raise NotImplementedError


class Pool:
    """One open pool. `own` is the library's, to bind it to a tenant."""

    own: Any

    def hold(self) -> AbstractAsyncContextManager[Session]:
        """Acquire a connection, in the way that its documentation shows first, and give it back."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the pool."""
        raise NotImplementedError


@dataclass(frozen=True)
class Driver:
    """One kind of pool: `open(dsn, size=…, timeout=…)` is a context manager of its `Pool`.

    Connections are in autocommit mode where the driver has one. `timeout` is in seconds; None: the library's default.
    """

    name: str
    open: Any
    library: Library = field(default_factory=Library)
