"""SLO Tracking: is what was promised kept, and how long will it be? The ticket's Part 4.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import PLAN
from otel_dynabase.catalog.metrics import (
    AVAILABILITY_COMPLIANCE,
    COLD_START_COMPLIANCE,
    QUERY_COMPLIANCE,
    QUERY_DURATION,
)
from otel_dynabase.catalog.plans import PLAN_TABLE
from otel_dynabase.render.dashboards import kinds
from otel_dynabase.render.dashboards.board import PLANS, Board
from otel_dynabase.render.dashboards.drawing import thresholds
from otel_dynabase.render.dashboards.panel import Ask, Panel, Step
from otel_dynabase.render.dashboards.promql import RATE, chosen, distribution, quantile
from otel_dynabase.render.rules.windows import SLOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_dynabase.catalog.plans import Plan

RAW: Final = chosen(QUERY_DURATION, part="_bucket", by=(PLAN,))
COLOURS: Final = {"free": "green", "starter": "yellow", "pro": "blue", "enterprise": "purple"}
P95: Final = 0.95
BURN: Final = "plan:slo_burn_rate"
WINDOWS: Final = ("5m", "1h", "6h")
"""Now, the hour that pages, the six hours that make a ticket (the SRE workbook's table)."""
BURNS: Final = {"3d": "yellow", "1d": "yellow", "6h": "orange", "1h": "red"}
REMAINING: Final = "plan:slo_error_budget_remaining:30d"
LATENCIES: Final = "plan:db_query_duration_seconds_bucket:rate5m"
OF_PLANS: Final = 'plan=~"$plan"'
VIOLATIONS: Final = f'max by (alertname, plan) (ALERTS{{alertstate="firing", slo!="", {OF_PLANS}}})'
OBJECTIVE: Final = {plan.query_p95: plan.name for plan in PLAN_TABLE}


def kept(target: float) -> tuple[Step, ...]:
    """Return the colours of a share of good events: red below the promise, yellow with half of the budget spent."""
    return (Step(None, "red"), Step(target, "yellow"), Step(target + (1 - target) / 2, "green"))


def promised(plan: Plan) -> Iterator[tuple[str, float]]:
    """Name a plan's objectives as the gauges do, and say what share was promised; 1: nothing else may happen."""
    yield f"{plan.name} queries", P95
    yield f"{plan.name} cold starts", 1.0 if plan.cold_start_p95 is None else P95
    yield f"{plan.name} availability", plan.availability


def dial(target: float) -> Mapping[str, object]:
    """Return a gauge from four times the budget to all good, in its objective's own colours."""
    return {"thresholds": thresholds(kept(target)), "min": 1 - 4 * (1 - target) if target < 1 else 0}


def of_plan(plan: str) -> Mapping[str, object]:
    """Return the look of a plan's series."""
    return {"color": {"mode": "fixed", "fixedColor": COLOURS[plan]}}


def bucket(low: float, high: float | None) -> str:
    """Name a bucket of latencies; at a plan's objective it says so."""
    if high is None:
        return f"> {low * 1000:g} ms"
    return f"≤ {high * 1000:g} ms" + (f" ◂ {OBJECTIVE[high]}" if high in OBJECTIVE else "")


PANELS: Final = (
    Panel(
        number=1,
        title="SLO Compliance by Tier",
        kind=kinds.gauges,
        what="Shares of good events over 30 days. Each plan's own promise gives the colours: red is broken, yellow has "
        "more than half of its budget spent; 96 % is good for p95, and a disaster for 99.9 %. What is absent had "
        "nothing to judge; an enterprise dial of cold starts is there only if one has happened.",
        queries=(
            Ask(chosen(QUERY_COMPLIANCE), "{{plan}} queries", instant=True),
            Ask(chosen(COLD_START_COMPLIANCE), "{{plan}} cold starts", instant=True),
            Ask(chosen(AVAILABILITY_COMPLIANCE), "{{plan}} availability", instant=True),
        ),
        unit="percentunit",
        steps=(Step(None, "text"),),
        fields={
            name: {**dial(target), "max": 1, "decimals": 2} for plan in PLAN_TABLE for name, target in promised(plan)
        },
        width=24,
        height=9,
    ),
    Panel(
        number=6,
        title="Error Budget Remaining (30 days)",
        kind=kinds.levels,
        what="What is left to fail with until the 30 days' promise is broken. Below zero: it is. Nearly nothing: no "
        "risky change to that plan's servers.",
        queries=(Ask(f"{REMAINING}{{{OF_PLANS}}}", "{{plan}} {{slo}}", instant=True),),
        unit="percentunit",
        steps=(Step(None, "red"), Step(0.0, "orange"), Step(0.25, "green")),
        width=8,
    ),
    Panel(
        number=2,
        title="Error Budget Burn Rate",
        kind=kinds.lines,
        what="Budget spent, as a multiple of what 30 days can bear. 1: gone just at their end; the lines are where "
        "alerts begin: 1 and 3 warn, 6 is gone in 5 days, 14.4 in 2 days and pages.",
        queries=tuple(
            Ask(f"{BURN}:{window}{{{OF_PLANS}}}", f"{{{{plan}}}} {{{{slo}}}} {window}") for window in WINDOWS
        ),
        unit="suffix: x",
        steps=(Step(None, "transparent"), *(Step(pair.factor, BURNS[pair.long]) for pair in reversed(SLOW))),
        width=16,
    ),
    Panel(
        number=3,
        title="SLO Violations Over Time",
        kind=kinds.states,
        what="When an alert about an objective fired, and for how long. Breaches that come back at one hour of the day "
        "have a cause that does, too.",
        queries=(Ask(VIOLATIONS, "{{plan}}: {{alertname}}"),),
        texts={"1": ("violated", "red")},
        nothing="nothing was violated",
    ),
    Panel(
        number=5,
        title="Query Latency (p95) vs SLO",
        kind=kinds.lines,
        what="The 95th percentile of each plan, and its objective as a line of the same colour. Points are single "
        "statements: one leads to its trace.",
        queries=(
            # first the one with exemplars: Grafana asks for them once a metric, and the recording's name has its
            Ask(quantile(P95, f"rate({RAW}[{RATE}])"), "{{plan}} now", instant=True, exemplars=True),
            Ask(quantile(P95, f"{LATENCIES}{{{OF_PLANS}}}"), "{{plan}}"),
        ),
        unit="s",
        steps=(
            Step(None, "transparent"),
            *(Step(plan.query_p95, COLOURS[plan.name]) for plan in sorted(PLAN_TABLE, key=lambda plan: plan.query_p95)),
        ),
        fields={f"{plan}{now}": of_plan(plan) for plan in COLOURS for now in ("", " now")},
    ),
    Panel(
        number=4,
        title="Latency Distribution vs SLO",
        kind=kinds.histogram,
        what="How each plan's statements spread over latencies in this range. A bucket that ends at a plan's objective "
        "has its name behind it: what is to the right of it is beyond. Much just left of it: no headroom.",
        queries=(Ask(distribution(QUERY_DURATION, "plan", LATENCIES, bucket, OF_PLANS), instant=True, form="table"),),
        unit="percentunit",
        transformations=(
            (
                "groupingToMatrix",
                {"columnField": PLAN.name, "rowField": "bucket", "valueField": "Value", "emptyValue": "zero"},
            ),
        ),
        fields={plan: of_plan(plan) for plan in COLOURS},
        width=24,
    ),
)

SLO_TRACKING: Final = Board(
    uid="dynabase-slo-tracking",
    title="DynaBase SLO Tracking",
    what="Is what was promised kept, and how long will it be?",
    since="24h",
    refresh="30s",
    variables=(PLANS,),
    panels=PANELS,
)
