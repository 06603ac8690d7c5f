"""Every panel's question, asked of real stores after the demo's load, and what it touched. `python -m examples.panels`.

There is no Grafana here: its files are read as it reads them (examples/grafana.py), and what it would send to the
stores is sent to them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples import signals
from examples.grafana import Asker, Dashboard, Range
from examples.service import ROOT
from examples.stack import keeper
from examples.stack.clickhouse import ClickHouse
from examples.stack.prometheus import Prometheus
from otel_dynabase.catalog.metrics import TENANTS_BY_TIER
from otel_dynabase.render.rules import RECORDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

DASHBOARDS: Final = ROOT / "collector/grafana/dashboards"
SECONDS: Final = 900
"""The range that is looked at: the demo is in it."""
LOOKBACK: Final = 290
"""Seconds for which Prometheus shows a value after the last one has come: a little less than five minutes."""
PATIENCE: Final = 75.0
RECORDED: Final = tuple(rule.name for rule in RECORDINGS if rule.name.endswith(":rate5m"))
EPILOG: Final = """\
a panel that asks about one project is asked about each that has events: its figures are those of the largest answer.
the last line is JSON: panels, of which each has dashboard, panel, store, rows, read (rows of ClickHouse's, samples of
Prometheus'), series (touched in Prometheus), errors.
exit status: 0 if no question was refused, 1 if one was or the demo failed, 130 after Ctrl-C.
"""


@dataclass(slots=True)
class Touched:
    """What one panel found in one store, at most, and what it took."""

    dashboard: str
    panel: str
    store: str
    rows: int = 0
    read: int = 0
    series: int = 0
    errors: list[str] = field(default_factory=list)


def main(arguments: list[str] | None = None) -> int:
    """Run the demo with every opt-in, ask everything, print the table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.panels",
        description="Ask what every panel of Grafana's dashboards asks, and say what it found and touched.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--directory", type=Path, help="of a stack that `examples.signals --keep` has left running")
    options = parser.parse_args(arguments)
    if options.directory:
        touched = _measure(options.directory)
    else:
        with tempfile.TemporaryDirectory(prefix="otel-dynabase-panels-") as temporary:
            try:
                if status := signals.main(["--keep", "--directory", temporary]):
                    return status
                touched = _measure(Path(temporary))
            finally:
                keeper.down(Path(temporary))
    print()
    print("\n".join(table(touched)))
    print(json.dumps({"panels": [asdict(one) for one in touched]}))
    return 1 if any(one.errors for one in touched) else 0


def _measure(directory: Path) -> list[Touched]:
    state = keeper.State.read(directory)
    if state is None:
        sys.exit(f"no stack runs in {directory}: start one with python -m examples.signals --keep --directory …")
    at = state.endpoints
    return measure(Prometheus.existing(at.prometheus), ClickHouse.existing(at.clickhouse))


def measure(prometheus: Prometheus, clickhouse: ClickHouse) -> list[Touched]:
    """Ask everything that the dashboards ask about the last SECONDS, when the recordings that they read are there."""
    end = _end(prometheus)
    over = Range(end - SECONDS, end)
    asker = Asker(prometheus, clickhouse, over)
    found: dict[tuple[str, str, str], Touched] = {}
    projects = _projects(clickhouse)
    for file in sorted(DASHBOARDS.glob("*.json")):
        for project in projects if file.stem == "dynabase-tenant" else [""]:
            for question, answer in asker.all(Dashboard(file), {"project": [project]}):
                key = (question.dashboard, question.panel, question.store)
                one = found.setdefault(key, Touched(*key))
                one.rows, one.read = max(one.rows, answer.rows), max(one.read, answer.read)
                one.series = max(one.series, answer.series)
                one.errors += [answer.error] if answer.error else []
    return list(found.values())


def _end(prometheus: Prometheus) -> int:
    """Wait until what is recorded once a minute is there; return now, or when the observer's gauges were there last."""
    deadline = time.monotonic() + PATIENCE
    while not all(map(prometheus.query, RECORDED)) and time.monotonic() < deadline:
        time.sleep(1)
    (last,) = prometheus.query(f"max(max_over_time(timestamp({TENANTS_BY_TIER.prometheus})[1h:5s]))")
    return min(int(time.time()), int(last.value) + LOOKBACK)


def _projects(clickhouse: ClickHouse) -> list[str]:
    rows = clickhouse.rows("SELECT DISTINCT project_id FROM tier_events WHERE project_id != '_doctor' ORDER BY 1")
    return [row["project_id"] for row in rows]


def table(touched: list[Touched]) -> Iterator[str]:
    """Return a table, line by line."""
    yield f"{'dashboard':<26}{'panel':<48}{'store':<12}{'rows':>6}{'read':>9}{'series':>8}"
    for one in touched:
        series = f"{one.series:,}" if one.store == "Prometheus" else ""
        error = "   refused" if one.errors else ""
        yield (f"{one.dashboard:<26}{one.panel[:46]:<48}{one.store:<12}{one.rows:>6,}{one.read:>9,}{series:>8}{error}")


if __name__ == "__main__":
    sys.exit(main())
