"""The MetricProducer: hands the store's series to the SDK's metric readers.

Metrics SDK specification, "MetricProducer". The Python SDK has no such interface yet
(open-telemetry/opentelemetry-python#4768), so each reader's collect callback is wrapped, and what it returns gets one
more scope. The wrapped callback belongs to the reader: it works with every exporter, and honours the temporality that
the reader prefers.
"""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.metrics._internal import instrument as sdk_instrument
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dynabase import faults
from otel_dynabase.catalog.kinds import Counter, Gauge, Histogram, Recorded, UpDownCounter
from otel_dynabase.catalog.metrics import METRICS
from otel_dynabase.store import HistogramPoint, SumPoint
from otel_dynabase.version import SCHEMA_URL, SCOPE, __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.sdk.resources import Resource

    from otel_dynabase.catalog.kinds import Key, Metric
    from otel_dynabase.store import Exemplar, Store

    Point = SumPoint | HistogramPoint
    Collect = Callable[..., sdk.MetricsData | None]

TOUCHPOINTS = (
    "opentelemetry.sdk.metrics.export:MetricReader._collect",
    "opentelemetry.sdk.metrics.export:MetricReader._set_collect_callback",
    "opentelemetry.sdk.metrics.export:MetricReader._instrument_class_temporality",
    "opentelemetry.sdk.metrics:MeterProvider._all_metric_readers",
    "opentelemetry.sdk.metrics:MeterProvider._sdk_config",
    "opentelemetry.sdk.metrics:MeterProvider._measurement_consumer",
)
"""The private parts of the SDK that this module relies on; tested on the oldest and the newest supported version."""

DELTA = sdk.AggregationTemporality.DELTA
CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE


class Producer:
    """Turns the store's series into OTLP data points, for one reader at a time."""

    def __init__(self, store: Store, families: Iterable[str]) -> None:
        self._store = store
        self._metrics: tuple[Metric, ...] = tuple(
            metric
            for metric in METRICS
            if not isinstance(metric, Recorded)
            and (metric.family in families or metric.name.startswith("otel_dynabase."))
        )
        self._scope = InstrumentationScope(SCOPE, __version__, SCHEMA_URL)
        self._last: weakref.WeakKeyDictionary[object, dict[tuple[Metric, Key], tuple[Point, int]]]
        self._last = weakref.WeakKeyDictionary()
        self.after_fork()

    def after_fork(self) -> None:
        """Forget what the parent's readers were given."""
        self._lock = threading.Lock()
        self._start_ns = time.time_ns()
        self._last = weakref.WeakKeyDictionary()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Have readers wait: none sees what changes inside before all of it is there."""
        with self._lock:
            yield

    def mute(self) -> None:
        """Have no reader see anything any more."""
        self._metrics = ()

    def produce(self, reader: object, temporality: Mapping[Any, sdk.AggregationTemporality]) -> sdk.ScopeMetrics:
        """Read all series; a delta reader gets what was added since this reader's last call."""
        with self._lock:
            metrics = list(self._produce(self._last.setdefault(reader, {}), temporality))
        return sdk.ScopeMetrics(self._scope, metrics, SCHEMA_URL)

    def _produce(
        self,
        last: dict[tuple[Metric, Key], tuple[Point, int]],
        temporality: Mapping[Any, sdk.AggregationTemporality],
    ) -> Iterator[sdk.Metric]:
        series, observed, now = self._families(), self._store.observed(), time.time_ns()
        for metric in self._metrics:
            if isinstance(metric, Gauge | UpDownCounter):
                data: Any = self._observed(metric, observed.get(metric, {}), now)
            else:
                kind = sdk_instrument._Counter if isinstance(metric, Counter) else sdk_instrument._Histogram
                wanted = temporality.get(kind, CUMULATIVE)
                points = series.get(metric, {})
                if wanted is DELTA:
                    points = dict(self._since(last, metric, points, now))
                data = self._sum(metric, points, wanted, now)
            if data.data_points:
                yield sdk.Metric(metric.name, metric.what, metric.unit, data)

    def _families(self) -> dict[Metric, dict[Key, Point]]:
        """Read the store once, and add the views' series, made from that same reading."""
        families: dict[Metric, dict[Key, Point]] = {}
        for metric, key, point in self._store.series():
            families.setdefault(metric, {})[key] = point
        for metric in self._metrics:
            if metric.view_of is not None:
                families[metric] = _view(metric, families.get(metric.view_of.source, {}))
        return families

    def _since(
        self, last: dict[tuple[Metric, Key], tuple[Point, int]], metric: Metric, points: dict[Key, Point], now: int
    ) -> Iterator[tuple[Key, Point]]:
        """Subtract what the reader already has; series without news are left out."""
        for key, point in points.items():
            before, when = last.get((metric, key), (None, point.start_ns))
            if before is not None and before.start_ns != point.start_ns:  # retired, and begun again
                before, when = None, point.start_ns
            last[metric, key] = (point, now)
            delta = _difference(point, before, when)
            if delta is not None:
                yield key, delta

    def _sum(self, metric: Metric, points: dict[Key, Point], temporality: sdk.AggregationTemporality, now: int) -> Any:
        if isinstance(metric, Histogram):
            histograms = [
                _histogram_point(metric, key, point, now)
                for key, point in points.items()
                if isinstance(point, HistogramPoint)
            ]
            return sdk.Histogram(histograms, temporality)
        numbers = [
            sdk.NumberDataPoint(_attributes(metric, key), point.start_ns, now, point.value)
            for key, point in points.items()
            if isinstance(point, SumPoint)
        ]
        return sdk.Sum(numbers, temporality, is_monotonic=True)

    def _observed(self, metric: Metric, values: dict[Key, float], now: int) -> Any:
        """Make data points of values read now; up-down counters stay cumulative (as the SDK's own do)."""
        began = cast("int", None) if isinstance(metric, Gauge) else self._start_ns  # a gauge began never
        numbers = [sdk.NumberDataPoint(_attributes(metric, key), began, now, value) for key, value in values.items()]
        return sdk.Gauge(numbers) if isinstance(metric, Gauge) else sdk.Sum(numbers, CUMULATIVE, is_monotonic=False)


