"""Grafana's dashboards: every panel of the ticket, labels that there are, no question without bound."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from examples.grafana import SCRAPE
from otel_dynabase.catalog.kinds import Histogram
from otel_dynabase.catalog.metrics import METRICS
from otel_dynabase.catalog.plans import PLAN_TABLE
from otel_dynabase.render import DASHBOARDS, dashboard, dashboards
from otel_dynabase.render.dashboards import links
from otel_dynabase.render.dashboards.board import placed
from otel_dynabase.render.dashboards.panel import WIDTH, Ask, Select
from otel_dynabase.render.rules import ALERTS, RECORDINGS, REJECTIONS_A_MINUTE
from otel_dynabase.render.rules.windows import SLOW

ROOT = Path(__file__).resolve().parents[2]
TICKET = {
    "dynabase-tier-health": (
        (1, "Tenant Distribution by Tier", "piechart"),
        (2, "Active Tier Transitions (Last Hour)", "timeseries"),
        (3, "Limit Hits by Tier", "timeseries"),
        (4, "Connection Rejections Rate", "timeseries"),
        (5, "Scale-to-Zero Events (Last Hour)", "stat"),
        (6, "Cold Start Latency Distribution: $cache_level", "heatmap"),
        (7, "Circuit Breaker Status", "state-timeline"),
        (8, "Resource Consumption by Tier: CPU", "timeseries"),
    ),
    "dynabase-tenant-patterns": (
        (1, "Query Rate Distribution by Tier", "barchart"),
        (2, "Active Hours per Day (7-day average)", "xychart"),
        (3, "Idle Duration Distribution", "barchart"),
        (4, "Tier Dwell Time", "barchart"),
        (5, "Cache Hit Rate by Tier & Level", "heatmap"),
        (6, "Sustained Activity Periods", "barchart"),
        (7, "Query Pattern by Time of Day: $tier", "heatmap"),
    ),
    "dynabase-tier-economics": (
        (1, "Revenue Units by Tier", "piechart"),
        (2, "Tier Ceiling Hits → Upgrade Opportunities", "table"),
        (3, "Plan Changes Over Time", "timeseries"),
        (4, "Cost Savings from Scale-to-Zero", "stat"),
        (5, "Free Tier Conversion Rate", "gauge"),
    ),
    "dynabase-slo-tracking": (
        (1, "SLO Compliance by Tier", "gauge"),
        (2, "Error Budget Burn Rate", "timeseries"),
        (3, "SLO Violations Over Time", "state-timeline"),
        (4, "Latency Distribution vs SLO", "barchart"),
    ),
}
"""The ticket's Parts 3.1 to 4.2: number, title, and the kind that it asks for, or what stands for it in Grafana."""
BESIDES = {
    "dynabase-tier-health": {9: "Who It Is", 18: "Resource Consumption by Tier: Memory"},
    "dynabase-slo-tracking": {5: "Query Latency (p95) vs SLO", 6: "Error Budget Remaining (30 days)"},
    "dynabase-tenant": {
        1: "$project",
        2: "Series of Its Own in Prometheus",
        3: "Tier and Plan",
        4: "Limit Hits",
        5: "Queue",
        6: "Cold Starts",
        7: "Cost",
        8: "CPU and Memory",
        9: "Statements",
        10: "Query Latency (p95) and Failures",
        11: "Events",
    },
}
DRAWN = {uid: json.loads(dashboard(uid)) for uid in DASHBOARDS}
PANELS = [(uid, panel) for uid in DASHBOARDS for panel in dashboards.BOARDS[uid].panels]
ASKS = [(uid, panel, query) for uid, panel in PANELS for query in panel.queries if isinstance(query, Ask)]
SELECTS = [(uid, panel, query) for uid, panel in PANELS for query in panel.queries if isinstance(query, Select)]
NAMES = {
    metric.prometheus + part
    for metric in METRICS
    for part in (("_bucket", "_count", "_sum") if isinstance(metric, Histogram) else ("",))
}
LABELS = {
    metric.prometheus + part: {label.name.replace(".", "_") for label in metric.labels}
    for metric in METRICS
    for part in (("_bucket", "_count", "_sum") if isinstance(metric, Histogram) else ("",))
}
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)?\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
AGGREGATE = re.compile(r"\b(sum|max|count|quantile|topk|count_values)\b")


