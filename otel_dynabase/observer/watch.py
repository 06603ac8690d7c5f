"""The directory watch: which tier and plan each project has, since when, and what has changed."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.catalog.attributes import OTHER_PROJECT, UNKNOWN
from otel_dynabase.catalog.metrics import CURRENT_TIER, REVENUE_BY_TIER, TENANTS_BY_TIER, TIER_DURATION
from otel_dynabase.catalog.plans import PLANS, TIERS
from otel_dynabase.directory import Tenant
from otel_dynabase.observer.changes import Change, Standing, change_type, scale_reason, tier_reason
from otel_dynabase.observer.facts import NO_FACTS, Facts
from otel_dynabase.probes.lifecycle import Lifecycle
from otel_dynabase.probes.tenants import TenantSeries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_dynabase.events import EventLog
    from otel_dynabase.observer.journal import Entry, Journal
    from otel_dynabase.observer.part import Observation
    from otel_dynabase.store import Budget, Store

RANK: Final = {plan: rank for rank, plan in enumerate((UNKNOWN, *PLANS))}
EVENTS: Final = 3
"""Most events that one change makes: of tier, of plan, scaled to zero."""


@dataclass(slots=True)
class Seen:
    """A project as it was seen last, and since when (unix seconds) it has its tier."""

    plan: str
    tier: str
    since: float
    tenant_id: str | None = None


class Watch:
    """Compares the directory with the last picture of it; with a journal, the changes come from there instead.

    A change is told by its counter and its event, and taken into the picture, in one step; where there is no room for
    the event the change waits: the picture stays behind, or the journal's rest unread.
    """

    name = "watch"

    def __init__(
        self,
        store: Store,
        events: EventLog,
        *,
        facts: Callable[[], Mapping[str, Facts]],
        tells: frozenset[str],
        prices: Mapping[str, float],
        budget: Budget,
        journal: Journal | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._events = events
        self._lifecycle = Lifecycle(store, events)
        self._store = store
        self._facts = facts
        self._tells = tells
        self._prices = prices
        self._budget = budget
        self._journal = journal
        self._clock = clock
        self._picture: dict[str, Seen] = {}
        self._cursor: str | None = None
        """Where the journal was left; None before the first look at it."""
        self._mislaid: dict[str, Standing] = {}
        """The last good standing of projects whose last entry in the journal had none."""
        self.waiting = 0
        """Changes that have been seen and wait for room."""

    async def gather(self, tenants: Mapping[str, Tenant]) -> list[Entry] | str | None:  # noqa: ARG002  # see Part
        """Read the journal's news, or where it ends at the first look."""
        if self._journal is None:
            return None
        if self._cursor is None:
            return await self._journal.end()
        return await self._journal.read(self._cursor, self._events.room // EVENTS)

    def apply(self, gathered: list[Entry] | str | None, tenants: Mapping[str, Tenant], now: float) -> None:
        """Tell what has changed, and take the new picture."""
        self.waiting = 0
        if isinstance(gathered, list):
            self._read(gathered, tenants, now)
        else:
            self._cursor = gathered
        self._compare(tenants, now, tell=not isinstance(gathered, list))

    # --- differences --------------------------------------------------------------------------------------------------

    def _compare(self, tenants: Mapping[str, Tenant], now: float, *, tell: bool) -> None:
        facts, picture = self._facts(), self._picture
        self._admit(tenants)
        for project_id, tenant in tenants.items():
            said = facts.get(project_id, NO_FACTS)
            seen = picture.get(project_id)
            if seen is None:  # a project's first sight is no change, nor is that of a whole directory
                picture[project_id] = Seen(tenant.plan, tenant.tier, _since(said, now), tenant.tenant_id)
                continue
            step = _step(seen, tenant, said, now)
            if not tell or self._told(step):
                _update(seen, step, now)
        for project_id in picture.keys() - tenants.keys():
            seen = picture[project_id]
            left = Change(project_id, seen.tenant_id, Standing(seen.plan, seen.tier), None, now)
            if not tell or self._told(left):
                del picture[project_id]
                self._budget.dismiss(project_id)

    def _admit(self, tenants: Mapping[str, Tenant]) -> None:
        """Give new projects a name of their own, where there is one left: those who pay most come first."""
        new = [tenant for project_id, tenant in tenants.items() if project_id not in self._picture]
        for tenant in sorted(new, key=lambda tenant: RANK[tenant.plan], reverse=True):
            self._budget.admit(tenant.project_id)

    def _label(self, project_id: str) -> str:
        return project_id if self._budget.admit(project_id) else OTHER_PROJECT

    # --- the journal --------------------------------------------------------------------------------------------------

    def _read(self, entries: list[Entry], tenants: Mapping[str, Tenant], now: float) -> None:
        for entry in entries:
            if entry.project_id and not self._told(self._change(entry, tenants, now)):
                break
            self._cursor = entry.cursor
            seen = self._picture.get(entry.project_id)
            if seen is not None and entry.at is not None and entry.new[1] == seen.tier:
                seen.since = min(entry.at, now)

    def _change(self, entry: Entry, tenants: Mapping[str, Tenant], now: float) -> Change:
        """Make a change of an entry; what it lacks is what was known before."""
        known = self._mislaid.pop(entry.project_id, Standing())
        before = Standing(entry.old[0] or known.plan, entry.old[1] or known.tier)
        after = None if entry.left else Standing(entry.new[0] or before.plan, entry.new[1] or before.tier)
        if after is not None and None in entry.new:
            self._mislaid[entry.project_id] = after
        tenant = tenants.get(entry.project_id)
        tenant_id = entry.tenant_id or (tenant.tenant_id if tenant is not None else None)
        at = now if entry.at is None else min(entry.at, now)
        return Change(entry.project_id, tenant_id, before, after, at, entry.facts)

    # --- telling ------------------------------------------------------------------------------------------------------

    def _told(self, change: Change) -> bool:
        """Count a change and send its events; False if there is no room for them."""
        tier, plan = (
            change.of_tier and "tier_transitions" in self._tells,
            change.of_plan and "plan_changes" in self._tells,
        )
        zero = change.to_zero and "scale_to_zero" in self._tells
        needed = tier + plan + zero
        if needed > self._events.room:
            self.waiting += 1
            return False
        if needed:
            self._tell(change, tier=tier, plan=plan, zero=zero)
        return True

    def _tell(self, change: Change, *, tier: bool, plan: bool, zero: bool) -> None:
        before, after = change.before, change.after or Standing(tier=change.before.tier)
        tenant = Tenant(change.project_id, change.tenant_id, after.plan, after.tier)
        series = TenantSeries(self._store, tenant, self._label(change.project_id))
        since = change.facts.since
        at = change.at if since is None else min(since, change.at)
        if tier:
            self._lifecycle.tier_changed(series, before.tier, after.tier, tier_reason(change), time_ns=_ns(at))
        if zero:
            self._lifecycle.scaled_to_zero(series, scale_reason(change), tier=before.tier, time_ns=_ns(at))
        if plan:
            effective = datetime.fromtimestamp(change.at, UTC)
            self._lifecycle.plan_changed(
                series,
                before.plan,
                after.plan,
                change_type(change),
                effective=effective,
                time_ns=_ns(change.at),
            )

    # --- gauges and state ---------------------------------------------------------------------------------------------

    def observe(self) -> Iterator[Observation]:
        """Give the picture as it is."""
        now, groups = self._clock(), Counter[tuple[str, str]]()
        for project_id, seen in self._picture.items():
            groups[seen.tier, seen.plan] += 1
            if seen.tier != UNKNOWN:
                project = self._label(project_id)
                yield CURRENT_TIER, (project, seen.plan), TIERS.index(seen.tier)
                yield TIER_DURATION, (project, seen.tier, seen.plan), max(0.0, now - seen.since)
        for (tier, plan), count in groups.items():
            yield TENANTS_BY_TIER, (tier, plan), count
            if plan in self._prices:
                yield REVENUE_BY_TIER, (tier, plan), count * self._prices[plan]

    def dump(self) -> Any:
        """Return the picture, and where the journal was left."""
        return {
            "picture": [[p, s.plan, s.tier, s.since, s.tenant_id] for p, s in self._picture.items()],
            "cursor": self._cursor,
            "mislaid": [[p, known.plan, known.tier] for p, known in self._mislaid.items()],
        }

    def load(self, state: Any) -> None:
        """Go on from what `dump` returned."""
        self._picture = {project_id: Seen(*seen) for project_id, *seen in state["picture"]}
        self._cursor = state["cursor"]
        self._mislaid = {project_id: Standing(*known) for project_id, *known in state["mislaid"]}


def _since(said: Facts, now: float) -> float:
    return now if said.since is None else min(said.since, now)


def _step(seen: Seen, tenant: Tenant, said: Facts, now: float) -> Change:
    """Compare a tenant with the picture; what is unknown now is as it was."""
    after = Standing(
        seen.plan if tenant.plan == UNKNOWN else tenant.plan, seen.tier if tenant.tier == UNKNOWN else tenant.tier
    )
    return Change(tenant.project_id, tenant.tenant_id, Standing(seen.plan, seen.tier), after, now, said)


def _update(seen: Seen, step: Change, now: float) -> None:
    """Take a step into the picture."""
    after = step.after or step.before
    if after.tier != seen.tier or step.facts.since is not None:
        seen.since = _since(step.facts, now)
    seen.plan, seen.tier, seen.tenant_id = after.plan, after.tier, step.tenant_id


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
