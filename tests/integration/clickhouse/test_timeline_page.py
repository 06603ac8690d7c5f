"""`timeline --html` on the real engine: what is read, what is counted, and what becomes of the file."""

import html
import os
import re
from datetime import UTC, datetime, timedelta

import pytest

from otel_dynabase import cli
from otel_dynabase.clickhouse import migrations
from otel_dynabase.commands import page
from otel_dynabase.commands.ranges import Range
from tests import timeline_story as story
from tests.integration.clickhouse.conftest import created


@pytest.fixture(scope="module")
def now():
    """The story's end, moved to a whole hour of this one."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@pytest.fixture(scope="module")
def later(now):
    return now.timestamp() - story.UNTIL


@pytest.fixture(scope="module")
def database(clickhouse):
    """One for all tests here: each has projects of its own."""
    with created(clickhouse) as database:
        migrations.bring_up_to_date(database.connection)
        yield database


@pytest.fixture(autouse=True)
def there(database, monkeypatch):
    monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_URL", database.server.url)
    monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_DATABASE", database.name)
    monkeypatch.setenv("OTEL_DYNABASE_PROMETHEUS_URL", "off")


@pytest.fixture(scope="module")
def told(database, later):
    """The store with the story in it, half of which came twice."""
    rows = [row(event) for event in story.moved((*story.BEFORE, *story.EVENTS), later)]
    database.insert("tier_events", *rows)
    database.insert("tier_events", *reversed(rows[::2]))
    return database


def row(event):
    return {
        "Timestamp": datetime.fromtimestamp(event.time_ns / 1e9, UTC).isoformat(),
        "TraceId": event.trace_id,
        "SpanId": event.span_id,
        "ServiceName": event.service_name,
        "LogAttributes": {"event_id": event.event_id, **event.attributes},
        "EventName": event.event_type,
    }


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = cli.main(["timeline", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_the_store_says_what_was_told(told, now, later):
    asked = Range(now - timedelta(days=1), None)
    window, axis = page.read(told.connection, story.PROJECT, asked, now, here=False)
    expected = story.moved(story.EVENTS, later)
    assert (axis.since, axis.until, axis.step) == (now.timestamp() - 86_400, now.timestamp(), 1800)
    assert [(event.time_ns, event.event_type, event.trace_id) for event in window.events] == [
        (event.time_ns, event.event_type, event.trace_id) for event in sorted(expected, key=in_order)
    ]
    assert window.counts == story.counts(expected, axis.step)
    assert [event.get("target_tier") for event in window.before] == ["HOT"]
    assert [span.value for span in window.tiers()] == ["HOT", "WARM", "COLD", "WARM", "HOT", "WARM"]
    assert [span.value for span in window.plans()] == ["starter", "pro"]
    assert window.activity.statements == {}
    assert window.activity.note.endswith("Prometheus is not asked")


def in_order(event):
    return event.time_ns, event.event_seq, event.event_id.encode()


def test_what_is_before_the_range_is_known_in_it(told, now):
    asked = Range(now - timedelta(hours=4), now - timedelta(hours=1))
    window, _ = page.read(told.connection, story.PROJECT, asked, now, here=False)
    assert [span.value for span in window.tiers()] == ["HOT", "WARM"]
    assert [(span.value, span.because.get("from_tier")) for span in window.plans()] == [("pro", "starter")]
    asked = Range(now - timedelta(hours=1), None)
    window, _ = page.read(told.connection, story.PROJECT, asked, now, here=False)
    assert window.events == []
    assert [span.value for span in window.tiers()] == ["WARM"]


def test_of_ten_thousand_events_all_are_counted_and_the_page_stays_light(database, now, run, tmp_path):
    database.execute(f"""
        INSERT INTO tier_events (Timestamp, TraceId, LogAttributes, EventName)
        SELECT toDateTime64({now.timestamp():.0f} - 6 * number, 9), repeat('4bf92f35', 4), map(
            'project_id', 'busy', 'plan', 'free', 'tier', 'HOT', 'event_id', toString(generateUUIDv4()),
            'limit_type', 'max_pool_size', 'action', if(number % 10 = 0, 'rejected', 'queued'), 'hit_count', '3'
        ), 'limit_hit' FROM numbers(10000)""")
    change = {"source_tier": "HOT", "target_tier": "WARM", "reason": "automatic_demotion"}
    demotion = {"event_id": "", "event.name": "tier_transition", "project_id": "busy", "tier": "WARM", **change}
    database.store(demotion, at=now - timedelta(hours=15))
    file = tmp_path / "busy.html"
    assert run("busy", "--html", file)[0] == 0
    written = file.read_text()
    assert "27,000 waited" in written
    assert "3,000 rejected" in written
    assert "10,001 events, the newest first; older ones are only drawn: 9,900 of limit_hit." in written
    assert written.count("<tr role") == 1 + page.EACH + 1
    assert "WARM</strong> since" in written
    assert len(written) < 150_000


# --- statements -------------------------------------------------------------------------------------------------------


def histogram(project, metric, process, at, count, *, began, delta=False):
    return {
        "ResourceAttributes": {"service.instance.id": process},
        "MetricName": metric,
        "Attributes": {"project_id": project, "plan": "pro", "tier": "HOT"},
        "StartTimeUnix": began.isoformat(),
        "TimeUnix": at.isoformat(),
        "Count": count,
        "Sum": count / 100,
        "AggregationTemporality": 1 if delta else 2,
    }


def test_statements_are_counted_in_the_bin_of_the_point_that_tells_of_them(database, now):
    def at(minutes):
        return now - timedelta(minutes=120 - minutes)

    begun, old = at(3), at(-600)
    metric = "db.query.duration"
    database.insert(
        "metric_detail_histogram",
        *(histogram("p", metric, "new", at(minutes), count, began=begun) for minutes, count in ((5, 10), (15, 25))),
        # its last point before the range is what it counts from; then it is restarted
        *(histogram("p", metric, "old", at(minutes), count, began=old) for minutes, count in ((-5, 1000), (5, 1007))),
        histogram("p", metric, "old", at(25), 4, began=at(20)),
        *(histogram("p", metric, "lost", at(minutes), count, began=old) for minutes, count in ((35, 500), (45, 503))),
        *(histogram("p", metric, "delta", at(minutes), 6, began=at(minutes - 1), delta=True) for minutes in (5, 65)),
        histogram("p", "db.client.operation.duration", "new", at(15), 25, began=begun),  # the same under another name
        histogram("other", metric, "new", at(15), 999, began=begun),
    )
    asked = Range(at(0), now)
    window, axis = page.read(database.connection, "p", asked, now, here=False)
    assert axis.step == 300
    known = {round((begin - axis.since) / 60): made for begin, made in window.activity.statements.items()}
    assert known == {5: 10 + 7 + 6, 15: 15, 25: 4, 35: 0, 45: 3, 65: 6}
    assert window.activity.note == "from the detail of metrics in ClickHouse"


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_terminal_says_where_the_page_is_and_what_it_answers(told, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(story.PROJECT, "--html", "why.html", "--since", "2d")
    assert (code, err) == (0, "")
    where, _, said = out.partition(": ")
    assert where == str(tmp_path / "why.html")
    assert re.fullmatch(
        r"WARM since \d\d \w{3} \d{4}, \d\d:20:09 UTC, demoted automatically from HOT\. "
        r"Why: 12 queries in 4 h, uptime 9\.1 h\.\n",
        said,
    )
    assert (
        html.unescape(re.sub("<[^>]+>", "", (tmp_path / "why.html").read_text())).count("Why: 12 queries in 4 h") == 1
    )


def test_standard_output_has_the_page_and_nothing_else(told, run):
    code, out, err = run(story.PROJECT, "--html", "-", "--since", "2d")
    assert (code, err) == (0, "")
    assert out.startswith("<!DOCTYPE html>\n<html")
    assert out.endswith("</html>\n")


def test_an_older_page_is_replaced_and_nothing_else_is(told, run, tmp_path):
    file = tmp_path / "page.html"
    for _ in range(2):
        assert run(story.PROJECT, "--html", file, "--since", "2d")[0] == 0
    file.write_text("<!DOCTYPE html>\n<html><title>Mine</title></html>\n")
    code, out, err = run(story.PROJECT, "--html", file, "--since", "2d")
    assert (code, out) == (2, "")
    assert err == f"otel-dynabase: {file} is there and is no page of ours: give another name for --html\n"
    assert "Mine" in file.read_text()
    assert run(story.PROJECT, "--html", os.devnull, "--since", "2d")[0] == 0


def test_what_cannot_be_written_is_one_line(told, run, tmp_path):
    code, out, err = run(story.PROJECT, "--html", tmp_path / "no" / "page.html", "--since", "2d")
    assert (code, out) == (2, "")
    assert err == f"otel-dynabase: {tmp_path}/no/page.html cannot be written: No such file or directory\n"


@pytest.mark.parametrize("more", [("--type", "limit_hit"), ("--format", "json"), ("--limit", "5")])
def test_a_page_shows_everything(run, tmp_path, more):
    code, _, err = run(story.PROJECT, "--html", tmp_path / "page.html", *more)
    assert code == 2
    assert "--html shows everything on one page" in err


def test_of_nobody_there_is_no_page(told, run, tmp_path):
    code, out, err = run("proj_abc124", "--html", tmp_path / "page.html")
    assert (code, out) == (1, "")
    assert err == "There are no events of proj_abc124; did you mean proj_abc123?\n"
    assert not (tmp_path / "page.html").exists()


def test_whose_clock_goes_ahead_is_shown(database, now, run):
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    told = {"event_id": "", "event.name": "scale_to_zero", "project_id": "ahead", "reason": "manual", "tier": "COLD"}
    database.store(told, at=ahead)
    code, out, _ = run("ahead", "--html", "-", "--since", "10m")
    assert code == 0
    assert f"as of {ahead:%d %b %Y, %H:%M} UTC" in out
    assert "COLD</strong>, at least since" in out


def test_a_range_in_the_future_is_no_error(told, now, run):
    code, out, _ = run(story.PROJECT, "--html", "-", "--since", (now + timedelta(days=2)).isoformat())
    assert code == 0
    assert "0 events, the newest first." in out


def test_the_future_is_not_drawn(told, now, run):
    tomorrow = (now + timedelta(days=1)).isoformat()
    code, out, _ = run(story.PROJECT, "--html", "-", "--since", "2d", "--until", tomorrow)
    assert code == 0
    assert f"as of {datetime.now(UTC):%d %b %Y, %H:}" in out


def test_what_is_not_kept_any_more_is_nothing(told, run, tmp_path):
    code, out, err = run(story.PROJECT, "--html", tmp_path / "old.html", "--since", "52w", "--until", "30w")
    assert (code, out) == (1, "")
    assert err == "proj_abc123 has no such events since 52w.\n"
