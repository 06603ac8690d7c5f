"""recording.yml: what dashboards and slow alerts read instead of thousands of series over days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import CACHE, HOUR, PERIOD
from otel_dynabase.catalog.metrics import (
    ACTIVITY_PERIODS,
    AVAILABILITY_COMPLIANCE,
    BURN_RATES,
    BURN_WINDOWS,
    CACHE_HITS,
    COLD_START_COMPLIANCE,
    ERROR_BUDGET,
    IDLE_DURATION,
    QUERIES_BY_HOUR,
    QUERY_COMPLIANCE,
    QUERY_DURATION,
    QUERY_RATE,
    SLO_BAD_EVENTS,
    SLO_BAD_EVENTS_COUNTED,
    SLO_BAD_SHARE,
    SLO_EVENTS,
    SLO_EVENTS_COUNTED,
    SLO_TARGET,
)
from otel_dynabase.catalog.plans import PLAN_TABLE
from otel_dynabase.render.rules.objectives import AVAILABILITY, COLD_START, EVERY_PLAN, QUERY_LATENCY
from otel_dynabase.render.rules.promql import among, selector, total
from otel_dynabase.render.rules.rule import Group, Recording
from otel_dynabase.render.rules.windows import BUDGET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_dynabase.catalog.kinds import Recorded
    from otel_dynabase.catalog.plans import Plan

WHAT: Final = "What is recorded over long times: how fast error budgets go, what is left of them, and query patterns."


def bad_share(window: str) -> str:
    """Return the share of each objective's events of a window that were bad."""
    bad, every = SLO_BAD_EVENTS_COUNTED.prometheus, SLO_EVENTS_COUNTED.prometheus
    return f"sum_over_time({bad}[{window}])\n/\n(sum_over_time({every}[{window}]) > 0)"


def _minutes() -> Iterator[Recording]:
    for counted, metric in ((SLO_EVENTS_COUNTED, SLO_EVENTS), (SLO_BAD_EVENTS_COUNTED, SLO_BAD_EVENTS)):
        yield Recording(
            name=counted.prometheus,
            expression=f"{metric.prometheus} * 60",
            why="Once a minute, so that no event is in two of them, and 30 days are 43,200 samples a series.",
        )


def _burn_rates() -> Iterator[Recording]:
    for metric, window in zip(BURN_RATES, BURN_WINDOWS, strict=True):
        yield Recording(name=metric.prometheus, expression=f"{bad_share(window)}\n/\n(1 - {SLO_TARGET.prometheus})")


def _budgets() -> Iterator[Recording]:
    share = SLO_BAD_SHARE.prometheus
    yield Recording(name=share, expression=bad_share(BUDGET))
    yield Recording(name=ERROR_BUDGET.prometheus, expression=f"1 - {share} / (1 - {SLO_TARGET.prometheus})")
    for plan in PLAN_TABLE:
        yield _compliance(QUERY_COMPLIANCE, plan, QUERY_LATENCY, f"{plan.query_p95 * 1000:g}")
        yield _compliance(COLD_START_COMPLIANCE, plan, COLD_START, f"{(plan.cold_start_p95 or 0) * 1000:g}")
        yield _compliance(AVAILABILITY_COMPLIANCE, plan, AVAILABILITY, f"{plan.availability * 100:g}")


def _compliance(metric: Recorded, plan: Plan, slo: str, threshold: str) -> Recording:
    (_plan, objective) = metric.labels
    share = selector(SLO_BAD_SHARE.prometheus, among("plan", (plan.name,)), f'slo="{slo}"')
    return Recording(
        name=metric.prometheus, labels={objective.name: threshold}, expression=f"1 - sum by (plan) ({share})"
    )


def _patterns() -> Iterator[Recording]:
    """Yield what dashboards show over days, with the tenants added up."""
    for level, series, *labels in (
        ("plan_tier", CACHE_HITS.prometheus, "plan", "tier", CACHE.name),
        ("plan", ACTIVITY_PERIODS.prometheus, "plan", PERIOD.name),
        ("plan_tier", f"{QUERY_RATE.prometheus}_bucket", "plan", "tier", "le"),
        ("plan_tier", f"{IDLE_DURATION.prometheus}_bucket", "plan", "tier", "le"),
        ("plan_tier", QUERIES_BY_HOUR.prometheus, "plan", "tier", HOUR.name),
        ("plan", f"{QUERY_DURATION.prometheus}_bucket", "plan", "le"),
    ):
        name = f"{level}:{series.removesuffix('_total')}:rate5m"
        yield Recording(name=name, expression=total("rate", selector(series, EVERY_PLAN), "5m", ", ".join(labels)))


GROUPS: Final = (
    Group("slo-budgets", "1m", (*_minutes(), *_burn_rates(), *_budgets())),
    Group("query-patterns", "1m", tuple(_patterns())),
)
