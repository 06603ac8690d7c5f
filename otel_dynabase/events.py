"""Events: log records with an event name, kept until the exporter says that they arrived.

The SDK's batch processor drops records silently: when its queue is full, and when an export fails for longer than the
exporter retries. So every event stays in a ledger here until an OTLP exporter acknowledges its `event_id`; what failed
is emitted again, and storage removes the duplicates by that id. Records go through the logger provider that the
application configured, with all of its processors.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry._logs import LoggerProvider, LogRecord, SeverityNumber, get_logger_provider
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider as SdkLoggerProvider

from otel_dynabase import faults
from otel_dynabase.catalog.events import EVENTS
from otel_dynabase.catalog.metrics import SELF_EVENTS
from otel_dynabase.version import SCHEMA_URL, SCOPE, __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_dynabase.catalog.events import Event
    from otel_dynabase.directory import Tenant
    from otel_dynabase.store import Store

logger = logging.getLogger("otel_dynabase")

UNCLAIMED = 30.0
"""Seconds without any answer about a record after which it counts as lost on the way and is emitted again; also how
long to wait for a first sign of an OTLP exporter before taking it that there is none."""
PATIENCE = 5
"""Emissions without any answer after which a record is let go: a processor of the application's may keep it back, or
it may go to an exporter that does not speak OTLP. It is counted as unanswered."""
PAUSES = (1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts while the collector does not accept."""
QUEUE = 2048
"""Records that the SDK's batch processor keeps, if OTEL_BLRP_MAX_QUEUE_SIZE says nothing else."""
POLL = 0.25
"""Seconds between looks at the ledger while it is not empty."""
NAMED = {event.name: event for event in EVENTS}


def uuid7() -> str:
    """Make a UUID version 7 (RFC 9562 section 5.7): milliseconds since the epoch, then random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(uuid.UUID(int=value))


def burst() -> int:
    """Return how many events may be with the SDK at a time: half of what its queue holds."""
    try:
        return max(1, int(os.environ.get("OTEL_BLRP_MAX_QUEUE_SIZE", QUEUE)) // 2)
    except ValueError:
        return QUEUE // 2


@dataclass(slots=True, eq=False)
class Record:
    """One event on its way."""

    event: Event
    attributes: dict[str, Any]
    span: trace.SpanContext
    time_ns: int
    severity: SeverityNumber
    event_id: str = field(default_factory=uuid7)
    due: float = 0.0
    """When to emit it (again), on the ledger's clock."""
    emissions: int = 0
    """Times that it was emitted since anybody last answered, while others were accepted."""
    number: int = 0
    """The number of its last emission."""


