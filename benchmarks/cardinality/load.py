"""The load: thousands of tenants whose weight shifts, in processes that speak OTLP; and the truth of all they sent."""

from __future__ import annotations

import time
import uuid
from bisect import bisect_left
from collections import Counter, deque
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Metric,
)

from otel_dynabase.catalog.metrics import ACTIVE_CONNECTIONS, LIMIT_HITS, QUERIES, QUERY_DURATION
from otel_dynabase.version import SCOPE

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from otel_dynabase.catalog.kinds import Metric as Declared

SERVICE: Final = "cardinality"
SHARES: Final = {"free": 0.4, "starter": 0.3, "pro": 0.28, "enterprise": 0.02}
"""Of the tenants, and of the statements."""
TIERS: Final = ("WARM", "HOT")
SKEW: Final = 1.1
"""Exponent of the tenants' weights: the heaviest tenth does most of the work."""
SLIDE: Final = 7
"""Ranks by which the heaviest move on at each shift, in each process."""
ERRORS: Final = 50
HITS: Final = 20
"""One statement in so many fails; in so many hits a limit."""
DURATIONS: Final = tuple(3**n / 1024 for n in range(9))
"""Seconds a statement may take. Their sums are exact in binary, in any order."""
CONNECTIONS: Final = 5
"""Most connections of one tenant in one process."""


LIMIT: Final = ("max_pool_size", "queued")
EDGES: Final = (*(f"{edge:g}" for edge in QUERY_DURATION.buckets), "+Inf")
"""The buckets' upper edges as Prometheus writes them."""


class Key(NamedTuple):
    """A series of Prometheus' as queries see it, whoever the tenant is."""

    name: str
    plan: str
    tier: str
    detail: str
    """The status, the limit, the bucket's upper edge; or nothing."""


class Tenant(NamedTuple):
    """One tenant; the attributes as they go over the wire."""

    project: str
    plan: str
    tier: str
    attributes: tuple[KeyValue, ...]


def text(key: str, value: str) -> KeyValue:
    """Return an attribute."""
    return KeyValue(key=key, value=AnyValue(string_value=value))


POSTGRES: Final = text("database_type", "postgres")
SELECT: Final = text("operation", "SELECT")