def _view(metric: Metric, source: dict[Key, Point]) -> dict[Key, Point]:
    """Add up a source's series under the view's own keys."""
    assert metric.view_of is not None  # noqa: S101  # the caller's condition, for the type checker
    groups: dict[Key, list[HistogramPoint]] = {}
    for key, point in source.items():
        shown = metric.view_of.key(key)
        if shown is not None and isinstance(point, HistogramPoint):
            groups.setdefault(shown, []).append(point)
    merge = _merged if isinstance(metric, Histogram) else _counted
    return {key: merge(points) for key, points in groups.items()}


def _counted(points: list[HistogramPoint]) -> Point:
    return SumPoint(min(point.start_ns for point in points), sum(sum(point.counts) for point in points))


def _merged(points: list[HistogramPoint]) -> Point:
    if len(points) == 1:
        return points[0]
    return HistogramPoint(
        min(point.start_ns for point in points),
        tuple(map(sum, zip(*(point.counts for point in points), strict=True))),
        sum(point.total for point in points),
        _newest(point.exemplars for point in points),
    )


def _newest(several: Iterable[Mapping[int, Exemplar]]) -> dict[int, Exemplar]:
    """Keep each bucket's newest exemplar."""
    newest: dict[int, Exemplar] = {}
    for exemplars in several:
        for bucket, exemplar in exemplars.items():
            if bucket not in newest or exemplar.time_ns > newest[bucket].time_ns:
                newest[bucket] = exemplar
    return newest


def _difference(point: Point, before: Point | None, when: int) -> Point | None:
    """Subtract an earlier reading taken at `when`; None where nothing was added."""
    if isinstance(point, SumPoint):
        value = point.value - (before.value if isinstance(before, SumPoint) else 0)
        return SumPoint(when, value) if value else None
    if isinstance(before, HistogramPoint):
        counts = tuple(a - b for a, b in zip(point.counts, before.counts, strict=True))
        fresh = {bucket: exemplar for bucket, exemplar in point.exemplars.items() if exemplar.time_ns > when}
        point = HistogramPoint(when, counts, point.total - before.total, fresh)
    return point if any(point.counts) else None


