"""The doctor without a patient: verdicts, patience, what it reads out of texts, and that it shows no secret."""

import argparse
import json
import logging
import threading

import pytest

from otel_dynabase import cli
from otel_dynabase.commands.doctor import parts_of
from otel_dynabase.doctor import application, collector, marker
from otel_dynabase.doctor.check import Check, Unknown, Wrong, examine
from otel_dynabase.doctor.collector import Collector, brief, fullest_queue, samples, shown
from otel_dynabase.doctor.http import get
from otel_dynabase.doctor.marker import Marker
from otel_dynabase.doctor.settings import DOCTOR_SETTINGS, DoctorConfig

DIRECTORY = '{"tenants": [{"project_id": "a", "plan": "pro", "tier": "HOT"}]}'


def told(*looks, patience=5.0):
    return [(one.verdict, one.what, one.advice) for one in examine(Check("p", "n", look, patience) for look in looks)]


def raising(error):
    def look():
        raise error

    return look


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_what_a_check_may_come_to():
    assert told(
        lambda: "fine",
        raising(Wrong("broken", "mend it")),
        raising(Unknown("off")),
    ) == [("ok", "fine", ""), ("wrong", "broken", "mend it"), ("unknown", "off", "")]


def test_a_fault_of_its_own_is_one_line_and_the_next_check_is_made():
    (fault, what, advice), after = told(raising(ZeroDivisionError("x")), lambda: "fine")
    assert (fault, what) == ("wrong", "ZeroDivisionError: x")
    assert "please report it" in advice
    assert after == ("ok", "fine", "")


def test_a_check_that_hangs_ends_with_its_patience():
    gate = threading.Event()
    hanging = Check("p", "n", lambda: str(gate.wait(30)), 0.01)
    (finding,) = examine([hanging])
    gate.set()
    assert (finding.verdict, finding.what) == ("wrong", "no answer within 0.01 s")
    assert finding.seconds < 5


# --- the application's environment ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({}, "the service has no name"),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_SERVICE_NAME": "x"}, "nothing is measured"),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_LOGS_EXPORTER": "none"}, "OTEL_LOGS_EXPORTER=none: no events leave by OTLP"),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_METRICS_EXPORTER": "console"}, "no metrics leave by OTLP"),
    ],
)
def test_an_environment_that_is_wrong(variables, what):
    with pytest.raises(Wrong, match=what) as wrong:
        application.environment(variables)
    assert wrong.value.advice


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_RESOURCE_ATTRIBUTES": "service.name=x,a=b"},
        {"OTEL_SERVICE_NAME": "x", "OTEL_LOGS_EXPORTER": "console,otlp_proto_http", "OTEL_METRICS_EXPORTER": ""},
    ],
)
def test_an_environment_that_is_right(variables):
    assert application.environment(variables).startswith("service ")


def test_packages():
    assert "asyncpg" in application.packages({})
    with pytest.raises(Wrong, match="has dynabase"):
        application.packages({application.DISABLED: "redis, dynabase"})


@pytest.mark.parametrize(
    ("there_is", "what"),
    [
        (["asyncpg<0.2; extra == 'asyncpg'"], r"asyncpg [\d.]+ is installed where asyncpg<0.2 is needed"),
        (["nothing-like-it>=1"], "nothing is installed where nothing-like-it>=1 is needed"),
    ],
)
def test_a_version_that_is_not_supported(monkeypatch, there_is, what):
    monkeypatch.setattr(application, "requires", lambda _name: there_is)
    with pytest.raises(Wrong, match=what):
        application.packages({})


def test_what_is_optional_may_be_missing(monkeypatch):
    monkeypatch.setattr(application, "requires", lambda _name: ["nothing-like-it>=1; extra == 'it'"])
    assert application.packages({})


def test_settings():
    assert application.settings({"OTEL_DYNABASE_EVENT_WINDOW": "2"}) == "1 given, all can be used"
    with pytest.raises(Wrong, match="OTEL_DYNABASE_EVENT_WINDOW='soon' cannot be used; allowed: seconds from 0"):
        application.settings({"OTEL_DYNABASE_EVENT_WINDOW": "soon"})
    with pytest.raises(Wrong, match="switches it off"):
        application.settings({"OTEL_DYNABASE_ENABLED": "no"})


