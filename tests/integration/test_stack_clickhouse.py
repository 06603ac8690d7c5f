"""The stack's ClickHouse: the real engine behind an endpoint that behaves like the real server's."""

from __future__ import annotations

import gzip
import json
import threading
import uuid

import httpx
import pytest

from examples.stack.clickhouse import ClickHouse, ClickHouseError


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory):
    with ClickHouse(tmp_path_factory.mktemp("ch")) as server:
        server.apply()
        yield server


@pytest.fixture
def numbers(clickhouse):
    clickhouse.execute("CREATE TABLE numbers (n UInt64) ENGINE = MergeTree ORDER BY n")
    yield "numbers"
    clickhouse.execute("DROP TABLE numbers")


def get(clickhouse, path, **parameters):
    return httpx.get(clickhouse.url + path, params=parameters, trust_env=False)


def test_it_answers_like_curl_expects(clickhouse):
    assert get(clickhouse, "/ping").text == "Ok.\n"
    assert get(clickhouse, "/", query="SELECT 1").text == "1\n"
    answer = get(clickhouse, "/", query="SELECT 1 AS x FORMAT JSON")
    assert answer.json()["data"] == [{"x": 1}]
    assert answer.headers["X-ClickHouse-Format"] == "JSON"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("SELEC 1", 400, 62),
        ("SELECT * FROM nowhere", 404, 60),
        ("SELECT nobody", 404, 47),
        ("SELECT throwIf(1)", 500, 395),
    ],
)
def test_errors_have_the_real_servers_status_code_and_text(clickhouse, query, status, code):
    answer = get(clickhouse, "/", query=query)
    assert answer.status_code == status
    assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    with pytest.raises(ClickHouseError) as raised:
        clickhouse.execute(query)
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("insert", "data"),
    [
        ("INSERT INTO numbers FORMAT JSONEachRow", b'{"n": 1}\n{"n": 2}'),
        ("INSERT INTO numbers (n) FORMAT CSV", b"1\n2\n"),
        ("INSERT INTO numbers VALUES", b"(1), (2)"),
        ("INSERT INTO numbers (n) FORMAT Native", b"\x01\x02\x01n\x06UInt64" + bytes([1] + [0] * 7 + [2] + [0] * 7)),
    ],
)
def test_rows_are_inserted_in_any_format(clickhouse, numbers, insert, data):
    clickhouse.execute(insert, data=data)
    assert clickhouse.rows("SELECT n FROM numbers ORDER BY n") == [{"n": 1}, {"n": 2}]


def test_compressed_bodies_are_understood(clickhouse, numbers):
    headers = {"Content-Encoding": "gzip"}
    parameters = {"query": "INSERT INTO numbers FORMAT CSV"}
    httpx.post(clickhouse.url, params=parameters, headers=headers, content=gzip.compress(b"7\n")).raise_for_status()
    assert clickhouse.rows("SELECT n FROM numbers") == [{"n": 7}]


def test_parameters_and_settings_are_the_requests_own(clickhouse):
    assert clickhouse.rows("SELECT {n:UInt8} + 1 AS m", n="41") == [{"m": 42}]
    settings = {"max_block_size": "7"}
    asked = "SELECT getSetting('max_block_size')"
    before = clickhouse.execute(asked)
    assert clickhouse.execute(asked, parameters=settings) == "7\n"
    assert clickhouse.execute(asked) == before
    with pytest.raises(ClickHouseError, match="UNKNOWN_SETTING"):
        clickhouse.execute("SELECT 1", parameters={"no_such_setting": "1"})


def test_a_native_client_gets_blocks_of_its_protocol_version(clickhouse):
    parameters = {"query": "SELECT 'a' AS s, 5::UInt8 AS n", "default_format": "Native"}
    plain = get(clickhouse, "/", **parameters).content
    assert plain == b"\x02\x01\x01s\x06String\x01a\x01n\x05UInt8\x05"
    versioned = get(clickhouse, "/", client_protocol_version="54460", **parameters).content
    info = b"\x01\x00\x02\xff\xff\xff\xff\x00"
    assert versioned == info + b"\x02\x01\x01s\x06String\x00\x01a\x01n\x05UInt8\x00\x05"


def test_what_was_read_is_said(clickhouse, numbers):
    clickhouse.execute("INSERT INTO numbers SELECT number FROM numbers(100)")
    summary = json.loads(get(clickhouse, "/", query="SELECT sum(n) FROM numbers").headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["read_bytes"]) == ("100", "800")


@pytest.mark.parametrize(
    ("request_with", "status"),
    [
        ({}, 200),
        ({"auth": ("somebody", "secret")}, 200),
        ({"headers": {"X-ClickHouse-User": "somebody", "X-ClickHouse-Key": "secret"}}, 200),
        ({"params": {"user": "somebody", "password": "secret"}}, 200),
        ({"auth": ("somebody", "wrong")}, 403),
        ({"auth": ("nobody", "secret")}, 403),
        ({"headers": {"Authorization": "Basic ?"}}, 403),
        ({"headers": {"X-ClickHouse-User": "somebody"}}, 403),
        ({"params": {"password": "secret"}}, 403),
    ],
)
def test_users_have_passwords(clickhouse, somebody, request_with, status):
    answer = httpx.post(clickhouse.url, content="SELECT 1", trust_env=False, **request_with)
    assert answer.status_code == status
    assert answer.headers.get("X-ClickHouse-Exception-Code", "0") == {200: "0", 403: "516"}[status]


