"""The account: what the journals say was emitted, beside what the stores say."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.ledger.applications import SERVICE

if TYPE_CHECKING:
    from benchmarks.ledger.applications import Life
    from benchmarks.ledger.faults import Outage
    from examples.stack.clickhouse import ClickHouse
    from examples.stack.stack import Stack

CALM: Final = 25.0
"""Seconds after the collector is back in which applications may still wait to send again: the exporter's own back-off
and ours are up to 10 s each."""
LAST_SECOND: Final = 1.25
"""Seconds between two exports of the SDK's, by default one, and for an export to arrive."""
ARRIVAL: Final = 180.0
"""Longest time, in seconds, for everything to be stored once nobody is away."""
GIVEN_UP: Final = (
    f'otel_dynabase_events_total{{job="{SERVICE}", outcome="unanswered"}}',
    "otelcol_exporter_enqueue_failed_log_records",
    "otelcol_exporter_send_failed_log_records",
)
"""What applications, beside their journals, and the collector count as given up."""


def counted(stack: Stack, *counters: str) -> int:
    """Return the sum of counters over all processes that lived to say it."""
    samples = [sample for counter in counters for sample in stack.prometheus.query(f"max_over_time({counter}[3h])")]
    return int(sum(sample.value for sample in samples))


@dataclass(frozen=True, slots=True)
class Tail:
    """What a killed process had not exported."""

    emitted: int
    ages: list[float]
    """How old they were at the kill, in seconds."""
    waiting: float
    """For how long the collector had not been there for good, in seconds."""

    @property
    def collector_there(self) -> bool:
        """Whether the collector took events all the time."""
        return self.waiting == 0

    @property
    def unexplained(self) -> int:
        """How many are older than the last second before the collector went away, or before the kill."""
        return sum(age > self.waiting + LAST_SECOND for age in self.ages)


def waiting(outages: list[Outage], killed: int) -> float:
    """Return for how long the collector had not been there for good when a process was killed, in seconds."""
    since = killed
    for outage in sorted(outages, key=lambda each: each.began, reverse=True):
        if outage.fault.victim == "collector" and outage.began < since <= outage.ended + CALM * 1e9:
            since = outage.began
    return (killed - since) / 1e9


class Account:
    """The journals beside the table."""

    def __init__(self, lives: list[Life], outages: list[Outage], rows: list[dict[str, Any]]) -> None:
        self.rows = len(rows)
        ids = {row["id"] for row in rows}
        stored = Counter((row["instance"], row["seq"]) for row in rows)
        self.duplicates = self.rows - min(len(ids), len(stored))
        self.emitted = sum(len(life.emitted) for life in lives)
        self.unheard = len(stored.keys() - {(life.instance, number) for life in lives for number in life.emitted})
        """Stored, and never emitted."""
        self.betrayed = sum(len(life.acknowledged - ids) for life in lives)
        """Acknowledged, and not stored."""
        self.lost = 0
        """Not stored, although their process ended well."""
        self.tails: list[Tail] = []
        for life in lives:
            missing = [number for number in life.emitted if (life.instance, number) not in stored]
            if life.killed:
                ages = [(life.killed - life.emitted[number]) / 1e9 for number in missing]
                self.tails.append(Tail(len(life.emitted), ages, waiting(outages, life.killed)))
            else:
                self.lost += len(missing)

    @property
    def complete(self) -> bool:
        """Whether everything that must arrive has arrived."""
        return not self.lost and not self.betrayed


def settled(stack: Stack, lives: list[Life], outages: list[Outage]) -> Account:
    """Return the account once all that must arrive is there and nothing else arrives any more, or time is up."""
    deadline = time.monotonic() + ARRIVAL
    before = -1
    while True:
        account = Account(lives, outages, rows(stack.clickhouse))
        if (account.complete and account.rows == before) or time.monotonic() > deadline:
            return account
        before = account.rows
        time.sleep(3)


def verify(stack: Stack, lives: list[Life], outages: list[Outage]) -> dict[str, Any]:
    """Wait for what must arrive; return the figures."""
    for life in lives:
        life.read()
    account = settled(stack, lives, outages)
    there = [tail for tail in account.tails if tail.collector_there]
    return {
        "emitted": account.emitted,
        "stored": account.rows,
        "dropped": sum(life.dropped for life in lives) + counted(stack, *GIVEN_UP),
        "tail_lost": sum(len(tail.ages) for tail in account.tails),
        "duplicates": account.duplicates,
        "kills": sum(outage.fault.kind == "killed" for outage in outages),
        "pauses": sum(outage.fault.kind == "paused" for outage in outages),
        "longest_pause_s": round(max(outage.fault.seconds for outage in outages if outage.fault.kind == "paused")),
        "processes": len(lives),
        "sent_again": counted(stack, f'otel_dynabase_events_total{{job="{SERVICE}", outcome="retried"}}'),
        "acknowledged": sum(len(life.acknowledged) for life in lives),
        "acknowledged_but_not_stored": account.betrayed,
        "lost_by_processes_that_ended_well": account.lost,
        "never_emitted": account.unheard,
        "tail_lost_collector_there": sum(len(tail.ages) for tail in there),
        "tail_oldest_s": round(max((age for tail in there for age in tail.ages), default=0.0), 3),
        "tail_unexplained": sum(tail.unexplained for tail in account.tails),
        "tails": [
            {
                "emitted": tail.emitted,
                "lost": len(tail.ages),
                "oldest_s": round(max(tail.ages, default=0.0), 3),
                "collector_away_s": round(tail.waiting, 1),
            }
            for tail in account.tails
        ],
    }


def rows(clickhouse: ClickHouse) -> list[dict[str, Any]]:
    """Return every event as queries see it."""
    return clickhouse.rows(
        "SELECT service_instance_id AS instance, event_seq AS seq, toString(event_id) AS id "
        "FROM tier_events FINAL WHERE ServiceName = {service:String}",
        service=SERVICE,
    )
