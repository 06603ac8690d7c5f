"""The composition root: what `opentelemetry-instrument` runs, and that the process survives all of it."""

import logging
import os
import subprocess
import sys
import threading
import time
from importlib.metadata import entry_points

import pytest
from opentelemetry.sdk._logs.export import LogRecordExportResult

from otel_dynabase import DynabaseInstrumentor, faults
from otel_dynabase.catalog.metrics import OPERATION_DURATION
from otel_dynabase.instrumentor import EXPORTERS, Runtime

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def run(program, **environ):
    """Run a program in an interpreter of its own; return what it printed, standard error included."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | environ
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


# --- instrumenting ----------------------------------------------------------------------------------------------------


def test_the_entry_points_lead_here():
    found = {point.group: point.load() for point in entry_points(name="dynabase")}
    assert found["opentelemetry_instrumentor"] is DynabaseInstrumentor
    assert callable(found["opentelemetry_pre_instrument"])
    found["opentelemetry_pre_instrument"]()


def test_disabled_means_nothing_happens(instrument):
    assert instrument(enabled=False).runtime is None


def test_a_failure_while_instrumenting_leaves_the_process_alone(lenient, monkeypatch, caplog):
    monkeypatch.setattr(Runtime, "start", lambda self: 1 / 0)
    DynabaseInstrumentor().instrument()
    assert DynabaseInstrumentor().runtime is None
    DynabaseInstrumentor().uninstrument()
    assert lenient == {"instrumenting": 1}
    assert "the application is not affected" in caplog.text


def test_a_failure_half_way_takes_back_what_was_done(lenient, monkeypatch):
    import asyncpg  # noqa: PLC0415

    before, started, start = dict(vars(asyncpg.Connection)), [], Runtime.start
    monkeypatch.setattr(Runtime, "start", lambda self: (started.append(self), start(self)))
    monkeypatch.setattr("otel_dynabase.background.Background.start", lambda self: 1 / 0)
    DynabaseInstrumentor().instrument()
    left = [name for name, value in vars(asyncpg.Connection).items() if before.get(name) is not value]
    started[0].stop()
    DynabaseInstrumentor().uninstrument()
    assert left == []


def test_unknown_and_wrong_settings_are_said_and_do_no_harm(instrument, warnings_of):
    telemetry = instrument(no_such_setting=1, max_tenants=-5)
    assert telemetry.runtime is not None
    assert len(warnings_of()) == 2


def test_uninstrumenting_ends_the_thread(instrument):
    telemetry = instrument()
    assert "otel-dynabase" in [thread.name for thread in threading.enumerate()]
    telemetry.uninstrument()
    assert "otel-dynabase" not in [thread.name for thread in threading.enumerate()]


def test_what_it_says_about_itself(telemetry):
    points = telemetry.collect()
    assert telemetry.value("otel_dynabase.series", points) > 0
    assert telemetry.points("otel_dynabase.directory.age", points)
    telemetry.runtime.directory.get("stranger")
    assert telemetry.value("otel_dynabase.directory.unknown_projects") == 1


def test_faults_are_counted_by_place_and_said_once(telemetry, lenient, caplog):
    for _ in range(5):
        try:
            {}["x"]
        except KeyError:
            faults.ignore("testing")
    assert telemetry.value("otel_dynabase.faults", place="testing") == 5
    assert [record.args for record in caplog.records if record.name == "otel_dynabase"] == [("testing",)]


def test_importing_the_package_costs_no_driver():
    said = run("import otel_dynabase.instrumentor, sys; print('asyncpg' in sys.modules)")
    assert said.strip() == "False"


def test_a_process_without_any_sdk_ends_quietly():
    said = run("from otel_dynabase import DynabaseInstrumentor as D; D().instrument(); print('done')")
    assert said.strip() == "done"


# --- OTLP exporters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", EXPORTERS)
@pytest.mark.parametrize("imported", ["before", "after"])
def test_an_otlp_exporter_is_watched_whenever_it_is_imported(module, imported):
    program = f"""
import importlib
if {imported == "before"!r}: importlib.import_module({module!r})
from otel_dynabase import DynabaseInstrumentor
from opentelemetry.sdk.metrics.export import MetricReader
import asyncpg
D = DynabaseInstrumentor(); D.instrument()
exporter = importlib.import_module({module!r}).OTLPLogExporter
patched = [hasattr(f, "__wrapped__") for f in
           (exporter.export, MetricReader._set_collect_callback, asyncpg.Connection.fetch, asyncpg.Pool._acquire)]
