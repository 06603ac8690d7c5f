"""Who may send to the collector, and what must not come out of it: tokens, TLS, secrets, what the catalogue lacks."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import httpx
import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as PbLogRecord
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_DELTA,
    Exemplar,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

from examples.stack.collector import CONFIG, Collector
from examples.stack.process import ROOT, StartError, free_port
from examples.stack.stack import Stack
from otel_dynabase.catalog import kinds
from otel_dynabase.catalog.metrics import METRICS
from tests.integration.sending import Process, attributes_of, by, grpc_metrics, headers_of, labels_of, post, until

pytestmark = pytest.mark.end_to_end


class Sink:
    """A tracing backend: takes OTLP over HTTP and keeps every span."""

    def __init__(self):
        self.spans = []
        self.bytes = b""
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
                sink.bytes += body
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    sink.spans += [span for scope in resource.scope_spans for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def sink():
    running = Sink()
    yield running
    running.close()


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Prometheus and ClickHouse, and a collector that asks for no token."""
    with Stack(tmp_path_factory.mktemp("stack"), environ={}) as running:
        yield running


@pytest.fixture(scope="module")
def collector(stores, sink, tmp_path_factory):
    """The collector that users deploy, with traces that go somewhere."""
    with Collector(
        tmp_path_factory.mktemp("collector"),
        clickhouse=stores.clickhouse.url,
        prometheus=stores.prometheus.url,
        token="s3cret",
        config=[CONFIG, ROOT / "collector" / "traces.yaml"],
        env={"OTELCOL_TRACES_OTLP_URL": sink.url, "OTELCOL_REPLICA": "secure"},
    ) as running:
        yield running


# --- who may send -----------------------------------------------------------------------------------------------------

SPAN = Span(name="s", trace_id=b"t" * 16, span_id=b"s" * 8)
POINT = Metric(name="tenants.by_tier", gauge=Gauge(data_points=[NumberDataPoint(as_int=1)]))
SIGNALS = {
    "trace": ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[SPAN])])]),
    "metrics": ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=[POINT])])]
    ),
    "logs": ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[PbLogRecord(severity_number=9)])])]
    ),
}
ACCEPTED = ("spans", "metric_points", "log_records")


def over_http(collector, signal, authorization):
    """Send one item; say whether it was taken."""
    path = {"trace": "traces"}.get(signal, signal)
    headers = {"Content-Type": "application/x-protobuf"} | authorization
    answer = httpx.post(
        f"{collector.otlp_http}/v1/{path}",
        content=SIGNALS[signal].SerializeToString(),
        headers=headers,
        trust_env=False,
    )
    assert answer.status_code in {200, 401}
    return answer.is_success


def over_grpc(collector, signal, authorization):
    service = {"trace": "trace.v1.TraceService", "metrics": "metrics.v1.MetricsService", "logs": "logs.v1.LogsService"}
    method = f"/opentelemetry.proto.collector.{service[signal]}/Export"
    with grpc.insecure_channel(collector.otlp_grpc.removeprefix("http://")) as channel:
        call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        made = call.future(SIGNALS[signal].SerializeToString(), metadata=tuple(authorization.items()))
        assert made.code() in {grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED}
        return made.code() is grpc.StatusCode.OK


WRONG = [
    {}, {"authorization": "Bearer"}, {"authorization": "Bearer s3cret2"},
    {"authorization": "Bearer S3CRET"}, {"authorization": "s3cret"}, {"authorization": "Basic s3cret"},
    {"authorization": "Bearer s3cret, Bearer s3cret"}, {"x-authorization": "Bearer s3cret"}, {"token": "s3cret"},
]  # fmt: skip


def accepted(collector):
    """Return how many items of each kind the receiver has taken."""
    return [sum(collector.metrics(f"otelcol_receiver_accepted_{kind}").values()) for kind in ACCEPTED]


def turned_away(collector):
    """Return how many requests were refused for want of a token: what operators see of strangers."""
    http = collector.metrics("http_server_request_duration_count")
    rpc = collector.metrics("rpc_server_call_duration_count")
    return sum(count for labels, count in (http | rpc).items() if '="401"' in labels or "UNAUTHENTICATED" in labels)


