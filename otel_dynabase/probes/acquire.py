"""Acquires: who asks a pool for a connection, how long that takes, and what connecting has to do with it."""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING, Any

from otel_dynabase import faults
from otel_dynabase.catalog.metrics import ERRORS, LIMIT_QUEUE
from otel_dynabase.directory import NOBODY
from otel_dynabase.probes.failures import TOO_MANY_CONNECTIONS, Failure, error_type
from otel_dynabase.spans import current_span, in_context, name_tenant

if TYPE_CHECKING:
    from contextvars import Token

    from otel_dynabase.probes.pool import PoolProbe, Pools
    from otel_dynabase.probes.tenants import TenantSeries

CLOCK_SLACK = 0.001
"""Seconds by which an event loop's timer may fire early."""

current_wait: ContextVar[Wait | None] = ContextVar("otel_dynabase_wait", default=None)
"""The acquire under way in this context, whatever library's: a connect beneath it is its connect."""


class Wait:
    """One acquire under way. Every method keeps its own failures to itself."""

    __slots__ = ("_timeout", "began", "connect_failed", "failure", "given", "probe", "queued", "series")

    def __init__(self, probe: PoolProbe, timeout: float | None) -> None:
        self.probe = probe
        self._timeout = timeout
        self.series = probe.series()
        self.queued = False
        """Every connection was out when it asked for one."""
        self.given: float | None = None
        """When its turn came: from here on it is connecting, not queueing."""
        self.connect_failed = False
        self.failure = probe.failure
        """Why the pool's workers could not connect, last, before or while it waited."""
        probe.waits[self] = None
        self.began = perf_counter()

    def queues(self) -> None:
        """Note that it asked for a place in the pool and there was none."""
        self.queued = True
        self.probe.queue[self] = None

    def turn(self) -> None:
        """Note that its turn has come: it holds a place in the pool, and may have to connect."""
        if self.queued:
            self.given = perf_counter()
            self.probe.queue.pop(self, None)
        else:
            self.given = self.began

    def done(self, handle: object, made: float | None = None) -> None:
        """Account for a connection that was given; it is out from now on, known by `handle` until it comes back.

        `made` says when a pool's worker began to make the connection, if that is what was waited for.
        """
        now = perf_counter()
        try:
            probe, series = self.probe, self.series
            probe.waits.pop(self, None)
            probe.held[handle] = (series, now)
            pool = series.pools.get(probe.name) or series.pool(probe.name)
            span = current_span() if in_context() else None
            if span is None:
                pool.wait.record(now - self.began)
            else:
                name_tenant(span, series.tenant)
                pool.wait.record_in(span, now - self.began, now)
            if self.queued:
                self._limit((self.given or now) - self.began, len(probe.queue), "max_pool_size", "queued")
            if self.failure is not None and self.given is not None:
                self._after_failure(now)
            if made is not None:
                probe.pools.cold_starts.connected(series, max(made, self.began))
        except Exception:
            faults.ignore("measuring an acquire")

    def _after_failure(self, now: float) -> None:
        """Account for what the pool's workers met with while this waited, and that the application saw nothing of."""
        failure = self.failure
        if failure is not None:
            if failure.state == TOO_MANY_CONNECTIONS and not self.queued:
                self._limit(now - self.began, len(self.probe.queue), "max_concurrent", "queued")
            if failure.absent:
                self.probe.pools.cold_starts.absent(self.series, self.began)

    def failed(self, error: BaseException, *, expired: bool | None = None, refused: bool = False) -> None:
        """Account for an acquire that ended without a connection.

        `expired` says whether the pool's own time limit was reached (None: if this is a TimeoutError and there was
        one); `refused`, that the pool had too many waiting already.
        """
        now = perf_counter()
        try:
            given, depth, series = self.given, len(self.probe.queue), self.series
            self.probe.waits.pop(self, None)
            self.probe.queue.pop(self, None)
            span = current_span()
            if span is not None:
                name_tenant(span, series.tenant)
            if expired is None:
                own_timeout = self._timeout is not None and isinstance(error, TimeoutError)
                expired = own_timeout and (given is None or now - self.began >= (self._timeout or 0) - CLOCK_SLACK)
            if expired:
                series.pool(self.probe.name).timeouts.add()
            reason = self.probe.failure if expired and given is None else None
            if refused:
                self._hit(depth, "max_pool_size", "rejected", "pool_exhausted")
            elif self.queued:
                if expired and given is None and reason is None:
                    self._limit(now - self.began, depth, "connection_timeout", "rejected", "pool_exhausted")
                else:
                    self._limit((given or now) - self.began, depth, "max_pool_size", "queued")
            kind = error_type(error)
            if reason is not None:  # nobody could be given a connection, because none could be made
                self.probe.disappointed[series.tenant.project_id] = series
                self.probe.pools.connect_failed(series, reason, self.began, self.probe.name)
            elif not self.connect_failed and kind != "cancelled":
                series.count(ERRORS, kind)
        except Exception:
            faults.ignore("measuring a failed acquire")

    def _limit(self, waited: float, depth: int, limit_type: str, action: str, reason: str | None = None) -> None:
        self.series.record(LIMIT_QUEUE, waited, limit_type)
        self._hit(depth, limit_type, action, reason, waited)

    def _hit(
        self, depth: int, limit_type: str, action: str, reason: str | None = None, waited: float | None = None
    ) -> None:
        self.probe.pools.limits.hit(
            self.series,
            limit_type,
            action,
            reason=reason,
            queue_depth=depth,
            waited=waited,
            pool_name=self.probe.name,
        )