D.uninstrument()
print(patched, hasattr(exporter.export, "__wrapped__"))
"""
    assert run(program).splitlines()[-1] == "[True, True, True, True] False"


def test_a_real_otlp_exporter_that_nobody_listens_to_is_a_failed_export(instrument, caplog):
    http = pytest.importorskip("opentelemetry.exporter.otlp.proto.http._log_exporter")
    telemetry = instrument(shutdown_timeout=0)
    exporter = http.OTLPLogExporter(endpoint="http://127.0.0.1:1/v1/logs", timeout=0.05)
    event_log = telemetry.runtime.events
    probes = telemetry.runtime.probes
    probes.limits.hit(probes.tenants.of("proj_pro"), "max_pool_size", "queued")
    telemetry.events()
    batch = list(telemetry.logs_out.get_finished_logs())
    assert len(batch) == 1
    assert exporter.export(batch) is LogRecordExportResult.FAILURE
    assert event_log._failures == 1
    assert telemetry.value("otel_dynabase.events", outcome="acknowledged") == 0
    exporter.shutdown()


# --- the end of the process, and forks --------------------------------------------------------------------------------


ENDING = """
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter
from otel_dynabase import DynabaseInstrumentor
class Exporter(InMemoryLogRecordExporter):
    def export(self, batch):
        print(*[record.log_record.event_name for record in batch], flush=True)
        return super().export(batch)
def provide():
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(Exporter()))
    set_logger_provider(provider)
def instrument():
    DynabaseInstrumentor().instrument(event_window=3600)
    DynabaseInstrumentor().runtime._background.stop(1)  # as if the thread had not had its turn before the end
STEPS
probes = DynabaseInstrumentor().runtime.probes
probes.limits.hit(probes.tenants.of("proj_1"), "max_pool_size", "queued")
"""


def test_the_last_events_leave_before_the_process_ends():
    assert "limit_hit" in run(ENDING.replace("STEPS", "provide(); instrument()"))


def test_the_last_events_leave_through_a_provider_made_after_instrumenting():
    assert "limit_hit" in run(ENDING.replace("STEPS", "instrument(); provide()"))


def test_a_forked_worker_counts_for_itself_and_sends_its_own_events(telemetry):
    """What gunicorn does: instrument, fork, work in the child."""
    probes = telemetry.runtime.probes
    duration = telemetry.runtime.store.distribution(OPERATION_DURATION, ("proj_pro", "HOT", "pro", "SELECT", None))
    duration.record(0.1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            duration.record(0.1)
            duration.record(0.1)
            probes.limits.hit(probes.tenants.of("proj_pro"), "max_pool_size", "queued")
            alive = any(thread.name == "otel-dynabase" and thread.is_alive() for thread in threading.enumerate())
            events = telemetry.events()
            said = (telemetry.value("db.queries"), len(events), events[0].attributes["event_seq"], alive)
            os.write(writing, repr(said).encode())
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    os.close(writing)
    said = os.read(reading, 1000).decode()
    os.close(reading)
    assert (os.waitstatus_to_exitcode(status), said) == (0, "(2, 1, 1, True)")
    assert telemetry.value("db.queries") == 1
    assert telemetry.events() == []


def test_a_fork_with_every_lock_held_does_not_hang_the_child(telemetry):
    runtime = telemetry.runtime
    locks = [
        runtime.store._lock,
        runtime.events._lock,
        runtime.probes.limits._lock,
        runtime._budget._lock,
        runtime._producer._lock,
        faults._lock,
    ]
    held, release = threading.Event(), threading.Event()

    def hold():
        for lock in locks:
            lock.acquire()
        held.set()
        release.wait()
        for lock in locks:
            lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            probes = runtime.probes
            probes.limits.hit(probes.tenants.of("new"), "max_pool_size", "queued")
            code = 0 if len(telemetry.events()) == 1 and telemetry.collect() else 2
        finally:
            os._exit(code)
    end, done = time.monotonic() + 15, 0
    while not done and time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.005)
    release.set()
    holder.join()
    if not done:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert done
    assert os.waitstatus_to_exitcode(status) == 0


def test_closing_twice_is_once(telemetry, caplog):
    telemetry.runtime.close()
    telemetry.runtime.close()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_sdks_switch_switches_us_off(instrument, monkeypatch):
    """With it the SDK's readers still collect; they must find nothing of ours."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert instrument().runtime is None