def test_a_directory(tmp_path):
    file = tmp_path / "tenants.json"
    file.write_text(DIRECTORY)
    assert application.directory({"OTEL_DYNABASE_DIRECTORY": str(file)}) == "1 tenant"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "cannot be read"),
        ('{"tenants": []}', "the tenant directory is empty"),
        (DIRECTORY.replace('"pro"', '"gold"'), "has bad rows. Skipped: 0, kept without a bad field: 1; first: row 1"),
    ],
)
def test_a_directory_that_is_of_no_use(tmp_path, content, what):
    file = tmp_path / "tenants.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Wrong, match=what):
        application.directory({"OTEL_DYNABASE_DIRECTORY": str(file)})


def test_without_a_directory_no_plan_is_known():
    with pytest.raises(Wrong, match="there is no tenant directory"):
        application.directory({})


# --- what the collector says of itself --------------------------------------------------------------------------------

FULL = """\
# TYPE otelcol_exporter_queue_size gauge
otelcol_exporter_queue_size{exporter="clickhouse",data_type="logs"} 60
otelcol_exporter_queue_capacity{exporter="clickhouse",data_type="logs"} 100
otelcol_exporter_queue_size{exporter="otlp_http/prometheus",data_type="metrics"} 1
otelcol_exporter_queue_capacity{exporter="otlp_http/prometheus",data_type="metrics"} 100
otelcol_process_uptime 12.5
"""


def losses(monkeypatch, before, now):
    texts = iter([before, "ok", now])
    monkeypatch.setattr(collector, "get", lambda *_arguments: next(texts))
    checks = Collector(DoctorConfig.load({}), {}, Marker())
    checks.health()
    return checks.losses()


def test_how_full_queues_are():
    assert fullest_queue(samples(FULL)) == ("clickhouse", 0.6)
    assert fullest_queue(samples("")) == ("nobody", 0.0)


def test_nothing_is_lost(monkeypatch):
    calm = FULL.replace("60", "2") + (
        'otelcol_receiver_refused_log_records{receiver="otlp"} 7\n'
        'otelcol_processor_tenant_cardinality_points{outcome="accepted"} 3\n'
        'otelcol_exporter_send_failed_log_records{exporter="clickhouse"} 0\n'
    )
    assert losses(monkeypatch, calm, calm) == "nothing lost, nothing refused, fullest queue 2%"
    strange = calm + 'otelcol_processor_filter_datapoints_filtered{filter="filter/unknown_metrics"} 5\n'
    assert losses(monkeypatch, calm, strange).endswith("2%; 5 points of unknown metrics left out")


@pytest.mark.parametrize(
    ("now", "what"),
    [
        (FULL, "the queue of clickhouse is 60% full"),
        (
            'otelcol_exporter_send_failed_log_records{exporter="clickhouse",service_name="x"} 12\n',
            r'12 lost since it started: otelcol_exporter_send_failed_log_records\{exporter="clickhouse"\}',
        ),
        ('otelcol_processor_tenant_cardinality_points{outcome="refused"} 3\n', "3 lost since it started"),
        ('otelcol_receiver_refused_log_records{receiver="otlp"} 8\n', "it refuses at this moment"),
    ],
)
def test_what_is_lost_or_about_to_be(monkeypatch, now, what):
    with pytest.raises(Wrong, match=what) as wrong:
        losses(monkeypatch, 'otelcol_receiver_refused_log_records{receiver="otlp"} 7\n', now)
    assert wrong.value.advice


REFUSALS = {
    "Failed to export logs to h:1, error code: StatusCode.UNAVAILABLE, error details: failed to connect to all "
    "addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused": (
        "UNAVAILABLE, Connection refused"
    ),
    "Failed to export logs to h:1, error code: StatusCode.UNAVAILABLE": "UNAVAILABLE",
    "Transient error HTTPConnectionPool(…): … [Errno 111] Connection refused … while exporting\n"
    "Failed to export logs batch due to timeout, max retries or shutdown.": "Connection refused",
    "retrying\nFailed to export logs batch code: 404, reason: Not Found": (
        "Failed to export logs batch code: 404, reason: Not Found"
    ),
    "no reason given": "no reason given",
}
"""What exporters log, oldest and newest, and what is shown of it."""


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_is_brief(refusal):
    assert brief(refusal) == REFUSALS[refusal]


