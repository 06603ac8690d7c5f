"""The collector's tenant_cardinality beside contrib's processors that aggregate labels: CPU time of a point, memory.

python -m benchmarks.processor [--rounds N] [--repetitions N] [--json]

`metricstransform` (aggregate_labels) and `transform` (aggregate_on_attributes) do the stateless half of the work: they
sum the tenant away within a request. All sides run in one process and get requests of 5,000 delta points with six
attributes; a round gives each 100,000 points, in rotating order, and takes the CPU time of all threads: the figures are
of one core. Every number of tenants has a process of its own, once in each repetition, in rotating order. Figures are
medians over all rounds; ratios are of the same round, flatness is of the same repetition.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.stack.process import ROOT

MODULE = ROOT / "collector" / "tenantcardinalityprocessor" / "benchmark"
TENANTS = (1_000, 100_000, 1_000_000)
OURS, METRICSTRANSFORM, TRANSFORM = "tenant_cardinality", "metricstransform", "transform"
NS = 1e9


@dataclass
class Runs:
    """What was measured with one number of tenants: ns of a point by side, round by round; and what it all cost."""

    rounds: list[dict[str, float]] = field(default_factory=list)
    repetitions: list[float] = field(default_factory=list)
    """The median of ours in each repetition."""
    bytes_per_stream: list[float] = field(default_factory=list)
    flush_ms: list[float] = field(default_factory=list)

    def add(self, lines: list[dict[str, Any]]) -> None:
        """Add what one process printed."""
        rounds = [line["ns"] for line in lines if "ns" in line]
        self.rounds += rounds
        self.repetitions.append(statistics.median(ns[OURS] for ns in rounds))
        self.bytes_per_stream.append(lines[-1]["bytes_per_stream"])
        self.flush_ms.append(lines[-1]["flush_ms"])

    def ns(self, side: str) -> float:
        """Return the median time of a point."""
        return statistics.median(ns[side] for ns in self.rounds)

    def times_faster_than(self, side: str) -> float:
        """Return how many times the points of another side ours takes in the same time."""
        return statistics.median(ns[side] / ns[OURS] for ns in self.rounds)


def build(directory: Path) -> Path:
    """Build the Go program."""
    program = directory / "benchmark"
    go = [sys.executable, "-m", "examples.stack", "go"]
    subprocess.run([*go, "build", "-C", MODULE, "-o", program, "."], check=True, cwd=ROOT)  # noqa: S603  # our own
    return program


def run(program: Path, tenants: int, rounds: int) -> list[dict[str, Any]]:
    """Run the program once; return what it printed."""
    command = [str(program), f"-tenants={tenants}", f"-rounds={rounds}"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603  # our own
    return [json.loads(line) for line in printed.splitlines()]


def measure(repetitions: int, rounds: int) -> dict[int, Runs]:
    """Measure every number of tenants, as often as asked."""
    found = {tenants: Runs() for tenants in TENANTS}
    with tempfile.TemporaryDirectory() as directory:
        program = build(Path(directory))
        for repetition in range(repetitions):
            first = repetition % len(TENANTS)
            for tenants in TENANTS[first:] + TENANTS[:first]:
                found[tenants].add(run(program, tenants, rounds))
    return found


def figures(found: dict[int, Runs]) -> dict[str, float]:
    """Compute what is promised: the worst over all numbers of tenants, memory with the most of them."""
    fewest, most = found[TENANTS[0]].repetitions, found[TENANTS[-1]].repetitions
    return {
        "points_per_s": min(NS / runs.ns(OURS) for runs in found.values()),
        "vs_metricstransform": min(runs.times_faster_than(METRICSTRANSFORM) for runs in found.values()),
        "vs_transform": min(runs.times_faster_than(TRANSFORM) for runs in found.values()),
        "bytes_per_stream": statistics.median(found[TENANTS[-1]].bytes_per_stream),
        "flatness_1k_to_1m": statistics.median(many / few for many, few in zip(most, fewest, strict=True)),
    }


def show(found: dict[int, Runs]) -> None:
    """Print the table."""
    heads = f"{'tenants':>9}{OURS:>20}{METRICSTRANSFORM:>18}{TRANSFORM:>11}   {METRICSTRANSFORM:>16}{TRANSFORM:>11}"
    print(f"{'points a second on one core':>58}{'ours is times as fast as':>30}{'a flush':>9}{'a stream':>10}")
    print(f"{heads}{'ms':>9}{'bytes':>10}")
    for tenants, runs in found.items():
        print(
            f"{tenants:>9,}{NS / runs.ns(OURS):>20,.0f}{NS / runs.ns(METRICSTRANSFORM):>18,.0f}"
            f"{NS / runs.ns(TRANSFORM):>11,.0f}   {runs.times_faster_than(METRICSTRANSFORM):>16.1f}"
            f"{runs.times_faster_than(TRANSFORM):>11.1f}{statistics.median(runs.flush_ms):>9.1f}"
            f"{statistics.median(runs.bytes_per_stream):>10,.0f}"
        )


def main() -> None:
    """Measure, and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="rounds in each process (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="processes for each size (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print only the line of JSON")
    arguments = parser.parse_args()
    found = measure(arguments.repetitions, arguments.rounds)
    if not arguments.json:
        show(found)
    sizes = {str(tenants): round(NS / runs.ns(OURS)) for tenants, runs in found.items()}
    rounded = {name: round(value, 3) for name, value in figures(found).items()}
    print(json.dumps(rounded | {"points_per_s_by_tenants": sizes, "rounds": arguments.rounds * arguments.repetitions}))


if __name__ == "__main__":
    main()