def population(count: int) -> dict[str, list[Tenant]]:
    """Return so many tenants by their plan."""
    tenants: dict[str, list[Tenant]] = {}
    for plan, share in SHARES.items():
        named = [(f"proj_{plan}_{number}", TIERS[number // 2 % len(TIERS)]) for number in range(round(count * share))]
        tenants[plan] = [
            Tenant(name, plan, tier, (text("project_id", name), text("plan", plan), text("tier", tier)))
            for name, tier in named
        ]
    return tenants


class Truth:
    """What has been sent, summed over tenants and processes; and when."""

    def __init__(self) -> None:
        self.total: Counter[Key] = Counter()
        self.gauges: dict[str, Counter[Key]] = {}
        """By process."""
        self.history: list[tuple[int, Counter[Key]]] = []
        """Increases by the moment, in Unix ms, at which they were on their way for the first time."""

    def sending(self, at: int, increases: Counter[Key]) -> None:
        """Note what is about to be sent, at a moment in Unix ns."""
        self.history.append((at // 1_000_000, increases))
        self.total.update(increases)

    def of(self, key: Key) -> list[tuple[int, float]]:
        """Return the increases of one counter by time."""
        return [(at, increases[key]) for at, increases in self.history if key in increases]

    def highest_rates(self, name: str, window: float, lag: float) -> dict[str, float]:
        """Return each plan's highest rate over a window, if what was sent may show up to `lag` seconds later."""
        highest: dict[str, float] = {}
        for plan in SHARES:
            recent: deque[tuple[int, float]] = deque()
            for at, increases in self.history:
                recent.append((at, sum(n for key, n in increases.items() if key[:2] == (name, plan))))
                while recent[0][0] < at - (window + lag) * 1000:
                    recent.popleft()
                highest[plan] = max(highest.get(plan, 0.0), sum(n for _, n in recent) / window)
        return highest


class Work:
    """What one tenant has done in one process; since the last export, for a process that sends deltas."""

    __slots__ = ("buckets", "connections", "errors", "hits", "seconds", "statements", "tenant")

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.statements = self.errors = self.hits = self.connections = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(QUERY_DURATION.buckets) + 1)


BUCKETS: Final = tuple(bisect_left(QUERY_DURATION.buckets, seconds) for seconds in DURATIONS)
"""The bucket of each duration."""


class Process:
    """One life of a simulated process: a resource of its own, counters from 0."""

    def __init__(self, tenants: dict[str, list[Tenant]], truth: Truth, chance: random.Random, *, delta: bool) -> None:
        self._tenants = tenants
        self._weights = {plan: _weights(len(some)) for plan, some in tenants.items()}
        self._truth = truth
        self._chance = chance
        self._delta = delta
        self._work: dict[str, Work] = {}
        """By project."""
        self._new: Counter[Key] = Counter()
        self._began = time.time_ns()
        self.instance = str(uuid.UUID(int=chance.getrandbits(128), version=4))

    def run(self, statements: int, shift: int) -> None:
        """Run statements of tenants, of whom others are the heaviest at each shift."""
        for plan, some in self._tenants.items():
            ranks = self._chance.choices(
                range(len(some)), cum_weights=self._weights[plan], k=round(statements * SHARES[plan])
            )
            for rank in ranks:
                self._statement(some[(rank + shift * SLIDE) % len(some)])

    def _statement(self, tenant: Tenant) -> None:
        work = self._work.get(tenant.project) or self._work.setdefault(tenant.project, Work(tenant))
        chance = self._chance.random()
        which = int(chance * len(DURATIONS))
        error, hit = int(chance * 1e6) % ERRORS == 0, int(chance * 1e6) % HITS == 0
        work.statements += 1
        work.errors += error
        work.hits += hit
        work.seconds += DURATIONS[which]
        work.buckets[BUCKETS[which]] += 1
        work.connections = which % CONNECTIONS
        _count(self._new, tenant, which, error=error, hit=hit)

    def export(self) -> bytes:
        """Return an OTLP request with everything; from now on the truth has it."""
        now = time.time_ns()
        request = ExportMetricsServiceRequest()
        resource = request.resource_metrics.add()
        resource.resource.attributes.extend(
            (text("service.name", SERVICE), text("service.instance.id", self.instance), text("host.name", "bench"))
        )
        scope = resource.scope_metrics.add()
        scope.scope.name = SCOPE
        scope.metrics.extend(_metrics(self._work.values(), self._began, now, delta=self._delta))
        self._truth.sending(now, self._new)
        if not self._delta:
            self._truth.gauges[self.instance] = _connections(self._work.values())
        self._new = Counter()
        if self._delta:
            self._began, self._work = now, {}
        return bytes(request.SerializeToString())


def _weights(count: int) -> list[float]:
    return list(accumulate((rank + 1) ** -SKEW for rank in range(count)))


def _count(new: Counter[Key], tenant: Tenant, which: int, *, error: bool, hit: bool) -> None:
    """Add one statement to the truth."""
    plan, tier = tenant.plan, tenant.tier
    new[Key(QUERIES.prometheus, plan, tier, "error" if error else "ok")] += 1
    if hit:
        new[Key(LIMIT_HITS.prometheus, plan, tier, LIMIT[1])] += 1
    name = QUERY_DURATION.prometheus
    new[Key(f"{name}_count", plan, tier, "")] += 1
    new[Key(f"{name}_sum", plan, tier, "")] += DURATIONS[which]
    for edge in EDGES[BUCKETS[which] :]:
        new[Key(f"{name}_bucket", plan, tier, edge)] += 1


def _connections(work: Iterable[Work]) -> Counter[Key]:
    now: Counter[Key] = Counter()
    for done in work:
        now[Key(ACTIVE_CONNECTIONS.prometheus, done.tenant.plan, done.tenant.tier, "")] += done.connections
    return now


# --- OTLP -------------------------------------------------------------------------------------------------------------


def _metrics(work: Iterable[Work], began: int, now: int, *, delta: bool) -> tuple[Metric, ...]:
    """Encode what tenants have done between two moments in Unix ns."""
    times = {"start_time_unix_nano": began, "time_unix_nano": now}
    temporality = (
        AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        if delta
        else AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    )
    queries, hits, connections, durations = map(_named, (QUERIES, LIMIT_HITS, ACTIVE_CONNECTIONS, QUERY_DURATION))
    for counter in (queries, hits):
        counter.sum.is_monotonic = True
        counter.sum.aggregation_temporality = temporality
    connections.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    durations.histogram.aggregation_temporality = temporality
    for done in work:
        for status, count in (("ok", done.statements - done.errors), ("error", done.errors)):
            if count:
                _number(queries, done.tenant, (POSTGRES, text("status", status)), count, times)
        if done.hits:
            _number(hits, done.tenant, (text("limit_type", LIMIT[0]), text("action", LIMIT[1])), done.hits, times)
        if not delta:
            _number(connections, done.tenant, (POSTGRES,), done.connections, times)
        durations.histogram.data_points.add(
            attributes=(*done.tenant.attributes, POSTGRES, SELECT),
            count=done.statements,
            sum=done.seconds,
            bucket_counts=done.buckets,
            explicit_bounds=QUERY_DURATION.buckets,
            **times,
        )
    return queries, hits, connections, durations


def _named(declared: Declared) -> Metric:
    return Metric(name=declared.name, unit=declared.unit)


def _number(metric: Metric, tenant: Tenant, more: tuple[KeyValue, ...], value: int, times: dict[str, int]) -> None:
    metric.sum.data_points.add(attributes=(*tenant.attributes, *more), as_int=value, **times)
