"""The account of `make bench-noise`: what is news, what an incident explains, how late it was told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.noise.gathered import day, default_budgets, gathered
from benchmarks.noise.verdict import FEWER_THAN, Incident, incidents, judge, notifications
from otel_dynabase.catalog.attributes import SLO
from otel_dynabase.catalog.plans import PLANS
from otel_dynabase.render.rules import ALERTS, RECORDINGS

NOON = datetime(2000, 1, 4, 12, tzinfo=UTC)
OUTAGE = Incident("outage", ("pro",), NOON, NOON + timedelta(minutes=15), ("Breach",), ("Burn",))


def alert(name, since=0, *, firing=True, plan="pro", severity="critical", **labels):
    """Return an alert as the replay writes it; since seconds after noon, in Go's nanoseconds."""
    at = f"{NOON + timedelta(seconds=since):%Y-%m-%dT%H:%M:%S}.123456789Z"
    named = {"alertname": name, "plan": plan, "severity": severity, **labels}
    return {"labels": named, "description": "", "starts_at": at, "firing": firing}


@pytest.fixture
def told(tmp_path):
    """Return what a day of notifications comes to: pairs of seconds after noon and alerts."""

    def verdict(*lines, injected=(OUTAGE,)):
        file = tmp_path / "notified.jsonl"
        receivers = {"critical": "pagerduty", "warning": "slack-ops", "info": "slack-analytics"}
        file.write_text(
            "".join(
                json.dumps(
                    {
                        "at": f"{NOON + timedelta(seconds=at):%Y-%m-%dT%H:%M:%S}Z",
                        "receiver": receivers[alerts[0]["labels"]["severity"]],
                        "alerts": alerts,
                    }
                )
                + "\n"
                for at, *alerts in lines
            )
        )
        return judge(list(injected), notifications(file))

    return verdict


def test_an_incident_is_notified_by_the_alert_that_is_there_for_it(told):
    verdict = told((40, alert("Burn", 30)), (50, alert("Burn", 30), alert("Breach", 45)))
    assert verdict.late == {"outage": 50}
    assert verdict.figures()["actionable"] == 0
    assert verdict.figures()["of_incidents"] == {"critical": 2}
    assert not list(verdict.mistakes())


def test_what_only_follows_of_it_is_no_notification_of_it(told):
    verdict = told((40, alert("Burn", 30)))
    assert verdict.figures()["incidents_notified"] == 0
    assert list(verdict.mistakes()) == ["nobody was told: outage"]


def test_nobody_acts_on_information(told):
    assert not told((50, alert("Breach", 45, severity="info"))).late


@pytest.mark.parametrize(
    "noise",
    [
        alert("Breach", -60),
        alert("Breach", 15 * 60 + 31 * 60),
        alert("Breach", 45, plan="free"),
        alert("Other", 45),
        alert("Burn", 15 * 60 + 61 * 60, window="1h"),
    ],
    ids=["before it", "long after it", "of another plan", "another alert", "beyond its window"],
)
def test_what_no_incident_explains_is_noise(told, noise):
    verdict = told((50, noise))
    assert verdict.figures()["noise"] == {"critical": 1}
    assert verdict.figures()["actionable"] == 1


@pytest.mark.parametrize(
    "explained",
    [
        alert("Breach", 15 * 60 + 29 * 60),
        alert("Burn", 15 * 60 + 59 * 60, window="1h"),
        alert("Burn", 60, plan="all"),
    ],
    ids=["soon after it", "within its window", "of every plan"],
)
def test_what_it_leaves_behind_is_explained(told, explained):
    assert told((50, explained)).figures()["actionable"] == 0


def test_news_is_what_its_readers_did_not_know(told):
    verdict = told(
        (0, alert("Other")),
        (15, alert("Other"), alert("Breach", 10)),  # news of the incident; the other one is known
        (30, alert("Other"), alert("Breach", 10, firing=False)),  # something is over
        (45, alert("Other", firing=False)),
        (4 * 3600, alert("Other", 3 * 3600)),  # it has come again
        (8 * 3600, alert("Other", 3 * 3600)),  # and is repeated
    )
    assert verdict.figures()["noise"] == {"critical": 3}
    assert verdict.figures()["of_incidents"] == {"critical": 1}
    assert [row[1].name for row in verdict.rows] == ["Other", "Breach", "Other", "Other"]


def test_a_page_with_any_noise_in_it_is_noise(told):
    assert told((50, alert("Breach", 45), alert("Other", 45))).figures()["actionable"] == 1


def test_only_so_many_may_ask_for_action(told):
    noise = [(n, alert("Other", n, severity="warning")) for n in range(FEWER_THAN)]
    assert not list(told(*noise[1:], injected=()).mistakes())
    assert list(told(*noise, injected=()).mistakes()) == [
        "5 notifications asked for action without an incident, where fewer than 5 may"
    ]
    assert not list(told(*((n, alert("Other", n, severity="info")) for n in range(50)), injected=()).mistakes())


def test_the_day_is_what_it_promises_to_be():
    assert sum(plan["tenants"] for plan in day()["plans"].values()) == 2000
    assert tuple(day()["plans"]) == PLANS
    assert len(incidents(day())) == 6


def test_incidents_beyond_a_shorter_day_are_not_injected():
    assert len(incidents(day() | {"hours": 8})) == 2


def test_each_incident_names_alerts_that_there_are():
    names = {alert.name for alert in ALERTS}
    for incident in incidents(day()):
        assert {*incident.told_by, *incident.follows} <= names, incident.name


def test_the_program_reads_what_the_catalogue_says():
    facts = gathered(day(), ["rules.yml"])
    assert facts["budgets"] == {"free": 0, "starter": 50, "pro": 50}
    assert default_budgets() == {"free": 0, "starter": 200, "pro": 500}
    assert facts["metrics"]["tenant.cold_starts"]["born_for"] == ("enterprise",)
    assert facts["metrics"]["db.query.duration"]["name"] == "db_query_duration_seconds"
    assert {facts["judged"], facts["missed"]} <= {recording.name for recording in RECORDINGS}
    assert SLO.values == ("query_latency", "availability", "cold_start")  # as history.go has them
