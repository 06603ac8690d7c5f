"""Tenant Activity Patterns: does behaviour justify the tier? The ticket's Part 3.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import OTHER_PROJECT, PERIOD
from otel_dynabase.catalog.metrics import (
    ACTIVE_HOURS,
    ACTIVITY_STATE,
    IDLE_DURATION,
    QUERY_RATE,
    TIER_DURATION,
)
from otel_dynabase.catalog.plans import TIERS as ASCENDING
from otel_dynabase.render.dashboards import kinds
from otel_dynabase.render.dashboards.board import PLANS, TIERS, Board
from otel_dynabase.render.dashboards.panel import Ask, Panel, Select
from otel_dynabase.render.dashboards.promql import chosen, distribution, lately, numbered_tier, over_range
from otel_dynabase.render.dashboards.selects import STAYS

if TYPE_CHECKING:
    from collections.abc import Mapping

QUERY_RATES: Final = "plan_tier:tenant_query_rate_per_minute_bucket:rate5m"
IDLE: Final = "plan_tier:tenant_idle_duration_seconds_bucket:rate5m"
BY_HOUR: Final = "plan_tier:tenant_queries_by_hour:rate5m"
CACHE: Final = "plan_tier:tenant_cache_hits:rate5m"
PERIODS: Final = "plan:tenant_sustained_activity_periods:rate5m"
EVERY: Final = 60
"""Seconds between two values of these recordings: a sum of rates times it is a count."""
OF_PLANS: Final = 'plan=~"$plan"'
OF_CHOSEN: Final = (OF_PLANS, 'tier=~"$tier"')
NAMED: Final = f'project_id!="{OTHER_PROJECT}"'
MATRIX: Final[tuple[str, Mapping[str, object]]] = (
    "groupingToMatrix",
    {"columnField": "tier", "rowField": "bucket", "valueField": "Value", "emptyValue": "zero"},
)
UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

HOURS: Final = numbered_tier(
    f'count_values by (tier) ("hours", round(0 * max by (project_id, tier) ({chosen(ACTIVITY_STATE, NAMED)}) '
    f"+ on (project_id) group_left () max by (project_id) ({chosen(ACTIVE_HOURS, NAMED)})))"
)
"""Tenants by their tier and the hours of a day in which they are active: at most 25 points a tier, however many."""

ANSWERED: Final = 'cache_level!="L4_miss"'
HIT_RATE: Final = (
    f"sum by (tier, cache_level) ({lately(CACHE, *OF_CHOSEN, ANSWERED)})"
    f" / on (tier) group_left () sum by (tier) ({lately(CACHE, *OF_CHOSEN)})"
)


def periods(length: str) -> str:
    """Return the number of periods of a length that have ended in the range."""
    ended = over_range(PERIODS, OF_PLANS, f'duration_category="{length}"')
    return f"{EVERY} * sum({ended})"


def rate_bucket(low: float, high: float | None) -> str:
    """Name a bucket of queries a minute."""
    return f"> {low:g}" if high is None else f"≤ {high:g}"


def idle_bucket(low: float, high: float | None) -> str:
    """Name a bucket of durations."""
    return f"> {_duration(low)}" if high is None else f"≤ {_duration(high)}"


def _duration(seconds: float) -> str:
    size, unit = next(pair for pair in UNITS if seconds >= pair[0])
    return f"{seconds / size:g} {unit}"


PANELS: Final = (
    Panel(
        number=1,
        title="Query Rate Distribution by Tier",
        kind=kinds.histogram,
        what="How many queries a minute tenants of a tier make, as shares of their minutes. Tiers whose bars lie over "
        "one another are not told apart by the query rate: promotion's threshold is wrong.",
        queries=(
            Ask(distribution(QUERY_RATE, "tier", QUERY_RATES, rate_bucket, *OF_CHOSEN), instant=True, form="table"),
        ),
        unit="percentunit",
        transformations=(MATRIX,),
    ),
    Panel(
        number=2,
        title="Active Hours per Day (7-day average)",
        kind=kinds.scatter,
        what="Tenants by their tier and the hours of a day in which they are active; the larger the point, the more "
        "tenants. HOT with few hours: demote, or raise the threshold. WARM with 24: it deserves HOT. Tenants without "
        "series of their own in Prometheus are not in it.",
        queries=(Ask(HOURS, instant=True, form="table"),),
        unit="h",
        transformations=(
            (
                "convertFieldType",
                {"conversions": [{"targetField": name, "destinationType": "number"} for name in ("position", "hours")]},
            ),
        ),
        fields={
            "position": {
                "displayName": "tier",
                "decimals": 0,
                "min": -1,
                "max": len(ASCENDING),
                "mappings": [
                    {"type": "value", "options": {str(at): {"text": tier} for at, tier in enumerate(ASCENDING)}}
                ],
            },
            "Value": {"displayName": "tenants", "unit": "short"},
        },
    ),
    Panel(
        number=3,
        title="Idle Duration Distribution",
        kind=kinds.histogram,
        what="How long the gaps between a tenant's queries are, as shares of all gaps. Where a tier's bars end, the "
        "idle timeout belongs: earlier, and it wakes tenants for nothing; later, and it pays for sleepers.",
        queries=(Ask(distribution(IDLE_DURATION, "tier", IDLE, idle_bucket, *OF_CHOSEN), instant=True, form="table"),),
        unit="percentunit",
        transformations=(MATRIX,),
    ),
    Panel(
        number=4,
        title="Tier Dwell Time",
        kind=kinds.histogram,
        what="How long tenants stayed in a tier before they left it: the five numbers that a box plot draws, which "
        "Grafana has not, out of the transitions of this range (a stay that began before it is not known). Beside them "
        "the median age of the stays that go on. Minutes in WARM before HOT: promotion is a reflex; a long p95 in HOT "
        "with few active hours: demotion does not come.",
        queries=(
            Select(STAYS),
            Ask(f"quantile by (tier) (0.5, {chosen(TIER_DURATION, NAMED)})", instant=True, form="table"),
        ),
        unit="s",
        transformations=(
            ("joinByField", {"byField": "tier", "mode": "outer"}),
            ("organize", {"excludeByName": {"Time": True}}),
            ("renameByRegex", {"regex": "^Value.*", "renamePattern": "still there, median"}),
        ),
    ),
    Panel(
        number=5,
        title="Cache Hit Rate by Tier & Level",
        kind=kinds.heat,
        what="The share of accesses that each level answers, of all accesses of the tier, misses counted once. L1 and "
        "L2 of WARM together under 60 %: its queries do not feel warm; give the caches more room before the tier.",
        queries=(Ask(HIT_RATE, "{{tier}} {{cache_level}}"),),
        unit="percentunit",
    ),
    Panel(
        number=6,
        title="Sustained Activity Periods",
        kind=kinds.categories,
        what="Periods of activity that ended in this range, by their length. Many of 1-4h and none longer: the fleet "
        "bursts, and PERSISTENT is wasted on it.",
        queries=tuple(Ask(periods(length), length, instant=True) for length in PERIOD.values),
        fields={"Last *": {"displayName": "periods"}},
    ),
    Panel(
        number=7,
        title="Query Pattern by Time of Day: $tier",
        kind=kinds.heat,
        what="Queries an hour by the hour of the day (UTC) in which they came, a picture for each tier. A dark band is "
        "where a fleet-wide change hurts most, a light one where to make it.",
        queries=(
            Ask(
                f'label_replace(3600 * sum by (hour) ({lately(BY_HOUR, *OF_CHOSEN)}), "hour", "0$1", "hour", "(.)")',
                "{{hour}} h",
            ),
        ),
        repeat="tier",
        width=24,
        height=10,
    ),
)

TENANT_PATTERNS: Final = Board(
    uid="dynabase-tenant-patterns",
    title="DynaBase Tenant Activity Patterns",
    what="Does a tenant's behaviour justify its tier?",
    since="7d",
    refresh="5m",
    variables=(PLANS, TIERS),
    panels=PANELS,
)
