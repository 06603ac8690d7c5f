"""What a project's timeline costs to read out of 10 million events: our table beside the exporter's stock one.

python -m benchmarks.events [--events N] [--projects N] [--runs N] [--json]

The real engine, over HTTP. The collector's exporter creates its own table, `otel_logs`, as it does by default; ours
comes from the migrations. Both get the same rows. Ours is asked by the query of `otel-dynabase timeline`, the stock
table for the same events by what its columns offer. Rows read are the engine's own count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import yaml

from examples.stack import build
from examples.stack.clickhouse import ClickHouse
from examples.stack.process import ChildProcess, free_port
from otel_dynabase.clickhouse.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable

DAYS: Final = 80
"""Over which the events are spread evenly."""
MOST: Final = 1000
"""Events that a timeline shows, by default."""
RANGES: Final = {"24 hours": timedelta(hours=24), "everything": timedelta(days=DAYS + 1)}
"""What is asked for; the first is what `otel-dynabase timeline` asks by default, and the headline."""
FILL: Final = """
INSERT INTO tier_events (Timestamp, TraceId, SpanId, SeverityText, SeverityNumber, ServiceName, ResourceAttributes,
    ScopeName, LogAttributes, EventName)
WITH
    toString(rand(1) % {projects:UInt64}) AS tenant,
    ['limit_hit', 'limit_hit', 'limit_hit', 'limit_hit', 'cold_start', 'tier_transition', 'scale_to_zero',
     'tier_ceiling_hit'][1 + rand(2) % 8] AS event,
    'service-' || toString(rand(3) % 20) AS service
SELECT
    toDateTime64({day:Date}, 9, 'UTC') + toIntervalNanosecond(intDiv(86400000000000, {rows:UInt64}) * number),
    lower(hex(generateUUIDv4())), lower(hex(rand64())), 'INFO', 9, service,
    map('service.name', service, 'service.instance.id', toString(rand(4) % 200), 'host.name', toString(rand(5) % 50)),
    'otel_dynabase',
    map('event_id', toString(generateUUIDv7()), 'event_seq', toString(number), 'event.name', event,
        'project_id', 'proj_' || tenant, 'tenant_id', 'org_' || tenant, 'metadata', '{}',
        'plan', ['free', 'starter', 'pro', 'enterprise'][1 + rand(6) % 4], 'tier', ['WARM', 'HOT'][1 + rand(7) % 2],
        'limit_type', 'max_pool_size', 'action', 'queued', 'hit_count', toString(1 + rand(8) % 50),
        'queue_duration_ms', toString(rand(9) % 5000)),
    event
FROM numbers({rows:UInt64})
"""
"""One day of events, as the collector would insert them."""
COPY: Final = """
INSERT INTO otel_logs (Timestamp, TraceId, SpanId, SeverityText, SeverityNumber, ServiceName, ResourceAttributes,
    ScopeName, LogAttributes, EventName)
SELECT
    Timestamp, TraceId, SpanId, SeverityText, SeverityNumber, ServiceName, ResourceAttributes,
    ScopeName, LogAttributes, EventName
