"""Every event, once: its name and the attributes that it carries beside the common ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_dynabase.catalog.kinds import Source


@dataclass(frozen=True, slots=True)
class Event:
    """A log record with an event name, and a span event of the same name where a span is recording.

    Every event also carries `event_id` (UUIDv7), `event_seq` (counts up in each process), `project_id`, `tenant_id`,
    `plan`, `tier` and `metadata`.
    """

    name: str
    attributes: tuple[str, ...]
    what: str
    sources: tuple[Source, ...]


TIER_TRANSITION = Event(
    "tier_transition",
    ("source_tier", "target_tier", "reason", "trigger_conditions"),
    "The tenant's compute tier changed, and why.",
    ("report", "observer"),
)
LIMIT_HIT = Event(
    "limit_hit",
    ("limit_type", "action", "queue_depth", "rejection_count", "hit_count", "queue_duration_ms"),
    "A limit of the tenant's made requests wait or fail; hits in quick succession are one event with their count.",
    ("app", "report"),
)
SCALED_TO_ZERO = Event(
    "scale_to_zero",
    ("reason", "idle_duration_sec", "last_query_timestamp"),
    "The tenant's compute was given up.",
    ("report", "observer"),
)
COLD_START = Event(
    "cold_start",
    ("source_tier", "cache_level", "startup_duration_ms", "first_query_latency_ms", "phases"),
    "A request found the tenant's compute asleep and woke it.",
    ("app", "report"),
)
PLAN_CHANGE = Event(
    "plan_change",
    ("from_tier", "to_tier", "change_type", "effective_timestamp"),
    "The tenant changed its plan.",
    ("report", "observer"),
)
CEILING_HIT = Event(
    "tier_ceiling_hit",
    ("resource_type", "hit_count_24h", "upgrade_suggested"),
    "The tenant stayed at its plan's limit for a sustained while.",
    ("observer",),
)
BREAKER_EVENT = Event(
    "circuit_breaker_event",
    ("database_type", "state", "error_threshold", "volume"),
    "A circuit breaker changed its state.",
    ("app", "report"),
)
CACHE_ALERT = Event(
    "cache_efficiency_alert",
    ("cache_level", "hit_rate", "expected_rate", "deviation"),
    "A cache's hit rate is not what was expected of it.",
    ("report",),
)

EVENTS: tuple[Event, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Event))
"""All of the above, in the order they are written."""

SERIES_NAMED = Event(
    "tenant_series_named",
    ("reason", "weight", "weight_error", "counterpart_project_id"),
    "The collector gave the tenant series of its own: it outweighs another one of its plan.",
    ("collector",),
)
SERIES_FOLDED = Event(
    "tenant_series_folded",
    ("reason", "weight", "weight_error", "counterpart_project_id"),
    "The collector folded the tenant's series into `_other`, where its plan's sums have it.",
    ("collector",),
)
STORED: tuple[Event, ...] = (*EVENTS, SERIES_NAMED, SERIES_FOLDED)
"""What `tier_events` may hold: EVENTS, and what the collector tells of itself."""
PROBE_PROJECT = "_doctor"
"""Whose events `otel-dynabase doctor` sends; no question about tenants sees them."""