class EventLog:
    """Emits events and keeps the ledger of what has not arrived yet.

    `capacity` is how many it keeps; `burst` how many of them may be with the SDK at a time, whose queue drops silently.
    """

    def __init__(
        self,
        store: Store,
        *,
        provider: LoggerProvider | None = None,
        capacity: int = 16384,
        burst: float = math.inf,
        wake: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._capacity = capacity
        self._burst = burst
        self._wake = wake
        self._clock = clock
        self._counts = {
            outcome: store.sum(SELF_EVENTS, (outcome,))
            for outcome in ("emitted", "amended", "acknowledged", "retried", "unanswered", "dropped")
        }
        self.after_fork()

    def after_fork(self) -> None:
        """Start empty: what the parent had on the way is the parent's."""
        self._lock = threading.Lock()
        self._outbox: deque[Record] = deque()
        self._ledger: dict[str, Record] = {}
        self._sequence = 0
        self._exporter_seen = False
        self._last = 0
        """The number of the last emission."""
        self._answered = 0
        """The last one that was answered. The SDK's queue is in order: what came before it is not there any more."""
        self._began, self._emitted_at = math.inf, -math.inf
        """When the first and the last record were emitted."""
        self._failures = 0
        self._full = False
        self._held = False

    @property
    def backlog(self) -> int:
        """How many events have not arrived yet."""
        return len(self._outbox) + len(self._ledger)

    @property
    def sequence(self) -> int:
        """The last event's number."""
        return self._sequence

    @property
    def room(self) -> int:
        """How many more events there is room for."""
        return max(0, self._capacity - self.backlog)

    def emit(
        self,
        event: Event,
        tenant: Tenant,
        attributes: Mapping[str, Any],
        *,
        metadata: Mapping[str, Any] | None = None,
        span: trace.SpanContext | None = None,
        time_ns: int | None = None,
        severity: SeverityNumber = SeverityNumber.INFO,
        amends: Record | None = None,
    ) -> Record | None:
        """Send one event; `span` is the span that it belongs to where that is not the current one.

        `amends` is an earlier record that this one takes the place of: under its id, number and time, as its next
        revision, so that storage keeps this one whichever arrives last. Returns the record, or None where there is no
        room for it.
        """
        with self._lock:
            if self.backlog >= self._capacity:
                self._counts["dropped"].add()
                self._say_full()
                return None
            if amends is None:
                self._sequence += 1
            record = Record(
                event,
                {
                    "event_seq": self._sequence if amends is None else amends.attributes["event_seq"],
                    **identity(tenant),
                    **{name: value for name, value in attributes.items() if value is not None},
                    "metadata": dict(metadata or {}),
                },
                span or trace.get_current_span().get_span_context(),
                time_ns or time.time_ns(),
                severity,
            )
            if amends is not None:
                record.event_id, record.time_ns = amends.event_id, amends.time_ns
                record.attributes["event_revision"] = amends.attributes.get("event_revision", 0) + 1
            record.attributes["event_id"] = record.event_id
            self._outbox.append(record)
        self._counts["emitted" if amends is None else "amended"].add()
        self._wake()
        return record

    def _say_full(self) -> None:
        if not self._full:
            self._full = True
            logger.warning(
                "otel-dynabase: %d events wait for the collector, as many as OTEL_DYNABASE_EVENT_QUEUE allows; "
                "further events are dropped and counted (otel_dynabase.events, outcome=dropped)",
                self._capacity,
            )

    def flush(self) -> float:
        """Emit what is due; the background thread's job. Return the seconds until there may be something to do."""
        provider = self._provider or get_logger_provider()
        now = self._clock()
        if not isinstance(provider, SdkLoggerProvider):
            self._discard_older_than(UNCLAIMED)
            return POLL if self._outbox else math.inf
        with self._lock:
            if not self._held:
                self._ledger.update((record.event_id, record) for record in self._outbox)
                self._outbox.clear()
            patience = PATIENCE if self._exporter_seen else 1
            asked = [record for record in self._ledger.values() if record.due <= now]
            silent = [record for record in asked if record.emissions >= patience]
            due = [record for record in asked if record.emissions < patience]
            due = due[: self._room_in_sdk(now)]
            self._settle(record.event_id for record in silent)
            again = sum(record.number > 0 or record.due > 0 for record in due)
            for record in due:
                self._last += 1
                record.number, record.due = self._last, now + UNCLAIMED
                # while nothing is accepted, silence says nothing about a record
                record.emissions += not self._failures
                self._began, self._emitted_at = min(self._began, now), now
        self._counts["retried"].add(again)
        self._counts["unanswered"].add(len(silent))
        log = provider.get_logger(SCOPE, __version__, SCHEMA_URL)
        for record in due:
            log.emit(_log_record(record))
        return POLL if self._ledger else math.inf

    def _room_in_sdk(self, now: float) -> int | None:
        """Return how many records its queue has room for; None: no exporter would tell us."""
        if math.isinf(self._burst) or (not self._exporter_seen and now >= self._began + UNCLAIMED):
            return None
        if now >= self._emitted_at + UNCLAIMED:
            self._answered = self._last
        return max(0, int(self._burst) - (self._last - self._answered))

    def _discard_older_than(self, age: float) -> None:
        """Forget events that nobody will take: without an SDK there is nothing to send them with."""
        oldest = time.time_ns() - int(age * 1e9)
        while self._outbox and self._outbox[0].time_ns < oldest:
            self._outbox.popleft()
            self._counts["dropped"].add()

    def _settle(self, event_ids: Iterable[str]) -> int:
        known = [record for event_id in event_ids if (record := self._ledger.pop(event_id, None)) is not None]
        self._answered = max([self._answered, *(record.number for record in known)])
        return len(known)

    def exporting(self) -> None:
        """Note that an OTLP exporter is at work: from now on, silence means loss."""
        self._exporter_seen = True

    def exported(self, event_ids: list[str], *, accepted: bool) -> None:
        """Take an exporter's answer about records of ours."""
        if not event_ids:
            return
        if accepted:
            with self._lock:
                settled = self._settle(event_ids)
            self._counts["acknowledged"].add(settled)
            if self._failures:
                logger.info("otel-dynabase: events are accepted again")
            self._failures, self._full = 0, False
            return
        self._failures += 1
        if self._failures == 1:
            logger.warning(
                "otel-dynabase: the collector did not accept %d events; they are kept and sent again", len(event_ids)
            )
        due = self._clock() + PAUSES[min(self._failures, len(PAUSES)) - 1]
        with self._lock:
            for record in filter(None, map(self._ledger.get, event_ids)):
                record.due, record.emissions = due, 0
                self._answered = max(self._answered, record.number)
        self._wake()

    def hold(self) -> None:
        """Keep to ourselves what has not been sent at all, until `release`: it is not saved yet."""
        with self._lock:
            self._held = True

    def release(self) -> None:
        """Send what was held."""
        with self._lock:
            self._held = False
        self._wake()

    def dump(self) -> dict[str, Any]:
        """Return what has not arrived, and the last number, as what JSON can hold."""
        with self._lock:
            waiting = [*self._ledger.values(), *self._outbox]
            return {"sequence": self._sequence, "waiting": [_saved(record) for record in waiting]}

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Go on from what `dump` returned: the same events again, under the same ids and numbers."""
        with self._lock:
            self._sequence = dumped["sequence"]
            self._ledger = {record.event_id: record for record in map(_loaded, dumped["waiting"])}
        self._wake()

    def drain(self, timeout: float) -> int:
        """Send what is left, waiting at most `timeout` seconds; return how many events remain."""
        end = self._clock() + timeout
        provider = self._provider or get_logger_provider()
        while True:
            self.flush()
            if isinstance(provider, SdkLoggerProvider) and self._ledger:
                provider.force_flush(max(1, int((end - self._clock()) * 1000)))
            if not self._exporter_seen:  # after all that was emitted has been exported: no exporter tells us
                self._began = -math.inf
                self.flush()
                break
            if not self._ledger or self._clock() >= end:
                break
            time.sleep(POLL / 5)
        return len(self._ledger) if self._exporter_seen else 0

    def close(self, timeout: float) -> None:
        """Send what is left, waiting at most `timeout` seconds; what remains then is counted as dropped."""
        left = self.drain(timeout)
        self._ledger.clear()
        if left:
            self._counts["dropped"].add(left)
            logger.warning("otel-dynabase: %d events were not accepted by the collector before the process ended", left)


def _saved(record: Record) -> list[Any]:
    """Return what must be the same when a record is emitted by another process; the observer's are in no span."""
    return [record.event.name, record.attributes, record.time_ns, record.severity.value]


def _loaded(saved: list[Any]) -> Record:
    name, attributes, time_ns, severity = saved
    return Record(
        NAMED[name],
        attributes,
        trace.INVALID_SPAN_CONTEXT,
        time_ns,
        SeverityNumber(severity),
        event_id=attributes["event_id"],
    )


def identity(tenant: Tenant) -> dict[str, str]:
    """Name a tenant in the attributes of a span or an event."""
    named = {"project_id": tenant.project_id, "plan": tenant.plan, "tier": tenant.tier}
    if tenant.tenant_id is not None:
        named["tenant_id"] = tenant.tenant_id
    return named


def _log_record(record: Record) -> LogRecord:
    """Make a log record that carries the trace it belongs to and nothing else of its context."""
    return LogRecord(
        timestamp=record.time_ns,
        observed_timestamp=time.time_ns(),
        context=trace.set_span_in_context(trace.NonRecordingSpan(record.span), Context()),
        severity_number=record.severity,
        severity_text=record.severity.name,
        attributes=record.attributes,
        event_name=record.event.name,
    )


def mark_span(event: Event, attributes: Mapping[str, Any]) -> None:
    """Put the event on the current span too, where one is recording."""
    span = trace.get_current_span()
    if span.is_recording():
        span.add_event(event.name, {name: value for name, value in attributes.items() if value is not None})


def watch_export(log: EventLog) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the patch of an OTLP log exporter's `export(batch)` that tells `log` what became of its records."""

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def export(exporter: Any, batch: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
            ours = _exporting(log, batch)
            accepted = False
            try:
                result = original(exporter, batch, *args, **kwargs)
                accepted = getattr(result, "name", None) == "SUCCESS"
            finally:
                try:
                    log.exported(ours, accepted=accepted)
                except Exception:
                    faults.ignore("accounting for an export")
            return result

        return export

    return wrap


def _exporting(log: EventLog, batch: Iterable[Any]) -> list[str]:
    try:
        log.exporting()
        return _ours(batch)
    except Exception:
        faults.ignore("reading an export")
        return []


def _ours(batch: Iterable[Any]) -> list[str]:
    return [
        str((readable.log_record.attributes or {})["event_id"])
        for readable in batch
        if readable.instrumentation_scope is not None and readable.instrumentation_scope.name == SCOPE
    ]
