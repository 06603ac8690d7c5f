"""The demo's report: what an operator reads, what a program reads, and the verdict that both get."""

import json
from dataclasses import replace

import pytest

from examples import report
from examples.ledger import (
    BREAKERS,
    CACHE,
    CACHE_ALERTS,
    COLD_STARTS,
    ERRORS,
    LIMIT_HITS,
    METRIC_KINDS,
    OPENINGS,
    OTHER,
    PLAN_CHANGES,
    QUERIES,
    REJECTIONS,
    SCALED,
    TRANSITIONS,
    Entry,
    Ledger,
    folded,
    only,
)
from examples.readback import EventCounts, Reading
from examples.tenants import Tenant

TENANTS = [
    Tenant("proj_free", "free", "demo_free"),
    Tenant("proj_sleepy", "starter", "demo_sleepy"),
    Tenant("proj_busy", "pro", "demo_busy"),
    Tenant("proj_quiet", "enterprise", "demo_quiet"),
]
CAUSED = Ledger(
    {
        Entry("free", "proj_free", QUERIES, "ok"): 70,
        Entry("free", "proj_free", LIMIT_HITS, "connection_timeout rejected"): 5,
        Entry("free", "proj_free", REJECTIONS, "pool_exhausted"): 5,
        Entry("free", "proj_free", ERRORS, "timeout"): 5,
        Entry("starter", "proj_sleepy", QUERIES, "ok"): 30,
        Entry("starter", "proj_sleepy", COLD_STARTS, "WARM"): 1,
        Entry("pro", "proj_busy", QUERIES, "ok"): 1200,
        Entry("pro", "proj_busy", LIMIT_HITS, "max_pool_size queued"): 15,
        Entry("pro", "proj_busy", REJECTIONS, "auth_failure"): 2,
        Entry("enterprise", "proj_quiet", QUERIES, "ok"): 90,
        Entry("enterprise", "proj_quiet", TRANSITIONS, "WARM HOT automatic_promotion"): 1,
        Entry("enterprise", "proj_quiet", CACHE, "L1"): 3,
        Entry("enterprise", "proj_quiet", CACHE, "L4_miss"): 9,
        Entry("enterprise", "proj_quiet", CACHE_ALERTS, "L3"): 1,
        Entry("starter", "proj_sleepy", OPENINGS, ""): 1,
        Entry("starter", "proj_sleepy", BREAKERS, "open"): 1,
        Entry("starter", "proj_sleepy", BREAKERS, "closed"): 1,
        Entry("starter", "proj_sleepy", REJECTIONS, "circuit_open"): 2,
        Entry("starter", "proj_sleepy", SCALED, "idle_timeout"): 1,
        Entry("starter", "proj_sleepy", PLAN_CHANGES, "free starter upgrade"): 1,
    }
)
RUN = report.Run(TENANTS, CAUSED, requests=1234, seconds=21.4, seed=1)
READING = Reading(
    metrics=folded(only(CAUSED, METRIC_KINDS), report.FOLDED_PLANS),
    told=only(CAUSED, report.EVENT_KINDS),
    counts=EventCounts(emitted=3, acknowledged=3, stored=3, distinct_ids=3, last_sequence=3),
    p95_by_plan={"free": 0.004, "starter": 0.0046, "pro": 0.152, "enterprise": 0.003},
    p95_by_project={OTHER: 0.004, "proj_sleepy": 0.0046, "proj_busy": 0.152, "proj_quiet": 0.003},
    queued_ms={"proj_free": 2000.4, "proj_busy": 718.2},
    startup_ms={"proj_sleepy": 1400.0},
)
TEXT = """\
4 tenants, 1,234 requests in 21 s. What the stores say:

plan         tenants   queries   errors      p95   objective   queued   rejected   cold starts
free               1        70        5     4 ms    ≤ 500 ms        0          5             0
starter            1        30        0     5 ms    ≤ 200 ms        0          0             1
pro                1     1,200        0   152 ms    ≤ 100 ms       15          0             0
enterprise         1        90        0     3 ms     ≤ 50 ms        0          0             0

proj_quiet    enterprise   its cache hits less than expected; WARM → HOT, automatic_promotion; \
12 cache accesses, 25% hits
proj_busy     pro          15 \u00d7 queued for a connection, 718 ms at most; \
2 \u00d7 refused by PostgreSQL: wrong password; \
p95 152 ms, where its plan promises 100 ms
proj_sleepy   starter      circuit opened 1 \u00d7; cold start from WARM in 1.4 s; upgrade from free to starter; \
scaled to zero, idle_timeout; 2 \u00d7 not even tried, its circuit was open
proj_free     free         5 \u00d7 no connection in time, after 2.0 s

events   3 emitted = 3 stored + 0 dropped; they tell of 20 limit hits, 1 cold start, 1 tier transition and 1 plan change

✓ 26 figures compared: the stores say exactly what the load caused."""


