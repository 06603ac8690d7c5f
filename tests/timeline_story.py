"""A day of one tenant's, always the same: it sleeps, is woken, outgrows its plan, and is demoted in the evening."""

from __future__ import annotations

import json
import math
import uuid
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime

from otel_dynabase.history.activity import Activity
from otel_dynabase.history.stored import Stored
from otel_dynabase.history.window import Count, Window
from otel_dynabase.output.axis import Axis

PROJECT = "proj_abc123"
UNTIL = datetime(2026, 11, 24, 20, tzinfo=UTC).timestamp()
SINCE = UNTIL - 86_400
CALLS = {"error_threshold": 5, "volume": 120, "database_type": "postgres", "metadata": {"breaker": "proj_abc123"}}
PROMOTED = {"query_count_4h": 145, "avg_query_rate": 0.6, "uptime_hours": 2.2}


def event(at, event_type, *, plan="starter", tier="HOT", trace=True, **attributes):
    """Return an event at a time of the day (the evening is the day before's), as the store has it."""
    hours, minutes, seconds = [*map(int, at.split(":")), 0][:3]
    moment = UNTIL - 20 * 3600 + hours * 3600 + minutes * 60 + seconds
    if hours >= 20:
        moment -= 86_400
    event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{at} {event_type} {attributes}"))
    carried = {"project_id": PROJECT, "tenant_id": "org_xyz789", "plan": plan, "tier": tier, "event_id": event_id}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
    trace_id = uuid.UUID(event_id).hex if trace else ""
    return Stored(int(moment) * 10**9, event_type, event_id, 0, trace_id, trace_id[:16], "orders", "", carried | texts)


def tier(at, source, target, reason, conditions, **carried):
    facts = {"source_tier": source, "target_tier": target, "reason": reason, "trigger_conditions": conditions}
    return event(at, "tier_transition", tier=target, trace=False, **facts, **carried)


def hits(at, limit, action, count, worst=None):
    waited = {} if worst is None else {"queue_duration_ms": worst}
    rejected = count if action == "rejected" else 0
    facts = {"limit_type": limit, "action": action, "hit_count": count, "rejection_count": rejected}
    return event(at, "limit_hit", tier="WARM", **facts, **waited)


EVENTS = sorted(
    (
        hits("20:41:07", "max_pool_size", "queued", 38, 1900.2),
        hits("20:52:12", "max_pool_size", "queued", 12, 640.0),
        tier("23:14:03", "HOT", "WARM", "automatic_demotion", {"query_count_4h": 3, "idle_minutes": 95}),
        event("2:02:10", "scale_to_zero", tier="COLD", trace=False, reason="idle_timeout", idle_duration_sec=7200),
        tier("2:02:10", "WARM", "COLD", "scale_to_zero", {"idle_minutes": 120}),
        event("6:58:20", "cold_start", tier="COLD", source_tier="COLD", cache_level="L2_hit",
              startup_duration_ms=1834.1, first_query_latency_ms=12.5, phases={"basebackup": 300, "start": 900}),
        tier("6:58:22", "COLD", "WARM", "automatic_promotion", {"query_count_4h": 1}),
        hits("8:34:12", "max_pool_size", "queued", 21, 820.5),
        hits("8:51:40", "max_pool_size", "queued", 64, 2410.0),
        hits("9:05:02", "connection_timeout", "rejected", 9, 10_000.0),
        hits("9:06:30", "max_pool_size", "queued", 71, 4020.0),
        tier("9:12:45", "WARM", "HOT", "automatic_promotion", PROMOTED),
        hits("9:40:11", "max_pool_size", "queued", 33, 1210.0),
        event("10:05:01", "circuit_breaker_event", state="open", **CALLS),
        event("10:05:31", "circuit_breaker_event", state="half_open", **CALLS),
        event("10:05:33", "circuit_breaker_event", state="closed", **CALLS),
        hits("10:04:50", "max_concurrent", "rejected", 24),
        event("10:30:00", "tier_ceiling_hit", trace=False, resource_type="connections", hit_count_24h=7,
              upgrade_suggested=True, metadata={"larger_plan": "pro"}),
        event("11:02:16", "plan_change", plan="pro", trace=False, from_tier="starter", to_tier="pro",
              change_type="upgrade"),
        event("13:20:00", "tenant_series_named", plan="pro", trace=False, reason="outweighed", weight=812.5),
        tier("18:20:09", "HOT", "WARM", "automatic_demotion", {"query_count_4h": 12, "uptime_hours": 9.1}, plan="pro"),
    ),
    key=lambda event: event.time_ns,
)  # fmt: skip
BEFORE = (
    Stored(int(SINCE - 93_600) * 10**9, "tier_transition", str(uuid.UUID(int=1)), 0, "", "", "orders", "",
           {"project_id": PROJECT, "source_tier": "WARM", "target_tier": "HOT", "reason": "automatic_promotion",
            "plan": "starter", "tier": "HOT", "trigger_conditions": json.dumps(PROMOTED)}),
)  # fmt: skip


def statements(axis):
    """Return what it asked in each bin: nothing while it slept, nothing known for an hour of the afternoon."""
    made = {}
    for begin in axis.bins():
        hour = (begin - axis.until + 20 * 3600) / 3600 % 24
        busy = math.exp(-(((hour - 10.2) / 2.6) ** 2)) + 0.45 * math.exp(-(((hour - 15.5) / 1.6) ** 2))
        if not 14 <= hour < 15:
            made[begin] = 0 if 2 <= hour < 7 else round(1240 * busy + (60 if hour >= 20 else 2))
    return made


def counts(events, step):
    """Count events in bins, as the query `timeline_bins` does."""
    rows = defaultdict(list)
    for told in events:
        kind = [told.attributes.get(name, "") for name in ("limit_type", "action", "state")]
        rows[told.time_ns // 10**9 // step * step, told.event_type, *kind].append(told)
    return [Count(*key, *_row(rows[key])) for key in sorted(rows)]


def _row(events):
    first, last = events[0], events[-1]
    worst = [told.get("queue_duration_ms") for told in events if told.get("queue_duration_ms") is not None]
    hit_count = sum(told.get("hit_count") or 1 for told in events)
    carried = (first.attributes["plan"], first.attributes["tier"])
    return (len(events), hit_count, max(worst, default=None), first.time_ns, last.time_ns, *carried)


def moved(events, seconds):
    """Return events as they were some whole seconds later."""
    return [replace(told, time_ns=told.time_ns + int(seconds) * 10**9) for told in events]


def window(project=PROJECT, events=EVENTS, before=BEFORE, since=SINCE, until=UNTIL):
    """Return a window and its axis, by default the whole story."""
    axis = Axis(since, until)
    activity = Activity(statements(axis), "from the detail of metrics in ClickHouse")
    return Window(project, since, until, events, counts(events, axis.step), before, activity), axis
