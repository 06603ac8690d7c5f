"""One axis of time, as arithmetic: where a moment is on it, its bins, its marks. Times are unix seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTE, HOUR, DAY = 60, 3600, 86_400
STEPS: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(count * MINUTE for count in (1, 2, 5, 10, 15, 30)),
    *(count * HOUR for count in (1, 2, 3, 4, 6, 12)),
    *(count * DAY for count in (1, 2, 5, 10, 20)),
)
"""Lengths that people count in; the last one times `BINS` is more than the time for which events are kept."""
BINS: Final = 48
"""Bins at most, but for the two at the ends, which may be cut: on a telephone each is still as wide as a mark."""
TICKS: Final = 8


@dataclass(frozen=True, slots=True)
class Axis:
    """The time from `since` to `until`; `here` says whether people read it in this machine's zone or in UTC."""

    since: float
    until: float
    here: bool = False

    @property
    def step(self) -> int:
        """Length of a bin."""
        return self._step(BINS)

    def share(self, at: float) -> float:
        """Return where a moment is: 0 at the beginning, 1 at the end, and nowhere else."""
        return min(1.0, max(0.0, (at - self.since) / (self.until - self.since)))

    def bins(self) -> list[int]:
        """Return the beginnings of all bins, which are multiples of the step; the first may begin before the axis."""
        return list(range(self.bin(self.since), math.ceil(self.until), self.step))

    def bin(self, at: float) -> int:
        """Return the beginning of the bin that a moment is in."""
        return math.floor(at / self.step) * self.step

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Yield the moments to write on the axis, whole hours or days where it is read, and what to write."""
        step = self._step(TICKS)
        offset = self._offset(self.since)
        first = math.ceil((self.since + offset) / step) * step - offset
        for number in range(int((self.until - first) // step) + 1):
            at = first + number * step
            yield at, self._tick(at, step)

    def clock(self, at: float) -> str:
        """Write a moment; with its day unless the axis is of a single one."""
        days = {f"{self.when(end):%x}" for end in (self.since, self.until)}
        return f"{self.when(at):{'%H:%M:%S' if len(days) == 1 else '%d %b %H:%M:%S'}}"

    def extent(self, begin: float, end: float) -> str:
        """Write a stretch of the axis, to the minute where that is fine enough."""
        fine = "%H:%M:%S" if self.step < MINUTE else "%H:%M"
        first, last = (self.when(min(max(at, self.since), self.until)) for at in (begin, end))
        again = "%d %b " if first.date() != last.date() else ""
        days = "%d %b " if again or self.until - self.since > DAY else ""
        return f"{first:{days}{fine}} to {last:{again}{fine}}"

    @property
    def zone(self) -> str:
        """Say in which zone all this is read."""
        return f"{self.when(self.until):%Z}"

    def when(self, at: float) -> datetime:
        """Return a moment in the zone that it is read in."""
        moment = datetime.fromtimestamp(at, UTC)
        return moment.astimezone() if self.here else moment

    def _offset(self, at: float) -> int:
        offset = self.when(at).utcoffset()
        return 0 if offset is None else round(offset.total_seconds())

    def _tick(self, at: float, step: int) -> str:
        when = self.when(at)
        if step >= DAY or (when.hour, when.minute, when.second) == (0, 0, 0):
            return f"{when:%d %b}"
        return f"{when:%H:%M}" if step >= MINUTE else f"{when:%H:%M:%S}"

    def _step(self, most: int) -> int:
        span = self.until - self.since
        return next((step for step in STEPS if span <= most * step), math.ceil(span / most / DAY) * DAY)
