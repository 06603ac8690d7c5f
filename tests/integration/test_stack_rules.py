"""Prometheus' rules: what they say of hand-computed numbers, that each is tested, and that a changed one is noticed."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from examples.stack import build
from otel_dynabase.render.rules import ALERTS, FILES, GROUPS, RECORDINGS, file
from tests.rules import mutation

RULES = Path(__file__).parents[2] / "collector/prometheus"
TESTS = sorted((Path(__file__).parents[1] / "rules").glob("*.yml"))
EVERY = 40
"""Each so many-th change of a rule is tried here; `make mutate-rules` tries them all."""
CASES = [
    (group["name"], case) for path in TESTS for group in yaml.safe_load(path.read_text())["tests"]
    for case in (*group.get("alert_rule_test", ()), *group.get("promql_expr_test", ()))
]  # fmt: skip
NAMES = sorted({alert.name for alert in ALERTS})


def promtool(*arguments):
    command = [build.prometheus("promtool").ensure(), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_say_what_a_hand_computes(path):
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_without_lint():
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *(str(RULES / name) for name in FILES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_has_cases_that_fire_nearly_fire_and_have_no_data(name):
    """CollectorDown fires without data too."""
    cases = [(group, case["exp_alerts"]) for group, case in CASES if case.get("alertname") == name]
    assert any(fired for group, fired in cases if "fires" in group)
    assert any(not fired for group, fired in cases if "near miss" in group)
    assert any(bool(fired) == (name == "CollectorDown") for group, fired in cases if "missing data" in group)


def test_every_recording_is_looked_at():
    asked = " ".join(case["expr"] for _, case in CASES if "expr" in case)
    assert {rule.name for rule in RECORDINGS if not re.search(rf"(?<!\w){re.escape(rule.name)}(?!\w)", asked)} == set()


def test_every_rule_is_in_a_file():
    written = [rule for name in FILES for group in yaml.safe_load(file(name))["groups"] for rule in group["rules"]]
    assert written == [rule.document() for group in GROUPS for rule in group.rules]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert.name}-{alert.severity}")
def test_an_alert_tells_a_person_what_to_do(alert):
    document = alert.document()
    assert document["labels"]["severity"] in {"critical", "warning", "info"}
    assert document["labels"].get("plan") or {"plan"} <= set(re.findall(r"\w+", alert.expression))
    assert "{{ $labels.plan" in alert.dashboard_url or alert.plan
    assert alert.name in {"CollectorDown", "ObserverSilent"} or re.search(r"\$value|query", alert.description)
    assert not re.search(r"project_id", str(document["labels"]))


def test_a_changed_rule_is_noticed():
    number, unnoticed = mutation.survivors(EVERY)
    assert number > 40
    assert unnoticed == []
