"""What instrumentation adds to a pooled query, in CPU time: ours beside the official one of asyncpg's.

python -m benchmarks.overhead [--rounds N] [--queries N]

One process, one real server. Each round runs every side once, in random order, on a pool of its own, and takes CPU time
of the whole process, background threads included. The figures are medians over the rounds of the differences to the
same round's plain block: what disturbs the machine disturbs a whole round, and drops out.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from examples.stack.postgres import Postgres
from otel_dynabase.instrumentor import DynabaseInstrumentor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

QUERY = "SELECT 1"
TENANT = {"project_id": "proj_bench", "tenant_id": "bench", "plan": "pro", "tier": "HOT", "database": "postgres"}
COLLECT_EVERY = 3.0
"""Seconds of measured queries between two collections; they count as ours."""
RESAMPLES = 2000
CONFIDENCE = 0.95
SIDES = ("plain", "official", "ours", "both")


class Discard(SpanExporter):
    """Takes spans and sends them nowhere: the network is not what is compared."""

    def export(self, _spans: Sequence[Any]) -> SpanExportResult:
        """Say that they arrived."""
        return SpanExportResult.SUCCESS


class Sides:
    """Puts a side in force; its providers live as long as the process, as an application's do."""

    def __init__(self) -> None:
        self._tracer_provider = TracerProvider(sampler=ALWAYS_ON)
        self._tracer_provider.add_span_processor(BatchSpanProcessor(Discard()))
        self._reader = InMemoryMetricReader()
        self._meter_provider = MeterProvider([self._reader])
        self._uncollected = 0.0

    @contextmanager
    def in_force(self, side: str) -> Iterator[Callable[[float], None]]:
        """Instrument; give what must be called at a block's end, with its seconds, to do the exporters' work."""
        official, ours = AsyncPGInstrumentor(), DynabaseInstrumentor()  # type: ignore[no-untyped-call]
        if side in {"official", "both"}:
            official.instrument(tracer_provider=self._tracer_provider)
        if side in {"ours", "both"}:
            ours.instrument(
                directory=lambda: [TENANT],
                meter_provider=self._meter_provider,
                tracer_provider=self._tracer_provider,
            )
        try:
            yield {"plain": _nothing, "official": self._flush, "ours": self._collect, "both": self._both}[side]
        finally:
            if side in {"ours", "both"}:
                ours.uninstrument()
            if side in {"official", "both"}:
                official.uninstrument()

    def _flush(self, _seconds: float) -> None:
        self._tracer_provider.force_flush()

    def _collect(self, seconds: float) -> None:
        self._uncollected += seconds
        if self._uncollected >= COLLECT_EVERY:
            self._uncollected = 0.0
            assert self._reader.get_metrics_data() is not None, "nothing was measured"

    def _both(self, seconds: float) -> None:
        self._flush(seconds)
        self._collect(seconds)


def _nothing(_seconds: float) -> None:
    pass


async def block(sides: Sides, side: str, dsn: str, queries: int) -> float:
    """Return the CPU time in µs of one query under a side."""
    with sides.in_force(side) as end:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
            await _run(pool, queries // 10)
            end(0.0)
            gc.collect()
            began, cpu_began = time.perf_counter(), time.process_time()
            await _run(pool, queries)
            end(time.perf_counter() - began)
            return (time.process_time() - cpu_began) / queries * 1e6


async def _run(pool: Any, queries: int) -> None:
    for _ in range(queries):
        await pool.fetchval(QUERY)


async def measure(dsn: str, rounds: int, queries: int) -> dict[str, list[float]]:
    """Return each side's µs per query, round by round."""
    sides, taken = Sides(), {side: list[float]() for side in SIDES}
    for number in range(rounds):
        for side in random.sample(SIDES, len(SIDES)):
            taken[side].append(await block(sides, side, dsn, queries))
        if sys.stderr.isatty():
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return taken


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate with the limits of its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:9.3f}   [{self.low:.3f}, {self.high:.3f}]"


def estimate(rows: Sequence[Any], statistic: Callable[[Sequence[Any]], float]) -> Figure:
    """Estimate a statistic of the rounds; the interval is the percentile bootstrap's, which resamples whole rounds."""
    chance = random.Random(1)  # noqa: S311  # resampling, no secret
    resampled = sorted(statistic(chance.choices(rows, k=len(rows))) for _ in range(RESAMPLES))
    tail = int(RESAMPLES * (1 - CONFIDENCE) / 2)
    return Figure(statistic(rows), resampled[tail], resampled[-tail - 1])


def figures(taken: dict[str, list[float]]) -> dict[str, Figure]:
    """Compute what each side adds, and the ratio of ours to the official one."""
    added = {
        f"{side}_us": [a - b for a, b in zip(taken[side], taken["plain"], strict=True)]
        for side in SIDES
        if side != "plain"
    }
    found = {"plain_us": estimate(taken["plain"], statistics.median)}
    found |= {name: estimate(rows, statistics.median) for name, rows in added.items()}
    found["ratio"] = estimate(list(zip(added["ours_us"], added["official_us"], strict=True)), _ratio)
    return found


def _ratio(rows: Sequence[tuple[float, float]]) -> float:
    return statistics.median(ours for ours, _ in rows) / statistics.median(official for _, official in rows)


LABELS = {
    "plain_us": "a plain query, µs of CPU",
    "official_us": "official spans add, µs",
    "ours_us": "otel-dynabase adds, µs",
    "both_us": "both together add, µs",
    "ratio": "ours / official",
}


def main() -> None:
    """Measure, and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=150, help="rounds; more narrow the intervals (default: %(default)s)"
    )
    parser.add_argument("--queries", type=int, default=300, help="queries a block (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, Postgres(Path(work) / "postgres") as server:
        taken = asyncio.run(measure(server.dsn(), arguments.rounds, arguments.queries))
    found = figures(taken)
    print(f"per pooled `{QUERY}`; median over {arguments.rounds} rounds, {CONFIDENCE:.0%} interval")
    for name, figure in found.items():
        print(f"{LABELS[name]:26} {figure}")
    result: dict[str, Any] = {name: round(figure.value, 4) for name, figure in found.items()}
    result["ratio_interval"] = [round(found["ratio"].low, 4), round(found["ratio"].high, 4)]
    print(json.dumps(result | {"rounds": arguments.rounds, "queries": arguments.queries}))


if __name__ == "__main__":
    main()
