"""Tenant: one project, out of the events, whether Prometheus knows it by name or not."""

from __future__ import annotations

from typing import Final

from otel_dynabase.catalog.metrics import CURRENT_TIER, QUERIES, QUERY_DURATION, QUEUE_DEPTH
from otel_dynabase.catalog.plans import PLAN_TABLE
from otel_dynabase.render.dashboards import kinds, links, selects
from otel_dynabase.render.dashboards.board import COST, Board, found
from otel_dynabase.render.dashboards.panel import Ask, Panel, Select, Step
from otel_dynabase.render.dashboards.promql import RATE

MINE: Final = 'project_id="$project"'
KNOWN_BY: Final = f'__name__=~"{QUERIES.prometheus}|{CURRENT_TIER.prometheus}"'
OF_DETAIL: Final = (
    "Out of the detail of metrics in ClickHouse, which has every tenant where collector/detail.yaml is on."
)
TIER_COLOURS: Final = {"COLD": "blue", "WARM": "yellow", "HOT": "orange", "PERSISTENT": "red"}
PLAN_COLOURS: Final = {"free": "green", "starter": "yellow", "pro": "blue", "enterprise": "purple"}
POINTS: Final = {"custom.drawStyle": "points", "custom.pointSize": 7}
P95: Final = f"histogram_quantile(0.95, sum by (le) (rate({QUERY_DURATION.prometheus}_bucket{{{MINE}}}[{RATE}])))"

OBJECTIVES: Final = tuple(
    Step(plan.query_p95, PLAN_COLOURS[plan.name]) for plan in sorted(PLAN_TABLE, key=lambda plan: plan.query_p95)
)

PANELS: Final = (
    Panel(
        number=1,
        title="$project",
        kind=kinds.facts,
        what="Plan and tier at the end of the range, the organisation, and when the project was last heard of.",
        queries=(Select(selects.WHO),),
        nothing="no event in 90 days",
        width=16,
        height=4,
    ),
    Panel(
        number=2,
        title="Series of Its Own in Prometheus",
        kind=kinds.figures,
        what="0: the project is folded into _other there, and the panels that ask Prometheus are empty; everything "
        "else here comes from ClickHouse and is complete. The collector tells in the events below when that changed.",
        queries=(Ask(f"count({{{KNOWN_BY}, {MINE}}}) or vector(0)", "series", instant=True),),
        texts={"0": ("none: folded into _other", "text")},
        width=8,
        height=4,
    ),
    Panel(
        number=3,
        title="Tier and Plan",
        kind=kinds.states,
        what="What the project ran on and paid for. A change has its reason in the marks, and in the table at the end.",
        queries=(
            Select(selects.state("tier", "tier_transition", "target_tier")),
            Select(selects.state("plan", "plan_change", "to_tier")),
        ),
        texts={name: (name, colour) for name, colour in {**TIER_COLOURS, **PLAN_COLOURS}.items()},
        nothing="no event in 90 days",
        width=24,
        height=5,
    ),
    Panel(
        number=4,
        title="Limit Hits",
        kind=kinds.bars,
        what="Requests that a limit made wait or fail. Queued every day at the same hour: a larger pool or plan; "
        "rejected at once: a leak in the application, look at a trace.",
        queries=(Select(selects.LIMIT_HITS, series=True),),
        step="1m",
        nothing="no limit was hit",
    ),
    Panel(
        number=5,
        title="Queue",
        kind=kinds.lines,
        what="The worst wait of each interval from the events and, while the project has series of its own, how many "
        "wait now.",
        queries=(
            Select(selects.WAITS, series=True),
            Ask(f"sum({QUEUE_DEPTH.prometheus}{{{MINE}}})", "waiting"),
        ),
        unit="ms",
        step="1m",
        fields={"waiting": {"unit": "short", "custom.axisPlacement": "right"}},
        nothing="nobody waited",
    ),
    Panel(
        number=6,
        title="Cold Starts",
        kind=kinds.lines,
        what="Each start and the first query after it, beside the objective of the plan that the project then had. "
        "Above the line every morning: keep it WARM before its hour.",
        queries=(Select(selects.COLD_STARTS),),
        unit="ms",
        fields={
            "start": POINTS,
            "first query": POINTS,
            "objective": {"color": {"mode": "fixed", "fixedColor": "red"}, "custom.lineStyle": {"fill": "dash"}},
        },
        nothing="no cold start",
    ),
    Panel(
        number=7,
        title="Cost",
        kind=kinds.figures,
        what="Hours that the project's compute slept in this range, and what they saved at the price typed above.",
        queries=(Select(selects.MY_SLEEP),),
        width=12,
        fields={"asleep": {"unit": "h", "displayName": "hours asleep"}},
    ),
    Panel(
        number=8,
        title="CPU and Memory",
        kind=kinds.lines,
        what=f"What its database uses. {OF_DETAIL}",
        queries=(Select(selects.CPU, series=True), Select(selects.MEMORY, series=True)),
        unit="bytes",
        step="1m",
        fields={"CPU": {"unit": "suffix: mcores", "custom.axisPlacement": "right"}},
    ),
    Panel(
        number=9,
        title="Statements",
        kind=kinds.lines,
        what=f"How many and how long. {OF_DETAIL}",
        queries=(Select(selects.STATEMENTS),),
        unit="ms",
        step="1m",
        fields={"a second": {"unit": "ops", "custom.axisPlacement": "right"}},
    ),
    Panel(
        number=10,
        title="Query Latency (p95) and Failures",
        kind=kinds.lines,
        what="While the project has series of its own in Prometheus. Points are single statements: one leads to its "
        "trace. The lines are the plans' objectives.",
        queries=(
            Ask(P95, "p95", exemplars=True),
            Ask(f'sum(rate({QUERIES.prometheus}{{{MINE}, status="error"}}[{RATE}]))', "failed a second"),
        ),
        unit="s",
        steps=(Step(None, "transparent"), *OBJECTIVES),
        fields={"failed a second": {"unit": "ops", "custom.axisPlacement": "right"}},
        width=24,
    ),
    Panel(
        number=11,
        title="Events",
        kind=kinds.rows,
        what="Everything that happened, newest first: why a tier changed (trigger_conditions), who had to wait, and "
        f"the trace in which it did. At most {selects.MOST}: choose a shorter range to see all.",
        queries=(Select(selects.EVENTS),),
        width=24,
        height=14,
        fields={
            "took": {"unit": "ms"},
            "trace_id": {"links": [links.data(links.TRACE)]},
            "trigger_conditions": {"custom.inspect": True, "custom.width": 420},
        },
    ),
)

TENANT: Final = Board(
    uid=links.TENANT,
    title="DynaBase Tenant",
    what="One project: what it ran on, what it ran into, what it cost, and why its tier changed.",
    since="24h",
    refresh="1m",
    variables=(
        found("project", "Project", selects.PROJECTS, "The busiest 200 of the range; any other may be typed."),
        COST,
    ),
    panels=PANELS,
    events=selects.MARKED,
)
