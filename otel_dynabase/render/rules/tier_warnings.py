"""tier-warnings.yml: what is worth a look within hours, and what is only worth knowing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import OTHER_PROJECT, UNKNOWN
from otel_dynabase.catalog.metrics import (
    BURN_5M,
    CACHE_HITS,
    CEILING_HITS,
    LIMIT_HITS,
    QUERY_DURATION,
    SCALE_TO_ZERO,
    SELF_EVENTS,
    SELF_REPORTS,
    SELF_ROUNDS,
    TIER_TRANSITIONS,
)
from otel_dynabase.render.rules.annotations import COUNT, PLAN, affected
from otel_dynabase.render.rules.objectives import EVERY_PLAN, QUERY_LATENCY
from otel_dynabase.render.rules.promql import among, joined, selector, total
from otel_dynabase.render.rules.rule import Alert, Group
from otel_dynabase.render.rules.tier_critical import COLLECTOR

if TYPE_CHECKING:
    from collections.abc import Iterator

WHAT: Final = "What is worth a look within hours, and what is only worth knowing."
PAYING: Final = ("starter", "pro", "enterprise")
PATTERNS: Final = "dynabase-tenant-patterns"
ECONOMICS: Final = "dynabase-tier-economics"
LIMIT_HITS_A_MINUTE: Final = 10
"""Of one tenant: the ticket's threshold. That many of a plan are everyday queueing."""
PROCESSOR: Final = "otelcol_processor_tenant_cardinality_"
KINDS: Final = "metric_points|log_records|spans"
CACHE_HIT_RATE: Final = 0.6
"""The ticket's: at least so much from L1 and L2."""
FOLDING: Final = 0.9
"""The share of the processor's budget at which tenants stop getting series of their own."""


def _limit_hits() -> Alert:
    series = selector(LIMIT_HITS.prometheus, among("plan", PAYING), f'project_id!="{OTHER_PROJECT}"')
    hits = total("rate", series, "5m", "plan, project_id")
    return Alert(
        name="TierLimitHits",
        severity="warning",
        plans=PAYING,
        expression=f"count by (plan) ({hits} * 60 > {LIMIT_HITS_A_MINUTE})",
        pending="30m",
        summary=f"{PLAN}: a tenant lives at its limit",
        description="Tenants that hit their limits more than "
        f"{LIMIT_HITS_A_MINUTE} times a minute, for half an hour: {COUNT}.",
        runbook="limit-hits",
    )


def _free_limit_hits() -> Alert:
    hits = total("rate", selector(LIMIT_HITS.prometheus, among("plan", ("free",))), "30m")
    return Alert(
        name="FreeTierLimitHits",
        severity="info",
        plans=("free",),
        expression=f"{hits} * 60 > {LIMIT_HITS_A_MINUTE}",
        summary="Free: tenants hit their limits",
        description="They did so {{ $value | humanize }} times a minute in the last half hour. Tenants in the last 5 "
        f"minutes: {affected(LIMIT_HITS.name)}.",
        runbook="limit-hits",
    )


def _ceilings() -> Alert:
    series = selector(CEILING_HITS.prometheus, among("plan", PAYING))
    hour, day = (total("increase", series, window, "plan, resource") for window in ("1h", "1d"))
    return Alert(
        name="TierCeilingHitsTrending",
        severity="warning",
        plans=PAYING,
        expression=joined("and", f"{hour} > 10", f"{hour} > 1.5 * {day} / 24"),
        pending="30m",
        summary=f"{PLAN}: more tenants stay at what their plan grants of {{{{ $labels.resource }}}}",
        description=f"They did so {COUNT} times in the last hour: half as often again as in an hour of the last day.",
        runbook="ceiling-hits",
        dashboard=ECONOMICS,
    )


def _caches() -> Alert:
    every = total("rate", CACHE_HITS.prometheus, "10m")
    far = total("rate", selector(CACHE_HITS.prometheus, 'cache_level=~"L3|L4_miss"'), "10m")
    enough = total("rate", selector(CACHE_HITS.prometheus, EVERY_PLAN), "10m")
    return Alert(
        name="CacheHitRateDegradation",
        severity="warning",
        plans=("free", *PAYING),
        expression=joined("and", f"1 - {far}\n  / {every} < {CACHE_HIT_RATE}", f"{enough} > 1"),
        pending="30m",
        summary=f"{PLAN}: the caches help less than they should",
        description="L1 and L2 answer {{ $value | humanizePercentage }} of the accesses, where at least "
        f"{CACHE_HIT_RATE:.0%} is expected.",
        runbook="cache-hit-rate",
        dashboard=PATTERNS,
    )


