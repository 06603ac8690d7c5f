"""When a tenant is active: queries by minute and by hour, active hours, periods of activity. No clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
WEEK_HOURS = 168
WEEK_MASK = (1 << WEEK_HOURS) - 1
COVERED = MINUTE - 1e-3
"""Seconds of a minute that must have been watched for it to give a sample."""
LENGTHS = ((HOUR, "<1h"), (4 * HOUR, "1-4h"), (DAY, "4-24h"))


def by_hour(queries: int, start: float, end: float) -> dict[int, int]:
    """Share queries out among the hours (since the epoch, UTC) of the time in which they ran, in proportion to it.

    The shares add up to `queries`. Where that time makes no sense (the clock was set back, or on by more than a week),
    all belong to the hour of its end.
    """
    first, last = int(start // HOUR), int(end // HOUR)
    if not queries:
        return {}
    if not 0 <= last - first <= WEEK_HOURS or end <= start:
        return {last: queries}
    shares, given = {}, 0
    for hour in range(first, last + 1):
        until = min((hour + 1) * HOUR, end)
        upto = queries if hour == last else int(queries * (until - start) / (end - start))
        if upto > given:
            shares[hour] = upto - given
        given = max(given, upto)
    return shares


class Minutes:
    """Makes one sample a minute of queries that are counted at any other pace."""

    __slots__ = ("covered", "minute", "queries")

    def __init__(self) -> None:
        self.minute = 0
        self.covered = 0.0
        self.queries = 0.0

    def add(self, queries: float, start: float, end: float) -> Iterator[float]:
        """Take queries that ran in a time; give the sample of each minute that is now over and was watched in full."""
        while start < end:
            minute = int(start // MINUTE)
            if minute != self.minute:
                self.minute, self.covered, self.queries = minute, 0.0, 0.0
            over = (minute + 1) * MINUTE
            until = min(over, end)
            share = (until - start) / (end - start)
            self.covered += until - start
            self.queries += queries * share
            queries -= queries * share
            if until == over and self.covered >= COVERED:
                yield self.queries
            start = until

    def dump(self) -> list[Any]:
        """Return what JSON can hold."""
        return [self.minute, self.covered, self.queries]

    def load(self, state: list[Any]) -> None:
        """Take up what `dump` returned."""
        self.minute, self.covered, self.queries = state


class Hours:
    """In which of the last 168 hours, UTC, a tenant was watched, and in which it was active.

    Two sets, as bits: bit 0 is the latest hour. A clock that is set back takes the hours that it undoes out again.
    """

    __slots__ = ("active", "latest", "watched")

    def __init__(self) -> None:
        self.latest = 0
        self.watched = 0
        self.active = 0

    def mark(self, hour: int, *, active: bool) -> None:
        """Note that the tenant was watched in an hour (since the epoch)."""
        by = max(-WEEK_HOURS, min(WEEK_HOURS, hour - self.latest))
        if by >= 0:
            self.watched, self.active = (self.watched << by) & WEEK_MASK, (self.active << by) & WEEK_MASK
        else:
            self.watched, self.active = self.watched >> -by, self.active >> -by
        self.latest = hour
        self.watched |= 1
        self.active |= active

    def per_day(self) -> float | None:
        """Return the active hours of a mean day: of the days watched, by the hours watched of each.

        Hours that nobody watched count neither way; less than a day of watching counts as a day. None: never watched.
        """
        watched = self.watched.bit_count()
        return self.active.bit_count() / max(1.0, watched / 24) if watched else None

    def dump(self) -> list[Any]:
        """Return what JSON can hold."""
        return [self.latest, f"{self.watched:x}", f"{self.active:x}"]

    def load(self, state: list[Any]) -> None:
        """Take up what `dump` returned."""
        self.latest, self.watched, self.active = state[0], int(state[1], 16), int(state[2], 16)


@dataclass(slots=True)
class Period:
    """Follows periods of activity: one begins with activity and ends where it was last seen, once it was quiet long."""

    gap: float
    """Seconds of quiet that end a period."""
    began: float | None = None
    last: float = 0.0

    def look(self, now: float, since: float | None = None) -> str | None:
        """Take a look at `now`: active since a time, or None for quiet or unknown.

        Returns the category of a period that has ended, once.
        """
        if now < self.last and self.began is not None:  # the clock was set back: the period keeps its length
            self.began, self.last = self.began - (self.last - now), now
        ended = None
        if self.began is not None and (now if since is None else since) - self.last > self.gap:
            length, self.began = self.last - self.began, None
            ended = next((name for bound, name in LENGTHS if length < bound), ">24h")
        if since is not None:
            self.began, self.last = since if self.began is None else self.began, now
        return ended

    def dump(self) -> list[Any]:
        """Return what JSON can hold."""
        return [self.began, self.last]

    def load(self, state: list[Any]) -> None:
        """Take up what `dump` returned."""
        self.began, self.last = state
