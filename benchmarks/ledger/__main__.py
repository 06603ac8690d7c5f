"""Everybody on an event's way is killed and paused at random, under load: no event is lost, and none is counted twice.

python -m benchmarks.ledger [--minutes M] [--kills N] [--seed N] [--json]

Real processes under `opentelemetry-instrument` run into limits at a real PostgreSQL; the real collector takes their
events to the real ClickHouse engine. Application, collector and ClickHouse each suffer N SIGKILLs and one SIGSTOP that
lasts for minutes, at moments drawn from the seed; those of different victims may overlap. Each process writes down
every event before it exists, and every one that the collector has acknowledged; afterwards all of them are looked up:

  - emitted = stored + tail_lost, where a tail is what a killed process had not exported yet: the numbers that are
    missing at the end of its sequence; with the collector there, at most the last second
  - what was acknowledged is stored, whoever was killed afterwards
  - dropped = 0: by the application's, the SDK's and the collector's own counters
  - duplicates = 0: no event is twice in `tier_events FINAL`, however often it was sent

`raw_duplicates` are the most copies seen in the table itself at one time: what FINAL had to hide. Before that,
ClickHouse refuses whole blocks that it has already: `duplicate_blocks_refused`, by its own count. Exit status 1 if
anything of this is not so.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from benchmarks.conclusion import conclude
from benchmarks.ledger.account import verify
from benchmarks.ledger.applications import Applications, prepare
from benchmarks.ledger.faults import Storm, schedule
from examples.stack.clickhouse import ClickHouse, ClickHouseError
from examples.stack.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

UNEXPLAINED: Final = (
    "acknowledged_but_not_stored",
    "lost_by_processes_that_ended_well",
    "never_emitted",
    "tail_unexplained",
)
COPIES: Final = """
SELECT
    count() - uniqExact(event_id) AS stored,
    (SELECT sum(value) FROM system.events WHERE event = 'DuplicatedInsertedBlocks') AS refused
FROM tier_events
"""


class Copies:
    """Looks how many copies of events the table holds, and how many ClickHouse has refused; if it answers."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self.most = 0
        """Most events too many in the table at one time: FINAL hides them."""
        self._refused = [0]
        """Blocks that were there already, in each life of the server."""

    def look(self) -> None:
        """Look once."""
        try:
            (row,) = self._clickhouse.rows(COPIES)
        except (httpx.HTTPError, ClickHouseError):
            return
        self.most = max(self.most, row["stored"])
        if row["refused"] < self._refused[-1]:
            self._refused.append(0)
        self._refused[-1] = row["refused"]

    @property
    def figures(self) -> dict[str, int]:
        """What was seen."""
        return {"raw_duplicates": self.most, "duplicate_blocks_refused": sum(self._refused)}


def run(work: Path, minutes: float, kills: int, seed: int) -> dict[str, Any]:
    """Run everything; return the figures."""
    plans = schedule(("application", "collector", "ClickHouse"), 60 * minutes, kills, seed)
    with Stack(work / "stack", environ={}) as stack:
        applications = Applications(work, stack, prepare(stack, work), seed)
        copies = Copies(stack.clickhouse)
        try:
            applications.start_all()
            storm = Storm(
                {"application": applications, "collector": stack.collector, "ClickHouse": stack.clickhouse}, plans
            )
            storm.rage(copies.look)
            print("nobody is away any more; the applications end", file=sys.stderr)
            applications.stop()
            return verify(stack, applications.lives, storm.outages) | copies.figures
        finally:
            for life in applications.lives:
                life.process.kill()


def mistakes(found: dict[str, Any]) -> Iterator[str]:
    """Say which promise is broken."""
    if found["emitted"] != found["stored"] + found["tail_lost"]:
        yield f"{found['emitted']} emitted, {found['stored']} stored, {found['tail_lost']} lost by killed processes"
    for what in UNEXPLAINED:
        if found[what]:
            yield f"{what}: {found[what]} events"
    if found["dropped"]:
        yield f"{found['dropped']} events were dropped"
    if found["duplicates"]:
        yield f"{found['duplicates']} events are twice in what queries see"
    if not found["stored"]:
        yield "nothing was stored"


def table(found: dict[str, Any]) -> str:
    """Lay the figures out."""
    lines = [f"{name:36} {value:>10,}" for name, value in found.items() if name != "tails"]
    lines.append("\neach killed process:   emitted      lost    oldest, s   collector away before, s")
    lines += [
        f"{tail['emitted']:>30,} {tail['lost']:>9,} {tail['oldest_s']:>12.3f} {tail['collector_away_s']:>26.1f}"
        for tail in found["tails"]
    ]
    return "\n".join(lines)


def main() -> int:
    """Run, and print the figures and one line of JSON; return 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15, help="of faults (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=4, help="of each of the three (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10_000), help="of the faults (default: any)"
    )
    parser.add_argument("--json", action="store_true", help="print nothing but the line of JSON")
    given = parser.parse_args()
    print(f"seed {given.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        work.chmod(0o755)
        found = run(work, given.minutes, given.kills, given.seed) | {"seed": given.seed}
    if not given.json:
        print(table(found))
    return conclude(found, mistakes(found))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing is left running")
