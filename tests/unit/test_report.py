"""The report API: each call records its metrics and emits its event, as the real SDK exports them."""

import logging
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import pytest
from mypy import api as mypy

from otel_dynabase import DynabaseInstrumentor, instrumentor, report
from otel_dynabase.catalog import attributes
from otel_dynabase.probes import inbox as inboxes
from otel_dynabase.report import arguments

EVERY = {
    "tier_transition": {"source": "WARM", "target": "HOT", "reason": "automatic_promotion"},
    "plan_change": {"source": "free", "target": "pro", "change_type": "upgrade"},
    "scale_to_zero": {"reason": "idle_timeout"},
    "cold_start": {"duration": 0.75},
    "limit_hit": {"limit_type": "max_concurrent", "action": "throttled"},
    "circuit_breaker": {"state": "open"},
    "cache_access": {"level": "L1", "latency": 0.002},
    "cache_memory": {"level": "L1", "size": 4096},
    "cache_eviction": {"level": "L1", "reason": "lru"},
    "cache_efficiency": {"level": "L1", "hit_rate": 0.4, "expected_rate": 0.9},
}
"""A smallest call of each."""


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    """Nothing waits from an earlier test, and nothing has been warned of."""
    monkeypatch.setattr(arguments, "_warned", set())
    inboxes.inbox._deaf = inboxes.inbox._warned = False
    inboxes.inbox.after_fork()


def pro(**rest):
    return {"project_id": "proj_pro", "tier": "HOT", "plan": "pro"} | rest


def only(telemetry, name):
    (event,) = telemetry.events(name)
    return dict(event.attributes)


def test_every_report_is_tried_here():
    assert set(EVERY) == set(report.__all__)


@pytest.mark.parametrize(
    ("literal", "attribute"),
    [
        (report.Tier, attributes.TIER),
        (report.Plan, attributes.PLAN),
        (report.Transition, attributes.TRANSITION),
        (report.Change, attributes.CHANGE_TYPE),
        (report.ScaleReason, attributes.SCALE_REASON),
        (report.SourceTier, attributes.SOURCE_TIER),
        (report.StartCache, attributes.CACHE_LEVEL),
        (report.LimitType, attributes.LIMIT_TYPE),
        (report.Action, attributes.ACTION),
        (report.Rejection, attributes.REJECTION),
        (report.BreakerState, attributes.BREAKER_STATE),
        (report.Cache, attributes.CACHE),
        (report.Eviction, attributes.EVICTION),
    ],
)
def test_the_types_are_the_catalogues_values(literal, attribute):
    """A type checker cannot read the catalogue, so the values are written twice, and held together here."""
    assert get_args(literal) == tuple(value for value in attribute.values if value != "unknown")


# --- what each one does -----------------------------------------------------------------------------------------------


def test_a_tier_transition(telemetry):
    report.tier_transition(
        "proj_pro",
        source="WARM",
        target="HOT",
        reason="automatic_promotion",
        trigger_conditions={"query_count_4h": 145, "avg_query_rate": 0.6, "sustained_activity": True},
        metadata={"pool_size_before": 5, "pool_size_after": 10},
    )
    labels = {"project_id": "proj_pro", "plan": "pro", "from_tier": "WARM", "to_tier": "HOT"}
    assert telemetry.value("tenant.tier.transitions", **labels, reason="automatic_promotion") == 1
    event = only(telemetry, "tier_transition")
    assert (event["source_tier"], event["target_tier"], event["reason"]) == ("WARM", "HOT", "automatic_promotion")
    assert event["trigger_conditions"] == {"query_count_4h": 145, "avg_query_rate": 0.6, "sustained_activity": True}
    assert event["metadata"] == {"pool_size_before": 5, "pool_size_after": 10}
    assert (event["project_id"], event["tenant_id"], event["plan"]) == ("proj_pro", "org_pro", "pro")


def test_a_transitions_event_says_what_is_true_after_it(telemetry):
    """The directory may lag behind: proj_free is WARM there."""
    report.tier_transition("proj_free", source="WARM", target="COLD", reason="scale_to_zero")
    assert only(telemetry, "tier_transition")["tier"] == "COLD"


def test_a_plan_change(telemetry):
    effective = datetime(2026, 12, 1, tzinfo=timezone(timedelta(hours=2)))
    report.plan_change("proj_free", source="free", target="pro", change_type="upgrade", effective=effective)
    labels = {"project_id": "proj_free", "from_tier": "free", "to_tier": "pro", "change_type": "upgrade"}
    assert telemetry.value("tenant.plan.changes", **labels) == 1
    event = only(telemetry, "plan_change")
    assert (event["from_tier"], event["to_tier"], event["change_type"]) == ("free", "pro", "upgrade")
    assert event["effective_timestamp"] == "2026-11-30T22:00:00.000Z"
    assert event["plan"] == "pro"