class Connecting:
    """One connection being made for somebody who waits for it. Every method keeps its own failures to itself.

    `again` says that it takes the place of one that was open until the pool closed it: for its age, say.
    """

    __slots__ = ("_again", "_began", "_pools", "_probe", "_series", "_wait")

    def __init__(
        self, pools: Pools, series: TenantSeries, probe: PoolProbe | None, wait: Wait | None, *, again: bool = False
    ) -> None:
        self._again = again
        self._pools = pools
        self._series = series
        self._probe = probe
        self._wait = wait
        self._began = perf_counter()

    def done(self) -> None:
        """Account for a usable connection."""
        try:
            if self._probe is not None:
                self._series.pool(self._probe.name).create.record(perf_counter() - self._began)
            self._pools.cold_starts.connected(self._series, self._began, again=self._again)
        except Exception:
            faults.ignore("measuring a connect")

    def failed(self, error: BaseException) -> None:
        """Account for a connection that could not be made; a caller's own cancellation is nobody's failure."""
        try:
            failure = Failure.of(error)
            if failure.kind == "cancelled":
                return
            if self._wait is not None:
                if self._wait.connect_failed:  # accounted for by a pool beneath, which this one connects through
                    return
                self._wait.connect_failed = True
            pool_name = self._probe.name if self._probe is not None else None
            self._pools.connect_failed(self._series, failure, self._began, pool_name)
        except Exception:
            faults.ignore("measuring a failed connect")


class Supplying:
    """One connection being made by a pool's own worker, for whoever waits then, or for nobody.

    A failure is the pool's to try again. It counts for those who wait in vain, once each, when they give up.
    """

    __slots__ = ("_probe", "began")

    def __init__(self, probe: PoolProbe) -> None:
        self._probe = probe
        self.began = perf_counter()

    def done(self) -> None:
        """Account for a connection; it is made for the pool's tenant, else for who has waited longest."""
        try:
            probe = self._probe
            probe.failure = None
            series = probe.own_series()
            if series is None:
                first = next(iter(list(probe.waits)), None)
                series = probe.pools.tenants.of(NOBODY.project_id) if first is None else first.series
            series.pool(probe.name).create.record(perf_counter() - self.began)
            self._consoled(probe)
        except Exception:
            faults.ignore("measuring a pool's connect")

    def _consoled(self, probe: PoolProbe) -> None:
        """End the starts of tenants who have waited in vain; who waits now ends its own."""
        waiting = {wait.series.tenant.project_id for wait in list(probe.waits)}
        for project in probe.disappointed.keys() - waiting:
            series = probe.disappointed.pop(project, None)
            if series is not None:
                probe.pools.cold_starts.connected(series, self.began, again=True)

    def failed(self, error: BaseException) -> None:
        """Note why there is no connection; being stopped is no reason."""
        try:
            failure = Failure.of(error)
            if failure.kind != "cancelled":
                self._probe.failure = failure
                for wait in list(self._probe.waits):
                    wait.failure = failure
        except Exception:
            faults.ignore("noting a pool's failed connect")


def leave(variable: ContextVar[Any], token: Token[Any]) -> None:
    """Give a context variable back the value that it had."""
    try:
        variable.reset(token)
    except ValueError:  # ended late, in another context than it began in: that context is gone anyway
        pass
