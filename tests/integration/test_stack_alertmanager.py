"""The deployed Alertmanager configuration, on the real Alertmanager: who is told what, when, and with which words."""

from __future__ import annotations

import re
import subprocess
import time
from datetime import UTC, datetime

import httpx
import pytest
import yaml

from examples.stack import build
from examples.stack.alertmanager import CONFIG, Alertmanager
from examples.stack.prometheus import Prometheus
from examples.stack.stack import Stack
from otel_dynabase.render.rules import ALERTS

pytestmark = pytest.mark.end_to_end

FILE = CONFIG / "alertmanager.yml"
RECEIVERS = {"critical": "pagerduty", "warning": "slack-ops", "info": "slack-analytics"}


def amtool(*arguments):
    program = build.alertmanager("amtool").ensure()
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def routed(**labels):
    pairs = [f'{name}="{value}"' for name, value in labels.items()]
    return amtool("config", "routes", "test", f"--config.file={FILE}", *pairs).stdout.split()


def test_amtool_finds_the_configuration_good():
    checked = amtool("check-config", FILE)
    assert checked.returncode == 0, checked.stdout
    assert " - 1 templates" in checked.stdout


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert.name} {alert.severity} {alert.labels}")
def test_every_alert_goes_where_its_severity_says(alert):
    for plan in alert.plans or (alert.plan,):
        labels = {"alertname": alert.name, "severity": alert.severity, "plan": plan, "slo": alert.slo, **alert.labels}
        assert routed(**labels) == [RECEIVERS[alert.severity]]


def test_a_severity_that_nobody_foresaw_is_not_lost():
    assert routed(alertname="Unforeseen", severity="page") == ["slack-ops"]


def test_inhibition_speaks_of_alerts_that_there_are():
    names = {alert.name for alert in ALERTS}
    rules = yaml.safe_load(FILE.read_text())["inhibit_rules"]
    matchers = [matcher for rule in rules for side in ("source", "target") for matcher in rule[f"{side}_matchers"]]
    patterns = [found[1] for matcher in matchers if (found := re.fullmatch(r'alertname =~? "(.+)"', matcher))]
    assert len(patterns) >= len(rules)
    for alternative in "|".join(patterns).split("|"):
        assert any(re.fullmatch(alternative, name) for name in names), alternative


@pytest.fixture
def alertmanager(tmp_path):
    with Alertmanager(tmp_path / "alertmanager") as running:
        yield running


def alert(name, *, plan, severity, **labels):
    return {
        "labels": {"alertname": name, "plan": plan, "severity": severity, **labels},
        "annotations": {
            "summary": f"{severity} of {plan} {' '.join(labels.values())}",
            "description": "It is 5.2 %.",
            "runbook_url": "https://docs.dynabase.com/runbooks/x",
            "dashboard_url": f"https://grafana.dynabase.com/d/x?var-plan={plan}",
        },
    }


def over(alert):
    return {**alert, "endsAt": datetime.now(UTC).isoformat()}


def line(alert):
    return f"{alert['labels']['alertname']}: {alert['annotations']['summary']}"


def lines(notification):
    """Return what a notification says of each alert, without the description and the links."""
    said = re.findall(r"^\*?(?!Runbook|Dashboard)(.+?)\*?: (.+)$", notification.text, re.MULTILINE)
    return {": ".join(each) for each in said}


def told(alertmanager, count, within):
    """Return what was told, once there is so much of it."""
    deadline = time.monotonic() + within
    received = alertmanager.notifications.received
    while len(received) < count:
        assert time.monotonic() < deadline, (received, alertmanager.alerts())
        time.sleep(0.02)
    return received[:count]


