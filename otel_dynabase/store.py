"""Accumulators: plain numbers behind a key, updated on the application's path and read by the producer.

A caller looks its accumulator up once and keeps it. An update is a few arithmetic operations under a lock of the
accumulator's own, so that totals are exact under threads and no reader ever holds up more than one series.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from otel_dynabase import faults
from otel_dynabase.catalog.kinds import Counter, Gauge, Histogram
from otel_dynabase.catalog.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry import trace

    from otel_dynabase.catalog.kinds import Key, Metric

    Observer = Callable[[], Iterable[tuple[Metric, Key, float]]]

exemplars = os.environ.get("OTEL_METRICS_EXEMPLAR_FILTER", "").strip().lower() != "always_off"
"""Whether measurements inside sampled spans are kept as exemplars: the SDK's own variable, default `trace_based`."""

FOLD = 64
"""Values that a histogram series keeps before it counts them; 32 bytes each."""
EXEMPLAR_AGE = 5.0
"""Seconds that a bucket keeps its exemplar before the next sampled measurement may replace it."""

GRACE = 900.0
"""Seconds for which a series that is no tenant's any more, or not under these labels, is still exported."""
RETIRING = 60.0
"""Seconds between two looks for such series."""


class Exemplar(NamedTuple):
    """A measurement taken inside a sampled span."""

    value: float
    time_ns: int
    trace_id: int
    span_id: int


@dataclass(frozen=True, slots=True)
class SumPoint:
    """A counter's total since `start_ns`."""

    start_ns: int
    value: float


@dataclass(frozen=True, slots=True)
class HistogramPoint:
    """A histogram since `start_ns`: `counts` has one place more than the metric has buckets."""

    start_ns: int
    counts: tuple[int, ...]
    total: float
    exemplars: Mapping[int, Exemplar]
    """By bucket: one each."""


def _start_ns() -> int:
    """Return a start time for a series that begins now: a millisecond before its first measurement.

    Prometheus makes a zero sample of it only if that comes before the first point, and counts in milliseconds.
    """
    return time.time_ns() - 1_000_000


