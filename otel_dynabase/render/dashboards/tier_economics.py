"""Tier Economics: what the tiers earn, cost and save. The ticket's Part 3.3."""

from __future__ import annotations

from typing import Final

from otel_dynabase.catalog.metrics import PLAN_CHANGES, REVENUE_BY_TIER, TENANTS_BY_TIER
from otel_dynabase.render.dashboards import kinds, links
from otel_dynabase.render.dashboards.board import COST, PLANS, TIERS, Board
from otel_dynabase.render.dashboards.panel import Ask, Panel, Select, Step
from otel_dynabase.render.dashboards.promql import increase, total
from otel_dynabase.render.dashboards.selects import BEFORE, CEILINGS, CONVERTED, SAVED

PANELS: Final = (
    Panel(
        number=1,
        title="Revenue Units by Tier",
        kind=kinds.pie,
        what="Tenants times the price of their plan, by plan: prices belong to plans. Not billing data. Half of it "
        "from a handful of enterprise tenants is a risk; from free it is nothing.",
        queries=(Ask(total(REVENUE_BY_TIER, "plan"), "{{plan}}", instant=True),),
        width=8,
    ),
    Panel(
        number=4,
        title="Cost Savings from Scale-to-Zero",
        kind=kinds.figures,
        what="Hours between scaling to zero and what woke the tenant, added up over the range from the events, and "
        "what they would have cost at the price an hour that is typed above. Whoever fell asleep more than "
        f"{BEFORE} days before the range is not counted.",
        queries=(Select(SAVED),),
        width=8,
        fields={"asleep": {"unit": "h", "displayName": "tenant-hours asleep"}, "saved": {"displayName": "saved"}},
    ),
    Panel(
        number=5,
        title="Free Tier Conversion Rate",
        kind=kinds.gauges,
        what="Free tenants that bought a plan in this range, out of the events, divided by the free tenants that there "
        "are now. Look at 30 days: that is what targets are set for.",
        queries=(
            Select(CONVERTED),
            Ask(f'sum({TENANTS_BY_TIER.prometheus}{{plan="free"}})', "free", instant=True),
        ),
        unit="percentunit",
        width=8,
        transformations=(
            ("concatenate", {"frameNameMode": "drop"}),
            (
                "calculateField",
                {
                    "mode": "binary",
                    "binary": {"left": "converted", "operator": "/", "right": "free"},
                    "alias": "conversion",
                    "replaceFields": True,
                },
            ),
        ),
        steps=(Step(None, "blue"),),
        fields={"conversion": {"min": 0, "max": 0.2, "decimals": 1}},
    ),
    Panel(
        number=2,
        title="Tier Ceiling Hits → Upgrade Opportunities",
        kind=kinds.rows,
        what="Who stayed at a limit of the plan that they have now, how often in this range, and the plan that would "
        "be large enough. Many resources at once: call them; only storage: offer storage.",
        queries=(Select(CEILINGS),),
        width=24,
        fields={"project_id": {"links": [links.data(links.OF_ROW)]}},
    ),
    Panel(
        number=3,
        title="Plan Changes Over Time",
        kind=kinds.lines,
        what="Upgrades, downgrades, trials that became customers, and cancellations a day. Cancellations that rise a "
        "week after limit hits did: the limit drove them away.",
        queries=(Ask(increase(PLAN_CHANGES, "change_type", window="1d"), "{{change_type}}"),),
        width=24,
    ),
)

TIER_ECONOMICS: Final = Board(
    uid="dynabase-tier-economics",
    title="DynaBase Tier Economics",
    what="What the tiers earn, cost and save.",
    since="30d",
    refresh="15m",
    variables=(PLANS, TIERS, COST),
    panels=PANELS,
)
