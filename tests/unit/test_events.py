"""The ledger: an event is in exactly one place until somebody has acknowledged it, and no loss is silent."""

import json
import math
import sys
import threading
import time
import uuid
from types import SimpleNamespace

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from otel_dynabase.catalog.events import COLD_START, LIMIT_HIT
from otel_dynabase.catalog.metrics import SELF_EVENTS
from otel_dynabase.directory import Tenant
from otel_dynabase.events import PATIENCE, PAUSES, UNCLAIMED, EventLog, mark_span, uuid7, watch_export
from otel_dynabase.store import Store

TENANT = Tenant("proj_1", "org_1", "pro", "HOT")


class World:
    """An event log over the real SDK, whose exporter is asked through our watch, as an OTLP exporter is."""

    def __init__(self, *, capacity=100, watched=True, provider=True, burst=math.inf):
        self.now = 1000.0
        self.store = Store()
        self.arrived = InMemoryLogRecordExporter()
        self.accepting = True
        self.provider = LoggerProvider(shutdown_on_exit=False) if provider else None
        self.wakes = []
        self.log = EventLog(
            self.store,
            provider=self.provider,
            capacity=capacity,
            burst=burst,
            wake=lambda: self.wakes.append(1),
            clock=lambda: self.now,
        )
        if provider:
            self.provider.add_log_record_processor(SimpleLogRecordProcessor(self.exporter(watched=watched)))

    def exporter(self, *, watched):
        """Return an exporter that accepts or refuses as the test has it."""
        world = self

        class Exporter(InMemoryLogRecordExporter):
            def export(self, batch):
                if world.accepting == "raises":
                    raise ConnectionError("no collector")
                if not world.accepting:
                    return SimpleNamespace(name="FAILURE")
                return world.arrived.export(batch)

        if watched:
            Exporter.export = watch_export(self.log)(Exporter.export)
        return Exporter()

    def emit(self, times=1):
        for _ in range(times):
            self.log.emit(LIMIT_HIT, TENANT, {"limit_type": "max_pool_size", "queue_depth": None})

    def later(self, seconds):
        self.now += seconds
        return self.log.flush()

    def ids(self):
        return [record.log_record.attributes["event_id"] for record in self.arrived.get_finished_logs()]

    def counts(self):
        return {
            key[0]: point.value for metric, key, point in self.store.series() if metric is SELF_EVENTS and point.value
        }

    def waiting(self):
        return len(self.log._outbox) + len(self.log._ledger)


@pytest.fixture
def world():
    return World()


# --- what an event is -------------------------------------------------------------------------------------------------


def test_an_event_carries_the_tenant_its_own_attributes_and_its_numbers(world):
    span = trace.SpanContext(5, 6, is_remote=False, trace_flags=trace.TraceFlags(1))
    world.log.emit(
        COLD_START,
        TENANT,
        {"source_tier": "COLD", "first_query_latency_ms": None},
        metadata={"a": 1},
        span=span,
        time_ns=7,
    )
    world.log.flush()
    (record,) = [readable.log_record for readable in world.arrived.get_finished_logs()]
    assert (record.event_name, record.timestamp, record.trace_id, record.span_id) == ("cold_start", 7, 5, 6)
    attributes = dict(record.attributes)
    assert uuid.UUID(attributes.pop("event_id")).version == 7
    assert dict(attributes.pop("metadata")) == {"a": 1}
    assert attributes == {
        "event_seq": 1,
        "project_id": "proj_1",
        "tenant_id": "org_1",
        "plan": "pro",
        "tier": "HOT",
        "source_tier": "COLD",
    }


def test_ids_are_ordered_by_time_and_never_equal():
    made = [uuid7() for _ in range(5000)]
    assert len(set(made)) == 5000
    assert [value[:13] for value in made] == sorted(value[:13] for value in made)
    assert {(uuid.UUID(value).version, uuid.UUID(value).variant) for value in made} == {(7, uuid.RFC_4122)}