@pytest.mark.parametrize("send", [over_http, over_grpc])
def test_without_the_token_nothing_is_accepted(collector, send):
    before, strangers = accepted(collector), turned_away(collector)
    assert not any(send(collector, signal, wrong) for signal in SIGNALS for wrong in WRONG)
    assert turned_away(collector) == strangers + len(SIGNALS) * len(WRONG)
    assert all(send(collector, signal, headers_of(collector)) for signal in SIGNALS)
    assert until(lambda: accepted(collector), lambda now: now > before) == [count + 1 for count in before]


def test_tokens_change_without_a_restart(collector):
    def taken(token):
        return over_http(collector, "trace", {"authorization": f"Bearer {token}"})

    try:
        collector.tokens.write_text("orders   the service\nbilling\n")
        until(lambda: taken("orders") and taken("billing") and not taken("s3cret"))
        assert not taken("the")
        assert not taken("orders   the service")
        new = collector.tokens.with_suffix(".new")
        new.write_text("rotated\n")
        new.rename(collector.tokens)
        until(lambda: taken("rotated") and not taken("orders"))
        collector.tokens.write_text("")  # by mistake: what was right stays right, and nothing else is
        assert taken("rotated")
    finally:
        collector.tokens.write_text("s3cret\n")
        until(lambda: taken("s3cret"))


def test_without_a_file_of_tokens_the_collector_does_not_start(stores, tmp_path):
    addresses = {"clickhouse": stores.clickhouse.url, "prometheus": stores.prometheus.url}
    env = {"OTELCOL_TOKENS_FILE": str(tmp_path / "absent")}
    collector = Collector(tmp_path, **addresses, token="s3cret", env=env)
    with pytest.raises(StartError, match=r"failed to read credentials file .*absent"):
        collector.start()


def test_with_tls_nothing_is_taken_in_plain_text_nor_without_the_token(stores, tmp_path, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests lets them win over the exporter's own certificate
        monkeypatch.delenv(name, raising=False)
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", key, "-out", certificate, *subject],
        check=True, capture_output=True,
    )  # fmt: skip
    env = {"OTELCOL_TLS_CERT": str(certificate), "OTELCOL_TLS_KEY": str(key)}
    addresses = {"clickhouse": stores.clickhouse.url, "prometheus": stores.prometheus.url}
    config = [CONFIG, ROOT / "collector" / "tls.yaml"]
    with Collector(tmp_path / "collector", **addresses, token="s3cret", config=config, env=env) as collector:
        url = f"{collector.otlp_http.replace('http:', 'https:')}/v1/metrics"
        stranger = HttpMetricExporter(url, certificate_file=str(certificate))
        known = HttpMetricExporter(url, certificate_file=str(certificate), headers=headers_of(collector))
        for service, exporter in (("stranger", stranger), ("known", known)):
            process = Process(service, exporter)
            process.work()
            process.provider.shutdown()
        with pytest.raises((AssertionError, httpx.TransportError)):  # 400, or a connection that is closed
            over_http(collector, "metrics", headers_of(collector))
        assert until(lambda: by(stores, 'sum by (job) (tenant_limit_hits_total{job=~"stranger|known"})', "job")) == {
            ("known",): 21
        }


# --- what must not come out -------------------------------------------------------------------------------------------

KEYS = [
    "db.statement", "db.query.text", "db.query.parameter.0", "db.query.parameter.email", "db.operation.parameter.1",
    "db.statement.parameters", "http.request.header.authorization", "http.request.header.x-tenant",
    "http.response.header.set-cookie", "rpc.grpc.request.metadata.authorization", "authorization", "Authorization",
    "user.password", "DB_PASSWORD", "api_key", "x-api-key", "apiKey", "client.secret", "db.connection_string", "dsn",
    "aws.secret_access_key", "session.token", "cookie",
]  # fmt: skip
"""Attributes whose whole value is nobody's business."""

