"""slo-tracking.yml: each objective's events, and who misses what was promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import SLO
from otel_dynabase.catalog.metrics import (
    ERROR_BUDGET,
    ERRORS,
    QUERY_DURATION,
    SLO_BAD_EVENTS,
    SLO_BAD_EVENTS_COUNTED,
    SLO_EVENTS,
    SLO_TARGET,
)
from otel_dynabase.catalog.plans import LATENCY_TARGET, PLAN_TABLE
from otel_dynabase.render.rules.annotations import PLAN, affected, looked_up
from otel_dynabase.render.rules.objectives import (
    AVAILABILITY,
    COLD_START,
    EVERY_PLAN,
    QUERY_LATENCY,
    bad_count,
    bad_share,
    failures,
    good_rate,
    judged,
    targets,
)
from otel_dynabase.render.rules.promql import among, inside, joined, selector, total
from otel_dynabase.render.rules.rule import Alert, Group, Recording
from otel_dynabase.render.rules.windows import FEWEST, SLOW, STEADY, Pair, fast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_dynabase.catalog.plans import Plan, Severity

WHAT: Final = "Each plan's objectives: the events that they judge, and alerts when too many of them are bad."
DASHBOARD: Final = "dynabase-slo-tracking"
SLOW_STARTS: Final = 5
"""Slow cold starts in 30 minutes below which nobody is told: there may be only forty a day."""


def _recordings() -> Iterator[Recording]:
    for plan, slo, share in targets():
        labels = {"plan": plan.name, "slo": slo}
        yield Recording(name=SLO_TARGET.prometheus, labels=labels, expression=f"vector({share:g})")
    for slo in SLO.values:
        labels = {"slo": slo}
        every = f'sum by (plan) ({SLO_EVENTS.prometheus}{{slo="{slo}"}})'
        yield Recording(name=SLO_EVENTS.prometheus, labels=labels, expression=total("rate", judged(slo), "1m"))
        if slo == AVAILABILITY:  # a series of failures may not exist yet
            bad = joined("or", total("rate", failures(EVERY_PLAN), "1m"), f"0 * {every}")
        else:
            bad = f"{every}\n-\n{inside(good_rate(slo, '1m'))}"
        yield Recording(name=SLO_BAD_EVENTS.prometheus, labels=labels, expression=bad)


def _burns(slo: str, plan: Plan, pair: Pair, budget: float) -> str:
    """Return that a plan's budget burns too fast over both windows of a pair, by enough events to say so."""
    limit = f"{pair.factor:g} * {budget:g}"
    return joined(
        "and",
        f"{bad_share(slo, plan, pair.long)} > {limit}",
        f"{bad_share(slo, plan, pair.short)} > {limit}",
        f"{bad_count(slo, plan, pair.long)} >= {FEWEST}",
    )


def _latency(plan: Plan) -> Alert:
    budget = round(1 - LATENCY_TARGET, 6)
    objective = f"{plan.query_p95 * 1000:g} ms"
    buckets = selector(f"{QUERY_DURATION.prometheus}_bucket", "plan='%s'")
    p95 = looked_up(f"histogram_quantile({LATENCY_TARGET:g}, sum by (le) (rate({buckets}[1m])))", "humanizeDuration")
    pairs = (fast(budget), STEADY)
    return Alert(
        name=f"{plan.name.title()}TierQueryLatencySLOBreach",
        severity=plan.breach,
        plans=(plan.name,),
        slo=QUERY_LATENCY,
        expression=joined("or", *(inside(_burns(QUERY_LATENCY, plan, pair, budget)) for pair in pairs)),
        lingering="2m",
        summary=f"{plan.name.title()}: too many statements take longer than {objective}",
        description=f"{{{{ $value | humanizePercentage }}}} of the statements took longer than {objective}, where "
        f"{budget:.0%} may; {LATENCY_TARGET:.0%} of the last minute's took up to {p95}.",
        runbook="query-latency-slo",
        dashboard=DASHBOARD,
    )


def _availability(plan: Plan) -> Alert:
    budget = round(1 - plan.availability, 6)
    pair = fast(budget)
    return Alert(
        name=f"{plan.name.title()}TierAvailabilitySLOBreach",
        severity=plan.breach,
        plans=(plan.name,),
        slo=AVAILABILITY,
        expression=_burns(AVAILABILITY, plan, pair, budget),
        lingering="2m",
        summary=f"{plan.name.title()}: the platform fails too many requests",
        description=f"The platform failed {{{{ $value | humanizePercentage }}}} of the last {pair.long}'s requests, "
        f"where {budget * 100:g} % may. Tenants with errors in the last 5 minutes: {affected(ERRORS.name)}.",
        runbook="availability-slo",
        dashboard=DASHBOARD,
    )


def _cold_starts(severity: Severity, *plans: str) -> Alert:
    burn = selector("plan:slo_burn_rate:30m", f'slo="{COLD_START}"', among("plan", plans))
    bad = SLO_BAD_EVENTS_COUNTED.prometheus
    return Alert(
        name="ColdStartLatencyExceedsSLO",
        severity=severity,
        plans=plans,
        slo=COLD_START,
        expression=joined("and", f"{burn} > 2", f"sum_over_time({bad}[30m]) >= {SLOW_STARTS}"),
        summary=f"{PLAN}: cold starts take longer than promised",
        description="Slow cold starts were {{ $value | humanize }} times as many as may be in the last 30m.",
        runbook="cold-start-latency",
        dashboard=DASHBOARD,
    )


def _burn_alerts() -> Iterator[Alert]:
    urgent = {plan.name: plan.breach for plan in PLAN_TABLE}
    calm: dict[str, Severity] = {plan.name: "info" if plan.name == "free" else "warning" for plan in PLAN_TABLE}
    for pair in SLOW:
        severities = urgent if pair is SLOW[0] else calm
        for severity in dict.fromkeys(severities.values()):
            yield _burn(pair, severity, *(name for name, one in severities.items() if one == severity))


def _burn(pair: Pair, severity: Severity, *plans: str) -> Alert:
    long, short = (f"plan:slo_burn_rate:{window}" for window in (pair.long, pair.short))
    bad = f"sum_over_time({SLO_BAD_EVENTS_COUNTED.prometheus}[{pair.long}])"
    left = looked_up(f"{ERROR_BUDGET.prometheus}{{plan='%s', slo='%s'}}", "humanizePercentage", "plan", "slo")
    return Alert(
        name="ErrorBudgetBurn",
        severity=severity,
        plans=plans,
        labels={"window": pair.long},
        expression=joined(
            "and",
            f"{selector(long, among('plan', plans))} > {pair.factor:g}",
            f"{short} > {pair.factor:g}",
            f"{bad} >= {FEWEST}",
        ),
        summary=f"{PLAN}: the error budget of {{{{ $labels.slo }}}} burns too fast",
        description=f"In the last {pair.long} it was spent {{{{ $value | humanize }}}} times faster than it may be. "
        f"Left of 30 days' budget: {left}.",
        runbook="error-budget-burn",
        dashboard=DASHBOARD,
    )


GROUPS: Final = (
    Group("slo", "10s", (*_recordings(), *map(_latency, PLAN_TABLE), *map(_availability, PLAN_TABLE))),
    Group("slo-burn", "1m", (_cold_starts("info", "free"), _cold_starts("warning", "starter", "pro"), *_burn_alerts())),
)