def called(items):
    return [f"{uid.removeprefix('dynabase-')} {panel.number}" for uid, panel, *_ in items]


def test_every_panel_of_the_ticket_is_there_with_its_number_and_its_kind():
    drawn = {
        uid: tuple((panel["id"], panel["title"], panel["type"]) for panel in DRAWN[uid]["panels"]) for uid in TICKET
    }
    assert {uid: tuple(sorted(set(drawn[uid]) & set(TICKET[uid]))) for uid in TICKET} == TICKET
    assert sum(map(len, TICKET.values())) == 24


def test_a_number_stays_with_its_panel():
    """An address of a single panel names it by number: a new panel takes a new one."""
    numbers = {uid: {panel["id"]: panel["title"] for panel in DRAWN[uid]["panels"]} for uid in DASHBOARDS}
    expected = {
        uid: {number: title for number, title, _kind in TICKET.get(uid, ())} | BESIDES.get(uid, {})
        for uid in DASHBOARDS
    }
    assert numbers == expected


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_files_are_what_is_rendered(uid):
    assert (ROOT / f"collector/grafana/dashboards/{uid}.json").read_text() == dashboard(uid)
    assert DRAWN[uid]["uid"] == uid


def test_the_package_needs_grafanas_library_for_nothing_else():
    """It is a development dependency: rules and documents are rendered without it."""
    program = "import sys, otel_dynabase.render; sys.exit('grafana_foundation_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(("uid", "panel"), PANELS, ids=called(PANELS))