def test_a_scale_to_zero(telemetry):
    last = datetime(2026, 11, 24, 8, tzinfo=UTC)
    report.scale_to_zero("proj_asleep", reason="idle_timeout", tier="WARM", idle_duration=900.5, last_query=last)
    assert telemetry.value("tenant.scale_to_zero", project_id="proj_asleep", tier="WARM", reason="idle_timeout") == 1
    event = only(telemetry, "scale_to_zero")
    assert (event["idle_duration_sec"], event["last_query_timestamp"]) == (900.5, "2026-11-24T08:00:00.000Z")
    assert event["tier"] == "WARM"


def test_a_cold_start(telemetry):
    report.cold_start(
        "proj_asleep", duration=1.5, cache_level="L2_hit", phases={"basebackup": 0.4, "start": 0.9}, first_query=0.02
    )
    assert telemetry.value("tenant.cold_starts", project_id="proj_asleep", source_tier="COLD") == 1
    assert telemetry.value("tenant.cold_start.duration", cache_level="L2_hit") == 1
    assert telemetry.value("tenant.first_query.latency", project_id="proj_asleep") == 1
    event = only(telemetry, "cold_start")
    assert event["phases"] == {"basebackup": 400.0, "start": 900.0}
    assert (event["startup_duration_ms"], event["first_query_latency_ms"]) == (1500.0, 20.0)


def test_a_limit_hit(telemetry):
    for waited in (0.5, 2.5):
        report.limit_hit("proj_pro", limit_type="max_concurrent", action="queued", queue_depth=3, waited=waited)
    report.limit_hit("proj_pro", limit_type="max_concurrent", action="rejected", rejection="tier_limit_exceeded")
    assert telemetry.limit_hits() == {("max_concurrent", "queued"): 2, ("max_concurrent", "rejected"): 1}
    assert telemetry.value("tenant.limit.queue.duration", limit_type="max_concurrent") == 2
    assert telemetry.value("tenant.connection.rejections", **pro(reason="tier_limit_exceeded")) == 1
    queued = next(e for e in telemetry.events("limit_hit") if e.attributes["action"] == "queued")
    assert (queued.attributes["hit_count"], queued.attributes["queue_duration_ms"]) == (2, 2500.0)


def test_a_circuit_breaker(telemetry):
    for state in ("closed", "open", "open", "half_open", "closed"):
        report.circuit_breaker("proj_pro", state=state, error_threshold=5, volume=12)
        expected = attributes.BREAKER_STATE.values.index(state)
        assert telemetry.value("circuit_breaker.state", **pro(database_type="postgres")) == expected
    assert telemetry.value("circuit_breaker.open", **pro()) == 1
    events = [event.attributes for event in telemetry.events("circuit_breaker_event")]
    assert [event["state"] for event in events] == ["open", "half_open", "closed"]
    assert (events[0]["error_threshold"], events[0]["volume"], events[0]["database_type"]) == (5, 12, "postgres")


def test_caches(telemetry):
    for level, latency in (("L1", 0.0005), ("L1", 0.02), ("L4_miss", 0.2)):
        report.cache_access("proj_pro", level=level, latency=latency)
    report.cache_memory("proj_pro", level="L1", size=4096)
    report.cache_memory("proj_pro", level="L1", size=2048)
    report.cache_eviction("proj_pro", level="L1", reason="memory_pressure", count=7)
    assert telemetry.values("tenant.cache.hits", "cache_level", **pro()) == {"L1": 2, "L4_miss": 1}
    assert telemetry.values("tenant.cache.access.latency", "cache_level", **pro()) == {"L1": 2, "L4_miss": 1}
    assert telemetry.value("tenant.cache.memory", **pro(cache_level="L1")) == 2048
    assert telemetry.value("tenant.cache.evictions", **pro(reason="memory_pressure")) == 7


def test_a_cache_alert(telemetry):
    report.cache_efficiency("proj_pro", level="L2", hit_rate=0.55, expected_rate=0.9)
    event = only(telemetry, "cache_efficiency_alert")
    assert (event["cache_level"], event["hit_rate"], event["expected_rate"]) == ("L2", 0.55, 0.9)
    assert event["deviation"] == -0.35


def test_what_a_cache_holds_moves_with_the_tenants_plan(telemetry):
    report.cache_memory("proj_free", level="L1", size=10)
    assert telemetry.values("tenant.cache.memory", "plan") == {"free": 10}
    telemetry.rows[0] = {**telemetry.rows[0], "plan": "starter"}
    telemetry.refresh()
    assert telemetry.values("tenant.cache.memory", "plan") == {"starter": 10}


