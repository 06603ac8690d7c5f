"""What Prometheus has and answers, beside what was sent."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from benchmarks.cardinality.load import SERVICE
from benchmarks.cardinality.samples import Reading, stored
from benchmarks.cardinality.steps import Steps
from otel_dynabase.catalog.metrics import ACTIVE_CONNECTIONS, LIMIT_HITS, QUERIES, QUERY_DURATION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.cardinality.load import Key, Truth
    from benchmarks.cardinality.run import Load
    from examples.stack.clickhouse import ClickHouse
    from examples.stack.prometheus import Prometheus

COUNTERS: Final = (QUERIES.prometheus, LIMIT_HITS.prometheus, f"{QUERY_DURATION.prometheus}_count")
"""What PromQL is asked about; the samples are read of everything."""
WINDOW: Final = 60
"""Seconds over which rates are taken."""
LAG: Final = 30
"""Seconds that a flush, an export and a restart of the collector may take together."""
EXCESS: Final = 1.25
"""By how much a rate may exceed the highest that was sent within the same time, or the lag more: its extrapolation."""


def asked(prometheus: Prometheus, load: Load, budgets: Mapping[str, int]) -> dict[str, Any]:
    """Ask Prometheus at every step of the run; `increases` are by counter and plan."""
    steps = Steps(prometheus, time.time(), load.age + LAG)
    named = steps.most_named(QUERIES.prometheus)
    return {
        "series_max": steps.most_series(),
        "named_max": named,
        "plans_over_budget": sum(named.get(plan, 0) > most for plan, most in budgets.items()),
        "highest_rate_ratio": round(max(max(_rates(steps, load.truth, counter)) for counter in COUNTERS), 3),
        "gaps": sum(map(steps.gaps, COUNTERS)),
        "wrong_gauges": _wrong_gauges(steps, load),
        "increases": {
            (counter, plan): value for counter in COUNTERS for plan, value in steps.increases(counter).items()
        },
    }


def _rates(steps: Steps, truth: Truth, counter: str) -> list[float]:
    """Return each plan's highest rate at any step, over the highest that may be seen of what was sent."""
    sent = truth.highest_rates(counter, WINDOW, LAG)
    return [rate / sent[plan] for plan, rate in steps.highest_rate(counter, WINDOW).items()]


def _wrong_gauges(steps: Steps, load: Load) -> int:
    """Return how many sums of open connections, by plan and tier, are not those of the processes that live."""
    found = steps.ask(f'sum by (plan, tier) ({ACTIVE_CONNECTIONS.prometheus}{{job="{SERVICE}"}})', "plan", "tier")
    truth: Counter[Key] = sum(load.truth.gauges.values(), Counter())
    return sum(found.get((key.plan, key.tier), 0.0) != value for key, value in truth.items())


def told(clickhouse: ClickHouse) -> dict[str, int]:
    """Return how many tenants were named and folded by rank, as the events tell."""
    rows = clickhouse.rows(
        "SELECT event_type, count() AS n FROM tier_events FINAL "
        "WHERE event_type LIKE 'tenant_series_%' GROUP BY event_type"
    )
    counts = {row["event_type"]: row["n"] for row in rows}
    return {"promotions": counts.get("tenant_series_named", 0), "demotions": counts.get("tenant_series_folded", 0)}


def read(data: Path, truth: Truth, increases: Mapping[tuple[str, str], float]) -> dict[str, Any]:
    """Read every sample, and judge what Prometheus has made of them."""
    reading = Reading(stored(data))
    keys = truth.total.keys() | reading.increases.keys()
    sent: defaultdict[tuple[str, str], float] = defaultdict(float)
    extrapolated: defaultdict[tuple[str, str], float] = defaultdict(float)
    for key in keys:
        sent[key.name, key.plan] += truth.total[key]
        extrapolated[key.name, key.plan] += reading.extrapolated[key]
    errors = {which: abs(value / sent[which] - 1) for which, value in increases.items()}
    allowed = {which: extrapolated[which] / sent[which] for which in increases}
    return {
        "worst_relative_error": round(max(errors.values()), 5),
        "extrapolation_may": round(max(allowed.values()), 5),
        "beyond_extrapolation": sum(error > allowed[which] for which, error in errors.items()),
        "sums": len(keys),
        "inexact_sums": sum(reading.total(key) != truth.total[key] for key in keys),
        "spikes": sum(reading.ahead(key, truth.of(key)) for key in keys),
        "negative_steps": reading.negative_steps,
        "born_above_zero": reading.born_above_zero,
        "lives_of_series": reading.lives,
    }
