"""The commands that ask ClickHouse, on the real engine: rows as the collector writes them, answers as people see."""

# ruff: noqa: RUF001  # the sign of multiplication is meant

import csv
import functools
import io
import json
import math
import re
import statistics
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import jsonschema
import pytest

from otel_dynabase import cli
from otel_dynabase.clickhouse import migrations
from otel_dynabase.clickhouse.settings import ClickHouseConfig
from otel_dynabase.doctor import clickhouse as examined
from otel_dynabase.doctor.check import Wrong
from otel_dynabase.doctor.clickhouse import ClickHouse
from otel_dynabase.doctor.marker import Marker
from otel_dynabase.history.export import schema
from tests.integration.clickhouse.conftest import created

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
EVIL = "proj_\x1b[31m=1+1"
STARTS = (812.5, 1834.1, 950.0, 2400.25, 3100.0, 700.75, 1200.0)


class Told:
    """Rows of tier_events, as the exporter inserts them; `event_seq` counts up."""

    def __init__(self, now):
        self.now = now
        self.rows = []

    def __call__(self, ago, event_type, project, *, trace="", plan="pro", tier="HOT", **attributes):
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in attributes.items()}
        identity = {"event_id": str(uuid.uuid4()), "event_seq": str(len(self.rows) + 1), "project_id": project}
        self.rows.append(
            {
                "Timestamp": before(self.now, ago).isoformat(),
                "TraceId": trace,
                "SpanId": trace[:16],
                "ServiceName": "orders",
                "ScopeName": "otel_dynabase",
                "ResourceAttributes": {"service.instance.id": "orders-1"},
                "LogAttributes": {**identity, "plan": plan, "tier": tier, "metadata": "{}", **texts},
                "EventName": event_type,
            }
        )


def before(now, seconds):
    return now - timedelta(seconds=seconds)


def history(now):
    told = Told(now)
    told(
        3000,
        "limit_hit",
        "proj_abc123",
        trace=TRACE,
        limit_type="max_pool_size",
        action="queued",
        hit_count=38,
        queue_depth=12,
        rejection_count=0,
        queue_duration_ms=1900.2,
        metadata={"pool_name": "db:5432/shared"},
    )
    told(
        2500,
        "tier_transition",
        "proj_abc123",
        source_tier="WARM",
        target_tier="HOT",
        reason="automatic_promotion",
        trigger_conditions={"query_count_4h": 145, "uptime_hours": 4.2},
    )
    told(
        2400,
        "limit_hit",
        "proj_abc123",
        trace=TRACE,
        limit_type="max_concurrent",
        action="rejected",
        hit_count=4,
        queue_depth=0,
        rejection_count=4,
    )
    told(200_000, "scale_to_zero", "proj_abc123", reason="idle_timeout", idle_duration_sec=2100)
    told(1200, "limit_hit", EVIL, limit_type="max_pool_size", action="throttled", hit_count=2, plan="free")
    for number, milliseconds in enumerate(STARTS):
        told(
            900 + 86_400 * (number % 3),
            "cold_start",
            f"proj_{number}",
            plan="starter",
            source_tier="WARM",
            cache_level="L2_hit",
            startup_duration_ms=milliseconds,
            first_query_latency_ms=12.5,
        )
    told(800, "cold_start", "proj_9", plan="starter", source_tier="WARM", cache_level="unknown")
    told(
        700,
        "cold_start",
        "proj_ent",
        plan="enterprise",
        source_tier="COLD",
        cache_level="unknown",
        startup_duration_ms=400,
    )
    for number in range(7):
        ceiling(told, number, "proj_full", "starter", "connections" if number % 2 else "storage")
        ceiling(told, number, "proj_grown", "free", "storage")
        ceiling(told, number, "_doctor", "free", "storage")
    told(
        60,
        "plan_change",
        "proj_grown",
        plan="pro",
        from_tier="free",
        to_tier="pro",
        change_type="upgrade",
        effective_timestamp=now.isoformat(),
    )
    ceiling(told, 0, "proj_grown", "pro", "storage", ago=30)
    told(5, "doctor_marker", "_doctor")
    return told.rows  # fmt: skip