@pytest.mark.parametrize("name", [name for name in EVERY if not name.startswith("cache_") or "eff" in name])
def test_an_event_is_on_the_span_too_and_carries_its_trace(telemetry, name):
    with telemetry.tracer.start_as_current_span("job") as span:
        getattr(report, name)("proj_pro", **EVERY[name])
    (event,) = telemetry.events()
    assert event.trace_id == span.get_span_context().trace_id
    if name != "cold_start":  # the platform's view of a start is told when it is over
        assert [marked for marked, _ in telemetry.spans("job")[0].events] == [event.event_name]


def test_at_is_when_it_happened(telemetry):
    at = datetime(2026, 11, 24, 8, 30, 0, 123456, tzinfo=UTC)
    report.tier_transition("proj_pro", **EVERY["tier_transition"], at=at)
    (event,) = telemetry.events("tier_transition")
    assert event.timestamp == 1795509000123456000


# --- wrong arguments --------------------------------------------------------------------------------------------------

WRONG = [
    ("tier_transition", {"reason": "because"}, "reason='because': expected one of automatic_promotion"),
    ("tier_transition", {"source": None}, "source=None: expected one of COLD"),
    ("tier_transition", {"colour": "red"}, "unexpected keyword argument 'colour'"),
    ("tier_transition", {"trigger_conditions": 5}, "trigger_conditions=5: expected a mapping"),
    ("tier_transition", {"at": datetime(2026, 1, 1)}, "expected a datetime with a time zone"),  # noqa: DTZ001  # wrong on purpose
    ("plan_change", {"target": "gold"}, "target='gold': expected one of free"),
    ("scale_to_zero", {"idle_duration": -1}, "idle_duration=-1: expected seconds"),
    ("cold_start", {"duration": float("nan")}, "duration=nan: expected seconds"),
    ("cold_start", {"duration": "1 s"}, "duration='1 s': expected seconds"),
    ("cold_start", {"phases": {"start": None}}, "expected a mapping of names to seconds"),
    ("limit_hit", {"queue_depth": 1.5}, "queue_depth=1.5: expected a whole number"),
    ("circuit_breaker", {"state": "ajar"}, "state='ajar': expected one of closed"),
    ("cache_access", {"level": "L9"}, "level='L9': expected one of L1"),
    ("cache_memory", {"size": True}, "size=True: expected a whole number"),
    ("cache_efficiency", {"hit_rate": 40}, "hit_rate=40: expected a share from 0 to 1"),
]


@pytest.mark.parametrize(("name", "wrong", "message"), WRONG)
def test_a_wrong_argument_is_one_warning_and_nothing_else(telemetry, warnings_of, name, wrong, message):
    for _ in range(3):
        getattr(report, name)("proj_pro", **EVERY[name] | wrong)
    (warning,) = warnings_of()
    assert warning.startswith(f"otel-dynabase: report.{name}(): ")
    assert message in warning
    assert telemetry.events() == []
    assert telemetry.value("otel_dynabase.reports", report=name, outcome="refused") == 3
    assert telemetry.value("otel_dynabase.reports", outcome="accepted") == 0


@pytest.mark.parametrize("project_id", [None, 7, "", "two words", "x" * 129, ["proj_pro"]])
def test_an_unusable_project_is_refused(telemetry, warnings_of, project_id):
    report.cache_access(project_id, level="L1", latency=0.1)
    assert "expected a project_id" in warnings_of()[0]
    assert telemetry.value("tenant.cache.hits") == 0


def test_facts_that_cannot_be_exported_are_written_as_text(telemetry):
    class Odd:
        def __str__(self):
            return "odd"

    facts = {
        "odd": Odd(),
        5: {"deep": [1, (2.5, None, Odd())]},
        "list": [1, 2],
        "when": datetime(2026, 1, 1, tzinfo=UTC),
        "nan": 1e999,
    }
    report.tier_transition("proj_pro", **EVERY["tier_transition"], trigger_conditions=facts)
    assert only(telemetry, "tier_transition")["trigger_conditions"] == {
        "odd": "odd",
        "5": {"deep": ("1", '["2.5", "null", "odd"]')},
        "list": (1, 2),
        "when": "2026-01-01T00:00:00+00:00",
        "nan": "inf",
    }


def test_facts_are_copied_when_they_are_reported(telemetry):
    facts = {"a": 1}
    report.tier_transition("proj_pro", **EVERY["tier_transition"], trigger_conditions=facts)
    facts["a"] = 2
    assert only(telemetry, "tier_transition")["trigger_conditions"] == {"a": 1}


