"""Circuit breakers: what they do now, how often they opened, and whom they refused."""

from __future__ import annotations

import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry._logs import SeverityNumber

from otel_dynabase import faults
from otel_dynabase.catalog.attributes import BREAKER_STATE
from otel_dynabase.catalog.events import BREAKER_EVENT
from otel_dynabase.catalog.metrics import BREAKER_OPENED, BREAKER_STATE_GAUGE, REJECTIONS
from otel_dynabase.events import mark_span
from otel_dynabase.spans import current_span, name_tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_dynabase.catalog.kinds import Key, Metric
    from otel_dynabase.events import EventLog
    from otel_dynabase.probes.tenants import Tenants, TenantSeries
    from otel_dynabase.store import Store

    State = Literal["closed", "half_open", "open"]
    Observation = tuple[Metric, Key, float]

logger = logging.getLogger("otel_dynabase")

VALUES = {state: value for value, state in enumerate(BREAKER_STATE.values)}
"""What the gauge shows for each state."""
MAX_REPORTED = 10_000
"""Reported breakers that are remembered; beyond them the one that was reported longest ago is forgotten."""


class Breaker:
    """A breaker of a library's, which owns this and takes it along when it goes.

    `state()` reads what it does, without asking any server; `project` says whose it is, None for the current task's.
    """

    __slots__ = ("__weakref__", "_breakers", "name", "project", "project_id", "state")

    def __init__(
        self, breakers: Breakers, name: str | None, state: Callable[[], State], project: str | None = None
    ) -> None:
        self._breakers = breakers
        self.name = name
        self.state = state
        self.project = project
        self.project_id = ""
        """Whose it was when it last did something: a breaker that many tenants share is shown for one of them."""
        breakers.met(self, self.series())

    def bind(self, project_id: str) -> None:
        """Say that this breaker is one tenant's."""
        self.project = self.project_id = project_id

    def series(self) -> TenantSeries:
        """Return whose it is: as bound, as named, or the current task's tenant."""
        tenants = self._breakers.tenants
        project = self.project or tenants.project_of(self.name)
        series = tenants.current() if project is None else tenants.of(project)
        self.project_id = series.tenant.project_id
        return series

    def moved(self, state: State, *, error_threshold: float | None, volume: int | None) -> None:
        """Account for a change that was made here."""
        metadata = {} if self.name is None else {"breaker": self.name}
        self._breakers.tell(
            self.series(), state, error_threshold=error_threshold, volume=volume, metadata=metadata, time_ns=None
        )

    def refused(self) -> None:
        """Account for a call that was refused because the breaker is open."""
        self._breakers.refused(self.series())


class Breakers:
    """All circuit breakers of this process: those of libraries, and those that the platform's own code reports."""

    def __init__(self, store: Store, events: EventLog, tenants: Tenants) -> None:
        self._store = store
        self._events = events
        self.tenants = tenants
        self._live: weakref.WeakSet[Breaker] = weakref.WeakSet()
        self.after_fork()

    def after_fork(self) -> None:
        """Forget what was reported, which the parent goes on showing; the libraries' breakers are in the child too."""
        self._lock = threading.Lock()
        self._reported: dict[tuple[str, str], State] = {}
        self._said_full = False

    def changed(
        self,
        series: TenantSeries,
        name: str,
        state: State,
        *,
        error_threshold: float | None = None,
        volume: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        time_ns: int | None = None,
    ) -> None:
        """Account for a breaker's state as it is reported; what is reported again changes nothing.

        A breaker begins closed: the first report of that makes it known, and nothing more. Raises ValueError for any
        other state.
        """
        if state not in VALUES:
            raise ValueError(f"a circuit breaker is {', '.join(VALUES)}, not {state!r}")
        key = (series.tenant.project_id, name)
        with self._lock:
            before = self._reported.pop(key, None)
            self._reported[key] = state
            if len(self._reported) > MAX_REPORTED:
                self._forget()
        if before is None:
            self._born(series)
        if state != (before or "closed"):
            named = {"breaker": name, **(metadata or {})}
            self.tell(series, state, error_threshold=error_threshold, volume=volume, metadata=named, time_ns=time_ns)

    def _forget(self) -> None:
        """Make room: the eldest goes."""
        del self._reported[next(iter(self._reported))]
        if not self._said_full:
            self._said_full = True
            logger.warning(
                "otel-dynabase: more than %d circuit breakers were reported; those reported longest ago are no longer "
                "shown in circuit_breaker.state (their openings are counted all the same)",
                MAX_REPORTED,
            )

    def met(self, breaker: Breaker, series: TenantSeries) -> None:
        """Show a breaker of a library's from now on, for as long as it lives."""
        self._live.add(breaker)
        self._born(series)

    def _born(self, series: TenantSeries) -> None:
        """Have the counter at 0 before the first opening: what rises from nothing is no increase to some stores."""
        self._store.sum(BREAKER_OPENED, series.labels)

    def tell(
        self,
        series: TenantSeries,
        state: State,
        *,
        error_threshold: float | None,
        volume: int | None,
        metadata: Mapping[str, Any],
        time_ns: int | None,
    ) -> None:
        """Account for one change: counter, event and span mark come from here, so that they never disagree."""
        opened = state == "open"
        if opened:
            series.count(BREAKER_OPENED)
        span = current_span()
        if span is not None:
            name_tenant(span, series.tenant)
        attributes = {
            "database_type": "postgres",
            "state": state,
            "error_threshold": error_threshold,
            "volume": volume,
        }
        mark_span(BREAKER_EVENT, attributes)
        self._events.emit(
            BREAKER_EVENT,
            series.tenant,
            attributes,
            metadata=metadata,
            time_ns=time_ns,
            severity=SeverityNumber.WARN if opened else SeverityNumber.INFO,
        )

    @staticmethod
    def refused(series: TenantSeries) -> None:
        """Account for a call that a breaker refused; there may be thousands of them a second."""
        series.count(REJECTIONS, "circuit_open")

    def observe(self) -> Iterator[Observation]:
        """Read every breaker's state, under the labels that its tenant has now."""
        for (project_id, _name), state in list(self._reported.items()):
            yield BREAKER_STATE_GAUGE, self.tenants.of(project_id).labels, VALUES[state]
        for breaker in list(self._live):
            try:
                shown = BREAKER_STATE_GAUGE, self.tenants.of(breaker.project_id).labels, VALUES[breaker.state()]
            except Exception:  # one breaker must not hide the others
                faults.ignore("observing a circuit breaker")
            else:
                yield shown