def _noisy() -> Alert:
    busy = f"{QUERY_DURATION.prometheus}_sum"
    tenants = total("rate", selector(busy, f'project_id!~"{OTHER_PROJECT}|{UNKNOWN}"'), "5m", "plan, project_id")
    fleet = total("rate", busy, "5m", "")
    missed = selector(BURN_5M.prometheus, f'slo="{QUERY_LATENCY}"')
    return Alert(
        name="NoisyNeighbour",
        severity="warning",
        plans=("free", *PAYING),
        expression=joined(
            "and on ()",
            f"topk(1, {tenants} / on () group_left () {fleet}) > 0.5",
            f"count({missed} > 1)",
        ),
        pending="2m",
        summary="{{ $labels.project_id }} takes most of the fleet's databases, and others wait",
        description="{{ $labels.project_id }} ({{ $labels.plan }}) takes {{ $value | humanizePercentage }} of the time "
        "that all statements take, while statements miss their objective.",
        runbook="noisy-neighbour",
        dashboard="dynabase-tenant",
    )


def _dropped() -> Iterator[Alert]:
    """Yield an alert for each hop.

    Our own counters were born at 0. The collector's appear with what they counted: they are compared with what they
    were, and 0 counts for absent if the collector was there.
    """
    for hop, series, what in (
        ("application", selector(SELF_EVENTS.prometheus, 'outcome="dropped"'), "events that an application gave up"),
        ("report", selector(SELF_REPORTS.prometheus, 'outcome!="accepted"'), "reports that were not taken"),
    ):
        yield _drop(hop, f"{total('increase', series, '5m', '')} > 0", what)
    for hop, counters, what in (
        (
            "receiver",
            selector("", f'__name__=~"otelcol_receiver_(refused|failed)_({KINDS})"'),
            "items that the collector refused: senders try again",
        ),
        ("processor", selector(f"{PROCESSOR}points", 'outcome="refused"'), "points that could not be counted"),
        (
            "exporter",
            selector("", f'__name__=~"otelcol_exporter_(send|enqueue)_failed_({KINDS})"'),
            "items no store took",
        ),
    ):
        grown = f"sum({counters}) - (sum({counters} offset 5m) or vector(0)) > 0"
        yield _drop(hop, f"{grown}\nand on ()\n({selector('up', COLLECTOR)} offset 5m)", what)


def _drop(hop: str, expression: str, what: str) -> Alert:
    return Alert(
        name="TelemetryDropped",
        severity="warning",
        labels={"hop": hop},
        expression=expression,
        summary=f"Telemetry is lost or held up: {what}",
        description=f"In the last 5m: {COUNT} {what}.",
        runbook="telemetry-dropped",
    )


def _backlog() -> Alert:
    size = selector("otelcol_exporter_queue_size", COLLECTOR)
    return Alert(
        name="CollectorBacklog",
        severity="warning",
        expression=joined("and", f"{size} > ({size} offset 5m)", f"min_over_time({size}[5m]) > 0"),
        summary="{{ $labels.exporter }} does not get rid of what it has",
        description="{{ $value | humanize1024 }}B wait for {{ $labels.exporter }}: its queue was never empty in 5m.",
        runbook="collector-backlog",
    )


def _cardinality() -> Iterator[Alert]:
    for budget, used, limit in (("series", "series", "series_limit"), ("streams", "streams", "stream_limit")):
        yield Alert(
            name="CardinalityBudgetSpent",
            severity="warning",
            labels={"budget": budget},
            expression=f"{PROCESSOR}{used} / {PROCESSOR}{limit} > {FOLDING}",
            pending="5m",
            summary=f"The collector's budget of {budget} is nearly spent: tenants are folded",
            description=f"{{{{ $value | humanizePercentage }}}} of the {budget} that it may keep are in use.",
            runbook="cardinality-budget",
        )


def _observer() -> Alert:
    rounds = SELF_ROUNDS.prometheus
    return Alert(
        name="ObserverSilent",
        severity="warning",
        expression=joined("unless", f"sum(max_over_time({rounds}[1d]))", f"{total('increase', rounds, '5m', '')} > 0"),
        pending="5m",
        summary="The observer makes no rounds: tiers, resources and ceilings are no longer seen",
        description="otel-dynabase observe has finished no round for 5m.",
        runbook="observer-silent",
    )


def _transitions() -> Alert:
    return Alert(
        name="TierTransitionSpike",
        severity="info",
        expression=f"{total('rate', TIER_TRANSITIONS.prometheus, '5m', '')} > 5",
        pending="5m",
        summary="Many tenants change their tier",
        description="{{ $value | humanize }} tier transitions a second; fewer than 1 is usual.",
        runbook="tier-transitions",
    )


def _savings() -> Alert:
    return Alert(
        name="ScaleToZeroSavingsMilestone",
        severity="info",
        expression=f"{total('increase', SCALE_TO_ZERO.prometheus, '1d', '')} > 100",
        summary="Compute was scaled to zero more than 100 times in a day",
        description=f"It was {COUNT} times in the last day.",
        runbook="scale-to-zero-savings",
        dashboard=ECONOMICS,
    )


GROUPS: Final = (
    Group("tenants", "30s", (_limit_hits(), _free_limit_hits(), _ceilings(), _caches(), _noisy())),
    Group("telemetry", "30s", (*_dropped(), _backlog(), *_cardinality(), _observer())),
    Group("events", "1m", (_transitions(), _savings())),
)
