"""The collector with the rights of dynabase_writer: they are enough for events and metrics, and for nothing else."""

import time
import uuid

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from examples.stack.clickhouse import ClickHouse, ClickHouseError
from examples.stack.collector import CONFIG, Collector
from examples.stack.process import ROOT, free_port
from otel_dynabase.clickhouse.roles import roles
from tests.integration.sending import Process, grpc_metrics, until

CLOSED = f"http://127.0.0.1:{free_port()}"
"""A Prometheus that is not there: it is not what this is about."""
DENIED = 497


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory):
    with ClickHouse(tmp_path_factory.mktemp("clickhouse")) as server:
        server.apply()
        for statement in (*roles(), "CREATE USER collector IDENTIFIED BY 'w'", "GRANT dynabase_writer TO collector"):
            server.execute(statement)
        yield server


@pytest.fixture(scope="module")
def collector(clickhouse, tmp_path_factory):
    """The password is in a file, as the systemd unit has it."""
    directory = tmp_path_factory.mktemp("collector")
    (directory / "password").write_text("w")
    url = clickhouse.url.replace("http://", "http://collector@")
    config = [CONFIG, ROOT / "collector" / "detail.yaml"]
    env = {"OTELCOL_CLICKHOUSE_PASSWORD": f"${{file:{directory / 'password'}}}"}
    with Collector(directory, clickhouse=url, prometheus=CLOSED, config=config, env=env) as running:
        yield running


def rows_of(clickhouse, table):
    return clickhouse.rows(f"SELECT count() AS rows FROM {table} WHERE project_id = 'pro1'")[0]["rows"]


def test_events_and_metrics_arrive(clickhouse, collector):
    provider = LoggerProvider()
    exporter = OTLPLogExporter(endpoint=collector.otlp_grpc, insecure=True)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    attributes = {"event_id": str(uuid.uuid4()), "project_id": "pro1"}
    record = LogRecord(timestamp=time.time_ns(), event_name="limit_hit", attributes=attributes)
    provider.get_logger("otel_dynabase").emit(record)
    process = Process("app", grpc_metrics(collector))
    process.work()
    process.provider.shutdown()
    provider.shutdown()
    for table in ("tier_events", "metric_detail_sum", "metric_detail_gauge", "metric_detail_histogram"):
        assert until(lambda table=table: rows_of(clickhouse, table)) > 0
    [event] = clickhouse.rows("SELECT EventName FROM tier_events")  # which shows that it could look at the columns
    assert event == {"EventName": "limit_hit"}


def test_the_same_user_reads_nothing(clickhouse):
    for table in ("tier_events", "tier_events_daily", "metric_detail_sum"):
        with pytest.raises(ClickHouseError) as refused:
            clickhouse.execute(f"SELECT count() FROM {table}", parameters={"user": "collector", "password": "w"})
        assert refused.value.code == DENIED