def ceiling(told, number, project, plan, resource, *, ago=None):
    told(
        3600 * number + 100 if ago is None else ago,
        "tier_ceiling_hit",
        project,
        plan=plan,
        resource_type=resource,
        hit_count_24h=number + 1,
        upgrade_suggested=True,
        metadata={"larger_plan": "pro"},
    )


@pytest.fixture(scope="module")
def now():
    """The present as the rows have it: when the first test of this file begins."""
    return datetime.now(UTC).replace(microsecond=123_000)


@pytest.fixture(scope="module")
def asked(clickhouse, now):
    """A database with a history, half of which came twice."""
    with created(clickhouse) as database:
        migrations.bring_up_to_date(database.connection)
        rows = history(now)
        database.insert("tier_events", *rows)
        database.insert("tier_events", *reversed(rows[::2]))
        yield database


@pytest.fixture(autouse=True)
def there(asked, monkeypatch):
    monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_URL", asked.server.url)
    monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_DATABASE", asked.name)


@pytest.fixture
def run(capsys):
    """Run a command; return its exit code, output and errors."""

    def run(*arguments):
        code = cli.main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


# --- timeline ---------------------------------------------------------------------------------------------------------


def test_a_timeline_is_read_from_top_to_bottom(now, run):
    def clock(ago, *others):
        """Write a time as the table does, which has the date unless all times are of today."""
        today = all(before(now, one).date() == datetime.now(UTC).date() for one in (ago, *others))
        return f"{before(now, ago):{'%H:%M:%S' if today else '%Y-%m-%d %H:%M:%S'}}"

    code, out, err = run("timeline", "proj_abc123", "--since", "45m", "--type", "limit_hit")
    assert (code, err) == (0, "")
    assert [re.split(r" {3,}", line) for line in out.splitlines()] == [
        [clock(2400), "limit_hit", "max_concurrent, rejected ×4", f"trace {TRACE}"]
    ]
    code, out, err = run("timeline", "proj_abc123", "--since", "5d")
    assert (code, err) == (0, "")
    assert [re.split(r" {3,}", line) for line in out.splitlines()] == [
        [clock(200_000, 200_000), "scale_to_zero", "compute given up, idle_timeout (idle for 35 min)"],
        [clock(3000, 200_000), "limit_hit", "max_pool_size, queued ×38 (worst 1.9 s; queue of 12)", f"trace {TRACE}"],
        [clock(2500, 200_000), "tier_transition",
         "WARM → HOT, automatic_promotion: 145 queries in 4 h, uptime 4.2 h"],
        [clock(2400, 200_000), "limit_hit", "max_concurrent, rejected ×4", f"trace {TRACE}"],
    ]  # fmt: skip


def test_the_tickets_first_query_is_a_timeline_of_one_type(run):
    _, out, _ = run("timeline", "proj_abc123", "--type", "tier_transition", "--since", "7d", "--format", "json")
    (row,) = json.loads(out)["rows"]
    assert row["attributes"]["trigger_conditions"] == {"query_count_4h": 145, "uptime_hours": 4.2}


def test_a_range_contains_its_beginning_and_not_its_end(now, run):
    first, last = before(now, 3000), before(now, 2400)
    _, out, _ = run(
        "timeline", "proj_abc123", "--since", first.isoformat(), "--until", last.isoformat(), "--format", "json"
    )
    document = json.loads(out)
    assert [row["event_type"] for row in document["rows"]] == ["limit_hit", "tier_transition"]
    assert document["rows"][0].keys() == {
        *("timestamp", "event_type", "what", "trace_id", "span_id", "event_id", "plan", "tier", "attributes"),
    }
    assert document["project_id"] == "proj_abc123"
    assert datetime.fromisoformat(document["until"]) == last
    assert datetime.fromisoformat(document["rows"][0]["timestamp"]) == first


