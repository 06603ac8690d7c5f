"""collector/scale-out: an agent in front of two gateways, each of them the collector that users deploy."""

from __future__ import annotations

import os
import subprocess
import time
import uuid

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from examples.stack import build
from examples.stack.collector import CONFIG, Collector
from examples.stack.process import ROOT
from examples.stack.stack import Stack
from tests.integration.sending import Process, by, grpc_metrics, headers_of, until

pytestmark = pytest.mark.end_to_end

SCALE_OUT = ROOT / "collector" / "scale-out"
AGENT = [SCALE_OUT / "agent.yaml", SCALE_OUT / "agent-split.yaml"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("stack"), environ={}) as running:
        yield running


@pytest.fixture(scope="module")
def gateways(stack, tmp_path_factory):
    stores = {"clickhouse": stack.clickhouse.url, "prometheus": stack.prometheus.url}
    parts = [
        Collector(tmp_path_factory.mktemp(name), **stores, token="of-agents", env={"OTELCOL_REPLICA": name})
        for name in ("gateway-1", "gateway-2")
    ]
    with parts[0], parts[1]:
        yield parts


@pytest.fixture(scope="module")
def agent(gateways, tmp_path_factory):
    directory = tmp_path_factory.mktemp("agent")
    token = directory / "gateway-token"
    token.write_text("of-agents\n")
    env = {
        "OTELCOL_GATEWAY_URL": gateways[0].otlp_http,
        "OTELCOL_SECOND_GATEWAY_URL": gateways[1].otlp_http,
        "OTELCOL_GATEWAY_TOKEN_FILE": str(token),
    }
    with Collector(directory, clickhouse="", prometheus="", token="of-apps", config=AGENT, env=env) as running:
        yield running


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_sums_over_two_gateways_are_right_though_one_is_killed(stack, gateways, agent, monkeypatch, temporality):
    """Each tenant is always at the same gateway, whose name its series have; what waits for it, waits in the agent."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality)
    job = f"scaled-{temporality}"
    processes = [Process(job, grpc_metrics(agent)) for _ in range(2)]

    def round_of_work():
        for process in processes:
            process.work()
            assert process.provider.force_flush()

    def hits():
        return by(stack, f'sum by (plan, project_id) (tenant_limit_hits_total{{job="{job}"}})', "plan", "project_id")

    def truth(rounds):
        each = 2 * rounds
        named = {("starter", "start1"): 4 * each, ("pro", "pro1"): 5 * each, ("pro", "pro2"): 6 * each}
        return {("free", "_other"): (1 + 2 + 3) * each} | named

    round_of_work()
    until(hits, truth(1).__eq__)
    gateways[1].kill()
    round_of_work()
    gateways[1].start()
    round_of_work()
    for process in processes:
        process.provider.shutdown()
    until(hits, truth(3).__eq__)
    replicas = by(stack, f'tenant_limit_hits_total{{job="{job}"}}', "project_id", "instance")
    assert {instance for _, instance in replicas} == {"gateway-1", "gateway-2"}
    assert len([project for project, _ in replicas if project != "_other"]) == 3, "one series for each named tenant"
    assert set(by(stack, f'min_over_time(tenant_limit_hits_total{{job="{job}"}}[5m])').values()) == {0}


def test_events_are_stored_once_by_way_of_an_agent(stack, agent):
    provider = LoggerProvider(Resource.create({"service.name": "scaled"}))
    exporter = OTLPLogExporter(endpoint=agent.otlp_grpc, insecure=True, headers=headers_of(agent))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    attributes = {"event_id": str(uuid.uuid4()), "project_id": "scaled", "limit_type": "max_pool_size"}
    record = LogRecord(timestamp=time.time_ns(), event_name="limit_hit", attributes=attributes)
    provider.get_logger("otel_dynabase").emit(record)
    provider.shutdown()
    query = "SELECT event_type, limit_type FROM tier_events FINAL WHERE project_id = 'scaled'"
    expected = [{"event_type": "limit_hit", "limit_type": "max_pool_size"}]
    assert until(lambda: stack.clickhouse.rows(query)) == expected


@pytest.mark.parametrize(
    "files",
    [[SCALE_OUT / "agent.yaml"], AGENT, [CONFIG, SCALE_OUT / "long-term-store.yaml"]],
    ids=lambda files: files[-1].stem,
)
def test_the_configurations_are_valid(files):
    """agent-load-balancing.yaml is not among them: our build lacks the load_balancing exporter."""
    command = [build.collector().ensure(), "validate", *(f"--config={file}" for file in files)]
    done = subprocess.run(command, env={"PATH": os.defpath}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
