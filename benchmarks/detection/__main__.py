"""How long until somebody is told: from the start of a fault to the call of PagerDuty's or Slack's webhook.

python -m benchmarks.detection [--runs N] [--cases FAULT …] [--json]

The real chain at its shipped settings: for each plan an application under `opentelemetry-instrument`, which exports
every 10 s and sends 10 statements a second to four tenants' databases on a PostgreSQL server of the plan's own; the
collector, which sends series every 10 s; Prometheus with collector/prometheus/*.yml, Alertmanager with
collector/alertmanager, and a receiver that takes PagerDuty's and Slack's wire forms. Runs go on beside each other, each
on a chain of its own; all plans of a run share one, and each plan suffers, one after the other:

  cold_start  enterprise only: the first request for a tenant that is asleep, the first that the chain has seen
  latency     every statement takes 1.5 times the plan's objective
  outage      the plan's database server is killed: connections are refused
  half_slow   every second statement takes 1.5 times the plan's objective
  hang        the server is stopped by SIGSTOP: connections stay open, nothing is answered
  silence     the application is killed

Each begins at a random moment, when the last one's alerts are over and good statements have filled the long window of
the alert again, as they have in production; until then an alert would come too early. `worst_s` is over all `cases`;
half_slow and hang are no promise, and stand apart in `unpromised`. Exit status 1 if any case is above 60 s, or nobody
was told.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.conclusion import conclude
from benchmarks.detection.account import account, mistakes, table
from benchmarks.detection.faults import FAULTS, calm, long_window, suffer
from benchmarks.detection.site import Site
from examples.stack import build
from otel_dynabase.catalog.plans import PLANS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.detection.faults import Detection, Fault
    from benchmarks.detection.site import Service

SETTLED: Final = 30.0
"""Seconds for the last statement of a window to be in Prometheus: three cycles."""


class Run:
    """Every plan of every site, each on a thread of its own."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = faults
        self._over = threading.Event()
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._detections: list[Detection] = []

    def go(self, sites: Sequence[Site]) -> list[Detection]:
        """Let all suffer; return what was told, in the faults' order."""
        services = [service for site in sites for service in site.services.values()]
        with ThreadPoolExecutor(len(services), "services") as threads:
            try:
                for done in as_completed([threads.submit(self._suffer, service) for service in services]):
                    done.result()
            finally:
                self._over.set()
        order = [(fault.name, plan) for fault in self._faults for plan in PLANS]
        return sorted(self._detections, key=lambda each: order.index((each.fault, each.plan)))

    def _suffer(self, service: Service) -> None:
        everything = {alert for fault in FAULTS for alert in fault.told_by(service)}
        # since when an alert's windows have had nothing but good statements
        clean = dict.fromkeys(everything, time.monotonic())
        for fault in [fault for fault in self._faults if service.plan.name in fault.plans]:
            alerts = fault.told_by(service)
            due = max(clean[alert] + long_window(alert, service.plan.name) for alert in alerts) + SETTLED
            self._over.wait(max(0.0, due - time.monotonic()))
            calm(service, fault, self._over)
            if self._over.is_set():
                return
            self._tell(suffer(service, fault, self._over))
            clean |= dict.fromkeys(everything if fault.stops else alerts, time.monotonic())

    def _tell(self, told: Detection) -> None:
        with self._lock:
            self._detections.append(told)
        seconds = "never" if told.seconds is None else f"{told.seconds:5.1f} s"
        minute = (time.monotonic() - self._began) / 60
        print(f"{minute:5.1f} min  {told.plan:10} {told.fault:10} {seconds}  {told.alert}", file=sys.stderr)


def sites(work: Path, runs: int) -> Iterator[Site]:
    """Make so many sites; they share one ClickHouse, which has no part in this."""
    clickhouse = ""
    for number in range(runs):
        directory = work / f"run-{number}"
        directory.mkdir()
        site = Site(directory, clickhouse)
        clickhouse = clickhouse or site.stack.clickhouse.url
        yield site


def run(work: Path, runs: int, faults: Sequence[Fault]) -> dict[str, Any]:
    """Run everything; return the figures."""
    for program in build.programs():
        program.ensure()
    with ExitStack() as running:
        everywhere = [running.enter_context(site) for site in sites(work, runs)]
        print(f"{len(everywhere)} chains are up", file=sys.stderr)
        return account(Run(faults).go(everywhere))


def main() -> int:
    """Run, and print the figures and one line of JSON; return 1 if the promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--runs", type=int, default=5, help="of each fault, beside each other (default: %(default)s)")
    parser.add_argument("--cases", nargs="+", choices=names, default=names, help="(default: all)")
    parser.add_argument("--json", action="store_true", help="print nothing but the line of JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        work.chmod(0o755)
        found = run(work, given.runs, [fault for fault in FAULTS if fault.name in given.cases])
    if not given.json:
        print(table(found))
    return conclude(found, mistakes(found))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; nothing is left running")