def test_what_is_left_out_is_said(run):
    _, out, err = run("timeline", "proj_abc123", "--since", "5d", "--limit", "2")
    assert ["tier_transition" in line or "rejected" in line for line in out.splitlines()] == [True, True]
    assert "There are more: these are the newest 2." in err


@pytest.mark.parametrize(
    ("project", "said"),
    [
        ("proj_abc124", "There are no events of proj_abc124; did you mean proj_abc123?"),
        ("ABC123", "There are no events of ABC123; did you mean proj_abc123?"),
        ("nobody_like_it", "There are no events of nobody_like_it at all."),
    ],
)
def test_who_has_no_events_may_be_misspelt(run, project, said):
    assert run("timeline", project) == (1, "", f"{said}\n")


def test_who_had_none_lately_is_not_misspelt(run):
    assert run("timeline", "proj_abc123", "--since", "1s") == (1, "", "proj_abc123 has no such events since 1s.\n")


def test_a_hostile_name_is_harmless(run):
    code, out, _ = run("timeline", EVIL)
    assert code == 0
    assert out.strip("\n").isprintable()
    _, table, _ = run("noisy")
    assert "proj_\\x1b[31m=1+1" in table
    assert "\x1b" not in table


# --- the other two of the ticket --------------------------------------------------------------------------------------


def test_upsell_counts_hits_of_the_plan_that_a_tenant_has_now(now, run):
    code, out, err = run("upsell", "--format", "json")
    (row,) = json.loads(out)["rows"]
    assert (code, err) == (0, "")
    assert datetime.fromisoformat(row.pop("last_hit")) == before(now, 100)
    assert row == {
        "project_id": "proj_full",
        "tenant_id": "",
        "plan": "starter",
        "ceiling_hits": 7,
        "connections": 3,
        "query_rate": 0,
        "storage": 4,
        "compute_time": 0,
        "next_plan": "pro",
    }
    _, out, _ = run("upsell", "--more-than", "0", "--format", "csv")
    assert [(row["project_id"], row["ceiling_hits"]) for row in csv.DictReader(io.StringIO(out))] == [
        ("proj_full", "7"),
        ("proj_grown", "1"),
    ]


def test_upsell_of_nobody(run):
    assert run("upsell", "--more-than", "7") == (1, "", "Nobody was at a limit more than 7 times since 30d.\n")


def test_cold_starts_are_measured_against_what_the_plan_promises(run):
    code, out, err = run("cold-starts", "--format", "json")
    assert (code, err) == (0, "")
    starter, enterprise = json.loads(out)["rows"]
    assert starter == {
        "plan": "starter",
        "source_tier": "WARM",
        "cold_starts": 8,
        "measured": 7,
        "projects": 8,
        "avg_cold_start_ms": pytest.approx(statistics.mean(STARTS), abs=0.001),
        "p95_cold_start_ms": pytest.approx(percentile_cont(0.95, STARTS), abs=0.001),
        "worst_cold_start_ms": 3100.0,
        "objective_ms": 3000,
        "kept": percentile_cont(0.95, STARTS) <= 3000,
        "p95_first_query_ms": 12.5,
    }
    assert (enterprise["objective_ms"], enterprise["kept"]) == (0, False)
    _, table, _ = run("cold-starts")
    assert re.split(r" {3,}", table.splitlines()[2])[-3:] == ["none may happen", "no", "-"]


