"""The doctor and a real Prometheus that nobody has prepared."""

import json

import pytest

from examples.stack import build
from examples.stack.process import ChildProcess, answers_ok, free_port
from otel_dynabase import cli


@pytest.fixture
def unprepared(tmp_path):
    """A Prometheus as it comes: no OTLP, no features, no rules."""
    port = free_port()
    config = tmp_path / "prometheus.yaml"
    config.write_text("{}\n")
    child = ChildProcess("Prometheus", tmp_path / "prometheus.log")
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    child.start(
        [build.prometheus().ensure(), *arguments, f"--web.listen-address=127.0.0.1:{port}"],
        lambda: answers_ok(port, "/-/ready"),
    )
    yield f"http://127.0.0.1:{port}"
    child.stop()


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
