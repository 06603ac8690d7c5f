"""The attributes of events, once each: what kind of value they have, what it means, which values there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from otel_dynabase.catalog.attributes import (
    ACTION,
    BREAKER_STATE,
    CACHE,
    CACHE_LEVEL,
    CHANGE_TYPE,
    LIMIT_TYPE,
    PLAN,
    TIER,
)
from otel_dynabase.catalog.plans import RESOURCES

Kind = Literal["text", "number", "whole", "truth", "moment", "facts"]
"""Facts are names and plain values; a moment is RFC 3339 text."""


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute of an event. `values` is the whole set where the set is bounded by name, or empty."""

    name: str
    kind: Kind
    what: str
    values: tuple[str, ...] = ()


IDENTITY = (
    Field("project_id", "text", "The project: one tenant database."),
    Field("tenant_id", "text", "The organisation that owns the project."),
    Field("plan", "text", "The subscription that the tenant paid for then.", PLAN.values),
    Field("tier", "text", "The compute tier that the project ran on then.", TIER.values),
)
"""What every event carries, beside its id and number."""
METADATA = Field("metadata", "facts", "What else its source knew.")

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("source_tier", "text", "The compute tier before.", TIER.values),
        Field("target_tier", "text", "The compute tier after.", TIER.values),
        Field("reason", "text", "Why."),
        Field("trigger_conditions", "facts", "What made the platform decide."),
        Field("limit_type", "text", LIMIT_TYPE.what, LIMIT_TYPE.values),
        Field("action", "text", ACTION.what, ACTION.values),
        Field("queue_depth", "whole", "How many waited at most."),
        Field("rejection_count", "whole", "How many of the hits were refused."),
        Field("hit_count", "whole", "How many hits this one event stands for."),
        Field("queue_duration_ms", "number", "The longest wait."),
        Field("idle_duration_sec", "number", "How long nothing was asked."),
        Field("last_query_timestamp", "moment", "When something was asked last."),
        Field("cache_level", "text", "Which cache.", (*dict.fromkeys((*CACHE_LEVEL.values, *CACHE.values)),)),
        Field("startup_duration_ms", "number", "First try to first usable connection."),
        Field("first_query_latency_ms", "number", "The first statement after it."),
        Field("phases", "facts", "The parts of the start, in milliseconds."),
        Field("from_tier", "text", "The plan before, under the ticket's name.", PLAN.values),
        Field("to_tier", "text", "The plan after, under the ticket's name.", PLAN.values),
        Field("change_type", "text", CHANGE_TYPE.what, CHANGE_TYPE.values),
        Field("effective_timestamp", "moment", "As of when."),
        Field("resource_type", "text", "Of what the plan's limit is reached.", RESOURCES),
        Field("hit_count_24h", "whole", "Hits of the last 24 hours, this one included."),
        Field("upgrade_suggested", "truth", "Whether a larger plan grants more of it."),
        Field("database_type", "text", "The ticket's name of the database system."),
        Field("state", "text", BREAKER_STATE.what, BREAKER_STATE.values),
        Field("error_threshold", "number", "What the circuit opens at."),
        Field("volume", "whole", "How many calls were judged."),
        Field("hit_rate", "number", "The cache's hits as a share of the accesses."),
        Field("expected_rate", "number", "The share that was expected."),
        Field("deviation", "number", "The one less the other."),
        Field("weight", "number", "How much the project weighed among those of its plan."),
        Field("weight_error", "number", "By how much that may be too high."),
        Field("counterpart_project_id", "text", "The project that took its place, or gave it up."),
    )
}
"""By name."""