def test_sequences_have_no_gap_under_threads():
    world = World(capacity=10_000)
    threads = [threading.Thread(target=world.emit, args=(500,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.log.flush()
    sequence = [record.log_record.attributes["event_seq"] for record in world.arrived.get_finished_logs()]
    assert sorted(sequence) == list(range(1, 4001))
    assert len(set(world.ids())) == 4000


def test_a_dropped_event_uses_up_no_number():
    world = World(capacity=1)
    world.emit(3)
    world.log.flush()
    world.emit()
    world.log.flush()
    assert [record.log_record.attributes["event_seq"] for record in world.arrived.get_finished_logs()] == [1, 2]


def test_the_record_is_in_the_events_trace_and_carries_nothing_of_the_sending_context(world):
    world.emit()
    with trace.use_span(trace.NonRecordingSpan(trace.SpanContext(9, 9, False, trace.TraceFlags(1)))):
        world.log.flush()
    (record,) = [readable.log_record for readable in world.arrived.get_finished_logs()]
    assert (record.trace_id, record.span_id) == (0, 0)


def test_only_a_recording_span_is_marked(telemetry):
    mark_span(LIMIT_HIT, {"a": 1})
    with telemetry.tracer.start_as_current_span("request"):
        mark_span(LIMIT_HIT, {"limit_type": "x", "queue_depth": None})
    (span,) = telemetry.spans("request")
    assert span.events == [("limit_hit", {"limit_type": "x"})]


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_an_acknowledged_event_is_forgotten(world):
    world.emit(3)
    assert world.wakes
    assert world.waiting() == 3
    world.log.flush()
    assert world.waiting() == 0
    assert world.log.flush() == float("inf")
    assert world.counts() == {"emitted": 3, "acknowledged": 3}


@pytest.mark.parametrize("how", [False, "raises"])
def test_a_refused_event_is_sent_again_under_the_same_id(world, how, caplog):
    world.accepting = how
    world.emit(2)
    world.log.flush()
    ids = set(world.log._ledger)
    assert (len(ids), world.ids()) == (2, [])
    for pause in PAUSES:
        world.later(pause + 0.001)
    world.accepting = True
    world.later(PAUSES[-1] + 0.001)
    assert set(world.ids()) == ids
    assert len(world.ids()) == 2
    counts = world.counts()
    assert (counts["emitted"], counts["acknowledged"], "dropped" in counts) == (2, 2, False)
    assert counts["retried"] >= 2
    ours = [record for record in caplog.records if record.name == "otel_dynabase"]
    assert len([record for record in ours if "did not accept" in record.getMessage()]) == 1


def test_a_refused_event_is_not_sent_before_its_pause_is_over(world):
    world.accepting = False
    world.emit()
    world.log.flush()
    world.accepting = True
    world.later(PAUSES[0] / 2)
    assert world.ids() == []
    world.later(PAUSES[0])
    assert len(world.ids()) == 1


def test_an_event_that_nobody_answers_for_is_sent_again(world):
    """A processor's full queue drops without a word: silence after an exporter was seen means loss."""
    world.emit()
    world.log.flush()
    lost = World.exporter(world, watched=False)
    world.provider._multi_log_record_processor._log_record_processors = ()
    world.provider.add_log_record_processor(SimpleLogRecordProcessor(lost))
    world.accepting = False
    world.emit()
    world.log.flush()
    (lost_id,) = world.log._ledger
    world.provider._multi_log_record_processor._log_record_processors = ()
    world.accepting = True
    world.provider.add_log_record_processor(SimpleLogRecordProcessor(world.exporter(watched=True)))
    world.later(UNCLAIMED - 1)
    assert lost_id not in world.ids()
    world.later(1.001)
    assert lost_id in world.ids()
    assert world.counts() == {"emitted": 2, "acknowledged": 2, "retried": 1}


def test_without_an_otlp_exporter_events_are_settled_and_sent_once():
    world = World(watched=False)
    world.emit(2)
    world.log.flush()
    assert world.waiting() == 2
    world.later(UNCLAIMED + 1)
    world.later(UNCLAIMED + 1)
    assert world.waiting() == 0
    assert len(world.ids()) == 2
    assert world.counts() == {"emitted": 2, "unanswered": 2}


def test_without_an_sdk_events_wait_a_while_and_memory_is_bounded(monkeypatch):
    world = World(provider=False, capacity=10)
    world.emit(20)
    assert world.log.flush() < float("inf")
    assert world.waiting() == 10
    for record in world.log._outbox:
        record.time_ns -= int((UNCLAIMED + 1) * 1e9)
    assert world.log.flush() == float("inf")
    assert world.waiting() == 0


def test_a_provider_set_late_gets_what_waited(monkeypatch):
    world = World(provider=False)
    world.emit(2)
    world.log.flush()
    late = LoggerProvider(shutdown_on_exit=False)
    late.add_log_record_processor(SimpleLogRecordProcessor(world.exporter(watched=True)))
    monkeypatch.setattr("otel_dynabase.events.get_logger_provider", lambda: late)
    world.log.flush()
    assert len(world.ids()) == 2


def test_a_full_queue_drops_counts_and_says_it_once(caplog):
    world = World(capacity=3)
    world.accepting = False
    world.emit(3)
    world.log.flush()
    world.emit(5)
    assert world.counts()["dropped"] == 5
    assert len([record for record in caplog.records if "OTEL_DYNABASE_EVENT_QUEUE" in record.getMessage()]) == 1
    assert world.waiting() == 3


def test_every_event_is_emitted_or_dropped_and_in_the_end_acknowledged():
    world = World(capacity=20)
    for turn in range(40):
        world.accepting = turn % 3 == 0
        world.emit(7)
        world.later(3)
    world.accepting = True
    for _ in range(5):
        world.later(PAUSES[-1] + 1)
    counts = world.counts()
    assert counts["emitted"] + counts["dropped"] == 280
    assert counts["acknowledged"] == counts["emitted"] == len(set(world.ids()))
    assert world.waiting() == 0


def test_acknowledging_while_flushing_is_safe(monkeypatch):
    """The exporter's thread answers while the background thread looks through the ledger."""
    world = World(capacity=50_000, watched=False)
    world.log.exporting()
    world.emit(20_000)
    world.log.flush()
    ids, errors, done = list(world.log._ledger), [], threading.Event()

    def flush():
        while not done.is_set():
            try:
                world.log.flush()
            except RuntimeError as error:
                errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    flusher = threading.Thread(target=flush)
    flusher.start()
    for event_id in ids:
        world.log.exported([event_id], accepted=True)
    done.set()
    flusher.join()
    sys.setswitchinterval(interval)
    assert errors == []


def test_a_fork_leaves_the_parents_events_to_the_parent(world):
    world.accepting = False
    world.emit(2)
    world.log.flush()
    world.emit()
    world.log.after_fork()
    world.accepting = True
    assert world.waiting() == 0
    world.emit()
    world.log.flush()
    assert [record.log_record.attributes["event_seq"] for record in world.arrived.get_finished_logs()] == [1]


def test_an_sdk_that_fails_to_emit_loses_no_event(world, monkeypatch):
    logger = type(world.provider.get_logger("x"))
    world.log.exporting()
    world.emit(3)
    monkeypatch.setattr(logger, "emit", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.log.flush()
    monkeypatch.undo()
    world.later(UNCLAIMED + 1)
    assert len(set(world.ids())) == 3
    assert world.waiting() == 0


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sleepless(monkeypatch):
    """Let sleeping move the test's clock."""

    def use(world):
        def sleep(seconds):
            world.now += seconds

        monkeypatch.setattr("otel_dynabase.events.time.sleep", sleep)
        return world

    return use


def test_closing_sends_what_is_left(sleepless):
    world = sleepless(World())
    world.emit(3)
    world.log.close(5)
    assert len(world.ids()) == 3
    assert world.counts() == {"emitted": 3, "acknowledged": 3}


def test_closing_with_a_dead_collector_ends_in_time_and_is_said(sleepless, caplog):
    world = sleepless(World())
    world.accepting = False
    world.emit(3)
    began = world.now
    world.log.close(5)
    assert world.now - began <= 6
    assert world.counts()["dropped"] == 3
    assert "3 events were not accepted" in caplog.text
    assert world.waiting() == 0


def test_closing_waits_for_a_collector_that_comes_back(sleepless):
    world = sleepless(World())
    world.accepting = False
    world.emit(2)
    world.log.flush()
    world.accepting = True
    world.log.close(5)
    assert len(world.ids()) == 2
    assert "dropped" not in world.counts()


def test_closing_without_an_otlp_exporter_neither_waits_nor_counts_a_loss(sleepless):
    world = sleepless(World(watched=False))
    world.emit(2)
    began = world.now
    world.log.close(5)
    assert (world.now - began, len(world.ids()), world.counts()) == (0, 2, {"emitted": 2})


def test_closing_without_an_sdk_ends_at_once(sleepless):
    world = sleepless(World(provider=False))
    world.emit(2)
    began = world.now
    world.log.close(5)
    assert world.now == began


# --- watching an exporter ---------------------------------------------------------------------------------------------


def test_others_records_are_none_of_our_business(world):
    theirs = SimpleNamespace(name="theirs")
    batch = [SimpleNamespace(instrumentation_scope=scope, log_record=None) for scope in (theirs, None)]
    export = watch_export(world.log)(lambda exporter, batch: SimpleNamespace(name="SUCCESS"))
    assert export(None, batch).name == "SUCCESS"
    assert world.counts() == {}


def test_an_exporters_result_and_error_pass_unchanged(world):
    def refuse(exporter, batch, *args, **kwargs):
        raise BrokenPipeError("the exporter's own")

    with pytest.raises(BrokenPipeError, match="own"):
        watch_export(world.log)(refuse)(None, [])
    result = object()
    assert watch_export(world.log)(lambda exporter, batch: result)(None, batch=[]) is result


def test_a_ledger_that_fails_does_not_touch_the_export(world, lenient, monkeypatch):
    monkeypatch.setattr(EventLog, "exporting", lambda self: 1 / 0)
    monkeypatch.setattr(EventLog, "exported", lambda self, ids, accepted: 1 / 0)
    result = object()
    assert watch_export(world.log)(lambda exporter, batch: result)(None, []) is result
    assert set(lenient) == {"reading an export", "accounting for an export"}


# --- holding back, and going on in another process --------------------------------------------------------------------


def test_what_is_held_is_not_sent_and_what_was_on_its_way_still_is(world):
    world.accepting = False
    world.emit()
    world.log.flush()
    world.accepting = True
    world.log.hold()
    world.emit(2)
    world.later(PAUSES[0])
    assert len(world.ids()) == 1
    woken = len(world.wakes)
    world.log.release()
    assert len(world.wakes) == woken + 1
    world.log.flush()
    assert len(world.ids()) == 3


def test_another_process_sends_what_had_not_arrived_under_the_same_ids_and_numbers(world):
    world.accepting = False
    world.emit(2)
    world.log.flush()
    world.log.hold()
    world.emit()
    saved = json.loads(json.dumps(world.log.dump()))

    other = World()
    other.log.load(saved)
    assert (other.log.backlog, other.log.sequence) == (3, 3)
    other.emit()
    other.log.flush()
    sent = [readable.log_record for readable in other.arrived.get_finished_logs()]
    ids = [waiting[1]["event_id"] for waiting in saved["waiting"]]
    assert other.ids()[:3] == ids
    assert [record.attributes["event_seq"] for record in sent] == [1, 2, 3, 4]
    assert [record.timestamp for record in sent[:3]] == [waiting[2] for waiting in saved["waiting"]]
    assert {record.severity_number.name for record in sent} == {"INFO"}
    assert other.log.backlog == 0


def test_no_more_are_with_the_sdk_at_a_time_than_its_queue_holds():
    """Here nobody answers at first, as while an export is under way."""
    world = World(capacity=1000, watched=False, burst=10)
    world.log.exporting()
    world.emit(25)
    for _ in range(3):
        world.log.flush()
        assert len(world.ids()) == 10
    world.log.exported(world.ids()[:4], accepted=True)
    world.log.flush()
    assert len(world.ids()) == 14
    assert world.log.room == 1000 - 21


def test_what_came_before_an_answered_record_is_not_with_the_sdk_any_more():
    """A processor of the application's may keep some back: they must not take the others' room."""
    world = World(capacity=1000, watched=False, burst=10)
    world.log.exporting()
    world.emit(30)
    world.log.flush()
    world.log.exported(world.ids()[9:], accepted=True)
    world.log.flush()
    assert len(world.ids()) == 20
    world.log.exported(world.ids()[19:], accepted=False)
    world.log.flush()
    assert len(world.ids()) == 30


def test_if_nobody_answers_at_all_the_sdk_has_room_again_after_a_while():
    world = World(capacity=1000, watched=False, burst=10)
    world.log.exporting()
    world.emit(15)
    world.log.flush()
    world.later(UNCLAIMED - 1)
    assert len(world.ids()) == 10
    world.later(1.001)
    assert len(set(world.ids())) == 10
    assert len(world.ids()) == 20


def test_before_the_first_export_the_sdk_gets_no_more_than_its_queue_holds_either():
    world = World(capacity=1000, watched=False, burst=10)
    world.emit(25)
    world.log.flush()
    world.later(UNCLAIMED - 1)
    assert len(world.ids()) == 10
    world.later(1.001)  # no exporter has shown itself: it does not speak OTLP, and nobody would ever answer
    assert len(world.ids()) == 25


def test_draining_hands_all_to_an_exporter_that_tells_us_nothing():
    world = World(capacity=1000, watched=False, burst=10)
    world.emit(25)
    assert world.log.drain(1) == 0
    assert len(world.ids()) == 25


def test_while_the_collector_accepts_nothing_no_silence_is_a_loss():
    """The SDK's queue is full of other records, and drops ours before the exporter sees them."""
    world = World(watched=False)
    world.emit()
    world.log.flush()
    world.log.exported(world.ids(), accepted=False)
    for _ in range(2 * PATIENCE):
        world.later(UNCLAIMED + 1)
    assert world.waiting() == 1
    world.log.exported(world.ids()[:1], accepted=True)
    assert world.waiting() == 0
    assert "unanswered" not in world.counts()


def test_with_a_burst_everything_arrives_all_the_same():
    world = World(capacity=1000, burst=10)
    world.emit(25)
    for _ in range(3):
        world.log.flush()
    assert (len(set(world.ids())), world.log.backlog) == (25, 0)


def test_draining_leaves_what_remains_to_whoever_saves_it(world):
    world.accepting = False
    world.emit(2)
    world.log._clock = time.monotonic
    assert world.log.drain(0.01) == 2
    assert len(world.log.dump()["waiting"]) == 2
    assert "dropped" not in world.counts()
