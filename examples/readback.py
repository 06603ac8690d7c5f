"""What the stores say about one run: counters from Prometheus, events from ClickHouse, and nothing from the processes.

Prometheus is asked for the run's own `service.namespace`, ClickHouse for its `service.instance.id`s, so that whatever
else they hold does not matter. Counters are compared by their last value, not by `increase()`, which extrapolates.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from examples.ledger import (
    BREAKERS,
    CACHE,
    CACHE_ALERTS,
    COLD_STARTS,
    ERRORS,
    LIMIT_HITS,
    OPENINGS,
    PLAN_CHANGES,
    QUERIES,
    REJECTIONS,
    SCALED,
    TRANSITIONS,
    Entry,
    Ledger,
)

if TYPE_CHECKING:
    from examples.stack.clickhouse import ClickHouse
    from examples.stack.prometheus import Prometheus

COUNTERS: Final = {
    QUERIES: ("db_queries_total", ("status",)),
    ERRORS: ("db_errors_total", ("error_type",)),
    LIMIT_HITS: ("tenant_limit_hits_total", ("limit_type", "action")),
    REJECTIONS: ("tenant_connection_rejections_total", ("reason",)),
    COLD_STARTS: ("tenant_cold_starts_total", ("source_tier",)),
    TRANSITIONS: ("tenant_tier_transitions_total", ("from_tier", "to_tier", "reason")),
    PLAN_CHANGES: ("tenant_plan_changes_total", ("from_tier", "to_tier", "change_type")),
    SCALED: ("tenant_scale_to_zero_total", ("reason",)),
    OPENINGS: ("circuit_breaker_open_total", ()),
    CACHE: ("tenant_cache_hits_total", ("cache_level",)),
}
"""The counter of each kind of entry, and the labels that make its detail."""

TOLD: Final = {
    "limit_hit": (LIMIT_HITS, ("limit_type", "action")),
    "cold_start": (COLD_STARTS, ("source_tier",)),
    "tier_transition": (TRANSITIONS, ("source_tier", "target_tier", "reason")),
    "plan_change": (PLAN_CHANGES, ("from_tier", "to_tier", "change_type")),
    "scale_to_zero": (SCALED, ("reason",)),
    "circuit_breaker_event": (BREAKERS, ("state",)),
    "cache_efficiency_alert": (CACHE_ALERTS, ("cache_level",)),
}
"""The kind of each event, and the columns that make its detail."""

EVENTS: Final = """
SELECT
    plan, project_id, event_type, limit_type, action, source_tier, target_tier, from_tier, to_tier, change_type, reason,
    state, cache_level, sum(hit_count) AS hits,
    max(toFloat64OrZero(LogAttributes['queue_duration_ms'])) AS queued_ms,
    ifNull(max(startup_duration_ms), 0) AS startup_ms
FROM tier_events FINAL
WHERE service_instance_id IN {instances:Array(String)}
GROUP BY ALL
"""
IDENTITIES: Final = """
SELECT sum(events) AS stored, sum(ids) AS distinct_ids, sum(last) AS last_sequence
FROM (
    SELECT count() AS events, uniqExact(event_id) AS ids, max(event_seq) AS last
    FROM tier_events FINAL
    WHERE service_instance_id IN {instances:Array(String)}
    GROUP BY service_instance_id
)
"""
PERIOD: Final = "2h"
"""How far back series are looked for: longer than any demo."""
PATIENCE: Final = 20.0
"""Seconds for the last telemetry to arrive in the stores."""
PAUSE: Final = 1.5
"""Seconds between two looks: longer than the collector needs to send what it has."""


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Events on their way: the first four as the processes' own counters in Prometheus have them, then ClickHouse's."""

    emitted: int = 0
    acknowledged: int = 0
    retried: int = 0
    dropped: int = 0
    stored: int = 0
    distinct_ids: int = 0
    last_sequence: int = 0

    @property
    def settled(self) -> bool:
        """Whether every event is accounted for."""
        return self.emitted > 0 and self.emitted == self.stored + self.dropped

    def flaws(self) -> list[str]:
        """Say what is wrong with them."""
        if not self.emitted:
            return [f"events: by their own counters the processes emitted none, and {self.stored} are stored"]
        found = []
        if not self.settled:
            found.append(f"events: {self.emitted} emitted, but {self.stored} stored and {self.dropped} dropped")
        if self.distinct_ids != self.stored:
            found.append(f"events: {self.stored} stored, but only {self.distinct_ids} different event_ids")
        if self.last_sequence != self.stored + self.dropped:
            found.append(f"events: the last event_seq is {self.last_sequence}, so some were lost without a word")
        return found


