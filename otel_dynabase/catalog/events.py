"""Every event, once: its name and the attributes that it carries beside the common ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A log record with an event name, and a span event of the same name where a span is recording.

    Every event also carries `event_id` (UUIDv7), `event_seq` (counts up in each process), `project_id`, `tenant_id`,
    `plan`, `tier` and `metadata`.
    """

    name: str
    attributes: tuple[str, ...]
    what: str


LIMIT_HIT = Event(
    "limit_hit",
    ("limit_type", "action", "queue_depth", "rejection_count", "hit_count", "queue_duration_ms"),
    "A limit of the tenant's made requests wait or fail; hits in quick succession are one event with their count.",
)
COLD_START = Event(
    "cold_start",
    ("source_tier", "cache_level", "startup_duration_ms", "first_query_latency_ms"),
    "A request found the tenant's compute asleep and woke it.",
)

EVENTS: tuple[Event, ...] = (LIMIT_HIT, COLD_START)