class Sum:
    """One counter series."""

    __slots__ = ("__weakref__", "_lock", "_start_ns", "_value")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start from zero, now."""
        self._lock = threading.Lock()
        self._start_ns = _start_ns()
        self._value: float = 0

    def add(self, amount: float = 1) -> None:
        """Add a non-negative amount."""
        with self._lock:
            self._value += amount

    def point(self) -> SumPoint:
        """Read the total."""
        return SumPoint(self._start_ns, self._value)

    def resume(self, point: SumPoint) -> None:
        """Go on from an earlier reading."""
        with self._lock:
            self._start_ns, self._value = point.start_ns, point.value


class Distribution:
    """One histogram series.

    Recording appends to a list, which is atomic; buckets are counted FOLD values at a time, or when they are read. That
    is a fifth of what finding the bucket under a lock costs each time.
    """

    __slots__ = (
        *("__weakref__", "_bounds", "_counts", "_exemplars", "_lock"),
        *("_start_ns", "_total", "_values"),
    )

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.reset()

    def reset(self) -> None:
        """Start from zero, now."""
        self._lock = threading.Lock()
        self._start_ns = _start_ns()
        self._values: list[float] = []
        self._counts = [0] * (len(self._bounds) + 1)
        self._total: float = 0
        self._exemplars: dict[int, tuple[float, Exemplar]] = {}

    def record(self, value: float) -> None:
        """Count one value."""
        values = self._values
        values.append(value)
        if len(values) >= FOLD:
            self._fold()

    def record_in(self, span: trace.Span, value: float, now: float) -> None:
        """Count one value that was measured in `span`, as its bucket's exemplar if that is sampled.

        `now` is `time.perf_counter()`.
        """
        self.record(value)
        if exemplars:
            bucket = bisect_left(self._bounds, value)
            kept = self._exemplars.get(bucket)
            if kept is None or now >= kept[0]:
                self._keep(bucket, span.get_span_context(), value, now)

    def _keep(self, bucket: int, context: trace.SpanContext, value: float, now: float) -> None:
        if context.trace_flags.sampled and context.is_valid:
            exemplar = Exemplar(value, time.time_ns(), context.trace_id, context.span_id)
            self._exemplars[bucket] = (now + EXEMPLAR_AGE, exemplar)

    def _fold(self) -> None:
        """Count the values that are there now, unless somebody is at it; what is appended meanwhile stays for then.

        It must not wait: a garbage collection while this thread counts may come here with a connection that was lost.
        """
        lock = self._lock
        if lock.acquire(blocking=False):
            try:
                self._fold_locked()
            finally:
                lock.release()

    def _fold_locked(self) -> None:
        size = len(self._values)
        values = sorted(self._values[:size])
        del self._values[:size]
        below = 0
        for bucket, bound in enumerate(self._bounds):
            if below == size:
                break
            to = bisect_right(values, bound, below)
            self._counts[bucket] += to - below
            below = to
        self._counts[-1] += size - below
        self._total += sum(values)

    def point(self) -> HistogramPoint:
        """Read counts and total as of one moment."""
        with self._lock:
            self._fold_locked()
            counts, total = tuple(self._counts), self._total
        kept = {bucket: exemplar for bucket, (_, exemplar) in list(self._exemplars.items())}
        return HistogramPoint(self._start_ns, counts, total, kept)

    def resume(self, point: HistogramPoint) -> None:
        """Go on from an earlier reading with the same buckets."""
        with self._lock:
            self._start_ns, self._total, self._counts = point.start_ns, point.total, list(point.counts)
            self._values, self._exemplars = [], {}


class Budget:
    """At most `limit` tenants have series of their own; who is admitted stays so, until somebody knows better."""

    def __init__(self, limit: int, folded: Sum) -> None:
        self._limit = limit
        self._folded = folded
        self._admitted: set[str] = set()
        self.after_fork()

    def after_fork(self) -> None:
        """Take a lock that no thread of the parent's holds; who was admitted stays so."""
        self._lock = threading.Lock()

    def admit(self, project_id: str) -> bool:
        """Say whether a project may have series of its own; the first `limit` that ask may."""
        with self._lock:
            if project_id in self._admitted:
                return True
            if len(self._admitted) < self._limit:
                self._admitted.add(project_id)
                return True
        self._folded.add()
        return False

    def dismiss(self, project_id: str) -> None:
        """Give the place of a project that is gone to another."""
        with self._lock:
            self._admitted.discard(project_id)


def _reading(point: SumPoint | HistogramPoint) -> object:
    return point.value if isinstance(point, SumPoint) else point.counts