TEXTS = [
    "could not connect to postgresql://app:hunter2@db.internal:5432/orders?sslmode=require",
    "could not connect to postgresql+asyncpg://app:hun:ter2/hunter2@hunter2@db.internal/orders",
    "redis://:hunter2@cache:6379/0 is away",
    "connection failed: host=db user=app password=hunter2 dbname=orders",
    "connection failed: host=db password='hunter2 and hunter2' dbname=orders",
    "connection failed: PASSWORD = hunter2,hunter2;hunter2&hunter2",
    'cannot parse {"user": "app", "password": "hunter2 \\"hunter2", "port": 5432}',
    "cannot parse {'user': 'app', 'password': 'hunter2', 'api_key': 'hunter2'}",
    json.dumps({"nested": json.dumps({"client_secret": "hunter2 hunter2", "n": 1})}),
    "GET https://api.example.com/v1?token=hunter2&page=2",
    "ALTER ROLE app PASSWORD 'hunter2''hunter2'",
    "GET / HTTP/1.1\r\nAuthorization: Bearer hunter2hunter2\r\nHost: x",
    "retrying with basic aHVudGVyMjpodW50ZXIy",
    "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.aHVudGVyMg expired",
    "-----BEGIN RSA PRIVATE KEY-----\nhunter2\nhunter2\n-----END RSA PRIVATE KEY-----",
    "stored as SCRAM-SHA-256$4096:hunter2$hunter2:hunter2",
    'duplicate key value violates unique constraint "users_email"\nDETAIL:  Key (email)=(hunter2) already exists.',
    'invalid input syntax for type integer: "hunter2"',
    'syntax error at or near "hunter2"\nLINE 1: SELECT hunter2 FROM users\n               ^',
    "(psycopg.Error) away\n[SQL: SELECT * FROM users WHERE name = 'hunter2']\n[parameters: ('hunter2',)]",
]
"""What is in exceptions, logs and labels."""

SECRETS = re.compile(r"(?s).{0,60}(?:hunter2|ter2|aHVudGVyM|\beyJ)")
HARMLESS = {
    "db.system.name": "postgresql", "server.address": "db.internal", "db.operation.name": "SELECT",
    "exception.message": 'relation "orders" does not exist', "url.full": "https://api.example.com/orders/7?page=2",
    "project_id": "proj_1", "note": "tokens were bought; the password policy is strict; bypass at 10:30",
    "gen_ai.usage.input_tokens": 17,
}  # fmt: skip


def values(attributes):
    return {one.key: one.value.string_value or one.value.int_value for one in attributes}


@pytest.fixture(scope="module")
def hostile_span(collector, sink):
    """One span with a secret wherever a span can have one; as the tracing backend gets it."""
    resource = Resource.create({"service.name": "hostile", "process.command_args": ("--dsn", TEXTS[0], TEXTS[3])})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(f"{collector.otlp_http}/v1/traces", headers=headers_of(collector))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("app").start_as_current_span(TEXTS[0]) as span:
        span.set_attributes(HARMLESS)
        span.set_attributes({key: f"SELECT hunter2, {number}" for number, key in enumerate(KEYS)})
        span.set_attributes({f"text.{number}": text for number, text in enumerate(TEXTS)})
        span.set_attribute("http.request.header.cookie", ["a=hunter2", "b=hunter2"])
        span.set_attribute("texts", TEXTS)
        span.add_event("log", {"db.query.text": "SELECT hunter2", "message": TEXTS[3]})
        for text in TEXTS:
            span.record_exception(RuntimeError(text))
        span.set_status(StatusCode.ERROR, f"RuntimeError: {TEXTS[0]}")
    provider.shutdown()
    return until(lambda: [span for span in sink.spans if values(span.attributes).get("project_id") == "proj_1"])[0]


def test_no_secret_leaves_with_a_trace(hostile_span, sink):
    assert SECRETS.findall(sink.bytes.decode(errors="replace")) == []
    got = values(hostile_span.attributes)
    assert {key: got[key] for key in KEYS} == dict.fromkeys(KEYS, "****")


