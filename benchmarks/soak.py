"""A hundred thousand tenants through one process, with the default budget: memory levels off, and nothing is lost.

python -m benchmarks.soak [--tenants N] [--queries N]

A real pool on a real server, a directory that knows every tenant, a reader that collects, events that leave over OTLP.
Every tenant runs a few statements; a share of them run into a statement timeout, twice, so that events are coalesced.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import asyncpg
import psutil
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)

from benchmarks.conclusion import conclude
from examples.stack.postgres import Postgres
from examples.stack.process import free_port
from otel_dynabase import tenant
from otel_dynabase.instrumentor import DynabaseInstrumentor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.metrics.export import DataPointT

WORKERS = 8
COLLECT_EVERY = 5.0
"""Seconds between two collections."""
LEAVE = 7.0
"""Seconds for the last events to leave: their window, and the SDK's batch delay of 5 s."""
SAMPLE_EVERY = 0.25
"""Seconds between two looks at the resident memory."""
LIMITED = 50
"""One tenant in so many runs into its statement timeout."""
PLANS = ("free", "pro", "enterprise")
TIERS = ("HOT", "WARM", "COLD")
FOLDED = "_other"
EDGE = 0.05
"""Share of the samples whose median stands for a point in time."""
TOO_LONG = "SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)"


class Counting(MetricExporter):
    """Takes what is collected and keeps only the last answer's totals."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: dict[str, float] = {}
        self.events: dict[str, float] = {}
        """Events by what became of them."""
        self.named: set[str] = set()
        """Tenants that have series of their own."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 0, **_: Any) -> MetricExportResult:  # noqa: ARG002  # the SDK's signature
        """Add up every metric over all of its series."""
        scopes = [scope for resource in metrics_data.resource_metrics for scope in resource.scope_metrics]
        metrics = [metric for scope in scopes for metric in scope.metrics]
        self.totals = {metric.name: sum(map(_amount, metric.data.data_points)) for metric in metrics}
        events = (metric for metric in metrics if metric.name == "otel_dynabase.events")
        self.events = {
            str((point.attributes or {})["outcome"]): _amount(point) for m in events for point in m.data.data_points
        }
        projects = {(point.attributes or {}).get("project_id") for m in metrics for point in m.data.data_points}
        self.named = {str(project) for project in projects if project not in {None, FOLDED, "unknown"}}
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002  # the SDK's signature
        """Have nothing to flush."""
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        """Have nothing to close."""


def _amount(point: DataPointT) -> float:
    count: Any = getattr(point, "count", None) or getattr(point, "value", 0)
    return float(count)


