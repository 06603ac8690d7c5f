"""What a statement does: its command, out of a bounded set, in bounded time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dynabase.catalog.attributes import OPERATION
from otel_dynabase.probes.statement import CACHED, SCANNED, command

COMMANDS = {
    "select 1": "SELECT",
    "  \n\tSELECT 1": "SELECT",
    "/* a /* comment */ SELECT 1": "SELECT",
    "-- insert\nSELECT 1": "SELECT",
    "(SELECT 1) UNION (SELECT 2)": "SELECT",
    "TABLE items": "SELECT",
    "VALUES (1)": "SELECT",
    "INSERT INTO a SELECT 1": "INSERT",
    "update a set b = 'select'": "UPDATE",
    "Delete From a": "DELETE",
    "MERGE INTO a": "MERGE",
    "COPY a FROM STDIN": "COPY",
    "START TRANSACTION": "BEGIN",
    "end": "COMMIT",
    "ABORT": "ROLLBACK",
    "WITH a AS (SELECT 1) SELECT * FROM a": "SELECT",
    "WITH a AS (SELECT 1) INSERT INTO b SELECT * FROM a": "INSERT",
    "with recursive a(n) as (values (1) union select n from a) update b set c = 1": "UPDATE",
    "WITH a AS (INSERT INTO b VALUES (1) RETURNING *) SELECT * FROM a": "SELECT",
    "WITH a AS (SELECT ')' || $$(delete$$ || \"(\") DELETE FROM b": "DELETE",
    "WITH a AS MATERIALIZED (SELECT 1) TABLE a": "SELECT",
    "EXPLAIN SELECT 1": "OTHER",
    "VACUUM": "OTHER",
    "LISTEN a": "OTHER",
    "SELECTED": "OTHER",
    "": "OTHER",
    ";": "OTHER",
    "WITH": "OTHER",
    "12 34": "OTHER",
}


@pytest.mark.parametrize("sql", COMMANDS)
def test_a_statement_has_a_command(sql):
    assert command(sql) == COMMANDS[sql]


@given(st.text(alphabet=st.sampled_from("sSeElLcCtT ()'\"$-/*\n;WITHwith_0é\0"), max_size=200))
def test_the_command_is_in_a_bounded_set_whatever_the_text(sql):
    assert command(sql) in OPERATION.values


@pytest.mark.parametrize(
    "sql",
    ["(" * 1_000_000, "/*" * 500_000, "'" * 1_000_001, "$a$" * 300_000, "$" * 1_000_000, "WITH " + "a " * 1_000_000],
    ids=["brackets", "comments", "quotes", "dollars", "signs", "words"],
)
def test_hostile_texts_take_no_time(sql):
    """Only a beginning is looked at; a second is sanity, not a measurement."""
    began = time.perf_counter()
    assert command(sql) in OPERATION.values
    assert time.perf_counter() - began < 1


def test_a_command_beyond_what_is_scanned_is_other():
    assert command("-- " + "x" * SCANNED + "\nSELECT 1") == "OTHER"


def test_made_up_texts_fill_no_memory(telemetry):
    statements = telemetry.runtime.probes.statements
    series = telemetry.runtime.probes.tenants.of("proj_pro")
    for number in range(2 * CACHED + 10):
        statements.series(series, f"SELECT {number}")
    assert len(statements._commands) <= CACHED


def test_a_statement_that_cannot_be_measured_is_only_counted_as_a_fault(telemetry, lenient):
    probes = telemetry.runtime.probes
    series = probes.statements.series(probes.tenants.of("proj_pro"), "SELECT 1")
    series.done(0.0, lambda subject, result: 1 / 0, None, None)
    assert lenient == {"measuring a statement": 1}
    assert telemetry.value("db.queries") == 1


def test_a_folded_tenants_limit_hits_are_its_own_in_events(instrument):
    """Beyond the budget numbers are shared; who it was that hit a limit is not."""
    telemetry = instrument(max_tenants=1)
    probes = telemetry.runtime.probes
    for project in ("first", "folded_1", "folded_2", "folded_2"):
        series = probes.statements.series(probes.tenants.of(project), "SELECT 1")
        series.failed(0.0, TimeoutError(), driver_timeout=True)
    probes.flush(everything=True)
    hits = {event.attributes["project_id"]: event.attributes["hit_count"] for event in telemetry.events()}
    assert hits == {"first": 1, "folded_1": 1, "folded_2": 2}
    assert telemetry.values("tenant.limit.hits", "project_id") == {"first": 1, "_other": 3}