def test_a_panel_says_what_can_be_decided_from_it_and_in_which_unit(uid, panel):
    drawn = next(one for one in DRAWN[uid]["panels"] if one["id"] == panel.number)
    assert len(drawn["description"].split()) >= 8
    assert drawn["description"].endswith(".")
    assert drawn["fieldConfig"]["defaults"]["unit"]
    assert [target["refId"] for target in drawn["targets"]] == [chr(65 + at) for at in range(len(panel.queries))]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_panels_lie_beside_each_other(uid):
    places = [panel["gridPos"] for panel in DRAWN[uid]["panels"]]
    assert all(place["x"] + place["w"] <= WIDTH for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


@given(widths=st.lists(st.sampled_from((4, 6, 8, 12, 16, 24)), max_size=12))
def test_no_order_of_panels_makes_them_overlap(widths):
    (panel, *_) = dashboards.BOARDS["dynabase-tier-health"].panels
    cells = [
        (at.x + column, at.y + row)
        for at in (drawn.grid_pos for drawn in placed([replace(panel, width=width, height=2) for width in widths]))
        for column in range(at.w)
        for row in range(at.h)
    ]
    assert len(cells) == len(set(cells))
    assert all(x < WIDTH for x, _y in cells)


# --- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("uid", "panel", "query"), ASKS, ids=called(ASKS))
def test_a_selector_names_a_metric_and_labels_that_it_has(uid, panel, query):
    """The ticket's own expressions select on labels that the metrics do not have: they would never show anything."""
    recorded = {rule.name for rule in RECORDINGS}
    found = [(name, MATCHER.findall(matchers)) for name, matchers in SELECTOR.findall(query.promql)]
    assert found
    for name, matchers in found:
        names = [name] if name else next(value for key, _, value in matchers if key == "__name__").split("|")
        assert set(names) <= NAMES | recorded | {"ALERTS"}
        for one in names:
            if one in LABELS:
                assert {key for key, *_ in matchers} - {"le", "__name__"} <= LABELS[one]


@pytest.mark.parametrize(("uid", "panel", "query"), ASKS, ids=called(ASKS))
def test_no_question_is_about_series_without_bound(uid, panel, query):
    """It adds them up, takes the first few, is about one project, or reads what a rule has added up."""
    names = [name for name, _ in SELECTOR.findall(query.promql)]
    added_up = {rule.name for rule in RECORDINGS}
    by_project = re.findall(r"by \(([^)]*project_id[^)]*)\)", query.promql)
    assert AGGREGATE.search(query.promql) or set(names) <= added_up
    assert not by_project or "topk" in query.promql or "count_values" in query.promql


@pytest.mark.parametrize(("uid", "panel", "query"), SELECTS, ids=called(SELECTS))
def test_a_question_to_clickhouse_has_a_range_and_counts_no_copy_twice(uid, panel, query):
    assert " FINAL" in query.sql
    assert "$__timeFilter(" in query.sql or "Timestamp <= $__toTime" in query.sql
    assert "LIMIT" in query.sql or "GROUP BY" in query.sql or not re.search(r"^    Timestamp", query.sql, re.MULTILINE)
    if uid == "dynabase-tenant":
        assert "project_id = ${project:singlequote}" in query.sql


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_variables_are_those_that_the_questions_use(uid):
    names = {variable["name"] for variable in DRAWN[uid]["templating"]["list"]}
    text = json.dumps(DRAWN[uid]["panels"]) + json.dumps(DRAWN[uid]["annotations"])
    used = set(re.findall(r"\$\{?([a-z]\w*)", text))
    assert names == used | {"prometheus", "clickhouse"}  # which the links to other dashboards hand on


# --- where the numbers come from --------------------------------------------------------------------------------------


def steps(uid, number):
    panel = next(panel for panel in DRAWN[uid]["panels"] if panel["id"] == number)
    return [
        step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"] if step["value"] is not None
    ]


def test_lines_are_where_alerts_fire_and_where_promises_are():
    assert steps("dynabase-tier-health", 4) == [REJECTIONS_A_MINUTE]
    assert steps("dynabase-slo-tracking", 5) == sorted(plan.query_p95 for plan in PLAN_TABLE)
    assert steps("dynabase-tenant", 10) == sorted(plan.query_p95 for plan in PLAN_TABLE)
    assert steps("dynabase-slo-tracking", 2) == sorted(pair.factor for pair in SLOW)


def test_a_gauge_turns_red_where_its_own_plan_is_broken():
    panel = next(panel for panel in DRAWN["dynabase-slo-tracking"]["panels"] if panel["id"] == 1)
    red_below = {
        override["matcher"]["options"]: override["properties"][0]["value"]["steps"][1]["value"]
        for override in panel["fieldConfig"]["overrides"]
    }
    assert {name: value for name, value in red_below.items() if "availability" in name} == {
        f"{plan.name} availability": plan.availability for plan in PLAN_TABLE
    }
    assert red_below["pro queries"] == 0.95
    assert red_below["enterprise cold starts"] == 1


def test_latencies_lead_to_traces():
    exemplars = {
        (uid, panel["id"])
        for uid in DASHBOARDS
        for panel in DRAWN[uid]["panels"]
        for target in panel["targets"]
        if target.get("exemplar")
    }
    assert exemplars == {("dynabase-tier-health", 6), ("dynabase-slo-tracking", 5), ("dynabase-tenant", 10)}


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_file_is_what_grafanas_own_library_reads_and_writes(uid):
    from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: PLC0415  # warns where it is imported first
    from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415

    drawn = json.loads(dashboard(uid))
    for panel in drawn["panels"]:
        panel["fieldConfig"]["defaults"].pop("links", None)  # it takes data links for links of a dashboard
    read = json.loads(json.dumps(Dashboard.from_json(drawn), cls=JSONEncoder))
    for one in (*read["annotations"]["list"], *read["links"]):
        del one["placement"]  # its default, which ours are without
    assert read == drawn


def test_provisioned_stores_are_those_that_links_and_rates_rely_on():
    folder = ROOT / "collector/grafana"
    files = [*sorted((folder / "provisioning/datasources").glob("*.yaml")), folder / "traces.yaml"]
    stores = {store["uid"]: store for file in files for store in yaml.safe_load(file.read_text())["datasources"]}
    assert {store["type"] for store in stores.values()} == {"prometheus", "grafana-clickhouse-datasource", "tempo"}
    prometheus = stores["dynabase-prometheus"]["jsonData"]
    assert prometheus["exemplarTraceIdDestinations"] == [{"name": "trace_id", "datasourceUid": links.TRACES}]
    assert prometheus["timeInterval"] == f"{SCRAPE}s"
    assert links.TRACES in stores
    secrets = [value for store in stores.values() for value in store.get("secureJsonData", {}).values()]
    assert secrets
    assert all(secret.startswith("$__file{") for secret in secrets)


def test_alerts_lead_to_dashboards_that_there_are():
    assert {alert.dashboard for alert in ALERTS} <= set(DASHBOARDS)