def test_what_is_no_secret_stays_in_a_trace(hostile_span):
    got = values(hostile_span.attributes)
    assert {key: got[key] for key in HARMLESS} == HARMLESS
    assert got["text.0"] == "could not connect to postgresql****db.internal:5432/orders?sslmode=require"
    assert got["text.3"] == "connection failed: host=db user=app **** dbname=orders"
    assert hostile_span.name == "could not connect to postgresql****db.internal:5432/orders?sslmode=require"
    assert hostile_span.status.message == f"RuntimeError: {hostile_span.name}"
    assert [event.name for event in hostile_span.events] == ["log", *["exception"] * len(TEXTS)]
    stack_traces = [values(event.attributes)["exception.stacktrace"] for event in hostile_span.events[1:]]
    assert all("test_stack_security.py" in text or text.startswith("RuntimeError") for text in stack_traces)
    assert got["redaction.masked.count"] > len(KEYS)


def test_no_secret_leaves_with_an_event(stores, collector):
    provider = LoggerProvider(Resource.create({"service.name": "hostile", "process.command_line": TEXTS[3]}))
    exporter = OTLPLogExporter(endpoint=collector.otlp_grpc, insecure=True, headers=headers_of(collector))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    bodies = [*TEXTS, {"password": "hunter2", "list": TEXTS, "nested": {"dsn": "hunter2", "text": TEXTS[0]}}]
    for body in bodies:
        attributes = {
            "event_id": str(uuid.uuid4()), "project_id": "hostile", "plan": "pro", "limit_type": "max_pool_size",
            "metadata": json.dumps({"texts": TEXTS, "password": "hunter2"}), "trigger_conditions": {"dsn": "hunter2"},
            **dict.fromkeys(KEYS, "hunter2"),
        }  # fmt: skip
        record = LogRecord(timestamp=time.time_ns(), event_name="limit_hit", attributes=attributes, body=body)
        provider.get_logger("otel_dynabase").emit(record)
    provider.shutdown()
    query = "SELECT *, event_type, limit_type, metadata FROM tier_events FINAL WHERE project_id = 'hostile'"
    rows = until(lambda: stores.clickhouse.rows(query), lambda rows: len(rows) == len(bodies))
    assert SECRETS.findall(json.dumps(rows)) == []
    assert {(row["event_type"], row["limit_type"]) for row in rows} == {("limit_hit", "max_pool_size")}


def hostile_labels():
    return [labels_of("hostile", "pro") | {"db.client.connection.pool.name": text, "user": "hunter2"} for text in TEXTS]


def test_no_secret_becomes_a_label(stores, collector):
    process = Process("hostile", grpc_metrics(collector), **{"process.command_line": TEXTS[3], "api_key": "hunter2"})
    used = process.meter.create_counter("db.client.connection.timeouts", "{timeout}")
    for labels in hostile_labels():
        used.add(1, labels)
    process.provider.shutdown()
    until(lambda: by(stores, 'db_client_connection_timeouts_total{job="hostile"}'))
    series = stores.prometheus.series('{job="hostile"}')
    assert any("target_info" in labels["__name__"] or "timeouts" in labels["__name__"] for labels in series)
    assert SECRETS.findall(json.dumps(series)) == []


def test_no_secret_comes_with_an_exemplar(stores, collector):
    """What a view of the SDK's drops of a measurement's attributes, it gives to the exemplar."""
    now = time.time_ns()
    dropped = attributes_of({"db.statement": "SELECT hunter2", "user_id": "u-1"})
    points = [
        HistogramDataPoint(
            attributes=attributes_of(labels_of(project, plan)), time_unix_nano=now, count=1, sum=0.05,
            explicit_bounds=[0.1], bucket_counts=[1, 0],
            exemplars=[Exemplar(
                filtered_attributes=dropped, time_unix_nano=now, as_double=0.05, trace_id=b"t" * 16, span_id=b"s" * 8
            )],
        )
        for project, plan in (("named", "pro"), ("folded", "free"))
    ]  # fmt: skip
    durations = Histogram(aggregation_temporality=AGGREGATION_TEMPORALITY_DELTA, data_points=points)
    post(collector, "exemplary", Metric(name="db.query.duration", unit="s", histogram=durations))

    def exemplars():
        found = stores.prometheus.exemplars(
            'db_query_duration_seconds_bucket{job="exemplary"}', now / 1e9 - 60, time.time() + 60
        )
        return [exemplar["labels"] for series in found for exemplar in series["exemplars"]]

    trace = {"trace_id": (b"t" * 16).hex(), "span_id": (b"s" * 8).hex()}
    labels = until(exemplars, lambda found: len(found) == 2)
    assert sorted(labels, key=len) == [trace, trace | {"project_id": "folded"}]