def _attributes(metric: Metric, key: Key) -> dict[str, str]:
    attributes = {label.name: label.constant for label in metric.labels if label.constant is not None}
    attributes.update((label.name, value) for label, value in zip(metric.key, key, strict=True) if value is not None)
    return attributes


def _histogram_point(metric: Histogram, key: Key, point: HistogramPoint, now: int) -> sdk.HistogramDataPoint:
    """Make a data point; minimum and maximum are optional in OTLP, and nobody decides anything by them."""
    return sdk.HistogramDataPoint(
        attributes=_attributes(metric, key),
        start_time_unix_nano=point.start_ns,
        time_unix_nano=now,
        count=sum(point.counts),
        sum=point.total,
        bucket_counts=point.counts,
        explicit_bounds=metric.buckets,
        min=cast("float", None),
        max=cast("float", None),
        exemplars=[SdkExemplar({}, e.value, e.time_ns, e.span_id, e.trace_id) for e in point.exemplars.values()],
    )


class Bridge:
    """Wraps the collect callback of readers: of those that exist, and of those still to come."""

    def __init__(self, producer: Producer, provider: MeterProvider | None = None) -> None:
        self._producer = producer
        self._provider = provider
        self._joined: weakref.WeakSet[sdk.MetricReader] = weakref.WeakSet()

    def connect(self) -> None:
        """Join the readers that are registered already."""
        for reader in list(MeterProvider._all_metric_readers):
            collect = reader._collect
            if collect is not None:
                reader._set_collect_callback(self.wrap(reader, cast("Collect", collect)))

    def disconnect(self) -> None:
        """Give every reader its own callback back."""
        for reader in list(self._joined):
            callback = reader._collect
            if isinstance(callback, _Collect):  # a reader that was removed since has none
                reader._set_collect_callback(cast("Any", callback.original))
        self._joined.clear()

    def wrap(self, reader: sdk.MetricReader, collect: Collect) -> Collect:
        """Make a callback that adds our scope to what `collect` returns."""
        consumer = getattr(collect, "__self__", None)
        config = getattr(consumer, "_sdk_config", None)
        foreign = self._provider is not None and self._provider._measurement_consumer is not consumer
        if config is None or foreign:
            return collect
        self._joined.add(reader)
        return _Collect(self._producer, weakref.ref(reader), collect, config)


class _Collect:
    """A reader's callback: collects what the SDK has, and adds our scope."""

    def __init__(
        self, producer: Producer, reader: weakref.ref[sdk.MetricReader], original: Collect, config: Any
    ) -> None:
        self._producer = producer
        self._reader = reader
        self._config = config
        self.original = original

    def __call__(self, *args: Any, **kwargs: Any) -> sdk.MetricsData | None:
        data = self.original(*args, **kwargs)
        try:
            reader = self._reader()
            if reader is None:
                return data
            ours = self._producer.produce(reader, reader._instrument_class_temporality)
            # asked each time: after a fork the SDK gives the child a service.instance.id of its own
            return _with_scope(data, ours, self._config.resource) if ours.metrics else data
        except Exception:
            faults.ignore("producing metrics")
            return data


def _with_scope(data: sdk.MetricsData | None, ours: sdk.ScopeMetrics, resource: Resource) -> sdk.MetricsData:
    """Add a scope to a collection, under the resource that the collection has."""
    existing = list(data.resource_metrics) if data is not None else []
    if not existing:
        return sdk.MetricsData([sdk.ResourceMetrics(resource, [ours], resource.schema_url)])
    first = existing[0]
    scopes = [*first.scope_metrics, ours]
    return sdk.MetricsData([sdk.ResourceMetrics(first.resource, scopes, first.schema_url), *existing[1:]])
