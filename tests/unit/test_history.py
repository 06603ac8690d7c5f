"""Events in words and in the ticket's shape: every type, and whatever a store may hold instead."""

# ruff: noqa: RUF001  # the sign of multiplication is meant

import json
from datetime import UTC, datetime

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dynabase.catalog.events import EVENTS, STORED
from otel_dynabase.catalog.fields import FIELDS, IDENTITY, METADATA
from otel_dynabase.history.export import BY_NAME, exported, schema
from otel_dynabase.history.phrases import PHRASES, duration, phrase
from otel_dynabase.history.stored import Stored, rfc3339
from otel_dynabase.output.harmless import json_text

AT = int(datetime(2025, 11, 21, 20, 45, 32, tzinfo=UTC).timestamp()) * 1_000_000_000 + 123_000_000
EVENT_ID = "019ab1c2-0000-7000-8000-000000000001"
VALID = jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


def stored(event_type, time_ns=AT, **attributes):
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in attributes.items()}
    return Stored(time_ns, event_type, EVENT_ID, 7, "4bf92f3577b34da6a3ce929d0e0e4736", "", "orders", "", texts)


SAID = {
    "WARM → HOT, automatic_promotion: 145 queries in 4 h, avg query rate 0.6, uptime 4.2 h, sustained activity": stored(
        "tier_transition",
        source_tier="WARM",
        target_tier="HOT",
        reason="automatic_promotion",
        trigger_conditions={
            "query_count_4h": 145, "avg_query_rate": 0.6, "uptime_hours": 4.2, "sustained_activity": True,
        },
    ),
    "HOT → WARM, automatic_demotion": stored(
        "tier_transition", source_tier="HOT", target_tier="WARM", reason="automatic_demotion", trigger_conditions={}
    ),
    "max_pool_size, queued ×38 (worst 1.9 s; queue of 12)": stored(
        "limit_hit", limit_type="max_pool_size", action="queued", hit_count=38, queue_depth=12, queue_duration_ms=1900.2
    ),
    "connection_timeout, rejected ×1 (2.5 s)": stored(
        "limit_hit", limit_type="connection_timeout", action="rejected", hit_count=1, queue_depth=0,
        queue_duration_ms=2500,
    ),
    "compute given up, idle_timeout (idle for 35 min; last query 2025-11-21T20:10:32.123Z)": stored(
        "scale_to_zero", reason="idle_timeout", idle_duration_sec=2100, last_query_timestamp="2025-11-21T20:10:32.123Z"
    ),
    "from WARM in 1.83 s (L2_hit; basebackup 300 ms, start 900 ms; first query 12.5 ms)": stored(
        "cold_start", source_tier="WARM", cache_level="L2_hit", startup_duration_ms=1834.1,
        first_query_latency_ms=12.5, phases={"basebackup": 300.0, "start": 900},
    ),
    "from COLD in 400 ms": stored("cold_start", source_tier="COLD", cache_level="unknown", startup_duration_ms=400),
    "free → starter, upgrade": stored(
        "plan_change", from_tier="free", to_tier="starter", change_type="upgrade",
        effective_timestamp="2025-11-21T20:45:32.200Z",
    ),
    "pro → starter, downgrade, as of 2025-12-01T00:00:00.000Z": stored(
        "plan_change", from_tier="pro", to_tier="starter", change_type="downgrade",
        effective_timestamp="2025-12-01T00:00:00.000Z",
    ),
    "connections at the limit of its plan (3 × in 24 h; enterprise grants more)": stored(
        "tier_ceiling_hit", resource_type="connections", hit_count_24h=3, upgrade_suggested=True,
        metadata={"larger_plan": "enterprise"},
    ),
    "circuit open (db; opens at 5; 120 calls judged)": stored(
        "circuit_breaker_event", state="open", error_threshold=5, volume=120, metadata={"breaker": "db"}
    ),
    "circuit half open": stored("circuit_breaker_event", state="half_open"),
    "L1: 62% hits, expected 90%": stored(
        "cache_efficiency_alert", cache_level="L1", hit_rate=0.62, expected_rate=0.9, deviation=-0.28
    ),
    "series of its own in Prometheus, outweighed (weight 12.5, at most 1.5 too high; instead of proj_x)": stored(
        "tenant_series_named", reason="outweighed", weight=12.5, weight_error=1.5, counterpart_project_id="proj_x"
    ),
    "folded into _other in Prometheus, silent (weight 0)": stored(
        "tenant_series_folded", reason="silent", weight=0, weight_error=0
    ),
    "colour=red, size=3": stored("of_a_later_version", size=3, colour="red", project_id="p", metadata={}),
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_an_event_in_words(said):
    assert phrase(SAID[said]) == said


def test_every_type_has_a_phrase_and_every_attribute_a_kind():
    assert PHRASES.keys() == {event.name for event in STORED}
    assert {name for event in STORED for name in event.attributes} == FIELDS.keys()
    assert set(EVENTS) < set(STORED)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0004, "0.4 ms"), (0.0123, "12.3 ms"), (1.9, "1.9 s"), (119, "119 s"), (2100, "35 min"), (15_120, "4.2 h")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("time_ns", "said"),
    [
        (AT, "2025-11-21T20:45:32.123Z"),
        (AT + 456_000, "2025-11-21T20:45:32.123456Z"),
        (AT + 7, "2025-11-21T20:45:32.123000007Z"),
        (AT - 123_000_000, "2025-11-21T20:45:32.000Z"),
    ],
)
def test_times_have_as_many_digits_as_they_need(time_ns, said):
    assert rfc3339(time_ns) == said


