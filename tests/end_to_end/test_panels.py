"""What dashboards and rules ask, asked of a real Prometheus and the real ClickHouse engine after the demo's load."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from examples.panels import measure
from otel_dynabase.render import DASHBOARDS
from otel_dynabase.render.dashboards import BOARDS
from otel_dynabase.render.rules import GROUPS

if TYPE_CHECKING:
    from examples.panels import Touched
    from examples.stack.prometheus import Measured
    from tests.end_to_end.running import AfterSignals

pytestmark = pytest.mark.end_to_end

NOTHING_RIGHTLY = {
    ("dynabase-tenant-patterns", "Tier Dwell Time", "ClickHouse"): "nobody leaves two tiers within the demo's minute",
}
"""Panels that find nothing, and why that is right; tests/integration/test_stack_selects.py gives them something."""
IF_ALERTS_FIRE = {"annotation Alerts", "SLO Violations Over Time"}
"""Something or nothing: whether an alert fires within the demo's minute is for its own tests to say."""
UNTOUCHED_RIGHTLY = {
    "slo_cold_start_compliance 5000": "no free tenant wakes in the demo",
    "slo_cold_start_compliance 1000": "no pro tenant wakes in the demo",
    "slo_cold_start_compliance 0": "no enterprise tenant may wake, and none does",
    "TelemetryDropped report": "every report is accepted, and the count of others has not begun",
    "TelemetryDropped exporter": "the collector counts what its queues had no room for from the first time on",
}
"""Rules that find no series to read, and why that is right. An alert that reads some and does not fire found them."""
MOST_ROWS = 100
MOST_SERIES = 600
"""In Prometheus, of the demo's 14 tenants; 100 processes with the same tenants would not be more."""


@pytest.fixture(scope="module")
def touched(after_signals: AfterSignals) -> dict[tuple[str, str, str], Touched]:
    assert after_signals.done.returncode == 0, after_signals.done.stdout + after_signals.done.stderr
    found = measure(after_signals.prometheus, after_signals.clickhouse)
    return {(one.dashboard, one.panel, one.store): one for one in found}


def test_every_panel_is_asked_about_in_every_store_that_it_asks(touched):
    panels = {(uid, panel.title) for uid in DASHBOARDS for panel in BOARDS[uid].panels}
    assert {(one.dashboard, one.panel) for one in touched.values()} >= panels


def test_no_panel_is_refused(touched):
    assert [error for one in touched.values() for error in one.errors] == []


def test_every_panel_finds_something(touched):
    nothing = {key for key, one in touched.items() if not one.rows and one.panel not in IF_ALERTS_FIRE}
    assert nothing == set(NOTHING_RIGHTLY)


def test_no_panel_touches_more_than_it_may(touched):
    assert {key: one.rows for key, one in touched.items() if one.rows > MOST_ROWS} == {}
    assert {key: one.series for key, one in touched.items() if one.series > MOST_SERIES} == {}


def test_every_rule_is_evaluated_and_finds_what_it_reads(after_signals, touched):
    prometheus, now = after_signals.prometheus, time.time()
    found: dict[str, Measured] = {}
    for rule in (rule for group in GROUPS for rule in group.rules):
        name = " ".join((rule.name, *rule.labels.values()))
        found[name] = prometheus.measured(rule.expression, start=now, end=now)
    empty = {name for name, measured in found.items() if not measured.series and not measured.touched}
    assert empty == set(UNTOUCHED_RIGHTLY)
