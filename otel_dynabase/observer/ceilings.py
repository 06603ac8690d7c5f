"""What the plans grant, and when a tenant has been at the limit for so long that it is no blip. No clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_dynabase.catalog.plans import PLANS, RESOURCES
from otel_dynabase.directory.file import parse, read_text
from otel_dynabase.directory.source import UnusableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CEILING: Final = 0.95
"""Share of a limit at which a tenant counts as being at it,"""
RELEASE: Final = 0.90
"""and below which it no longer does: so that one who moves up and down at the limit has one stay there, not many."""
AGAIN: Final = 3600.0
"""Seconds after which a stay that lasts is a hit once more."""
DAY: Final = 86_400.0
MAX_BYTES: Final = 1024 * 1024

GIB: Final = 1024.0**3
Limits = dict[str, dict[str, float]]
"""By plan, then by resource; what is not there has no limit."""

DEFAULTS: Final[Limits] = {
    "free": {"connections": 5, "query_rate": 60, "storage": 0.5 * GIB, "compute_time": 3600},
    "starter": {"connections": 20, "query_rate": 600, "storage": 5 * GIB, "compute_time": 6 * 3600},
    "pro": {"connections": 100, "query_rate": 6000, "storage": 50 * GIB, "compute_time": 24 * 3600},
    "enterprise": {},
}
"""Connections; queries a minute; bytes; seconds of executing in a UTC day, all connections together."""


def load_limits(path: Path | None) -> Limits:
    """Return the plans' limits: the defaults, with what a YAML or JSON file says instead.

    The file maps plan to resource to number, or to null for no limit. Raises OSError, or UnusableError that says why.
    """
    limits = {plan: dict(granted) for plan, granted in DEFAULTS.items()}
    content = {} if path is None else parse(read_text(path, MAX_BYTES), path.suffix)
    for plan, granted in _mapping(content, "it").items():
        if plan not in PLANS:
            raise UnusableError(f"{plan!r} is none of {', '.join(PLANS)}")
        for resource, limit in _mapping(granted, str(plan)).items():
            if resource not in RESOURCES:
                raise UnusableError(f"{plan}: {resource!r} is none of {', '.join(RESOURCES)}")
            limits[plan].pop(resource, None)
            if limit is not None:
                limits[plan][resource] = _positive(limit, f"{plan}: {resource}")
    return limits


def _mapping(value: object, what: str) -> Mapping[Any, Any]:
    if not isinstance(value, dict):
        raise UnusableError(f"{what} is not a mapping")
    return value


def _positive(value: object, what: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise UnusableError(f"{what} is not a number above 0")
    return float(value)


def larger_plan(limits: Limits, plan: str, resource: str) -> str | None:
    """Return the next plan that grants more of a resource, or None."""
    granted = limits.get(plan, {}).get(resource)
    if granted is None or plan not in PLANS:
        return None
    larger = PLANS[PLANS.index(plan) + 1 :]
    return next((one for one in larger if limits[one].get(resource, float("inf")) > granted), None)


class Hit(NamedTuple):
    """A stay at a limit that lasted."""

    stayed: float
    """Seconds so far."""
    in_24h: int
    """Hits of the last 24 hours, this one included."""


@dataclass(slots=True)
class Ceiling:
    """Follows one tenant's use of one resource."""

    since: float | None = None
    """When it came to the limit, if it is there."""
    seen: float = 0.0
    """When it was last measured."""
    hit: float | None = None
    """When this stay was last counted."""
    hits: list[float] = field(default_factory=list)
    """When the hits of the last day were."""

    def measured(self, share: float, now: float, *, sustained: float, blind: float) -> Hit | None:
        """Take a measurement, as a share of the limit; return a hit if the stay has lasted long enough.

        `sustained` seconds make a hit; after more than `blind` seconds without a measurement a stay begins anew.
        """
        if now < self.seen:
            self._set_back(self.seen - now)
        if now - self.seen > blind:
            self.since = self.hit = None
        self.seen = now
        if share < (CEILING if self.since is None else RELEASE):
            self.since = self.hit = None
            return None
        if self.since is None:
            self.since = now
        if now - self.since < sustained or (self.hit is not None and now - self.hit < AGAIN):
            return None
        self.hit = now
        self.hits = [*(hit for hit in self.hits if now - hit < DAY), now]
        return Hit(now - self.since, len(self.hits))

    def _set_back(self, by: float) -> None:
        """Keep every length of time when the clock is set back."""
        self.since = None if self.since is None else self.since - by
        self.hit = None if self.hit is None else self.hit - by
        self.hits = [hit - by for hit in self.hits]

    def dump(self) -> list[Any]:
        """Return what JSON can hold."""
        return [self.since, self.seen, self.hit, list(self.hits)]

    def load(self, state: list[Any]) -> None:
        """Take up what `dump` returned."""
        self.since, self.seen, self.hit, self.hits = state


@dataclass(slots=True)
class Day:
    """Adds up seconds of executing in the UTC day."""

    day: int = 0
    seconds: float = 0.0

    def add(self, seconds: float, start: float, end: float) -> float:
        """Take what was executed in a time; return the sum of the day in which it ended."""
        day = int(end // DAY)
        if day > self.day:
            self.day, self.seconds = day, 0.0
        midnight = self.day * DAY
        if start < midnight < end:
            seconds *= (end - midnight) / (end - start)
        self.seconds += seconds
        return self.seconds

    def dump(self) -> list[Any]:
        """Return what JSON can hold."""
        return [self.day, self.seconds]

    def load(self, state: list[Any]) -> None:
        """Take up what `dump` returned."""
        self.day, self.seconds = state