def test_the_report_as_an_operator_reads_it():
    assert report.render(RUN, READING, report.judge(RUN, READING)) == TEXT


def test_colours_change_nothing_but_colours():
    text = report.render(RUN, READING, report.judge(RUN, READING), lambda _style, text: f"{text}")
    assert text == TEXT
    coloured = report.render(RUN, READING, report.judge(RUN, READING), report.coloured)
    assert "\x1b[31m  152 ms\x1b[0m" in coloured or "\x1b[31m152 ms\x1b[0m" in coloured
    assert "\x1b[32m✓\x1b[0m" in coloured


def test_agreement_is_ok():
    verdict = report.judge(RUN, READING)
    assert verdict.ok
    assert verdict.compared == 26  # 17 of metrics, nine of events


def test_each_store_is_held_against_the_load():
    lost = replace(READING, told=Ledger(), metrics=READING.metrics + Ledger({Entry("pro", "proj_x", QUERIES, "ok"): 1}))
    verdict = report.judge(RUN, lost)
    assert not verdict.ok
    assert [difference.store for difference in verdict.differences] == ["Prometheus", *["ClickHouse"] * 9]
    text = report.render(RUN, lost, verdict)
    assert "✗ 27 figures compared, and this is wrong:" in text
    assert "  Prometheus: proj_x (pro), queries, ok: 1, caused 0" in text


def test_a_tenant_of_a_folded_plan_with_a_series_of_its_own_is_a_difference():
    verdict = report.judge(RUN, replace(READING, metrics=only(CAUSED, METRIC_KINDS)))
    assert {difference.entry.project_id for difference in verdict.differences} == {"proj_free", OTHER}


@pytest.mark.parametrize(
    ("counts", "flaw"),
    [
        (EventCounts(emitted=0), "events: by their own counters the processes emitted none, and 0 are stored"),
        (
            EventCounts(emitted=3, stored=2, distinct_ids=2, last_sequence=2),
            "events: 3 emitted, but 2 stored and 0 dropped",
        ),
        (
            EventCounts(emitted=3, stored=3, distinct_ids=2, last_sequence=3),
            "events: 3 stored, but only 2 different event_ids",
        ),
        (
            EventCounts(emitted=3, stored=3, distinct_ids=3, last_sequence=5),
            "events: the last event_seq is 5, so some were lost without a word",
        ),
    ],
)
def test_flaws_of_the_events_spoil_the_verdict(counts, flaw):
    verdict = report.judge(RUN, replace(READING, counts=counts))
    assert verdict.flaws == (flaw,)
    assert not verdict.ok
    assert flaw in report.render(RUN, replace(READING, counts=counts), verdict)


def test_a_failure_inside_the_instrumentation_spoils_the_verdict():
    verdict = report.judge(RUN, replace(READING, faults={"beginning a statement": 2}))
    assert verdict.flaws == ("instrumentation: 2 failures while beginning a statement",)


def test_an_unbalanced_ledger_of_events_is_written_as_one():
    counts = EventCounts(emitted=4, dropped=1, stored=2, distinct_ids=2, last_sequence=4)
    text = report.render(RUN, replace(READING, counts=counts), report.judge(RUN, READING))
    assert "4 emitted ≠ 2 stored + 1 dropped" in text


def test_nothing_measured_is_a_dash_not_a_zero():
    text = report.render(RUN, replace(READING, p95_by_plan={}), report.judge(RUN, READING))
    assert text.splitlines()[3].split() == ["free", "1", "70", "5", "-", "≤", "500", "ms", "0", "5", "0"]


def test_json_has_the_same_figures():
    document = json.loads(report.to_json(RUN, READING, report.judge(RUN, READING)))
    assert document["ok"] is True
    assert document["plans"]["pro"] == {
        "queries": 1200,
        "errors": 0,
        "p95_ms": 152.0,
        "objective_ms": 100.0,
        "queued": 15,
        "rejected": 0,
        "cold_starts": 0,
    }
    assert document["events"]["stored"] == 3
    assert {
        "plan": "pro",
        "project_id": "proj_busy",
        "kind": "limit hits",
        "detail": "max_pool_size queued",
        "count": 15,
    } in (document["events"]["told"])
    assert document["differences"] == []


def test_json_names_the_differences():
    verdict = report.judge(
        RUN, replace(READING, told=READING.told + Ledger({Entry("pro", "p", COLD_STARTS, "COLD"): 1}))
    )
    document = json.loads(report.to_json(RUN, READING, verdict))
    assert document["ok"] is False
    assert document["differences"] == [
        {
            "plan": "pro",
            "project_id": "p",
            "kind": "cold starts",
            "detail": "COLD",
            "store": "ClickHouse",
            "caused": 0,
            "stored": 1,
        }
    ]
