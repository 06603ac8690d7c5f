"""What a tenant costs at each hop: series, memory and CPU time, on the whole chain with nothing in it but real parts.

python -m benchmarks.capacity [--tenants N] [--seconds S]

One application with a shared pool of all tenants, a few of whom have a database and a pool of their own as well; an
observer; the collector as it is deployed, which names all of them; Prometheus. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import psutil

from examples.stack.process import ROOT
from examples.stack.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN: Final = ("own_1", "own_2", "own_3")
"""Projects with a database and a pool each."""
INTERVAL: Final = 10.0
"""Seconds between two exports, and between two of the collector's flushes: as it is deployed."""
WARM: Final = 15.0
"""Seconds before the first look: a server that has just started still grows."""
SERIES: Final = "prometheus_tsdb_head_series"
LOOK: Final = 2.0
"""Seconds between two looks at how much memory there is: Go's swings."""
SHARED: Final = 'project_id=~"shared_.*"'
COLLECTOR: Final = {
    "OTELCOL_INTERVAL": f"{INTERVAL:g}s",
    "OTELCOL_BUDGET_PRO": "100000",
    "OTELCOL_MAX_SERIES": "2000000",
    "OTELCOL_MEMORY_MIB": "4096",
}


@dataclass(frozen=True, slots=True)
class Used:
    """What a process has used so far: CPU seconds, and resident bytes."""

    cpu: float
    memory: int

    @classmethod
    def by(cls, pid: int | None) -> Used:
        """Look at a process and its children."""
        process = psutil.Process(pid)
        everybody = [process, *process.children(recursive=True)]
        times = [each.cpu_times() for each in everybody]
        return cls(sum(t.user + t.system for t in times), sum(each.memory_info().rss for each in everybody))


@contextmanager
def application(stack: Stack, folder: Path, tenants: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run the load; it has done its first round."""
    stack.postgres.execute("CREATE DATABASE shared")
    for name in OWN:
        stack.postgres.execute(f"CREATE DATABASE {name}")
    targets = {
        "shared": stack.postgres.dsn("shared"),
        "tenants": tenants,
        "own": [stack.postgres.dsn(name) for name in OWN],
    }
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    command = [str(instrument), sys.executable, "-m", "benchmarks.capacity.app", json.dumps(targets)]
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603  # our own program
        command, env=environment(stack, folder), cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    ) as app:
        assert app.stdout is not None
        if not app.stdout.readline():
            raise RuntimeError("the application ended")
        yield app
        app.communicate()


def environment(stack: Stack, folder: Path) -> dict[str, str]:
    """Return what the application and the observer are told."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OTEL_SERVICE_NAME": "capacity",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.endpoints.otlp_grpc,
        "OTEL_METRIC_EXPORT_INTERVAL": f"{INTERVAL * 1000:g}",
        "OTEL_DYNABASE_DIRECTORY": str(folder / "tenants.json"),
        "OTEL_DYNABASE_MAX_TENANTS": "100000",
        "OTEL_DYNABASE_OBSERVE_SERVERS": stack.postgres.dsn(),
        "OTEL_DYNABASE_OBSERVE_STATE": str(folder / "observe.json"),
        "OTEL_DYNABASE_OBSERVE_HEALTH": "off",
        "OTEL_DYNABASE_OBSERVE_USAGE_INTERVAL": f"{INTERVAL:g}",
    }


def own_figure(prometheus: str, name: str) -> float:
    """Return one of Prometheus' metrics about itself."""
    text = httpx.get(f"{prometheus}/metrics", trust_env=False).raise_for_status().text
    found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"Prometheus does not say {name}")
    return float(found[1])


def settle(stack: Stack) -> None:
    """Wait until no new series come any more, but for some of the observer's."""
    before, now = 0.0, own_figure(stack.prometheus.url, SERIES)
    while now > before * 1.001:
        time.sleep(3 * INTERVAL)
        before, now = now, own_figure(stack.prometheus.url, SERIES)


def series(stack: Stack, tenants: int) -> dict[str, float]:
    """Return Prometheus' series of one tenant, by where they come from."""

    def count(selector: str, of: int) -> float:
        found = stack.prometheus.query(f"count({{{selector}}})")
        return round(found[0].value / of, 1) if found else 0

    own = f'project_id=~"{"|".join(OWN)}", job="capacity"'
    return {
        "shared_pool": count(SHARED, tenants),
        "shared_pool_semconv": count(SHARED + ', __name__=~"db_client_.*"', tenants),
        "pool_of_its_own": count(own, len(OWN)),
        "observer": count(own.replace("capacity", "capacity-observer"), len(OWN)),
    }


def measure(tenants: int, seconds: float) -> dict[str, Any]:
    """Run it; return the figures."""
    names = [f"shared_{number}" for number in range(tenants)]
    with tempfile.TemporaryDirectory() as name, Stack(Path(name) / "stack", environ={}, collector=COLLECTOR) as stack:
        folder = Path(name)
        rows = [{"project_id": each, "plan": "pro", "tier": "HOT", "database": each} for each in (*names, *OWN)]
        (folder / "tenants.json").write_text(json.dumps({"tenants": rows}))
        time.sleep(WARM)
        head = own_figure(stack.prometheus.url, SERIES)
        empty = [Used.by(part.pid) for part in (stack.collector, stack.prometheus)]
        with application(stack, folder, names), observer(stack, folder):
            settle(stack)
            began = time.monotonic()
            before = [Used.by(part.pid) for part in (stack.collector, stack.prometheus)]
            looks = []
            while (took := time.monotonic() - began) < seconds:
                time.sleep(LOOK)
                looks.append([Used.by(part.pid) for part in (stack.collector, stack.prometheus)])
            more = own_figure(stack.prometheus.url, SERIES) - head
            collector, prometheus = (
                {
                    "bytes_per_series": round((statistics.median(u.memory for u in used) - idle.memory) / more),
                    "bytes_per_series_at_most": round((max(u.memory for u in used) - idle.memory) / more),
                    "cores_per_100k_series": round((used[-1].cpu - early.cpu) / took / more * 100_000, 3),
                }
                for idle, early, used in zip(empty, before, zip(*looks, strict=True), strict=True)
            )
            return {
                "tenants": tenants,
                "series": round(more),
                "series_per_tenant": series(stack, tenants),
                "collector": collector,
                "prometheus": prometheus,
            }


@contextmanager
def observer(stack: Stack, folder: Path) -> Iterator[None]:
    """Run `otel-dynabase observe` beside the application."""
    env = {**environment(stack, folder), "OTEL_SERVICE_NAME": "capacity-observer"}
    with subprocess.Popen([sys.executable, "-m", "otel_dynabase.cli", "observe"], env=env, cwd=ROOT) as process:
        yield
        process.terminate()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=1000, help="tenants of the shared pool (default: 1000)")
    parser.add_argument("--seconds", type=float, default=120, help="time measured (default: 120)")
    given = parser.parse_args()
    print(json.dumps(measure(given.tenants, given.seconds)))


if __name__ == "__main__":
    main()
