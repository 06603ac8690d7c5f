"""Ten thousand tenants come and go among the named: series stay within the budget, and every sum per plan is exact.

python -m benchmarks.cardinality [--minutes M] [--tenants N] [--seed N] [--json]

Simulated processes speak OTLP to the real collector, as it is deployed, with small budgets; a real Prometheus keeps
what comes out. The tenants' weights are those of Zipf's law, and others become the heaviest every 40 s, so that the
collector names and folds them all the time. Some processes send deltas, the others cumulative sums; one after the other
is replaced; the collector is stopped and killed, three times each. Every sample that Prometheus has stored is read
afterwards, with all stale markers:

  - series_max ≤ series_budget: series in Prometheus at any evaluation step; and tenants with a name, on each plan
  - the increases of all series of a plan, tier and outcome, added up sample by sample, are exactly what was sent: of
    counters, and of the histogram's count, sum and every bucket; and never ahead of what had been sent by then (spikes)
  - `sum by (plan) (increase(…))` over the whole run is that too, but for Prometheus' own extrapolation:
    worst_relative_error, and beside it how much extrapolation may do to these very series
  - no series falls within its life (negative_steps), none is born above 0, no plan's sum is absent at any step (gaps)

What a killed collector had accepted since its last checkpoint is repeated by cumulative senders; deltas, and the last
words of a process that has ended, cannot be: nobody sends those in the seconds before a SIGKILL.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.cardinality.load import SHARES, TIERS
from benchmarks.cardinality.run import Load, Pace, mistreat, overlay, settle
from benchmarks.cardinality.verdict import EXCESS, asked, read, told
from benchmarks.conclusion import conclude
from examples.stack.stack import Stack
from otel_dynabase.catalog.metrics import QUERIES, QUERY_DURATION

if TYPE_CHECKING:
    from collections.abc import Iterator

BUDGETS: Final = {"free": 0, "starter": 50, "pro": 100}
"""Tenants with a name by plan; of enterprise, all of them."""
SERIES: Final = 2 + 1 + 1 + len(QUERY_DURATION.buckets) + 3
"""Of one tenant: statements by status, limit hits, connections, and the histogram with +Inf, its sum and its count."""


def budget(tenants: int) -> int:
    """Return how many series there may be: those of the named, and of each plan and tier's others."""
    named = sum(BUDGETS.get(plan, round(tenants * share)) for plan, share in SHARES.items())
    return (named + len(SHARES) * len(TIERS)) * SERIES + 1  # target_info


async def drive(stack: Stack, load: Load, seconds: float, pace: Pace) -> None:
    """Run the load while the collector is mistreated, then let it settle."""
    async with asyncio.TaskGroup() as group:
        group.create_task(load.work())
        await mistreat(stack.collector, load, seconds, pace)
        await settle(load, pace.rest)


def run(work: Path, minutes: float, tenants: int, seed: int, pace: Pace) -> dict[str, Any]:
    """Run everything; return the figures."""
    stack, bound = Stack(work / "stack", environ={}), budget(tenants)
    stack.collector.config = (*stack.collector.config, overlay(work, pace))
    stack.collector.env |= {f"OTELCOL_BUDGET_{plan.upper()}": str(most) for plan, most in BUDGETS.items()}
    with stack:
        load = Load(tenants, stack.endpoints.otlp_http, seed, pace)
        asyncio.run(drive(stack, load, 60 * minutes, pace))
        answers = asked(stack.prometheus, load, BUDGETS)
        told_of = told(stack.clickhouse)
    found = read(work / "stack" / "prometheus" / "data", load.truth, answers.pop("increases"))
    return {
        "series_budget": bound,
        **answers,
        **found,
        **told_of,
        "tenants": tenants,
        "processes": load.lives,
        "statements": int(sum(n for key, n in load.truth.total.items() if key.name == QUERIES.prometheus)),
    }


NEVER: Final = (
    "plans_over_budget",
    "inexact_sums",
    "beyond_extrapolation",
    "spikes",
    "negative_steps",
    "born_above_zero",
    "gaps",
    "wrong_gauges",
)


def mistakes(found: dict[str, Any]) -> Iterator[str]:
    """Say which promise is broken."""
    if found["series_max"] > found["series_budget"]:
        yield f"{found['series_max']} series, where the budget is {found['series_budget']}"
    for what in NEVER:
        if found[what]:
            yield f"{what}: {found[what]}"
    if found["highest_rate_ratio"] > EXCESS:
        yield f"a rate was {found['highest_rate_ratio']} times the highest that was sent"
    if not found["promotions"]:
        yield "no tenant was named by its rank: nothing has been shown"


def main() -> int:
    """Run, and print the figures and one line of JSON; return 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="of work (default: %(default)s)")
    parser.add_argument("--tenants", type=int, default=10_000, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000), help="(default: any)")
    parser.add_argument("--json", action="store_true", help="print nothing but the line of JSON")
    given = parser.parse_args()
    print(f"seed {given.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        work.chmod(0o755)
        found = run(work, given.minutes, given.tenants, given.seed, Pace()) | {"seed": given.seed}
    if not given.json:
        for name, value in found.items():
            print(f"{name:24} {value}")
    return conclude(found, mistakes(found))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing is left running")
