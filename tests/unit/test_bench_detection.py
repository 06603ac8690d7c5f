"""The benchmark's account: a fault that was told late, or never, breaks the promise."""

from types import SimpleNamespace

import pytest

from benchmarks.detection.account import PROMISED, account, mistakes, table
from benchmarks.detection.faults import FAULTS, Detection, long_window, told_since
from examples.stack.notifications import Notification
from otel_dynabase.catalog.plans import PLAN_TABLE

ENTERPRISE = PLAN_TABLE[-1]
FAULT = {fault.name: fault for fault in FAULTS}


def run(seconds, *, fault="outage", plan="pro", promised=True, alert="ProTierAvailabilitySLOBreach"):
    return Detection(plan, fault, promised, alert, seconds)


def test_median_and_worst_of_each_fault_and_the_worst_of_all():
    found = account([run(30.0), run(50.0), run(31.0), run(44.0, fault="silence", alert="TelemetrySilent")])
    assert found["worst_s"] == 50.0
    outage, silence = found["cases"]
    assert (outage["median_s"], outage["worst_s"], outage["runs_s"]) == (31.0, 50.0, [30.0, 50.0, 31.0])
    assert (silence["plan"], silence["fault"], silence["alert"]) == ("pro", "silence", "TelemetrySilent")
    assert list(mistakes(found)) == []


@pytest.mark.parametrize("late", [PROMISED + 0.1, None])
def test_one_late_or_missing_alert_breaks_the_promise(late):
    found = account([run(30.0), run(late), run(20.0, plan="free")])
    assert found["worst_s"] == late
    (mistake,) = mistakes(found)
    assert mistake.startswith("pro, outage: ")


def test_just_in_time_keeps_it():
    assert list(mistakes(account([run(PROMISED)]))) == []


def test_what_is_no_promise_is_shown_and_breaks_none():
    found = account([run(30.0), run(None, fault="hang", promised=False), run(99.0, fault="half_slow", promised=False)])
    assert found["worst_s"] == 30.0
    assert list(mistakes(found)) == []
    assert "never" in table(found)


def test_nothing_shown_is_no_success():
    assert list(mistakes(account([run(1.0, promised=False)]))) == ["nothing has been shown"]
    assert account([])["worst_s"] is None


def told(*received, fault="outage", began=100.0):
    alertmanager = SimpleNamespace(notifications=SimpleNamespace(received=list(received)))
    service = SimpleNamespace(plan=ENTERPRISE, stack=SimpleNamespace(alertmanager=alertmanager))
    return told_since(service, FAULT[fault], began)


TITLE, TEXT = "[CRITICAL] Enterprise: it fails", "EnterpriseTierAvailabilitySLOBreach: it fails\nIt is 5 %.\n"


def test_the_first_notification_after_the_beginning_counts():
    early, first, second = (Notification(at, "pagerduty", "enterprise", TITLE, TEXT) for at in (99.9, 140.26, 155.0))
    assert told(early, first, second) == run(
        40.3, plan="enterprise", fault="outage", alert="EnterpriseTierAvailabilitySLOBreach"
    )


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ("pro", TEXT),
        ("enterprise", TEXT.replace("Availability", "QueryLatency")),
        ("enterprise", "Resolved after 90s: " + TEXT),
    ],
    ids=["another plan", "another alert", "its end"],
)
def test_nothing_else_counts(plan, text):
    assert told(Notification(140.0, "pagerduty", plan, TITLE, text)) is None


@pytest.mark.parametrize("plan", PLAN_TABLE, ids=lambda plan: plan.name)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_has_its_alerts_among_the_rules(fault, plan):
    """Whose longest windows must be full of good statements before: the objective's own at least."""
    if plan.name in fault.plans:
        service = SimpleNamespace(plan=plan)
        assert all(long_window(alert, plan.name) >= 60 for alert in fault.told_by(service))


def test_the_window_is_the_longest_of_the_rule():
    assert long_window("EnterpriseTierAvailabilitySLOBreach", "enterprise") == 600