class Store:
    """All series of this process."""

    def __init__(self) -> None:
        self._families: dict[Metric, dict[Key, Sum | Distribution]] = {}
        self._observers: list[Observer] = []
        self._retiring: dict[tuple[Metric, Key], tuple[object, float]] = {}
        self._forgotten: weakref.WeakValueDictionary[tuple[Metric, Key], Sum | Distribution]
        self._forgotten = weakref.WeakValueDictionary()
        """Series that were retired, as long as somebody keeps them bound,"""
        self._left: dict[tuple[Metric, Key], object] = {}
        """and what they had counted then."""
        self._lock = threading.Lock()

    def sum(self, metric: Counter, key: Key = ()) -> Sum:
        """Find or make a counter series; `key` has the values of `metric.key` in their order."""
        found = self._families.get(metric, {}).get(key)
        return cast("Sum", found or self._add(metric, key, Sum))

    def distribution(self, metric: Histogram, key: Key = ()) -> Distribution:
        """Find or make a histogram series; `key` has the values of `metric.key` in their order."""
        found = self._families.get(metric, {}).get(key)
        return cast("Distribution", found or self._add(metric, key, lambda: Distribution(metric.buckets)))

    def _add(self, metric: Metric, key: Key, make: Callable[[], Sum | Distribution]) -> Sum | Distribution:
        if len(key) != len(metric.key):
            raise ValueError(f"{metric.name} takes {[label.name for label in metric.key]}, not {key}")
        with self._lock:
            known = self._forgotten.pop((metric, key), None)
            return self._families.setdefault(metric, {}).setdefault(key, known or make())

    def observe(self, observer: Observer) -> None:
        """Ask `observer` for current values at each collection, on the collecting thread; equal keys are folded."""
        self._observers.append(observer)

    def series(self) -> Iterator[tuple[Metric, Key, SumPoint | HistogramPoint]]:
        """Read every counter and histogram series."""
        for metric, family in list(self._families.items()):
            for key, cell in list(family.items()):
                yield metric, key, cell.point()

    def observed(self) -> dict[Metric, dict[Key, float]]:
        """Read every observed value now; an observer that fails is passed over and counted."""
        values: dict[Metric, dict[Key, float]] = {}
        for observer in list(self._observers):
            try:
                for metric, key, value in observer():
                    family = values.setdefault(metric, {})
                    fold = max if isinstance(metric, Gauge) and metric.fold == "max" else add
                    family[key] = value if key not in family else fold(family[key], value)
            except Exception:
                faults.ignore("observing pools")
        return values

    def retire(self, outdated: Callable[[Metric, Key], bool], now: float, grace: float) -> int:
        """Forget the series that are `outdated` and have not changed for `grace` seconds; return how many.

        Nothing is lost by it: one that somebody has kept bound and adds to later is there again, with its total, from
        the next call on; another one that is asked for again starts from zero.
        """
        self._remember()
        seen: dict[tuple[Metric, Key], tuple[object, float]] = {}
        for metric, key, point in self.series():
            if outdated(metric, key):
                reading = _reading(point)
                before = self._retiring.get((metric, key))
                seen[metric, key] = before if before is not None and before[0] == reading else (reading, now)
        gone = [series for series, (_, since) in seen.items() if now - since >= grace]
        for series in gone:
            metric, key = series
            with self._lock:
                self._forgotten[series] = self._families[metric].pop(key)
            self._left[series] = seen.pop(series)[0]
        self._retiring = seen
        return len(gone)

    def _remember(self) -> None:
        """Take back the forgotten series that have changed since."""
        self._left = {series: reading for series, reading in self._left.items() if series in self._forgotten}
        for series, reading in self._left.items():
            cell = self._forgotten.get(series)
            if cell is not None and _reading(cell.point()) != reading:
                metric, key = series
                with self._lock:
                    self._forgotten.pop(series, None)
                    self._families.setdefault(metric, {}).setdefault(key, cell)

    def dump(self) -> dict[str, list[list[Any]]]:
        """Return all totals as what JSON can hold: by metric, [key, start, value] or [key, start, counts, total].

        Without `otel_dynabase.*`, which tell of this process.
        """
        dumped: dict[str, list[list[Any]]] = {}
        for metric, key, point in self.series():
            if not metric.name.startswith("otel_dynabase."):
                rest = [point.value] if isinstance(point, SumPoint) else [point.counts, point.total]
                dumped.setdefault(metric.name, []).append([key, point.start_ns, *rest])
        return dumped

    def load(self, dumped: Mapping[str, Iterable[list[Any]]]) -> int:
        """Go on from what `dump` returned; return how many series do not fit the catalogue any more and are lost."""
        metrics = {metric.name: metric for metric in METRICS}
        misfits = 0
        for name, series in dumped.items():
            metric = metrics.get(name)
            for key, *point in series:
                try:
                    self._resume(metric, tuple(key), *point)
                except (TypeError, ValueError):
                    misfits += 1
        return misfits

    def _resume(self, metric: Metric | None, key: Key, start_ns: int, *values: Any) -> None:
        match metric, values:
            case Counter(), (value,):
                self.sum(metric, key).resume(SumPoint(start_ns, value))
            case Histogram(), (counts, total):
                if len(counts) != len(metric.buckets) + 1:
                    raise ValueError("other buckets")
                self.distribution(metric, key).resume(HistogramPoint(start_ns, tuple(counts), total, {}))
            case _:
                raise ValueError("no such metric")

    def __len__(self) -> int:
        """Count the series."""
        return sum(len(family) for family in list(self._families.values()))

    def after_fork(self) -> None:
        """Forget what the parent counted; bound series stay bound and start from zero."""
        self._lock = threading.Lock()
        for family in self._families.values():
            for cell in family.values():
                cell.reset()
