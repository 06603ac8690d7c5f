"""What happened to whom, how often: the form in which the load's own account and the stores' answers are compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

QUERIES: Final = "queries"
ERRORS: Final = "errors"
LIMIT_HITS: Final = "limit hits"
REJECTIONS: Final = "rejections"
COLD_STARTS: Final = "cold starts"
TRANSITIONS: Final = "tier transitions"
PLAN_CHANGES: Final = "plan changes"
SCALED: Final = "scalings to zero"
OPENINGS: Final = "circuit openings"
BREAKERS: Final = "circuit breaker"
CACHE: Final = "cache accesses"
CACHE_ALERTS: Final = "cache alerts"

EVENT_KINDS: Final = frozenset({LIMIT_HITS, COLD_STARTS, TRANSITIONS, PLAN_CHANGES, SCALED, BREAKERS, CACHE_ALERTS})
"""What is told as an event."""
METRIC_KINDS: Final = frozenset(
    {QUERIES, ERRORS, LIMIT_HITS, REJECTIONS, COLD_STARTS, TRANSITIONS, PLAN_CHANGES, SCALED, OPENINGS, CACHE}
)
"""What is counted by a metric."""
OTHER: Final = "_other"
"""The project of series that the collector has folded."""


class Entry(NamedTuple):
    """One line: `detail` is the status, the error type, `limit_type action`, the reason, the tiers, the level."""

    plan: str
    project_id: str
    kind: str
    detail: str


Ledger = Counter[Entry]


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure on which a store and the load do not agree."""

    store: str
    entry: Entry
    caused: int
    stored: int

    def __str__(self) -> str:
        who = f"{self.entry.project_id} ({self.entry.plan})"
        return f"{self.store}: {who}, {self.entry.kind}, {self.entry.detail}: {self.stored}, caused {self.caused}"


def total(ledger: Ledger, kind: str, *, plan: str = "", project: str = "", ending: str = "") -> int:
    """Add up the entries of a kind, of one plan or project, whose detail ends in `ending`; empty: all."""
    return sum(
        count
        for entry, count in ledger.items()
        if entry.kind == kind
        and plan in {"", entry.plan}
        and project in {"", entry.project_id}
        and entry.detail.endswith(ending)
    )


def folded(ledger: Ledger, plans: Collection[str]) -> Ledger:
    """Return the ledger as the metrics show it: the tenants of these plans as one.

    A change of plan has two plans, and is folded by neither.
    """
    result = Ledger()
    for entry, count in ledger.items():
        shared = entry.plan in plans and entry.kind != PLAN_CHANGES
        result[entry._replace(project_id=OTHER) if shared else entry] += count
    return result


def only(ledger: Ledger, kinds: Collection[str]) -> Ledger:
    """Return the entries of some kinds."""
    return Ledger({entry: count for entry, count in ledger.items() if entry.kind in kinds})


def differences(store: str, caused: Ledger, stored: Ledger) -> list[Difference]:
    """Compare entry by entry, both ways: what is missing in the store, and what is there that nobody caused."""
    return [
        Difference(store, entry, caused[entry], stored[entry])
        for entry in sorted(caused.keys() | stored.keys())
        if caused[entry] != stored[entry]
    ]