FROM tier_events
WHERE toDate(Timestamp) = {day:Date}
"""
STOCK: Final = """
SELECT *
FROM
(
    SELECT
        toUnixTimestamp64Nano(Timestamp) AS time_ns,
        EventName AS event_type,
        LogAttributes['event_id'] AS event_id,
        toUInt64OrZero(LogAttributes['event_seq']) AS event_seq,
        TraceId AS trace_id,
        SpanId AS span_id,
        ServiceName AS service_name,
        ResourceAttributes['service.instance.id'] AS service_instance_id,
        LogAttributes AS attributes
    FROM otel_logs
    WHERE LogAttributes['project_id'] = {project:String}
      AND Timestamp >= {since:DateTime64(9, 'UTC')} AND Timestamp < {until:DateTime64(9, 'UTC')}
      AND (empty({types:Array(String)}) OR EventName IN {types:Array(String)})
    ORDER BY Timestamp DESC, event_seq DESC, event_id DESC
    LIMIT {most:UInt64}
)
ORDER BY time_ns, event_seq, event_id
"""


@dataclass
class Side:
    """What one table showed."""

    sql: str
    rows: int = 0
    ms: list[float] = field(default_factory=list)
    answer: str = ""

    @property
    def median(self) -> float:
        """The median time of an answer, in milliseconds."""
        return statistics.median(self.ms)


class Bench:
    """Both tables, in one engine."""

    def __init__(self, server: ClickHouse, projects: int) -> None:
        self._server = server
        self._projects = projects
        self._http = httpx.Client(timeout=600, trust_env=False)

    def ask(self, sql: str, **values: object) -> tuple[str, int, float]:
        """Run a query; return the answer, the rows read, and how long it took in milliseconds."""
        parameters = {f"param_{name}": str(value) for name, value in values.items()}
        began = time.perf_counter()
        answer = self._http.post(self._server.url, params=parameters, content=sql)
        took = (time.perf_counter() - began) * 1000
        if not answer.is_success:
            raise RuntimeError(answer.text)
        return answer.text, int(json.loads(answer.headers["X-ClickHouse-Summary"]).get("read_rows", 0)), took

    def fill(self, events: int, say: Callable[[str], None]) -> dict[str, float]:
        """Insert the same events into both tables, a day at a time; return the seconds that each took."""
        seconds = {"tier_events": 0.0, "otel_logs": 0.0}
        for number in range(DAYS):
            day = (datetime.now(UTC) - timedelta(days=DAYS - 1 - number)).date()
            rows = events * (number + 1) // DAYS - events * number // DAYS
            seconds["tier_events"] += self.ask(FILL, day=day, rows=rows, projects=self._projects)[2] / 1000
            seconds["otel_logs"] += self.ask(COPY, day=day)[2] / 1000
            if number % 10 == 9:  # noqa: PLR2004  # now and then
                say(f"{number + 1} of {DAYS} days")
        return seconds

    def compare(self, length: timedelta, runs: int) -> tuple[Side, Side]:
        """Ask both tables for one project after the other, by turns; raise RuntimeError if they disagree."""
        until = datetime.now(UTC) + timedelta(days=1)
        ours, stock = Side(query("timeline")), Side(STOCK)
        for run in range(runs):
            values = {
                "project": f"proj_{run * 7919 % self._projects}",
                "since": f"{datetime.now(UTC) - length:%Y-%m-%d %H:%M:%S}",
                "until": f"{until:%Y-%m-%d %H:%M:%S}",
                "types": "[]",
                "most": MOST,
            }
            for side in (ours, stock):
                side.answer, rows, took = self.ask(side.sql, **values)
                side.rows += rows
                side.ms.append(took)
            if ours.answer != stock.answer:
                raise RuntimeError(f"the tables tell different histories of {values['project']}")
        return ours, stock

    def bytes(self) -> dict[str, int]:
        """Return how much each table takes on disk."""
        sizes = self._server.rows(
            "SELECT table, sum(bytes_on_disk) AS bytes FROM system.parts WHERE active GROUP BY table"
        )
        return {row["table"]: row["bytes"] for row in sizes}


def create_stock_table(server: ClickHouse, directory: Path) -> None:
    """Let the collector's exporter create its own table."""
    clickhouse = {"endpoint": server.url, "create_schema": True, "compress": "gzip"}
    config = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{free_port()}"}}}},
        "exporters": {"clickhouse": clickhouse},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["clickhouse"]}},
        },
    }
    file = directory / "collector.yaml"
    file.write_text(yaml.safe_dump(config))
    child = ChildProcess("the collector", directory / "collector.log")
    there = "SELECT count() AS tables FROM system.tables WHERE name = 'otel_logs'"
    command: list[str | Path] = [build.collector().ensure(), f"--config={file}"]
    child.start(command, lambda: server.rows(there)[0]["tables"] == 1, env=dict(os.environ))
    child.stop()


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run it; return the figures."""
    say = (lambda text: print(text, file=sys.stderr, flush=True)) if not given.json else (lambda _text: None)
    with tempfile.TemporaryDirectory() as folder, ClickHouse(Path(folder) / "clickhouse") as server:
        server.apply()
        create_stock_table(server, Path(folder))
        bench = Bench(server, given.projects)
        seconds = bench.fill(given.events, say)
        ranges = {}
        for name, length in RANGES.items():
            bench.compare(length, 2)  # warm
            ours, stock = bench.compare(length, given.runs)
            ranges[name] = {
                "rows_read": round(ours.rows / given.runs),
                "rows_read_stock": round(stock.rows / given.runs),
                "rows_read_ratio": round(ours.rows / stock.rows, 6),
                "ms": round(ours.median, 1),
                "ms_stock": round(stock.median, 1),
            }
        sizes = bench.bytes()
    head = next(iter(ranges.values()))
    return {
        **{key: head[key] for key in ("rows_read_ratio", "ms", "ms_stock")},
        "events": given.events,
        "projects": given.projects,
        "ranges": ranges,
        "bytes_per_event": round(sizes["tier_events"] / given.events, 1),
        "bytes_per_event_stock": round(sizes["otel_logs"] / given.events, 1),
        "insert_seconds": {table: round(took, 1) for table, took in seconds.items()},
    }


def show(found: dict[str, Any]) -> None:
    """Print a table for people."""
    print(f"timeline of one of {found['projects']:,} projects, out of {found['events']:,} events of {DAYS} days\n")
    print(f"{'':<12}{'tier_events':>24}{'otel_logs':>24}{'rows read':>16}")
    for name, each in found["ranges"].items():
        ours = f"{each['rows_read']:,} rows {each['ms']:.0f} ms"
        stock = f"{each['rows_read_stock']:,} rows {each['ms_stock']:.0f} ms"
        print(f"{name:<12}{ours:>24}{stock:>24}{'1 of ' + format(round(1 / each['rows_read_ratio']), ','):>16}")
    print(f"{'on disk':<12}{found['bytes_per_event']:>18} B each{found['bytes_per_event_stock']:>18} B each")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--projects", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=20, help="projects asked for in each range (default: 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    found = measure(given)
    print(json.dumps(found)) if given.json else show(found)


if __name__ == "__main__":
    main()
