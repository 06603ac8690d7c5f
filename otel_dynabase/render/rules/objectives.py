"""What each objective judges, and over which windows a miss is noticed.

Every expression is a share of events: a sum of rates over a sum of rates, never a mean of ratios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import SLO
from otel_dynabase.catalog.metrics import COLD_START_DURATION, ERRORS, QUERIES, QUERY_DURATION, REJECTIONS
from otel_dynabase.catalog.plans import FAILED_BY_PLATFORM, LATENCY_TARGET, PLAN_TABLE, PLANS
from otel_dynabase.render.rules.promql import among, joined, selector, total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_dynabase.catalog.kinds import Metric
    from otel_dynabase.catalog.plans import Plan

QUERY_LATENCY, AVAILABILITY, COLD_START = SLO.values
EVERY_PLAN: Final = among("plan", PLANS)
REFUSED: Final = among("reason", ("", "circuit_open"))
"""Of rejections only what a breaker refused: the others are among the errors already."""
ATTEMPTS: Final = (among("__name__", (QUERIES.prometheus, ERRORS.prometheus, REJECTIONS.prometheus)), 'status!="error"')
"""The statements that went well, all failures, and what a breaker refused.

One selector takes the series of all three: a sum of several would be absent where one of them is.
"""
FAILURES: Final = (
    among("__name__", (ERRORS.prometheus, REJECTIONS.prometheus)),
    among("error_type", ("", *FAILED_BY_PLATFORM)),
)


def target(plan: Plan, slo: str) -> float | None:
    """Return the share of good events that a plan promises; None: no event may be bad."""
    if slo == AVAILABILITY:
        return plan.availability
    return LATENCY_TARGET if slo == QUERY_LATENCY or plan.cold_start_p95 is not None else None


def targets() -> Iterator[tuple[Plan, str, float]]:
    """Yield every promise that is a share."""
    for plan in PLAN_TABLE:
        for slo in SLO.values:
            share = target(plan, slo)
            if share is not None:
                yield plan, slo, share


def attempts(plans: str) -> str:
    """Return the series of all that was attempted."""
    return selector("", plans, *ATTEMPTS, REFUSED)


def failures(plans: str) -> str:
    """Return the series of the attempts that the platform failed."""
    return selector("", plans, *FAILURES, REFUSED)


def judged(slo: str, plans: str = EVERY_PLAN) -> str:
    """Return the series of the events that an objective judges."""
    if slo == AVAILABILITY:
        return attempts(plans)
    return selector(f"{_histogram(slo).prometheus}_count", plans)


def good(slo: str, plan: Plan) -> str:
    """Return the series of a histogram's events that took no longer than a plan promises."""
    bound = plan.query_p95 if slo == QUERY_LATENCY else plan.cold_start_p95
    return selector(f"{_histogram(slo).prometheus}_bucket", among("plan", (plan.name,)), f'le="{bound:g}"')


def _histogram(slo: str) -> Metric:
    return QUERY_DURATION if slo == QUERY_LATENCY else COLD_START_DURATION


def good_rate(slo: str, window: str) -> str:
    """Return the good events a second of every plan, from the objectives of which the plans' histograms have edges."""
    rates = [
        total("rate", good(slo, plan), window)
        if target(plan, slo) is not None
        else f"0 * sum by (plan) ({judged(slo, among('plan', (plan.name,)))})"  # none may be, so none is good
        for plan in PLAN_TABLE
    ]
    return joined("or", *rates)


def bad_share(slo: str, plan: Plan, window: str) -> str:
    """Return the share of a plan's events of a window that were bad."""
    chosen = among("plan", (plan.name,))
    every = total("rate", judged(slo, chosen), window)
    if slo == AVAILABILITY:
        return f"{total('rate', failures(chosen), window)}\n  / {every}"
    return f"1 - {total('rate', good(slo, plan), window)}\n  / {every}"


def bad_count(slo: str, plan: Plan, window: str) -> str:
    """Return how many of a plan's events of a window were bad."""
    chosen = among("plan", (plan.name,))
    if slo == AVAILABILITY:
        return total("increase", failures(chosen), window)
    every, within = judged(slo, chosen), good(slo, plan)
    return f"{total('increase', every, window)}\n  - {total('increase', within, window)}"
