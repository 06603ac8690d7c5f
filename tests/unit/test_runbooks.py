"""Every runbook has what somebody needs who was woken by it, in the same order on each page."""

from __future__ import annotations

import re

import pytest

from otel_dynabase.render import rendered
from otel_dynabase.render.rules import ALERTS
from tests.runbooks import SLUGS, page, queries, sections

SECTIONS = ["What it means", "First three checks", "What to do", "When to ignore it", "When the alert is wrong"]
STORES = {"promql", "sql", "sh"}


def test_every_alert_has_its_page_and_every_page_an_alert():
    assert {alert.runbook for alert in ALERTS} == set(SLUGS)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_page_begins_with_the_alerts_that_it_is_about(slug):
    title, table, _rest = page(slug).split("\n\n", 2)
    assert title.startswith("# ")
    assert table.startswith(f"<!-- alerts of {slug} -->\n")
    assert rendered(page(slug)) == page(slug)
    assert all(f"`{alert.name}` | {alert.severity} |" in table for alert in ALERTS if alert.runbook == slug)


def test_the_index_has_every_alert_with_its_page():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| .* \| \[.+\]\((.+)\.md\) \|$", page("index"), re.MULTILINE)
    assert set(rows) == {(alert.name, alert.severity, alert.runbook) for alert in ALERTS}
    assert len(rows) == len(set(rows))


def test_every_alert_of_the_ticket_is_in_the_index_and_still_there():
    ticket = {
        *("CriticalTenantCircuitOpen", "PremiumTierConnectionRejections", "EnterpriseColdStart"),
        *("TierCeilingHitsTrending", "CacheHitRateDegradation", "ColdStartLatencyExceedsSLO"),
        *("ProTierQueryLatencySLOBreach", "TierTransitionSpike", "ScaleToZeroSavingsMilestone"),
    }
    told = page("index").partition("## Where the ticket's alerts are")[2]
    assert ticket <= set(re.findall(r"`(\w+)`", told))
    assert ticket <= {alert.name for alert in ALERTS}


@pytest.mark.parametrize("slug", SLUGS)
def test_the_sections_are_there_and_none_is_empty(slug):
    text = page(slug)
    assert re.match(r"# \S", text)
    found = sections(text, "##")
    assert list(found) == SECTIONS
    assert all(len(part.strip()) > 20 for part in found.values())


@pytest.mark.parametrize("slug", SLUGS)
def test_three_checks_each_with_its_query_and_how_to_read_the_answer(slug):
    checks = sections(sections(page(slug), "##")["First three checks"], "###")
    assert [heading[:3] for heading in checks] == ["1. ", "2. ", "3. "]
    for heading, check in checks.items():
        assert heading.endswith("?"), "a check is a question"
        assert len(list(queries(slug, check))) == 1, heading
        reading = check.rpartition("```")[2]
        assert len(reading.split()) >= 4, f"{heading}: how is the answer read?"


@pytest.mark.parametrize("slug", SLUGS)
def test_what_to_do_is_in_order(slug):
    steps = re.findall(r"^(\d+)\. ", sections(page(slug), "##")["What to do"], re.MULTILINE)
    assert [int(step) for step in steps] == list(range(1, len(steps) + 1))
    assert 2 <= len(steps) <= 5, "more is not read at night"


@pytest.mark.parametrize("slug", SLUGS)
def test_only_what_can_be_run_is_shown_as_a_query(slug):
    for query in queries(slug):
        assert query.language in STORES | {"postgresql"}, query
        assert query.language != "sh" or query.text.startswith("otel-dynabase "), query
    assert len(page(slug).split()) < 600, "a page, not a book"