class _Accept(BaseHTTPRequestHandler):
    """Answers every export with success."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def _accept(port: int) -> None:
    HTTPServer(("127.0.0.1", port), _Accept).serve_forever()


@contextmanager
def collector() -> Iterator[str]:
    """Run something that accepts OTLP over HTTP in a process of its own, whose memory is not ours."""
    port = free_port()
    process = get_context("spawn").Process(target=_accept, args=(port,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port}/v1/logs"
    finally:
        process.terminate()
        process.join()


class Memory:
    """Samples this process's resident memory on a thread, beside how far the work has come."""

    def __init__(self) -> None:
        self.done = 0
        """Tenants finished."""
        self.samples: list[tuple[int, int]] = []
        self._process = psutil.Process()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def now(self) -> int:
        """Return the resident bytes."""
        return int(self._process.memory_info().rss)

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY):
            self.samples.append((self.done, self.now()))

    def at(self, share: float) -> float:
        """Return the resident bytes when this share of the tenants was done: a median of the samples around it."""
        width = max(3, int(len(self.samples) * EDGE))
        middle = next((i for i, (done, _) in enumerate(self.samples) if done >= share * self.done), len(self.samples))
        first = max(0, min(middle - width // 2, len(self.samples) - width))
        return statistics.median(rss for _, rss in self.samples[first : first + width])


def rows(tenants: int) -> list[dict[str, str]]:
    """Make the directory."""
    return [
        {
            "project_id": f"proj_{number}",
            "tenant_id": f"tenant_{number}",
            "plan": PLANS[number % len(PLANS)],
            "tier": TIERS[number // len(PLANS) % len(TIERS)],
        }
        for number in range(tenants)
    ]


async def work(pool: Any, tenants: int, queries: int, memory: Memory) -> int:
    """Run every tenant's statements; return how many statements there were."""
    numbers = iter(range(tenants))
    statements = 0

    async def worker() -> None:
        nonlocal statements
        for number in numbers:
            async with tenant(f"proj_{number}"):
                ran = await _tenant(pool, queries, limited=number % LIMITED == 0)
            statements += ran
            memory.done += 1

    async def progress() -> None:
        while True:
            await asyncio.sleep(1)
            print(f"\r{memory.done} tenants, {memory.now() >> 20} MiB", end="", file=sys.stderr, flush=True)

    shown = asyncio.create_task(progress()) if sys.stderr.isatty() else None
    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    if shown is not None:
        shown.cancel()
        print(file=sys.stderr)
    return statements


async def _tenant(pool: Any, queries: int, *, limited: bool) -> int:
    for _ in range(queries):
        await pool.fetchval("SELECT 1")
    if not limited:
        return queries
    for _ in range(2):
        with suppress(asyncpg.QueryCanceledError):
            await pool.execute(TOO_LONG)
    return queries + 2


async def soak(dsn: str, logs: str, tenants: int, queries: int) -> dict[str, Any]:
    """Run everything; return the figures."""
    exporter, instrumentor = Counting(), DynabaseInstrumentor()
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=COLLECT_EVERY * 1000)
    meters, loggers = MeterProvider([reader]), LoggerProvider()
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=logs)))
    instrumentor.instrument(directory=lambda: rows(tenants), meter_provider=meters, logger_provider=loggers)
    assert instrumentor.runtime is not None, "the instrumentation is not in force"
    try:
        async with asyncpg.create_pool(dsn, min_size=WORKERS, max_size=WORKERS) as pool:
            await pool.fetchval("SELECT 1")
            meters.force_flush()
            began, memory = time.monotonic(), Memory()
            before = memory.now()
            with memory:
                statements = await work(pool, tenants, queries, memory)
            seconds = time.monotonic() - began
            await asyncio.sleep(LEAVE)
            meters.force_flush()
            series = len(instrumentor.runtime.store)
        counted = exporter.totals["db.client.operation.duration"] - 1  # the one before everything
    finally:
        instrumentor.uninstrument()
        loggers.shutdown()
        meters.shutdown()
    half, end = memory.at(0.5), memory.at(1.0)
    return {
        "bytes_per_series": round((end - before) / series),
        "rss_growth_last_half_percent": round(100 * (end - half) / half, 2),
        "rss_start_mib": before >> 20,
        "rss_half_mib": round(half / 2**20, 1),
        "rss_end_mib": round(end / 2**20, 1),
        "series": series,
        "tenants": tenants,
        "tenants_named": len(exporter.named),
        "statements": statements,
        "statements_counted": counted,
        "limit_hits_counted": exporter.totals["tenant.limit.hits"],
        "events": exporter.events,
        "seconds": round(seconds, 1),
    }


def mistakes(found: dict[str, Any]) -> Iterator[str]:
    """Say what does not add up: folding may hide which tenant it was from metrics, and from events nothing."""
    events, limited = found["events"], -(-found["tenants"] // LIMITED)
    if found["statements_counted"] != found["statements"]:
        yield "statements went uncounted, or were counted twice"
    if events["emitted"] + events["coalesced"] != found["limit_hits_counted"]:
        yield "limit hits went without an event"
    if events["emitted"] < limited:
        yield f"{limited} tenants hit a limit, and only {events['emitted']} events tell of it"
    if events["acknowledged"] != events["emitted"]:
        yield "events did not arrive"


def main() -> int:
    """Run, and print the figures and one line of JSON; return 1 if they do not add up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=100_000, help="tenants (default: %(default)s)")
    parser.add_argument("--queries", type=int, default=3, help="statements of each (default: %(default)s)")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as work_directory,
        Postgres(Path(work_directory) / "postgres") as server,
        collector() as logs,
    ):
        found = asyncio.run(soak(server.dsn(), logs, arguments.tenants, arguments.queries))
    for name, value in found.items():
        print(f"{name:32} {value}")
    return conclude(found, mistakes(found))


if __name__ == "__main__":
    sys.exit(main())