@dataclass(frozen=True, slots=True)
class Reading:
    """All that the stores say; p95 in seconds, worst waits and starts in milliseconds."""

    metrics: Ledger = field(default_factory=Ledger)
    told: Ledger = field(default_factory=Ledger)
    """What the events tell, of every project."""
    counts: EventCounts = EventCounts()
    p95_by_plan: dict[str, float] = field(default_factory=dict)
    p95_by_project: dict[str, float] = field(default_factory=dict)
    queued_ms: dict[str, float] = field(default_factory=dict)
    startup_ms: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    """Failures inside the instrumentation that it kept from the service, by place."""

    def flaws(self) -> list[str]:
        """Say what is wrong with the telemetry as such, whatever it tells."""
        ignored = [f"instrumentation: {count} failures while {place}" for place, count in sorted(self.faults.items())]
        return [*self.counts.flaws(), *ignored]


@dataclass(frozen=True, slots=True)
class Stores:
    """The two stores, and what they are asked about: a run's service.namespace, and its service.instance.ids."""

    prometheus: Prometheus
    clickhouse: ClickHouse
    namespace: str
    instances: tuple[str, ...]

    def settle(self) -> Reading:
        """Read until all events are accounted for and nothing moves any more, or PATIENCE is over."""
        deadline = time.monotonic() + PATIENCE
        reading = self.read()
        while time.monotonic() < deadline:
            time.sleep(PAUSE)
            before, reading = reading, self.read()
            if reading == before and reading.counts.settled:
                break
        return reading

    def read(self) -> Reading:
        """Ask both stores once."""
        events = self.clickhouse.rows(EVENTS, instances=str(list(self.instances)))
        return Reading(
            metrics=self._metrics(),
            told=_told(events),
            counts=self._counts(),
            p95_by_plan=self._p95("plan"),
            p95_by_project=self._p95("project_id"),
            queued_ms=_worst(events, "queued_ms"),
            startup_ms=_worst(events, "startup_ms"),
            faults=self._faults(),
        )

    def _metrics(self) -> Ledger:
        ledger = Ledger()
        for kind, (metric, labels) in COUNTERS.items():
            by = ", ".join(("plan", "project_id", *labels))
            for sample in self.prometheus.query(f"sum by ({by}) ({self._last(metric)})"):
                plan = sample.labels.get("plan") or sample.labels.get("to_tier", "")  # a change of plan has two
                project, *detail = (sample.labels.get(label, "") for label in ("project_id", *labels))
                _add(ledger, Entry(plan, project, kind, " ".join(detail)), sample.value)
        return ledger

    def _counts(self) -> EventCounts:
        samples = self.prometheus.query(f"sum by (outcome) ({self._last('otel_dynabase_events_total')})")
        by_outcome = {sample.labels["outcome"]: round(sample.value) for sample in samples}
        metered = {name: by_outcome.get(name, 0) for name in ("emitted", "acknowledged", "retried", "dropped")}
        [identities] = self.clickhouse.rows(IDENTITIES, instances=str(list(self.instances)))
        return EventCounts(**metered, **identities)

    def _faults(self) -> dict[str, int]:
        samples = self.prometheus.query(f"sum by (place) ({self._last('otel_dynabase_faults')})")
        return {sample.labels.get("place", ""): round(sample.value) for sample in samples if sample.value}

    def _p95(self, label: str) -> dict[str, float]:
        buckets = self._last("db_query_duration_seconds_bucket")
        samples = self.prometheus.query(f"histogram_quantile(0.95, sum by (le, {label}) ({buckets}))")
        return {sample.labels.get(label, ""): sample.value for sample in samples if not math.isnan(sample.value)}

    def _last(self, metric: str) -> str:
        """Return the last value of each series; for a counter that is its highest."""
        return f'max_over_time({metric}{{job=~"{self.namespace}/.*"}}[{PERIOD}])'


def _told(events: list[dict[str, Any]]) -> Ledger:
    ledger = Ledger()
    for row in events:
        kind, columns = TOLD.get(row["event_type"], (row["event_type"], ()))
        detail = " ".join(row[column] for column in columns)
        _add(ledger, Entry(row["plan"], row["project_id"], kind, detail), row["hits"])
    return ledger


def _add(ledger: Ledger, entry: Entry, value: float) -> None:
    """Add a figure unless it is the zero that a series is born with."""
    if value:
        ledger[entry] += round(value)


def _worst(events: list[dict[str, Any]], column: str) -> dict[str, float]:
    worst: dict[str, float] = {}
    for row in events:
        worst[row["project_id"]] = max(worst.get(row["project_id"], 0.0), row[column])
    return {project: value for project, value in worst.items() if value}
