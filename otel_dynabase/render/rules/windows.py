"""Over which windows an error budget's burning is noticed, and how fast it must burn.

The fast pair follows from the objective; the slow ones are those of the SRE workbook ("Alerting on SLOs", table 5-8),
and Sloth's of a day between them: so much of 30 days' budget spent in the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DETECTED: Final = 20.0
"""Seconds of a total outage after which the fast pair must have tripped.

What is left of the minute is for the application's export (10 s), the collector's (10 s), the evaluation (10 s), and
what cannot be foreseen.
"""
FASTEST: Final = 14.4
"""The burn rate that spends 2 % of 30 days' budget in an hour: worth waking somebody."""
LENGTHS: Final = (60, 120, 180, 300, 600, 1800, 3600)
"""The windows to choose from, in seconds: what people read easily."""
SHORTEST: Final = 30
"""Seconds: three of the collector's exports, so that two increases are in it."""
FEWEST: Final = 10
"""Bad events below which nobody is told: a share of a handful says nothing."""


SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two windows, as Prometheus writes them, in which the budget must burn `factor` times faster than it may.

    The long one says that it matters, the short one that it is not over.
    """

    long: str
    short: str
    factor: float

    @property
    def seconds(self) -> int:
        """The length of the long one."""
        return int(self.long[:-1]) * SECONDS[self.long[-1]]


STEADY: Final = Pair("10m", "1m", 1.5)
"""A p95 that is missed for a while, but by too little for the fast pair: half as much again as may be, for ten minutes.

A hiccup of 20 s is 3 % of ten minutes.
"""
SLOW: Final = (Pair("1h", "5m", FASTEST), Pair("6h", "30m", 6), Pair("1d", "2h", 3), Pair("3d", "6h", 1))
"""2 %, 5 %, 10 % and 10 % of 30 days' budget."""


BUDGET: Final = "30d"
"""The time that a budget is for."""


def fast(budget: float) -> Pair:
    """Return the pair that a total outage trips within DETECTED seconds, for a share of events that may be bad."""
    length = max(seconds for seconds in LENGTHS if seconds == LENGTHS[0] or FASTEST * budget * seconds <= DETECTED)
    factor = min(FASTEST, DETECTED / (budget * length))
    return Pair(duration(length), duration(max(length // 12, SHORTEST)), float(f"{factor:.3g}"))


def duration(seconds: int) -> str:
    """Return seconds as Prometheus writes them."""
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
