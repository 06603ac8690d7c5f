"""Every sample that Prometheus has stored, stale markers included, as `promtool tsdb dump` prints them."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from benchmarks.cardinality.load import SERVICE, Key
from examples.stack.build import prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LABEL: Final = re.compile(r'([^{,\s]+)="((?:[^"\\]|\\.)*)"')
DETAILS: Final = ("status", "action", "le")
"""Labels that tell what a series counts; one at most in each metric of the load."""
EXTENSION: Final = 1.1
"""Average intervals by which Prometheus extrapolates a series at either end of a range, at most."""


@dataclass
class Series:
    """One series: its samples by time, None for a stale marker."""

    labels: dict[str, str]
    samples: list[tuple[int, float | None]] = field(default_factory=list)
    """Unix ms and value."""

    @property
    def key(self) -> Key:
        """What it counts, whoever the tenant is."""
        get = self.labels.get
        detail = next((self.labels[name] for name in DETAILS if name in self.labels), "")
        return Key(get("__name__", ""), get("plan", ""), get("tier", ""), detail)

    def lives(self) -> Iterator[list[tuple[int, float]]]:
        """Split it at its stale markers."""
        life: list[tuple[int, float]] = []
        for at, value in self.samples:
            if value is not None:
                life.append((at, value))
            elif life:
                yield life
                life = []
        if life:
            yield life


def stored(data: Path) -> list[Series]:
    """Read the samples of the load from the data of a Prometheus that has ended."""
    command = [str(prometheus("promtool").ensure()), "tsdb", "dump", f'--match={{job="{SERVICE}"}}', str(data)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  # our own program
    series: dict[str, Series] = {}
    for line in text.splitlines():
        labels, value, at = line.rsplit(" ", 2)
        one = series.get(labels) or series.setdefault(labels, Series(dict(LABEL.findall(labels))))
        one.samples.append((int(at), None if value == "NaN" else float(value)))
    for one in series.values():
        one.samples.sort(key=lambda sample: sample[0])
    return list(series.values())


class Reading:
    """What the samples of all counters add up to, and what is wrong with them."""

    def __init__(self, stored: list[Series]) -> None:
        self.increases: defaultdict[Key, list[tuple[int, float]]] = defaultdict(list)
        """By the moment of the sample, over all tenants, in order of time."""
        self.extrapolated: defaultdict[Key, float] = defaultdict(float)
        """By how much `increase` over everything may be off through its own extrapolation."""
        self.negative_steps = 0
        """Times that a life of a series fell."""
        self.born_above_zero = 0
        """Lives whose first sample is not 0: `increase` would not see it."""
        self.lives = 0
        for one in stored:
            if one.key.name != "target_info" and not one.key.name.endswith("connections"):
                self._add(one)
        for some in self.increases.values():
            some.sort()

    def _add(self, one: Series) -> None:
        samples = 0
        increase = 0.0
        into = self.increases[one.key]
        for life in one.lives():
            self.lives += 1
            samples += len(life)
            self.born_above_zero += life[0][1] != 0
            steps = [(life[0][0], life[0][1]), *((later[0], later[1] - value) for (_, value), later in pairwise(life))]
            self.negative_steps += sum(step < 0 for _, step in steps)
            into += [(at, step) for at, step in steps if step]
            increase += life[-1][1]
        if samples > 1:
            self.extrapolated[one.key] += increase * 2 * EXTENSION / (samples - 1)

    def total(self, key: Key) -> float:
        """Return the whole increase of a counter."""
        return sum(step for _, step in self.increases[key])

    def ahead(self, key: Key, truth: list[tuple[int, float]]) -> int:
        """Return at how many samples there was more than had been sent by then; `truth` are its increases by time."""
        sent = stored = 0.0
        ahead, coming = 0, iter([*truth, (1 << 62, 0.0)])
        next_at, amount = next(coming)
        for at, step in self.increases[key]:
            while next_at <= at:
                sent += amount
                next_at, amount = next(coming)
            stored += step
            ahead += stored > sent
        return ahead
