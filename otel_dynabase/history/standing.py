"""What a tenant's tier or plan was at each moment of a range, and why: out of the changes that were told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import UNKNOWN
from otel_dynabase.history.phrases import conditions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_dynabase.history.stored import Stored


NANO: Final = 1e9


@dataclass(frozen=True, slots=True)
class Standing:
    """What may change: the event that tells of it, what was `before` and `after`; every event has `carried`."""

    event_type: str
    before: str
    after: str
    carried: str


TIER: Final = Standing("tier_transition", "source_tier", "target_tier", "tier")
PLAN: Final = Standing("plan_change", "from_tier", "to_tier", "plan")


@dataclass(frozen=True, slots=True)
class Span:
    """From `begin` to `end` (unix seconds) it was `value`; `because` is the change that made it so, if it was told."""

    value: str
    begin: float
    end: float
    because: Stored | None = None


def start(standing: Standing, earlier: Stored | None, changes: Sequence[Stored], carried: str) -> str | None:
    """Return what was so when a range begins, or None where nobody told.

    `earlier` is the last change before the range, `changes` are all those in it, and `carried` is what its first event
    says of its tenant.
    """
    told = _told(earlier, standing.after) or (_told(changes[0], standing.before) if changes else carried)
    return told if told != UNKNOWN else None


def spans(
    standing: Standing,
    begins: str | None,
    earlier: Stored | None,
    changes: Sequence[Stored],
    *,
    since: float,
    until: float,
) -> list[Span]:
    """Return what was so, without a gap, from `since` to `until`; it `begins` with what `earlier` made so.

    Nothing is guessed: where a change came from something else than was so, there was one before it that nobody told.
    """
    value, begin, because, found = begins, since, earlier, []
    for change in changes:
        source, at = _told(change, standing.before), change.time_ns / NANO
        agrees = source in {None, value}
        found.append(Span((agrees and value) or UNKNOWN, begin, at, because if agrees else None))
        value, begin, because = _told(change, standing.after), at, change
    found.append(Span(value or UNKNOWN, begin, until, because))
    return [span for span in found if span.end > span.begin]


def _told(event: Stored | None, name: str) -> str | None:
    value = None if event is None else event.get(name)
    return None if value in {None, UNKNOWN} else str(value)


MOVED: Final = {
    "automatic_promotion": "promoted automatically",
    "automatic_demotion": "demoted automatically",
    "manual_upgrade": "promoted by hand",
    "manual_downgrade": "demoted by hand",
    "scale_to_zero": "scaled to zero",
    "upgrade": "upgraded",
    "downgrade": "downgraded",
    "trial_conversion": "converted from a trial",
    "cancellation": "cancelled",
}
"""The catalogue's reasons of changes of tier, and kinds of changes of plan, as words."""


def how(change: Stored) -> str:
    """Say in words how a tenant came to its tier or plan."""
    standing = TIER if change.event_type == TIER.event_type else PLAN
    reason = change.get("reason" if standing is TIER else "change_type")
    source = _told(change, standing.before) or "an unknown one"
    if moved := MOVED.get(reason):
        return f"{moved} from {source}"
    return f"from {source}, {reason or 'for no reason that was told'}"


def why(change: Stored) -> str:
    """Say what made the platform decide, or that it did not say; nothing of a plan, of which it never does."""
    silent = "no conditions were told with it" if change.event_type == TIER.event_type else ""
    return conditions(change) or silent


def explained(change: Stored) -> str:
    """Say both."""
    return ": ".join(filter(None, (how(change), why(change))))