def percentile_cont(share, values):
    """Return what SQL's PERCENTILE_CONT does: it interpolates between the two values around the place."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def test_what_is_older_than_events_in_full_is_counted_by_day(clickhouse, now, monkeypatch, run):
    """Rows of three months ago, counted by day as the view does it; then only the counts are asked."""
    told = Told(now)
    for number in range(7):
        ceiling(told, number, "proj_full", "starter", "storage", ago=86_400 * 80 + number)
        ceiling(told, number, "proj_grown", "free", "storage", ago=86_400 * 80 + number)
    told(86_400 * 79, "plan_change", "proj_grown", plan="pro", from_tier="free", to_tier="pro", change_type="upgrade")
    for milliseconds in STARTS:
        told(86_400 * 80, "cold_start", "proj_full", plan="starter", source_tier="WARM",
             startup_duration_ms=milliseconds)  # fmt: skip
    with created(clickhouse) as database:
        migrations.bring_up_to_date(database.connection)
        database.insert("tier_events", *told.rows)
        database.count()
        monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_DATABASE", database.name)
        _, in_full, _ = run("upsell", "--since", "85d", "--format", "json")
        _, by_day, _ = run("upsell", "--since", "200d", "--format", "json")
        counted = [
            [(row["project_id"], row["plan"], row["ceiling_hits"], row["storage"]) for row in json.loads(out)["rows"]]
            for out in (in_full, by_day)
        ]
        assert counted == [[("proj_full", "starter", 7, 7)]] * 2
        assert json.loads(by_day)["notes"][0].startswith("By whole days")
        _, by_day, _ = run("cold-starts", "--since", "200d", "--format", "json")
        (row,) = json.loads(by_day)["rows"]
        assert (row["cold_starts"], row["avg_cold_start_ms"], row["worst_cold_start_ms"]) == (7, None, 3100.0)
        at_or_below = sorted(STARTS)[math.floor(0.95 * (len(STARTS) - 1))]  # a sketch does not interpolate
        assert row["p95_cold_start_ms"] == pytest.approx(at_or_below, rel=0.011)


# --- noisy ------------------------------------------------------------------------------------------------------------


def test_noisy_says_what_it_does_not_know(run):
    code, out, err = run("noisy", "--format", "json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert [(row["project_id"], row["queued"], row["rejected"], row["throttled"]) for row in document["rows"]] == [
        ("proj_abc123", 38, 4, 0),
        (EVIL, 0, 0, 2),
    ]
    assert document["rows"][0]["executing_s"] is None
    assert document["rows"][0]["worst_wait_ms"] == 1900.2
    assert document["rows"][0]["pools"] == ["db:5432/shared"]
    assert "What was taken is not known" in document["notes"][0]


def point(ago, project, metric, began, counted, *, now, delta=False, process="a", pool=None, flags=0):
    attributes = {"project_id": project, "plan": "pro"} | ({"db.client.connection.pool.name": pool} if pool else {})
    return {
        "ResourceAttributes": {"service.instance.id": process},
        "ScopeName": "otel_dynabase",
        "MetricName": metric,
        "Attributes": attributes,
        "StartTimeUnix": before(now, began).isoformat(),
        "TimeUnix": before(now, ago).isoformat(),
        "Count": counted[1],
        "Sum": counted[0],
        "AggregationTemporality": 1 if delta else 2,
        "Flags": flags,
    }


QUERY, USE = "db.query.duration", "db.client.connection.use_time"


def points(now):
    at = functools.partial(point, now=now)
    return (
        # known from before the range: 140 - 100
        at(3700, "heavy", QUERY, 9000, (100, 1000)),
        at(3000, "heavy", QUERY, 9000, (110, 1100)),
        at(10, "heavy", QUERY, 9000, (140, 1300)),
        # began within the range: 8; then it was restarted: 2; and has gone, which is no value
        at(100, "heavy", QUERY, 200, (7, 70), process="b"),
        at(50, "heavy", QUERY, 200, (8, 80), process="b"),
        at(20, "heavy", QUERY, 40, (2, 20), process="b"),
        at(5, "heavy", QUERY, 5, (0, 0), process="b", flags=1),
        # what it had before is not known: nothing is made up of the 50
        at(3000, "light", QUERY, 9000, (50, 5)),
        at(10, "light", QUERY, 9000, (51, 6)),
        # deltas add up
        at(3000, "delta", QUERY, 3010, (2, 2), delta=True),
        at(2990, "delta", QUERY, 3000, (3, 3), delta=True),
        at(9000, "delta", QUERY, 9010, (99, 99), delta=True),
        at(3000, "heavy", USE, 3010, (10, 2), pool="shared"),
        at(3000, "light", USE, 3010, (30, 2), pool="shared"),
        at(3000, "delta", USE, 3010, (60, 2), pool="its own"),
        at(3000, "_other", QUERY, 3010, (60, 2)),
    )


def test_noisy_with_the_detail_of_metrics(clickhouse, now, monkeypatch, run):
    with created(clickhouse) as database:
        migrations.bring_up_to_date(database.connection)
        database.insert("metric_detail_histogram", *points(now))
        database.insert("metric_detail_histogram", *points(now))  # a batch that was sent again
        monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_DATABASE", database.name)
        since = before(now, 3600).isoformat()
        _, out, _ = run("noisy", "--since", since, "--format", "json")
        rows = {row["project_id"]: row for row in json.loads(out)["rows"]}
        assert list(rows) == ["heavy", "delta", "light"]
        assert {name: (row["executing_s"], row["statements"]) for name, row in rows.items()} == {
            "heavy": (50.0, 400),
            "delta": (5.0, 5),
            "light": (1.0, 1),
        }
        assert rows["heavy"]["executing_share"] == pytest.approx(50 / 56, abs=1e-6)
        assert rows["light"]["holding_share"] == 0.3
        _, out, _ = run("noisy", "--since", since, "--pool", "shared", "--format", "json")
        assert [(row["project_id"], row["holding_share"], row["executing_s"]) for row in json.loads(out)["rows"]] == [
            ("light", 0.75, None),
            ("heavy", 0.25, None),
        ]


# --- export -----------------------------------------------------------------------------------------------------------


def exported(run, *arguments):
    code, out, err = run("events", "export", *arguments)
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def test_every_exported_line_is_what_the_schema_says_in_order_and_there_once(now, run):
    _, out, _ = run("events", "schema")
    assert json.loads(out) == schema()
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    validator = jsonschema.Draft202012Validator(json.loads(out), format_checker=checker)
    events = exported(run, "--since", "30d")
    for event in events:
        validator.validate(event)
    ours = [row for row in history(now) if row["LogAttributes"]["project_id"] != "_doctor"]
    assert len(events) == len({event["event_id"] for event in events}) == len(ours)
    times = [datetime.fromisoformat(event["timestamp"]) for event in events]
    assert times == sorted(times)
    assert events == exported(run, "--since", "30d")


def test_an_export_is_narrowed_by_project_type_and_time(now, run):
    assert len(exported(run, "--since", "30d", "--project", "proj_abc123")) == 4
    some = exported(run, "--type", "limit_hit,cold_start", "--type", "plan_change")
    assert {event["event_type"] for event in some} == {"limit_hit", "cold_start", "plan_change"}
    since, until = before(now, 200_000).isoformat(), before(now, 3000).isoformat()
    (only,) = exported(run, "--project", "proj_abc123", "--since", since, "--until", until)
    assert only["event_type"] == "scale_to_zero"
    assert exported(run, "--since", "1s", "--type", "plan_change") == []


def test_a_reader_who_has_seen_enough_is_no_error(asked):
    command = f"{sys.executable} -m otel_dynabase.cli events export --since 30d"
    pipe = subprocess.run(
        ["bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=True
    )
    first, code = pipe.stdout.splitlines()
    assert json.loads(first)["event_type"]
    assert (code, pipe.stderr) == ("0", "")


# --- what does not work is one line -----------------------------------------------------------------------------------

ALL = (
    ("timeline", "p"),
    ("upsell",),
    ("cold-starts",),
    ("noisy",),
    ("events", "export"),
)


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_a_server_that_is_not_there(monkeypatch, run, command):
    monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_URL", "http://127.0.0.1:1")
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert err == (
        "otel-dynabase: ClickHouse at http://127.0.0.1:1 cannot be reached ([Errno 111] Connection refused) - "
        "is it running? set OTEL_DYNABASE_CLICKHOUSE_URL, or give --clickhouse-url\n"
    )


def test_tables_that_are_not_there(clickhouse, monkeypatch, run):
    with created(clickhouse) as empty:
        monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_DATABASE", empty.name)
        for command in ALL:
            code, out, err = run(*command)
            assert (code, out) == (2, ""), command
            assert err.count("\n") == 1
            assert err.endswith(" - the tables are not there: run otel-dynabase migrate\n")


def test_a_range_that_is_none(run):
    code, _, err = run("upsell", "--since", "soon")
    assert code == 2
    assert err.startswith("otel-dynabase: --since 'soon' cannot be used; allowed: a length of time")


def doctor(run):
    """Return the doctor's exit code, and its verdicts and advice on ClickHouse."""
    code, out, _ = run("doctor", "--only", "clickhouse", "--json")
    return code, {check["name"]: (check["verdict"], check["advice"]) for check in json.loads(out)["checks"]}


