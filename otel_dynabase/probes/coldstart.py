"""Cold starts as a client sees them: somebody asked for a connection, and the tenant's compute was asleep."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel_dynabase.catalog.attributes import UNKNOWN
from otel_dynabase.catalog.events import COLD_START
from otel_dynabase.events import mark_span
from otel_dynabase.probes.starts import View, joined, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.directory import Tenant
    from otel_dynabase.probes.starts import Starts
    from otel_dynabase.probes.tenants import TenantSeries

PATIENCE = 60.0
"""Seconds between two tries for them to belong to one start; after a longer pause the second try is a first one."""
OUTAGE = 600.0
"""Seconds of failing tries after which nobody would call it a start: that is an outage, and its errors are counted."""
FIRST_QUERY_WITHIN = 30.0
"""Seconds that a finished start waits for its first statement before it is told without one."""
REMEMBERED = 10_000
"""Sleeping tenants remembered at once; the oldest is forgotten first."""


@dataclass(slots=True)
class _Waking:
    since: float
    last: float
    tier: str


@dataclass(slots=True)
class _Started:
    series: TenantSeries
    ended: float
    view: View


class ColdStarts:
    """Follows each sleeping tenant from the first failed try to the first statement.

    A start begins where connecting fails because nobody was there, or where the directory says COLD when a connection
    is asked for (once for each time that it says so). It ends with the first usable connection, and is told when the
    first statement has shown its latency.
    """

    def __init__(
        self,
        starts: Starts,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._starts = starts
        self._wake = wake
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """Start empty."""
        self._lock = threading.RLock()
        self._waking: dict[str, _Waking] = {}
        self._woken: dict[str, Tenant] = {}
        self.awaiting: dict[str, _Started] = {}
        """Started tenants whose first statement has not run yet; empty nearly always, which is cheap to ask."""

    def absent(self, series: TenantSeries, began: float) -> None:
        """Take note of a try at `began` that found nobody there: this may become a start."""
        project, now = series.tenant.project_id, self._clock()
        with self._lock:
            waking = self._waking.get(project)
            if waking is None or now - waking.last > PATIENCE:
                _remember(self._waking, project, _Waking(began, now, series.tenant.tier))
            else:
                waking.last = now

    def connected(self, series: TenantSeries, began: float, *, again: bool = False) -> None:
        """Take note of a usable connection, whose try was at `began`: if the tenant was asleep, it has started.

        One made `again`, in the place of one that was open until then, wakes nobody.
        """
        tenant = series.tenant
        if not self._waking and (again or tenant.tier != "COLD"):  # nearly always
            return
        now = self._clock()
        with self._lock:
            waking = self._roused(tenant, began, now, again=again)
            if waking is None:
                return
            source_tier = waking.tier if waking.tier in {"COLD", UNKNOWN} else "WARM"
            view = View(source_tier, now - waking.since)
            untold = self.awaiting.pop(tenant.project_id, None)
            self.awaiting[tenant.project_id] = _Started(series, now, view)
        if untold is not None:
            self._tell(untold, None)
        mark_span(COLD_START, {"source_tier": source_tier, "startup_duration_ms": milliseconds(view.duration)})
        self._wake()

    def _roused(self, tenant: Tenant, began: float, now: float, *, again: bool) -> _Waking | None:
        """Say how a tenant was woken that has a connection now; None if it was awake. Called under the lock."""
        waking = self._waking.pop(tenant.project_id, None)
        if waking is not None and (now - waking.last > PATIENCE or now - waking.since > OUTAGE):
            waking = None
        if waking is None:
            if again or tenant.tier != "COLD" or self._woken.get(tenant.project_id) is tenant:
                return None
            waking = _Waking(began, now, tenant.tier)
        _remember(self._woken, tenant.project_id, tenant)
        return waking

    def reported(self, series: TenantSeries, view: View) -> None:
        """Take the platform's own view; if this process has just seen the same start, that is one start."""
        started = self.awaiting.get(series.tenant.project_id)
        if started is None:
            self._starts.reported(series, view)
        else:
            started.view = joined(started.view, view)

    def first_query(self, series: TenantSeries, duration: float) -> None:
        """Take the duration of a tenant's statement; the first after a start completes it."""
        started = self.awaiting.pop(series.tenant.project_id, None)
        if started is not None:
            self._tell(started, duration)

    def flush(self, *, everything: bool = False) -> float:
        """Tell of starts that no statement followed; return the seconds until there may be one."""
        now = self._clock()
        for project, started in list(self.awaiting.items()):
            if everything or now - started.ended >= FIRST_QUERY_WITHIN:
                self.awaiting.pop(project, None)
                self._tell(started, None)
        return FIRST_QUERY_WITHIN / 4 if self.awaiting else float("inf")

    def _tell(self, started: _Started, first_query: float | None) -> None:
        if first_query is not None:
            started.view.first_query = first_query
        self._starts.seen(started.series, started.view)


def _remember(memory: dict[str, Any], project: str, what: object) -> None:
    while len(memory) >= REMEMBERED:
        memory.pop(next(iter(memory)))
    memory[project] = what