LATENCY = alert("ProTierQueryLatencySLOBreach", plan="pro", severity="critical", slo="query_latency")
AVAILABILITY = alert("ProTierAvailabilitySLOBreach", plan="pro", severity="critical", slo="availability")
CIRCUIT = alert("CriticalTenantCircuitOpen", plan="pro", severity="critical")
COLLECTOR = alert("CollectorDown", plan="all", severity="critical")
SILENT = alert("TelemetrySilent", plan="starter", severity="warning")
BURN_1H = alert("ErrorBudgetBurn", plan="pro", severity="critical", slo="query_latency", window="1h")
BURN_6H = alert("ErrorBudgetBurn", plan="pro", severity="warning", slo="query_latency", window="6h")
BURN_ELSE = alert("ErrorBudgetBurn", plan="pro", severity="warning", slo="availability", window="6h")
OTHER_PLAN = alert("StarterTierQueryLatencySLOBreach", plan="starter", severity="warning", slo="query_latency")
DROPPED = alert("TelemetryDropped", plan="all", severity="warning", hop="collector")


@pytest.mark.parametrize(
    ("cause", "follows", "does_not"),
    [
        pytest.param(CIRCUIT, LATENCY, OTHER_PLAN, id="circuit open"),
        pytest.param(COLLECTOR, SILENT, DROPPED, id="collector down"),
        pytest.param(LATENCY, BURN_6H, BURN_ELSE, id="breach"),
        pytest.param(BURN_1H, BURN_6H, BURN_ELSE, id="fast burn"),
    ],
)
def test_what_follows_from_another_alert_is_not_told(alertmanager, cause, follows, does_not):
    """Even when all come at once, the cause last."""
    alertmanager.post(follows, does_not, cause)
    told(alertmanager, 2, within=5)
    time.sleep(1)
    received = alertmanager.notifications.received
    assert sorted(map(lines, received), key=str) == sorted([{line(cause)}, {line(does_not)}], key=str)
    silenced = [each["annotations"] for each in alertmanager.alerts() if each["status"]["inhibitedBy"]]
    assert silenced == [follows["annotations"]]


def test_a_plans_trouble_is_one_conversation(alertmanager):
    """What one evaluation finds is one message, another plan's another; what joins or ends is told within 5 s."""
    other = alert("EnterpriseColdStart", plan="enterprise", severity="critical")
    joins = alert("PremiumTierConnectionRejections", plan="pro", severity="critical")
    alertmanager.post(LATENCY, AVAILABILITY, other)
    first = told(alertmanager, 2, within=2)
    assert {each.title: lines(each) for each in first} == {
        "[CRITICAL] critical of pro availability (and 1 more)": {line(LATENCY), line(AVAILABILITY)},
        "[CRITICAL] critical of enterprise ": {line(other)},
    }
    alertmanager.post(over(LATENCY), joins, over(other))
    then = {each.title: lines(each) for each in told(alertmanager, 4, within=7)[2:]}
    joined = then.pop("[CRITICAL] critical of pro  (and 1 more)")
    (ended,) = joined - {line(joins), line(AVAILABILITY)}
    assert re.fullmatch(rf"Resolved after \d+s: {re.escape(line(LATENCY))}", ended)
    (resolved,) = then
    assert resolved == "[RESOLVED] critical of enterprise "


def test_what_is_said(alertmanager):
    """The number, the plan, and where to go on; what a tenant chose as its name calls nobody in Slack."""
    hostile = "of <!channel> & <https://evil.example|us>"
    page, post = (alert("NoisyNeighbour", plan="all", severity=severity) for severity in ("critical", "warning"))
    post["annotations"] |= {"summary": f"81 % {hostile}", "description": f"It is 81 % {hostile}."}
    alertmanager.post(page, post)
    received = {each.to: each for each in told(alertmanager, 2, within=5)}
    assert received["pagerduty"].text.strip().splitlines() == [
        "NoisyNeighbour: critical of all ",
        "It is 5.2 %.",
        "Runbook: https://docs.dynabase.com/runbooks/x",
        "Dashboard: https://grafana.dynabase.com/d/x?var-plan=all",
    ]
    assert {each.plan for each in received.values()} == {"all"}
    harmless = "of &lt;!channel&gt; &amp; &lt;https://evil.example|us&gt;"
    assert received["#dynabase-ops"].title == f"[WARNING] 81 % {harmless}"
    assert received["#dynabase-ops"].text.strip().splitlines() == [
        f"*NoisyNeighbour*: 81 % {harmless}",
        f"It is 81 % {harmless}.",
        "<https://docs.dynabase.com/runbooks/x|Runbook> <https://grafana.dynabase.com/d/x?var-plan=all|Dashboard>",
    ]