def test_the_doctor_knows_the_schema(clickhouse, monkeypatch, run):
    well = {"answers": ("ok", None), "schema": ("ok", None), "event arrived": ("unknown", None)}
    assert doctor(run) == (0, well)
    with created(clickhouse) as empty:
        monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_DATABASE", empty.name)
        assert doctor(run) == (1, well | {"schema": ("wrong", "run otel-dynabase migrate")})


def test_the_doctor_misses_an_event_and_notices_a_clock(asked, monkeypatch):
    marker = Marker()
    marker.sent.add("logs")
    config = ClickHouseConfig.load({}, clickhouse_url=asked.server.url, clickhouse_database=asked.name)
    checks = ClickHouse(config, 5.0, marker)
    checks.answers()
    monkeypatch.setattr(examined, "ARRIVES", 0.1)
    with pytest.raises(Wrong, match=r"the event has not arrived within 0\.1 s"):
        checks.arrived()
    asked.store({"event_id": marker.event_id, "project_id": "_doctor", "event.name": "doctor_marker"})
    assert checks.arrived() == "the event is stored"
    monkeypatch.setattr(examined, "time", SimpleNamespace(time=lambda: time.time() + 60))
    with pytest.raises(Wrong, match=r"its clock is (59\.\d|60\.\d) s behind"):
        checks.answers()