@pytest.fixture(scope="module")
def somebody(clickhouse):
    clickhouse.execute("CREATE USER somebody IDENTIFIED BY 'secret'")


def test_web_pages_are_kept_out(clickhouse):
    assert httpx.get(clickhouse.url, headers={"Origin": "https://evil.example"}).status_code == 403
    assert httpx.get(clickhouse.url, headers={"Host": "evil.example"}).status_code == 400


def test_it_pings_while_a_query_runs(clickhouse):
    query = threading.Thread(target=clickhouse.execute, args=("SELECT sleep(1)",))
    query.start()
    answer = get(clickhouse, "/ping")
    busy = query.is_alive()
    query.join()
    assert answer.text == "Ok.\n"
    assert busy


def test_what_was_acknowledged_survives_a_crash(clickhouse, numbers):
    clickhouse.execute("INSERT INTO numbers SELECT number FROM numbers(100000)")
    clickhouse.kill()
    clickhouse.start()
    assert clickhouse.rows("SELECT count() AS rows, sum(n) AS s FROM numbers") == [{"rows": 100000, "s": 4999950000}]


# --- the schema -------------------------------------------------------------------------------------------------------

INSERT = "INSERT INTO tier_events (Timestamp, ServiceName, ResourceAttributes, LogAttributes) FORMAT JSONEachRow"


def store(clickhouse, *events, timestamp="2026-11-20 12:00:00.123456789"):
    resource = {"service.instance.id": "process-1"}
    rows = [
        {"Timestamp": timestamp, "ServiceName": "s", "ResourceAttributes": resource, "LogAttributes": event}
        for event in events
    ]
    clickhouse.execute(INSERT, data="\n".join(map(json.dumps, rows)).encode())


def test_an_event_is_unpacked_into_columns(clickhouse):
    event = {
        "event.name": "limit_hit", "event_id": str(uuid.uuid4()), "event_seq": "7", "project_id": "unpacked",
        "tenant_id": "org_1", "plan": "pro", "tier": "WARM", "limit_type": "max_pool_size", "action": "queued",
        "hit_count": "12", "queue_depth": "3", "startup_duration_ms": "12.5",
    }  # fmt: skip
    store(clickhouse, event)
    columns = (
        "event_type, toString(event_id) AS event_id, event_seq, project_id, tenant_id, plan, tier, limit_type, action, "
        "hit_count, queue_depth, rejection_count, startup_duration_ms, first_query_latency_ms, service_instance_id, "
        "toString(timestamp) AS timestamp"
    )
    (row,) = clickhouse.rows(f"SELECT {columns} FROM tier_events FINAL WHERE project_id = 'unpacked'")
    assert row == {
        "event_type": "limit_hit", "event_id": event["event_id"], "event_seq": 7, "project_id": "unpacked",
        "tenant_id": "org_1", "plan": "pro", "tier": "WARM", "limit_type": "max_pool_size", "action": "queued",
        "hit_count": 12, "queue_depth": 3, "rejection_count": 0, "startup_duration_ms": 12.5,
        "first_query_latency_ms": None, "service_instance_id": "process-1",
        "timestamp": "2026-11-20 12:00:00.123456789",
    }  # fmt: skip


def test_an_event_that_comes_twice_counts_once(clickhouse):
    first, second = (
        {"event.name": "cold_start", "event_id": str(uuid.uuid4()), "project_id": "twice"} for _ in range(2)
    )
    store(clickhouse, first)
    store(clickhouse, first, second)
    store(clickhouse, second)
    assert clickhouse.rows("SELECT count() AS n FROM tier_events FINAL WHERE project_id = 'twice'") == [{"n": 2}]


def test_a_malformed_event_is_stored_and_blocks_nobody(clickhouse):
    broken = {"project_id": "broken", "event_id": "?", "event_seq": "-1", "hit_count": "many", "queue_depth": "1e9"}
    store(clickhouse, broken, {**broken, "reason": "another"})
    rows = clickhouse.rows("SELECT event_seq, hit_count FROM tier_events FINAL WHERE project_id = 'broken'")
    assert rows == [{"event_seq": 0, "hit_count": 1}] * 2


def test_a_projects_recent_history_is_found_by_the_sort_key(clickhouse):
    store(clickhouse, {"event.name": "cold_start", "project_id": "short_read"})
    plan = clickhouse.execute(
        "EXPLAIN indexes = 1 SELECT event_id FROM tier_events FINAL"
        " WHERE project_id = 'short_read' AND event_type = 'cold_start' AND timestamp > '2026-11-14'"
    )
    key = plan.partition("PrimaryKey")[2]
    assert all(column in key for column in ("project_id in", "event_type in", "Timestamp in"))


def test_events_go_after_90_days(clickhouse):
    (table,) = clickhouse.rows("SELECT engine_full FROM system.tables WHERE name = 'tier_events'")
    assert "toIntervalDay(90)" in table["engine_full"]
