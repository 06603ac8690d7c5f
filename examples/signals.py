"""Every signal of the catalogue, seen where it ends up. `python -m examples.signals`.

The demo's stack and load, with every opt-in switched on and times so short that a minute shows what takes hours
elsewhere; then each metric is looked up in Prometheus and each event in ClickHouse.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from examples import report
from examples.demo import INTERRUPTED, Demo
from examples.load import UnexpectedError
from examples.service import ROOT
from examples.stack.process import StartError
from otel_dynabase.catalog.events import STORED
from otel_dynabase.catalog.kinds import Histogram, Recorded
from otel_dynabase.catalog.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.demo import Stage
    from examples.report import Paint
    from otel_dynabase.catalog.kinds import Metric

PATIENCE: Final = 100.0
"""Seconds to wait for the last signal: one of them comes once a minute."""
PERIOD: Final = "10m"
SIGNALS: Final = tuple(metric for metric in METRICS if not metric.name.startswith("otel_dynabase."))

SETTINGS: Final = {
    "OTEL_DYNABASE_QUERY_COST_SAMPLE": "10",
    "OTEL_DYNABASE_OBSERVE_USAGE_INTERVAL": "1",
    "OTEL_DYNABASE_OBSERVE_QUIET_GAP": "3",
    "OTEL_DYNABASE_OBSERVE_CEILING_AFTER": "2",
}
COLLECTOR: Final = {"OTELCOL_BUDGET_FREE": "1", "OTELCOL_MIN_STAY": "1s"}
"""Room for one free tenant, and for no longer than it is the busiest."""
CONFIGS: Final = (ROOT / "collector/detail.yaml",)
LIMITS: Final = {"enterprise": {"query_rate": 1}, "pro": {"connections": 1}}
"""Limits so low that everyday traffic stays at them."""

EPILOG: Final = """\
the last line is JSON: metrics_seen, metrics_total, events_seen, events_total, missing (names).
exit status: 0 if everything was seen, 1 if not, 130 after Ctrl-C.
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One signal and where it was seen: how many series or rows, of which source; `example` is one of them."""

    name: str
    source: str
    where: str
    count: int
    example: str


def main(arguments: list[str] | None = None) -> int:
    """Run everything; return the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    paint = report.coloured if sys.stdout.isatty() and "NO_COLOR" not in os.environ else report.plain
    watch = Watch()
    demo = Demo(
        options,
        paint,
        settings=SETTINGS,
        collector=COLLECTOR,
        configs=CONFIGS,
        prepare=_prepare,
        before_the_end=watch.wait,
    )
    try:
        demo.run()
    except (StartError, UnexpectedError) as error:
        print(paint(report.RED, "error: ") + str(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        left = "the stack goes on running if it was up" if options.keep else "nothing is left running"
        print(f"interrupted; {left}", file=sys.stderr)
        return INTERRUPTED
    print()
    print("\n".join(table(watch.metrics, paint)), "", "\n".join(table(watch.events, paint)), sep="\n")
    demo.farewell()
    print(json.dumps(watch.summary()))
    return 1 if watch.missing() else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.signals",
        description="Run the demo's load, and say of every metric and event of the catalogue where it was seen.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=16.0, help="length of the everyday traffic (default: 16)")
    parser.add_argument(
        "--keep", action="store_true", help="leave the stack running, to ask it; best with a --directory of its own"
    )
    parser.add_argument("--directory", type=Path, help="the stack's data and logs (default: temporary; --keep: .stack)")
    parser.set_defaults(seed=1)
    return parser


def _prepare(directory: Path) -> dict[str, str]:
    """Write the low limits; return the setting that names them."""
    limits = directory / "limits.yaml"
    limits.write_text(yaml.safe_dump(LIMITS))
    return {"OTEL_DYNABASE_OBSERVE_LIMITS": str(limits)}


class Watch:
    """Looks both stores up until every signal was seen, while everything still runs."""

    def __init__(self) -> None:
        self.metrics: list[Seen] = []
        self.events: list[Seen] = []

    def wait(self, stage: Stage) -> None:
        """Look until nothing is missing, at most PATIENCE seconds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self._look(stage)
            if not self.missing() or time.monotonic() > deadline:
                return
            stage.say("signals", f"{len(self.missing())} are still to come: {', '.join(self.missing()[:4])} …")
            time.sleep(5)

    def _look(self, stage: Stage) -> None:
        self.metrics = [self._metric(stage, metric) for metric in SIGNALS]
        rows = stage.clickhouse.rows(
            "SELECT event_type, count() AS events, any(project_id) AS one FROM tier_events GROUP BY 1"
        )
        found = {row["event_type"]: row for row in rows}
        self.events = [
            Seen(
                event.name,
                ", ".join(event.sources),
                "ClickHouse",
                found.get(event.name, {}).get("events", 0),
                found.get(event.name, {}).get("one", ""),
            )
            for event in STORED
        ]

    def _metric(self, stage: Stage, metric: Metric) -> Seen:
        series = metric.prometheus + ("_count" if isinstance(metric, Histogram) else "")
        # a histogram that has counted nothing is not seen; a counter at its zero is there for an alert to watch
        selected = f"max_over_time({series}[{PERIOD}])" + (" > 0" if isinstance(metric, Histogram) else "")
        samples = stage.prometheus.query(selected)
        label = "plan" if isinstance(metric, Recorded) else "project_id"
        names = sorted({sample.labels.get(label, "") for sample in samples} - {""})
        return Seen(metric.prometheus, ", ".join(metric.sources), "Prometheus", len(samples), ", ".join(names[:2]))

    def missing(self) -> list[str]:
        """Return the names of what has not been seen."""
        return [seen.name for seen in (*self.metrics, *self.events) if not seen.count]

    def summary(self) -> dict[str, object]:
        """Return what a program wants to know."""
        return {
            "metrics_seen": sum(seen.count > 0 for seen in self.metrics),
            "metrics_total": len(self.metrics),
            "events_seen": sum(seen.count > 0 for seen in self.events),
            "events_total": len(self.events),
            "missing": self.missing(),
        }


def table(seen: Sequence[Seen], paint: Paint) -> list[str]:
    """Return a table of signals, line by line."""
    unit = "series" if seen[0].where == "Prometheus" else "rows"
    rows = [(one.name, one.source, f"{one.count:,}" if one.count else "none", one.example) for one in seen]
    heads = (f"in {seen[0].where}", "source", unit, "for example")
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = []
    for row in (heads, *rows):
        cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2].rjust(widths[2]), row[3]]
        style = report.BOLD if row is heads else report.RED if row[2] == "none" else ""
        line = "   ".join(cells).rstrip()
        lines.append(paint(style, line) if style else line)
    return lines


if __name__ == "__main__":
    sys.exit(main())
