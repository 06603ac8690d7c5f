"""What an operator asks after the load, through the whole stack; and the doctor, with each part away in turn."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from examples.stack.collector import CONFIG, Collector
from otel_dynabase.history.activity import of_prometheus
from otel_dynabase.output.axis import Axis
from tests.end_to_end.running import ROOT, App, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from examples.stack.part import Part
    from examples.stack.stack import Stack

pytestmark = pytest.mark.end_to_end

PLANS = {"asked_pro": "pro", "asked_starter": "starter"}
QUICK = "2"
"""Seconds that the doctor waits at each hop."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("asked") / "tenants.yaml"
    rows = [{"project_id": project, "plan": plan, "tier": "HOT"} for project, plan in PLANS.items()]
    file.write_text(yaml.safe_dump({"tenants": rows}))
    return file


@pytest.fixture(scope="module")
def detailed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Run a collector that keeps every tenant's metrics too."""
    collector = Collector(
        tmp_path_factory.mktemp("detailed"),
        clickhouse=stack.clickhouse.url,
        prometheus=stack.prometheus.url,
        token="of-the-detail",
        config=(CONFIG, ROOT / "collector/detail.yaml"),
        env={"OTELCOL_REPLICA": "detailed"},  # the stack's own collector writes to the same Prometheus
    )
    with collector:
        yield collector


def asking(stack: Stack, collector: Collector, directory: Path) -> dict[str, str]:
    return {
        **os.environ,
        "OTEL_SERVICE_NAME": "asked",
        "OTEL_DYNABASE_DIRECTORY": str(directory),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp_grpc,
        "OTEL_EXPORTER_OTLP_HEADERS": collector.otlp_headers,
        "OTEL_DYNABASE_CLICKHOUSE_URL": stack.clickhouse.url,
        "OTEL_DYNABASE_PROMETHEUS_URL": stack.prometheus.url,
        "OTEL_DYNABASE_COLLECTOR_HEALTH_URL": collector.health,
        "OTEL_DYNABASE_COLLECTOR_METRICS_URL": collector.metrics_url,
        "OTEL_DYNABASE_DOCTOR_TIMEOUT": QUICK,
    }


@pytest.fixture
def command(stack: Stack, detailed: Collector, directory: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `otel-dynabase` as an operator does."""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "otel_dynabase.cli", *arguments],
            env=asking(stack, detailed, directory) | env,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )

    return run


@pytest.fixture
def totals(stack: Stack, detailed: Collector, directory: Path, app: Callable[..., App]) -> dict[str, Any]:
    """Have two tenants wait, and one of them run out of time; return what they did."""
    for project in PLANS:
        stack.postgres.execute(f"CREATE DATABASE {project}")
    targets = {project: stack.postgres.dsn(project) for project in PLANS}
    where = {"OTEL_EXPORTER_OTLP_ENDPOINT": detailed.otlp_grpc, "OTEL_EXPORTER_OTLP_HEADERS": detailed.otlp_headers}
    running = app(stack, "asked", directory, "asked", targets, **where)
    totals = running.said()
    running.ended()
    return totals


def test_what_happened_is_told_and_who_took_the_time(
    stack: Stack, totals: dict[str, Any], command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    def noisy() -> list[dict[str, Any]]:
        rows = json.loads(command("noisy", "--format", "json").stdout)["rows"]
        return [row for row in rows if row["project_id"] in PLANS]

    def told(rows: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
        return {row["project_id"]: (row["statements"], row["queued"]) for row in rows}

    caused = {project: (totals["statements"][project], totals["queued"][project]) for project in PLANS}
    rows = eventually(noisy, lambda rows: told(rows) == caused, within=20)
    assert told(rows) == caused
    assert all(row["holding_s"] >= row["executing_s"] > 0 for row in rows)
    assert [row["project_id"] for row in rows] == list(PLANS)  # who ran out of time has taken most of it

    timeline = command("timeline", "asked_pro")
    assert timeline.returncode == 0, timeline.stderr
    said = [re.split(r" {3,}", line)[1:] for line in timeline.stdout.splitlines()]
    assert [event[0] for event in said] == ["limit_hit"] * len(said)
    assert said[0][1].startswith("max_pool_size, queued \u00d75 (worst ")
    times_out = [event for event in said if event[1].startswith("query_timeout, rejected")]
    assert times_out
    assert all(re.fullmatch("trace [0-9a-f]{32}", event[2]) for event in times_out)

    statements = caused["asked_pro"][0]
    page = command("timeline", "asked_pro", "--since", "1h", "--html", "-").stdout
    assert f">{statements:,}, at most " in page
    assert "Statements are from the detail of metrics in ClickHouse." in page

    def of_the_other_store() -> float:
        axis = Axis(time.time() - 3600, time.time())
        found = of_prometheus(stack.prometheus.url, "asked_pro", axis.bins(), axis.step, 10.0)
        return sum(found.statements.values())

    assert eventually(of_the_other_store, lambda made: made == statements, within=20) == statements


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return what the doctor said: the verdict of each check, by part and name."""
    document = json.loads(done.stdout)
    assert document["ok"] is (done.returncode == 0), done.stderr
    return {f"{check['part']}: {check['name']}": check["verdict"] for check in document["checks"]}


def test_the_doctor_is_content_and_names_whatever_is_away(
    stack: Stack, detailed: Collector, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    well = verdicts(command("doctor", "--json"))
    assert set(well.values()) == {"ok"}, well
    assert len(well) == 18

    other = command("doctor", "--json", OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20hunter2")
    assert wrong(other) == {"collector: events by OTLP", "collector: metrics by OTLP"}
    assert "hunter2" not in other.stdout + other.stderr
    assert detailed.token not in other.stdout + other.stderr

    assert away(stack.clickhouse, command) == {"ClickHouse: answers"}
    assert away(stack.prometheus, command) == {"Prometheus: answers"}
    assert away(detailed, command) == {
        "collector: health",
        "collector: events by OTLP",
        "collector: metrics by OTLP",
        "collector: losses and queues",
    }
    assert set(verdicts(command("doctor", "--json")).values()) == {"ok"}

    misled = command("doctor", "--json", OTEL_DYNABASE_DIRECTORY="/nowhere.yaml", OTEL_SERVICE_NAME="")
    assert wrong(misled) == {"application: environment", "application: directory"}


def test_the_doctor_waits_for_nobody_who_hangs(
    stack: Stack, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    stack.clickhouse.pause()
    stack.prometheus.pause()
    try:
        began = time.monotonic()
        assert wrong(command("doctor", "--json")) == {"ClickHouse: answers", "Prometheus: answers"}
        assert time.monotonic() - began < 5 * float(QUICK)
    finally:
        stack.clickhouse.resume()
        stack.prometheus.resume()


def wrong(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Return what the doctor found wrong; whatever is wrong comes with advice."""
    assert all(check["advice"] for check in json.loads(done.stdout)["checks"] if check["verdict"] == "wrong")
    return {name for name, verdict in verdicts(done).items() if verdict == "wrong"}


def away(part: Part, command: Callable[..., subprocess.CompletedProcess[str]]) -> set[str]:
    """Return what the doctor finds wrong while a part is away."""
    part.stop()
    try:
        return wrong(command("doctor", "--json"))
    finally:
        part.start()
