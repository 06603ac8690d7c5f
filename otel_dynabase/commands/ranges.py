"""A range of time as people say it: `--since 24h`, `--since 2026-11-24`, `--until 2026-11-24T20:45:32Z`."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from argparse import Namespace

AGO: Final = re.compile(r"(\d{1,9}) ?(s|m|h|d|w)")
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
ALLOWED: Final = "a length of time such as 90m, 24h, 7d or 4w, or a moment such as 2026-11-24 or 2026-11-24T20:45:32Z"
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2262, 1, 1, tzinfo=UTC)
"""What the table's timestamps can hold."""
FULL: Final = timedelta(days=90)
"""How long events are kept in full; what is older is counted by day, for two years."""
BY_DAY: Final = "By whole days: events are kept in full for 90 days, and what was counted of each day for two years."


@dataclass(frozen=True, slots=True)
class Range:
    """From a moment, included, to another, not included, both in UTC. `until` is None where nothing was said."""

    since: datetime
    until: datetime | None

    def parameters(self) -> dict[str, str]:
        """Return what the queries call `since` and `until`; clocks that go ahead are no reason to leave events out."""
        return {"since": _clickhouse(self.since), "until": _clickhouse(self.until or LATEST)}

    def is_in_full(self, now: datetime) -> bool:
        """Say whether every event of the range is still there."""
        return now - self.since <= FULL

    def about(self) -> dict[str, str | None]:
        """Return both for JSON."""
        return {"since": _iso(self.since), "until": None if self.until is None else _iso(self.until)}


def add(parser: Any, since: str) -> None:
    """Add `--since`, `--until` and `--local`."""
    parser.add_argument(
        "--since", default=since, metavar="WHEN", help=f"from when: so long ago, or a moment (default: {since})"
    )
    parser.add_argument("--until", metavar="WHEN", help="until when, in the same way (default: no end)")
    parser.add_argument("--local", action="store_true", help="times of this machine's zone instead of UTC")


def given(arguments: Namespace, now: datetime) -> Range:
    """Return the range that was asked for. Raises ValueError that says what is wrong."""
    since = moment(arguments.since, now, "--since", local=arguments.local)
    until = None if arguments.until is None else moment(arguments.until, now, "--until", local=arguments.local)
    if since >= (until or LATEST):
        raise ValueError(f"--since {arguments.since} is not before --until {arguments.until or 'now'}")
    return Range(since, until)


def moment(text: str, now: datetime, name: str, *, local: bool = False) -> datetime:
    """Read a moment, or how long ago; without a zone it is of UTC, or of this machine's. Raises ValueError."""
    try:
        if ago := AGO.fullmatch(text.strip()):
            when = now - timedelta(seconds=int(ago[1]) * SECONDS[ago[2]])
        else:
            when = datetime.fromisoformat(text.strip())
            if when.tzinfo is None:
                when = when.astimezone() if local else when.replace(tzinfo=UTC)
        when = when.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} {text!r} cannot be used; allowed: {ALLOWED}") from None
    return min(max(when, EARLIEST), LATEST)


def in_utc(when: datetime) -> str:
    """Write a moment of ClickHouse's, which is in UTC, for a program."""
    return _iso(when.replace(tzinfo=UTC))


def in_zone(when: datetime, *, here: bool) -> str:
    """Write a moment of ClickHouse's for people, in this machine's zone or in UTC."""
    aware = when.replace(tzinfo=UTC)
    return f"{aware.astimezone() if here else aware:%Y-%m-%d %H:%M}"


def _clickhouse(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S.%f}"


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def positive(text: str) -> int:
    """Read a whole number that is not negative, for argparse."""
    if not re.fullmatch(r"\d{1,18}", text):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used; allowed: a whole number, not negative")
    return int(text)
