"""Tier Health: are limits enforced, and is anybody hurt by it? The ticket's Part 3.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import CACHE_LEVEL
from otel_dynabase.catalog.metrics import (
    BREAKER_STATE_GAUGE,
    COLD_START_DURATION,
    CPU_USAGE,
    LIMIT_HITS,
    MEMORY_USAGE,
    REJECTIONS,
    SCALE_TO_ZERO,
    TENANTS_BY_TIER,
    TIER_TRANSITIONS,
)
from otel_dynabase.catalog.plans import PLAN_TABLE
from otel_dynabase.render.dashboards import kinds, links
from otel_dynabase.render.dashboards.board import PLANS, TIERS, Board, choice
from otel_dynabase.render.dashboards.panel import Ask, Panel, Select, Step
from otel_dynabase.render.dashboards.promql import RATE, chosen, increase, per_minute, total
from otel_dynabase.render.dashboards.selects import IN_TROUBLE, TOP
from otel_dynabase.render.rules import REJECTIONS_A_MINUTE

if TYPE_CHECKING:
    from otel_dynabase.catalog.plans import Plan

BREAKER: Final = {"0": ("closed", "green"), "1": ("half-open", "yellow"), "2": ("open", "red")}
WORST_BREAKERS: Final = (
    f"max by (project_id, plan) ({chosen(BREAKER_STATE_GAUGE)}) and on (project_id, plan) topk({TOP}, "
    f"max by (project_id, plan) (avg_over_time({chosen(BREAKER_STATE_GAUGE)}[$__range] @ end())) > 0)"
)


def promised(plan: Plan) -> str:
    """Say how long a plan's cold starts may take."""
    return f"{plan.name} none at all" if plan.cold_start_p95 is None else f"{plan.name} {plan.cold_start_p95:g} s"


PANELS: Final = (
    Panel(
        number=1,
        title="Tenant Distribution by Tier",
        kind=kinds.pie,
        what="Tenants in the directory by compute tier. Capacity is planned by it: PERSISTENT and HOT never sleep. A "
        "share that grows while traffic does not means that demotion has stopped working.",
        queries=(Ask(total(TENANTS_BY_TIER, "tier"), "{{tier}}", instant=True),),
        width=8,
    ),
    Panel(
        number=2,
        title="Active Tier Transitions (Last Hour)",
        kind=kinds.lines,
        what="Promotions and demotions a minute, fleet-wide. Tenants that go to and fro between two tiers show as two "
        "lines of one height: widen the thresholds of promotion.",
        queries=(Ask(per_minute(TIER_TRANSITIONS, "from_tier, to_tier", window="5m"), "{{from_tier}} → {{to_tier}}"),),
        unit="cpm",
        last="1h",
        width=16,
    ),
    Panel(
        number=3,
        title="Limit Hits by Tier",
        kind=kinds.bars,
        what="Requests a minute that a limit made wait or fail. max_pool_size that queues is what the plan bought; "
        "timeouts and rejections are felt by the customer: see who it is below.",
        queries=(Ask(per_minute(LIMIT_HITS, "tier, limit_type", window="5m"), "{{tier}} {{limit_type}}"),),
        unit="cpm",
    ),
    Panel(
        number=4,
        title="Connection Rejections Rate",
        kind=kinds.lines,
        what="Requests for a connection that were refused, a minute. The line is where PremiumTierConnectionRejections "
        f"fires for pro and enterprise: {REJECTIONS_A_MINUTE} a minute of a plan, without auth_failure, which is the "
        "customer's own, and circuit_open, which has an alert of its own.",
        queries=(Ask(per_minute(REJECTIONS, "plan, reason", window="1m"), "{{plan}} {{reason}}"),),
        unit="cpm",
        steps=(Step(None, "transparent"), Step(REJECTIONS_A_MINUTE, "red")),
    ),
    Panel(
        number=5,
        title="Scale-to-Zero Events (Last Hour)",
        kind=kinds.figures,
        what="Times that compute was given up in the last hour. None for hours while tenants are idle: the idle "
        "timeout is not working, and sleeping tenants are paid for.",
        queries=(Ask(increase(SCALE_TO_ZERO, "tier, reason", window="1h"), "{{tier}} {{reason}}", instant=True),),
        nothing="none",
        width=8,
    ),
    Panel(
        number=8,
        title="Resource Consumption by Tier: CPU",
        kind=kinds.areas,
        what="CPU that tenants' statements use, estimated, in millicores. COLD above zero: somebody is billed for a "
        "sleep that does not happen.",
        queries=(Ask(total(CPU_USAGE, "tier"), "{{tier}}"),),
        unit="suffix: mcores",
        width=8,
    ),
    Panel(
        number=18,
        title="Resource Consumption by Tier: Memory",
        kind=kinds.areas,
        what="Memory that tenants' databases occupy: shared buffers and work_mem. A panel of its own: bytes and "
        "millicores in one stack would mean nothing.",
        queries=(Ask(total(MEMORY_USAGE, "tier"), "{{tier}}"),),
        unit="bytes",
        width=8,
    ),
    Panel(
        number=6,
        title="Cold Start Latency Distribution: $cache_level",
        kind=kinds.heat,
        what="Cold starts by their duration, one picture for each cache that served them. L2 and L3 that are no faster "
        "than L1_miss: the cache does not prevent what it is for. What is promised at p95: "
        f"{', '.join(map(promised, PLAN_TABLE))}.",
        queries=(
            Ask(
                increase(COLD_START_DURATION, "le", 'cache_level=~"$cache_level"', window=RATE, part="_bucket"),
                "{{le}}",
                form="heatmap",
                exemplars=True,
            ),
        ),
        unit="s",
        repeat="cache_level",
        width=24,
    ),
    Panel(
        number=7,
        title="Circuit Breaker Status",
        kind=kinds.states,
        what=f"The worst state in each plan, and the {TOP} tenants whose breakers were open longest. One tenant: its "
        "database; many at once: a server they share. `_other` is the worst of those without series of their own.",
        queries=(
            Ask(f"max by (plan) ({chosen(BREAKER_STATE_GAUGE)})", "{{plan}}: worst"),
            Ask(WORST_BREAKERS, "{{plan}}: {{project_id}}"),
        ),
        texts=BREAKER,
        links=(links.OF_SERIES,),
    ),
    Panel(
        number=9,
        title="Who It Is",
        kind=kinds.rows,
        what=f"The {TOP} tenants with the most trouble in this range, out of the events: also those without series of "
        "their own in Prometheus. A project leads to its own dashboard.",
        queries=(Select(IN_TROUBLE),),
        fields={"project_id": {"links": [links.data(links.OF_ROW)]}, "worst_wait": {"unit": "ms"}},
    ),
)

TIER_HEALTH: Final = Board(
    uid="dynabase-tier-health",
    title="DynaBase Tier Health",
    what="Are limits enforced, and is anybody hurt by it?",
    since="6h",
    refresh="30s",
    variables=(PLANS, TIERS, choice("cache_level", "Cache level", CACHE_LEVEL.values, CACHE_LEVEL.what)),
    panels=PANELS,
)