def test_a_type_checker_refuses_wrong_arguments(tmp_path):
    """What is refused at run time is an error at check time, line by line."""
    script = tmp_path / "calls.py"
    script.write_text(
        "from otel_dynabase import report\n"
        'report.tier_transition("p", source="WARM", target="HOT", reason="manual_upgrade")\n'
        'report.tier_transition("p", source="WARM", target="HOT", reason="because")\n'
        'report.cold_start("p", duration="1 s")\n'
        'report.cache_access("p", level="L1")\n'
        'report.cache_memory(5, level="L1", size=1)\n'
    )
    out, _, _ = mypy.run([str(script), "--strict", "--no-error-summary", "--hide-error-context"])
    assert {int(line.split(":")[1]) for line in out.splitlines() if ": error:" in line} == {3, 4, 5, 6}


# --- before and without instrumentation -------------------------------------------------------------------------------


def test_reports_before_instrumenting_wait_and_keep_their_time(instrument, warnings_of):
    before = datetime.now(UTC)
    report.tier_transition("proj_pro", **EVERY["tier_transition"])
    report.cache_access("proj_pro", level="L1", latency=0.1)
    after = datetime.now(UTC)
    (warning,) = warnings_of()
    assert "report.tier_transition() was called before this process is instrumented" in warning
    telemetry = instrument()
    (event,) = telemetry.events("tier_transition")
    assert before.timestamp() * 1e9 - 1000 <= event.timestamp <= after.timestamp() * 1e9 + 1000
    assert event.attributes["plan"] == "pro"
    assert telemetry.value("tenant.cache.hits", **pro()) == 1


def test_too_many_early_reports_are_counted(instrument, monkeypatch):
    monkeypatch.setattr(inboxes, "EARLY", 3)
    for _ in range(5):
        report.cache_access("proj_pro", level="L1", latency=0.1)
    telemetry = instrument()
    assert telemetry.value("tenant.cache.hits") == 3
    assert telemetry.values("otel_dynabase.reports", "outcome") == {"accepted": 3, "dropped": 2}


def test_a_process_that_is_told_not_to_measure_says_nothing(caplog):
    DynabaseInstrumentor().instrument(enabled=False)
    try:
        with caplog.at_level(logging.WARNING):
            report.cache_access("proj_pro", level="L1", latency=0.1)
        assert caplog.messages == []
        assert not inboxes.inbox._early
    finally:
        DynabaseInstrumentor().uninstrument()


def test_after_uninstrumenting_reports_wait_again(instrument):
    instrument().uninstrument()
    report.cache_access("proj_pro", level="L1", latency=0.1)
    assert instrument().value("tenant.cache.hits") == 1


def test_a_fault_of_ours_is_not_the_platforms(lenient, telemetry, monkeypatch):
    monkeypatch.setattr(telemetry.runtime.probes.caches, "accessed", lambda *_: 1 / 0)
    report.cache_access("proj_pro", level="L1", latency=0.1)
    assert lenient == {"taking a report": 1}


def test_ten_thousand_reports_are_ten_thousand_events(telemetry):
    for n in range(10_000):
        report.tier_transition(f"proj_{n % 50}", **EVERY["tier_transition"])
    deadline = time.monotonic() + 30
    while len(events := telemetry.events("tier_transition")) < 10_000 and time.monotonic() < deadline:
        time.sleep(0.1)  # the background thread is sending some of them
    assert len({event.attributes["event_id"] for event in events}) == 10_000
    assert telemetry.value("tenant.tier.transitions") == 10_000
    assert telemetry.value("otel_dynabase.events", outcome="dropped") == 0


def test_series_of_an_earlier_plan_end_and_the_new_plans_go_on(telemetry, monkeypatch):
    report.cache_access("proj_free", level="L1", latency=0.1)
    report.cache_access("proj_pro", level="L1", latency=0.1)
    telemetry.rows[0] = {**telemetry.rows[0], "plan": "starter"}
    telemetry.refresh()
    report.cache_access("proj_free", level="L1", latency=0.1)
    assert telemetry.values("tenant.cache.hits", "plan") == {"free": 1, "starter": 1, "pro": 1}
    telemetry.runtime._retire()
    assert telemetry.values("tenant.cache.hits", "plan") == {"free": 1, "starter": 1, "pro": 1}, "still to be exported"
    monkeypatch.setattr(instrumentor, "GRACE", 0)
    telemetry.runtime._retire()
    assert telemetry.values("tenant.cache.hits", "plan") == {"starter": 1, "pro": 1}


def test_an_unknown_projects_series_stay(telemetry, monkeypatch):
    report.cache_access("proj_stranger", level="L1", latency=0.1)
    monkeypatch.setattr(instrumentor, "GRACE", 0)
    telemetry.runtime._retire()
    assert telemetry.values("tenant.cache.hits", "plan") == {"unknown": 1}
