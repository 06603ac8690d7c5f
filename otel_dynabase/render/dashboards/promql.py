"""Pieces of PromQL: selectors with the variables of the dashboard, and aggregates. No expression without one of them.

A selector has `plan` and `tier` where its metric has the label, and only there.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from otel_dynabase.catalog.attributes import PLAN, TIER
from otel_dynabase.catalog.plans import TIERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.catalog.attributes import Attribute
    from otel_dynabase.catalog.kinds import Histogram, Metric

RATE = "$__rate_interval"


def chosen(metric: Metric, *matchers: str, part: str = "", by: tuple[Attribute, ...] = (PLAN, TIER)) -> str:
    """Return the selector of a metric's series of what is chosen; `part`: `_bucket` or `_count`."""
    variables = [f'{label.name}=~"${label.name}"' for label in by if label in metric.labels]
    return f"{metric.prometheus}{part}{{{', '.join([*variables, *matchers])}}}"


def total(metric: Metric, by: str = "", *matchers: str) -> str:
    """Return the sum of gauges."""
    return _sum(by, chosen(metric, *matchers))


def per_minute(metric: Metric, by: str, *matchers: str, window: str = RATE) -> str:
    """Return how much counters rise in a minute."""
    return f"60 * {_sum(by, f'rate({chosen(metric, *matchers)}[{window}])')}"


def increase(metric: Metric, by: str, *matchers: str, window: str, part: str = "") -> str:
    """Return how much counters have risen in a window."""
    return _sum(by, f"increase({chosen(metric, *matchers, part=part)}[{window}])")


def quantile(share: float, rates: str) -> str:
    """Return a quantile for each plan out of the rates of a histogram's buckets: one, not one for each series."""
    return f"histogram_quantile({share:g}, sum by (le, plan) ({rates}))"


def lately(recorded: str, *matchers: str) -> str:
    """Return a recorded rate, smoothed over 10 minutes: between two points of a long range nothing gets lost."""
    return f"avg_over_time({recorded}{{{', '.join(matchers)}}}[10m])"


def over_range(recorded: str, *matchers: str) -> str:
    """Return the sum of a recorded rate's values over the dashboard's range."""
    return f"sum_over_time({recorded}{{{', '.join(matchers)}}}[$__range])"


def distribution(
    histogram: Histogram, by: str, recorded: str, label: Callable[[float, float | None], str], *matchers: str
) -> str:
    """Return the share of each bucket in what was counted over the dashboard's range, for each value of `by`.

    `recorded` is the recording of the buckets' rates, so that a range of days reads a few hundred series; `label` names
    a bucket by its edges in the label `bucket`. The buckets are in ascending order.
    """
    edges = [(0.0, histogram.buckets[0]), *pairwise(histogram.buckets), (histogram.buckets[-1], None)]

    def up_to(edge: float | None) -> str:
        le = f'le="{"+Inf" if edge is None else format(edge, "g")}"'
        return _sum(by, over_range(recorded, *matchers, le))

    def between(low: float, high: float | None) -> str:
        inside = up_to(high) + (f" - {up_to(low)}" if low else "")
        return f'label_replace({inside}, "bucket", "{label(low, high)}", "", "")'

    buckets = "\nor ".join(between(low, high) for low, high in edges)
    return f"(\n{buckets}\n) / on ({by}) group_left () {up_to(None)}"


def numbered_tier(expression: str) -> str:
    """Add to each series the label `position`: its tier's in ascending order."""
    for position, tier in enumerate(TIERS):
        expression = f'label_replace({expression}, "position", "{position}", "tier", "{tier}")'
    return expression


def _sum(by: str, expression: str) -> str:
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"
