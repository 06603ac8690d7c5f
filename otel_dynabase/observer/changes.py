"""What a change of plan or tier means: its reason, and what kind of change it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_dynabase.catalog.attributes import UNKNOWN
from otel_dynabase.catalog.plans import PLANS, TIERS
from otel_dynabase.observer.facts import NO_FACTS, Facts

COLD: Final = TIERS[0]
FREE: Final = PLANS[0]
UP: Final = frozenset({"automatic_promotion", "manual_upgrade", "upgrade", "trial_conversion"})
DOWN: Final = frozenset({"automatic_demotion", "manual_downgrade", "scale_to_zero", "downgrade", "cancellation"})


@dataclass(frozen=True, slots=True)
class Standing:
    """The plan and tier that a project has, or had."""

    plan: str = UNKNOWN
    tier: str = UNKNOWN


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a project's from one standing to another, at `at` (unix seconds).

    `after` without a tenant's plan and tier (None) is a project that left.
    """

    project_id: str
    tenant_id: str | None
    before: Standing
    after: Standing | None
    at: float
    facts: Facts = NO_FACTS

    @property
    def of_tier(self) -> bool:
        """Say whether the tier changed from one that is known to another that is."""
        return self.after is not None and _differ(self.before.tier, self.after.tier)

    @property
    def of_plan(self) -> bool:
        """Say whether the plan changed, or a paid one ended with its project."""
        if self.after is None:
            return self.before.plan not in {FREE, UNKNOWN}
        return _differ(self.before.plan, self.after.plan)

    @property
    def to_zero(self) -> bool:
        """Say whether compute was given up."""
        return self.of_tier and self.after is not None and self.after.tier == COLD


def _differ(before: str, after: str) -> bool:
    return UNKNOWN not in {before, after} and before != after


def _fits(given: str | None, *, up: bool) -> bool:
    """Say whether a reason goes the same way as the change: one that was left from an earlier change may not."""
    return given is not None and given in (UP if up else DOWN)


def tier_reason(change: Change) -> str:
    """Say why the tier changed: what the directory says, or else what the direction says."""
    after = change.after or Standing()
    up = TIERS.index(after.tier) > TIERS.index(change.before.tier)
    given = change.facts.tier_reason
    if given is not None and _fits(given, up=up) and (given != "scale_to_zero" or change.to_zero):
        return given
    if up:
        return "automatic_promotion"
    return "scale_to_zero" if change.to_zero else "automatic_demotion"


def scale_reason(change: Change) -> str:
    """Say why compute was given up: what the directory says, or else by whom the tier was changed."""
    by_hand = tier_reason(change) == "manual_downgrade"
    return change.facts.scale_reason or ("manual" if by_hand else "idle_timeout")


def change_type(change: Change) -> str:
    """Say what kind of change of plan it is: what the directory says, or else what the direction says."""
    if change.after is None:
        return "cancellation"
    up = PLANS.index(change.after.plan) > PLANS.index(change.before.plan)
    given = change.facts.change_type
    if given is not None and _fits(given, up=up):
        return given
    return "upgrade" if up else "downgrade"