# --- the allow-list ---------------------------------------------------------------------------------------------------


def instrument(meter, metric, labels):
    """Send one value of a metric of the catalogue."""
    if isinstance(metric, kinds.Histogram):
        meter.create_histogram(metric.name, metric.unit).record(1, labels)
    elif isinstance(metric, kinds.Counter):
        meter.create_counter(metric.name, metric.unit).add(1, labels)
    elif isinstance(metric, kinds.UpDownCounter):
        meter.create_up_down_counter(metric.name, metric.unit).add(1, labels)
    else:
        assert isinstance(metric, kinds.Gauge)
        meter.create_gauge(metric.name, metric.unit).set(1, labels)


SENT = [metric for metric in METRICS if not isinstance(metric, kinds.Recorded) and metric.sources != ("collector",)]


def valued(metric):
    """Return a value for each of the metric's labels."""
    known = {"project_id": "listed", "plan": "pro"}
    return {label.name: known.get(label.name) or (label.values or ("x",))[0] for label in metric.labels}


@pytest.fixture(scope="module")
def listed(stores, collector):
    """Everything in the catalogue, with an attribute too many, and something that is not in it."""
    filtered = sum(collector.metrics("otelcol_processor_filter_datapoints_filtered").values())
    process = Process("listed", grpc_metrics(collector), **{"k8s.pod.name": "too-many"})
    for metric in SENT:
        instrument(process.meter, metric, valued(metric))
        instrument(process.meter, metric, valued(metric) | {"user_id": "u-1"})
    shared = {"db.client.connection.pool.name": "shared", "db.client.connection.state": "idle"}
    process.meter.create_up_down_counter("db.client.connection.count", "{connection}").add(3, shared | {"user_id": "u"})
    process.meter.create_counter("orders.placed").add(1, labels_of("listed", "pro"))
    process.meter.create_gauge("db.query.duration.max").set(1, labels_of("listed", "pro"))
    process.provider.shutdown()
    until(lambda: sum(collector.metrics("otelcol_processor_filter_datapoints_filtered").values()) == filtered + 2)

    def series():
        found = stores.prometheus.series('{job="listed"}')
        return {name: [one for one in found if one["__name__"] == name] for name in {one["__name__"] for one in found}}

    names = {metric.prometheus + ("_count" if isinstance(metric, kinds.Histogram) else "") for metric in SENT}
    return until(series, lambda found: names <= found.keys())


def test_everything_in_the_catalogue_reaches_prometheus_with_its_labels(listed):
    ours = {"__name__", "job", "instance"}
    for metric in SENT:
        found = listed[metric.prometheus + ("_count" if isinstance(metric, kinds.Histogram) else "")]
        [one] = [labels for labels in found if labels.get("project_id") == valued(metric).get("project_id")]
        assert one.keys() - ours == {name.replace(".", "_") for name in valued(metric)}, metric.name


def test_nothing_else_reaches_prometheus(listed):
    known = {metric.prometheus for metric in SENT} | {"target_info"}
    endings = ("", "_count", "_sum", "_bucket")
    assert [name for name in listed if not any(name.removesuffix(ending) in known for ending in endings)] == []
    assert "user_id" not in json.dumps(listed)
    assert "too-many" not in json.dumps(listed)


def test_values_of_an_attribute_that_is_not_in_the_catalogue_add_up(stores, listed):
    assert by(stores, 'tenant_limit_hits_total{job="listed"}', "project_id") == {("listed",): 2}
    assert by(stores, 'db_query_duration_seconds_count{job="listed"}', "project_id") == {("listed",): 2}
    assert by(stores, 'tenant_current_tier{job="listed"}', "project_id") == {("listed",): 1}
    pools = 'db_client_connection_count{job="listed", db_client_connection_pool_name="shared"}'
    assert by(stores, pools, "project_id", "db_client_connection_state") == {(None, "idle"): 3}