# --- the ticket's shape -----------------------------------------------------------------------------------------------


def test_the_tickets_own_example():
    event = stored(
        "tier_transition",
        project_id="proj_abc123",
        tenant_id="org_xyz789",
        plan="pro",
        tier="HOT",
        source_tier="WARM",
        target_tier="HOT",
        reason="automatic_promotion",
        trigger_conditions={"query_count_4h": 145, "avg_query_rate": 0.6, "sustained_activity": True},
        metadata={"database_type": "postgres", "pool_size_before": 5, "pool_size_after": 10},
    )
    assert exported(event) == {
        "timestamp": "2025-11-21T20:45:32.123Z",
        "event_type": "tier_transition",
        "event_id": EVENT_ID,
        "event_seq": 7,
        "project_id": "proj_abc123",
        "tenant_id": "org_xyz789",
        "plan": "pro",
        "tier": "HOT",
        "source_tier": "WARM",
        "target_tier": "HOT",
        "reason": "automatic_promotion",
        "trigger_conditions": {"query_count_4h": 145, "avg_query_rate": 0.6, "sustained_activity": True},
        "metadata": {"database_type": "postgres", "pool_size_before": 5, "pool_size_after": 10},
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": None,
        "service_name": "orders",
        "service_instance_id": None,
    }
    VALID.validate(exported(event))


def test_the_schema_is_a_schema_and_has_every_type():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert [one["title"] for one in schema()["oneOf"]] == [*BY_NAME, "any other"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"timestamp": "yesterday"},
        {"event_id": "7"},
        {"plan": "gold"},
        {"hit_count": "3"},
        {"trace_id": "4BF9"},
        {"metadata": "{}"},
    ],
)
def test_the_schema_refuses_what_is_wrong(wrong):
    line = exported(SAID["max_pool_size, queued ×38 (worst 1.9 s; queue of 12)"])
    VALID.validate(line)
    with pytest.raises(jsonschema.ValidationError):
        VALID.validate(line | wrong)


def test_the_schema_misses_what_is_missing():
    line = exported(SAID["circuit half open"])
    for name in line:
        with pytest.raises(jsonschema.ValidationError):
            VALID.validate({key: value for key, value in line.items() if key != name})


KNOWN = [field.name for field in (*IDENTITY, METADATA, *FIELDS.values())]
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", "1e999", "NaN", "-1", "1_0", '{"a": NaN}', '{"a": 1e999}', "[]", "{", "[" * 2000, "true", "2025-11-21",
     "2025-11-21T20:45:32+09:00", "0001-01-01T00:00:00+14:00", "HOT", "pro", '{"larger_plan": [1]}', '{"a": {"b": 1}}']
)  # fmt: skip


@given(
    st.sampled_from([*BY_NAME, "of_a_later_version"]),
    st.dictionaries(st.sampled_from(KNOWN) | st.text(max_size=8), TEXTS, max_size=12),
    st.integers(0, 2**62),
)
def test_whatever_is_stored_can_be_said_and_exported(event_type, attributes, time_ns):
    event = stored(event_type, time_ns, **{"project_id": "p", **attributes})
    assert isinstance(phrase(event), str)
    line = json.loads(json_text(exported(event)))
    VALID.validate(line)
    assert line["event_type"] == event_type
