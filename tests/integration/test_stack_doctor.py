"""The doctor and a real Prometheus that nobody has prepared."""

import json
import time
from types import SimpleNamespace

import pytest

from examples.stack import build
from examples.stack.process import ChildProcess, answers_ok, free_port
from otel_dynabase import cli
from otel_dynabase.doctor import prometheus as asked
from otel_dynabase.doctor.check import Wrong
from otel_dynabase.doctor.marker import Marker
from otel_dynabase.doctor.prometheus import Prometheus
from otel_dynabase.doctor.settings import DoctorConfig


@pytest.fixture
def unprepared(start):
    """A Prometheus as it comes: no OTLP, no features, no rules."""
    return start()


@pytest.fixture
def start(tmp_path):
    """Start a Prometheus with an empty configuration and these arguments; return its address."""
    started = []

    def start(*arguments):
        child, url = prometheus(tmp_path, *arguments)
        started.append(child)
        return url

    yield start
    for child in started:
        child.stop()


def prometheus(tmp_path, *given):
    port = free_port()
    config = tmp_path / "prometheus.yaml"
    config.write_text("{}\n")
    child = ChildProcess("Prometheus", tmp_path / "prometheus.log")
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    child.start(
        [build.prometheus().ensure(), *arguments, *given, f"--web.listen-address=127.0.0.1:{port}"],
        lambda: answers_ok(port, "/-/ready"),
    )
    return child, f"http://127.0.0.1:{port}"


def examined(capsys, url):
    code = cli.main(["doctor", "--only", "prometheus", "--prometheus-url", url, "--json"])
    return code, {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


def test_what_a_prometheus_lacks_is_named_with_the_remedy(unprepared, capsys):
    code, found = examined(capsys, unprepared)
    assert code == 1
    assert found["answers"]["verdict"] == "ok"
    remedies = {name: check["advice"] for name, check in found.items() if check["verdict"] == "wrong"}
    assert remedies == {
        "takes OTLP": "start it with --web.enable-otlp-receiver",
        "first increments": "start it with --enable-feature=created-timestamp-zero-ingestion",
        "late samples": "set storage.tsdb.out_of_order_time_window: 30m in its configuration",
        "rules": "add collector/prometheus/*.yml to its rule_files",
    }
    assert found["point arrived"]["verdict"] == "unknown"


def test_what_is_switched_off_is_not_wrong(capsys):
    code, found = examined(capsys, "off")
    assert code == 0
    assert {check["verdict"] for check in found.values()} == {"unknown"}


def test_a_point_without_a_zero_before_it_is_noticed(start, monkeypatch):
    """Sent straight to a Prometheus that takes OTLP and makes no zeros."""
    url = start("--web.enable-otlp-receiver")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{url}/api/v1/otlp/v1/metrics")
    marker = Marker()
    assert marker.send("metrics", 5.0) == ""
    checks = Prometheus(DoctorConfig.load({"OTEL_DYNABASE_PROMETHEUS_URL": url}), marker)
    checks.answers()
    with pytest.raises(Wrong, match="the point is stored without a zero before it"):
        checks.arrived()


def test_a_point_that_does_not_arrive_and_a_clock_that_is_wrong(unprepared, monkeypatch):
    marker = Marker()
    marker.sent.add("metrics")
    checks = Prometheus(DoctorConfig.load({"OTEL_DYNABASE_PROMETHEUS_URL": unprepared}), marker)
    checks.answers()
    monkeypatch.setattr(asked, "ARRIVES", 0.1)
    with pytest.raises(Wrong, match=r"the point has not arrived within 0\.1 s"):
        checks.arrived()
    slow = SimpleNamespace(time=lambda: time.time() - 60)
    monkeypatch.setattr(asked, "time", slow)
    with pytest.raises(Wrong, match=r"its clock is (59\.\d|60\.\d) s ahead"):
        checks.answers()