# --- the marker -------------------------------------------------------------------------------------------------------


def test_the_marker_is_nobodys():
    sent = Marker(1_795_000_000_123_456_789)
    (event,) = sent.logs()
    assert event.log_record.attributes["project_id"] == "_doctor"
    (point,) = sent.metrics().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert not point.attributes
    assert point.value == 1_795_000_000_123
    assert point.start_time_unix_nano < point.time_unix_nano - 1_000_000


@pytest.mark.parametrize(
    ("variables", "logs", "metrics"),
    [
        ({}, ("grpc", "http://localhost:4317"), ("grpc", "http://localhost:4317")),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            ("http/protobuf", "http://localhost:4318"),
            ("http/protobuf", "http://localhost:4318"),
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://b:2"},
            ("grpc", "http://a:1"),
            ("grpc", "http://b:2"),
        ),
    ],
)
def test_where_it_is_sent_is_where_the_sdk_sends(variables, logs, metrics):
    assert (marker.protocol("logs", variables), marker.endpoint("logs", variables)) == logs
    assert (marker.protocol("metrics", variables), marker.endpoint("metrics", variables)) == metrics


def test_without_a_token_means_without_and_only_for_a_while(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x")
    with marker.without_token():
        assert "OTEL_EXPORTER_OTLP_HEADERS" not in marker.os.environ
    assert marker.os.environ["OTEL_EXPORTER_OTLP_HEADERS"] == "authorization=Bearer%20x"


def test_an_exporter_is_heard_as_often_as_it_speaks():
    exporter = logging.getLogger("opentelemetry.exporter.test")
    exporter.addFilter(lambda _record: False)
    with marker.heard() as said:
        exporter.error("no")
        exporter.error("no")
    assert said == ["no", "no"]
    assert exporter.filters


# --- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://user:hunter2@host:4317/path?token=hunter2", "host:4317"),
        ("host:4317", "host:4317"),
        ("https://host", "host"),
        ("http://[::1]:4317", "[::1]:4317"),
    ],
)
def test_addresses_are_shown_without_secrets(address, said):
    assert shown(address) == said


def test_a_server_that_is_switched_off_is_not_asked():
    with pytest.raises(Unknown, match="switched off"):
        get("off", 1.0, "")


@pytest.mark.parametrize("text", ["ftp://x", "http://user:hunter2@host", "here", ""])
def test_an_address_that_cannot_be_used_is_not_taken(text, caplog):
    loaded = DoctorConfig.load({"OTEL_DYNABASE_PROMETHEUS_URL": text})
    assert loaded.prometheus_url == "http://127.0.0.1:9090"


def test_parts_are_known_in_any_case():
    assert parts_of("clickhouse, PROMETHEUS") == ("ClickHouse", "Prometheus")
    with pytest.raises(argparse.ArgumentTypeError, match="'stores' is none of application, collector"):
        parts_of("stores")


def test_the_environment_alone_is_looked_at(monkeypatch, capsys, tmp_path):
    file = tmp_path / "tenants.json"
    file.write_text(DIRECTORY)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "orders")
    monkeypatch.setenv("OTEL_DYNABASE_DIRECTORY", str(file))
    assert cli.main(["doctor", "--only", "application", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert [check["name"] for check in document["checks"]] == ["environment", "packages", "settings", "directory"]
    assert document["checks"][0].keys() == {"part", "name", "verdict", "what", "advice", "took_ms"}
    monkeypatch.delenv("OTEL_SERVICE_NAME")
    assert cli.main(["doctor", "--only", "application"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("✗ application: environment      the service has no name")
    assert said[1].strip() == "→ set OTEL_SERVICE_NAME"
    assert said[2].startswith("✓ application: packages")


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(f"({setting.variable})" in said for setting in DOCTOR_SETTINGS)
    assert "exit codes:" in said