RULES = """
groups:
  - name: one
    interval: 1s
    rules:
      - alert: CollectorDown
        expr: vector(5.2)
        labels: { severity: critical, plan: all }
        annotations: { summary: "{{ $value }} %" }
"""


def test_prometheus_alerts_arrive(alertmanager, tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    with Prometheus(tmp_path / "prometheus", rules=[rules], alertmanager=alertmanager.url):
        # what fires before Alertmanager is discovered is sent again after a minute
        (notification,) = told(alertmanager, 1, within=90)
    assert (notification.to, notification.title) == ("pagerduty", "[CRITICAL] 5.2 %")
    assert notification.tells("CollectorDown", "all")


def test_the_stack_connects_prometheus_with_alertmanager_or_with_yours(tmp_path):
    stack = Stack(tmp_path / "own", environ={})
    assert stack.prometheus.alertmanager == stack.alertmanager.url
    yours = Stack(tmp_path / "yours", environ={"OTEL_DYNABASE_STACK_ALERTMANAGER": "http://alerts:9093/"})
    assert yours.prometheus.alertmanager == "http://alerts:9093"
    assert yours.alertmanager.notifications is None


def test_secrets_stay_in_their_files_and_a_receiver_that_is_away_is_told_later(alertmanager):
    """A failed delivery is logged without them; a new key is used without a reload."""
    receiver = alertmanager.notifications
    secrets = {secret.removeprefix(receiver.url) for secret in receiver.secrets.values()}
    receiver.stop()
    alertmanager.post(AVAILABILITY, OTHER_PLAN)
    log = alertmanager.directory / "alertmanager.log"
    deadline = time.monotonic() + 10
    while not all(f"receiver={name}" in log.read_text() for name in ("pagerduty", "slack-ops")):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    receiver.routing_key = "0123456789abcdef" * 2
    for name, secret in receiver.secrets.items():
        (alertmanager.directory / "secrets" / name).write_text(secret)
    receiver.start()
    told(alertmanager, 2, within=20)
    shown = [httpx.get(alertmanager.url + path).text for path in ("/api/v2/status", "/metrics")]
    shown += [file.read_text() for file in alertmanager.directory.iterdir() if file.is_file()]
    assert "/etc/alertmanager" not in "".join(shown)
    for secret in {*secrets, receiver.routing_key}:
        assert secret not in "".join(shown)
    for file in (alertmanager.directory / "secrets").iterdir():
        assert file.stat().st_mode & 0o077 == 0


def test_the_receiver_refuses_what_pagerduty_and_slack_would(alertmanager):
    receiver = alertmanager.notifications
    payload = {"summary": "s", "source": "us", "severity": "critical"}
    event = {"routing_key": receiver.routing_key, "event_action": "trigger", "payload": payload}
    slack = receiver.secrets["slack-ops-url"]
    for url, message, status in [
        (f"{receiver.url}/v2/enqueue", event, 202),
        (f"{receiver.url}/v2/enqueue", {**event, "routing_key": "another"}, 400),
        (f"{receiver.url}/v2/enqueue", {**event, "payload": {**payload, "summary": ""}}, 400),
        (f"{receiver.url}/v2/enqueue", {**event, "payload": {**payload, "severity": "warn"}}, 400),
        (slack, {"channel": "#c", "attachments": [{"title": "t", "text": "t", "footer": "plan: pro"}]}, 200),
        (slack, {"channel": "#c"}, 400),
        (f"{slack}x", {"channel": "#c", "attachments": [{"title": "t", "text": "t", "footer": "plan: pro"}]}, 403),
        (slack, ["no message"], 400),
    ]:
        assert httpx.post(url, json=message).status_code == status, message
    assert [each.to for each in receiver.received] == ["pagerduty", "#c"]
    assert len(httpx.get(receiver.url).text.splitlines()) == 2