@pytest.fixture(scope="module")
def users(asked):
    """A reader, as `otel-dynabase migrate --roles` makes them, and somebody without any right."""
    where = ["--clickhouse-url", asked.server.url, "--clickhouse-database", asked.name]
    assert cli.main(["migrate", "--roles", *where]) == 0
    name = f"asking_{time.monotonic_ns()}"
    for user in (f"{name}_reader", f"{name}_nobody"):
        asked.execute(f"CREATE USER {user} IDENTIFIED BY 'pass'")
    asked.execute(f"GRANT dynabase_reader TO {name}_reader")
    yield name
    for user in (f"{name}_reader", f"{name}_nobody"):
        asked.execute(f"DROP USER {user}")


def test_readers_may_ask_everything_and_nobody_else(users, monkeypatch, run):
    monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_PASSWORD", "pass")
    for command in (("timeline", "proj_abc123"), *ALL[1:]):
        monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_USER", f"{users}_reader")
        assert run(*command)[0] == 0, command
        monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_USER", f"{users}_nobody")
        code, out, err = run(*command)
        assert (code, out) == (2, ""), command
        assert "this user may not read that: ask as a reader" in err


def test_a_wrong_password_is_said_and_not_shown(users, monkeypatch, run):
    monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_USER", f"{users}_reader")
    monkeypatch.setenv("OTEL_DYNABASE_CLICKHOUSE_PASSWORD", "hunter2")
    code, out, err = run("upsell")
    assert (code, out) == (2, "")
    assert "user or password is wrong" in err
    assert "hunter2" not in err
