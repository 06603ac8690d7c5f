"""The tenant directory: what it answers, what it keeps, and what it says when its source misbehaves."""

import asyncio
import json
import logging
import os
import re
import sys

import pytest

from otel_dynabase.config import Config, Dsn
from otel_dynabase.directory import (
    NOBODY,
    Directory,
    FileSource,
    SqlSource,
    Tenant,
    UnusableError,
    directory_of,
    source_of,
    valid_project_id,
)
from otel_dynabase.directory import file as file_module
from otel_dynabase.directory import rows as rows_module
from otel_dynabase.directory.lookup import MAX_UNKNOWN

ADA = {"project_id": "proj_a", "tenant_id": "org_1", "plan": "pro", "tier": "WARM", "database": "db_a"}
BOB = {"project_id": "proj_b", "tenant_id": None, "plan": "free", "tier": "COLD", "database": None}


class Rows:
    """A source in memory: `content` is what it answers, or the error that it raises."""

    def __init__(self, *content):
        self.content = content

    def __call__(self):
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


def read(*rows, **options):
    directory = Directory(Rows(*rows), **options)
    assert directory.refresh()
    return directory


def fields(tenant):
    return tenant.project_id, tenant.tenant_id, tenant.plan, tenant.tier, tenant.database


def messages(caplog, level=logging.WARNING):
    assert {record.name for record in caplog.records} <= {"otel_dynabase"}
    return [record.getMessage() for record in caplog.records if record.levelno == level]


# --- lookups


def test_a_known_project_has_its_fields(caplog):
    directory = read(ADA, BOB)
    assert fields(directory.get("proj_a")) == ("proj_a", "org_1", "pro", "WARM", "db_a")
    assert fields(directory.get("proj_b")) == ("proj_b", None, "free", "COLD", None)
    assert not caplog.records


def test_before_the_first_refresh_every_project_is_unknown():
    directory = Directory(Rows(ADA))
    assert fields(directory.get("proj_a")) == ("proj_a", None, "unknown", "unknown", None)


def test_without_a_source_every_project_is_unknown():
    directory = Directory(None)
    assert directory.refresh()
    assert directory.get("proj_a").plan == "unknown"
    assert directory.stats().age is None


def test_an_unknown_project_is_the_same_object_each_time_and_counted():
    directory = read(ADA)
    assert directory.get("proj_x") is directory.get("proj_x")
    directory.get("proj_y")
    assert (directory.stats().unknown, directory.stats().unknown_lookups) == (2, 3)


def test_made_up_projects_do_not_grow_memory():
    directory = read(ADA)
    for number in range(2 * MAX_UNKNOWN):
        directory.get(f"hostile_{number}")
    assert directory.stats().unknown == MAX_UNKNOWN
    late = directory.get("late")
    assert fields(late) == ("late", None, "unknown", "unknown", None)
    assert directory.get("late") is not late


def test_an_unknown_project_that_becomes_known_is_forgotten_as_unknown():
    source = Rows(ADA)
    directory = Directory(source)
    assert directory.get("proj_a").plan == "unknown"
    directory.refresh()
    assert directory.get("proj_a").plan == "pro"
    assert directory.stats().unknown == 0


@pytest.mark.parametrize("value", ["", "a b", "x" * 129, "\n", None, 7, [], b"proj_a", "_other", "unknown", "\ud800"])
def test_what_cannot_be_a_project_is_nobody(value):
    directory = read(ADA)
    assert directory.get(value) is NOBODY
    assert directory.stats().unknown == 0


@pytest.mark.parametrize("value", ["a", "x" * 128, "proj_abc123", "org/app:1", "Ünïcode", "550e8400-e29b-41d4"])
def test_valid_project_ids(value):
    assert valid_project_id(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        b"a",
        [],
        "",
        "x" * 129,
        "x" * 10_000_000,
        " a",
        "a\tb",
        "a\u00a0b",
        "a\u2028",
        "a\x00",
        "\u200b",
        "\ud800",
    ],
)
def test_invalid_project_ids(value):
    assert not valid_project_id(value)


# --- databases


def test_a_database_belongs_to_the_entry_that_names_it_or_is_called_like_it():
    directory = read(ADA, BOB)
    assert [directory.project_of(name) for name in ("db_a", "proj_b", "db_x", None)] == ["proj_a", "proj_b", None, None]


def test_a_database_that_several_projects_share_belongs_to_none():
    rows = [{**BOB, "project_id": name, "database": "shared"} for name in ("shared", "p2", "p3")]
    assert read(*rows).project_of("shared") is None


def test_a_pattern_alone_decides():
    directory = read(ADA, pattern=re.compile(r"db_(?P<project_id>.*)"))
    names = ("db_proj_new", "proj_a", "db_", "db_a b", "db__other", "x" * 300)
    assert [directory.project_of(name) for name in names] == ["proj_new", None, None, None, None, None]


# --- refreshing


def test_a_tenant_keeps_its_identity_until_a_field_changes():
    source = Rows(ADA, BOB)
    directory = Directory(source)
    directory.refresh()
    ada, bob = directory.get("proj_a"), directory.get("proj_b")
    source.content = ({**BOB}, {**ADA, "tier": "HOT"})
    directory.refresh()
    assert directory.get("proj_b") is bob
    assert directory.get("proj_a") is not ada
    assert (ada.tier, directory.get("proj_a").tier) == ("WARM", "HOT")


def test_a_removed_tenant_is_unknown():
    source = Rows(ADA, BOB)
    directory = Directory(source)
    directory.refresh()
    source.content = (BOB,)
    directory.refresh()
    assert directory.get("proj_a").plan == "unknown"
    assert directory.project_of("db_a") is None


def test_a_reader_during_a_refresh_sees_the_old_table_and_no_lock():
    """The source itself looks up and refreshes while it is being read, as another thread or a forked child would."""
    seen = []

    def rows():
        yield {**ADA, "tier": "HOT"}
        seen.append(directory.get("proj_a").tier)
        directory._load = Rows(ADA)
        assert directory.refresh()
        yield BOB

    directory = read(ADA)
    directory._load = rows
    assert directory.refresh()
    assert seen == ["WARM"]
    assert directory.get("proj_a").tier == "HOT"


def test_on_change_is_called_only_for_changes_and_may_fail(caplog):
    calls = []

    def on_change():
        calls.append(directory.get("proj_a").tier)
        raise ZeroDivisionError

    source = Rows(ADA)
    directory = Directory(source, on_change=on_change)
    assert directory.refresh()
    assert directory.refresh()
    source.content = ({**ADA, "tier": "HOT"},)
    assert directory.refresh()
    assert calls == ["WARM", "HOT"]
    assert len(messages(caplog)) == 2


def test_an_outage_keeps_the_answer_and_is_told_once(caplog):
    caplog.set_level(logging.INFO)
    now = 100.0
    source = Rows(ADA)
    directory = Directory(source, clock=lambda: now, interval=15)
    directory.refresh()
    now, source.content = 130.0, ConnectionError("no\nroute")
    assert [directory.refresh(), directory.refresh()] == [False, False]
    assert directory.get("proj_a").plan == "pro"
    assert (directory.stats().age, directory.stats().failures, directory.stats().entries) == (30.0, 2, 1)
    (message,) = messages(caplog)
    assert message == (
        "The tenant directory (Rows) cannot be read: ConnectionError: no route. "
        "The last good answer (projects: 1) stays in use. It is tried again every 15 s."
    )
    source.content = (ADA,)
    assert directory.refresh()
    assert messages(caplog, logging.INFO) == ["The tenant directory (Rows) works again; failed attempts: 2."]
    assert (directory.stats().age, directory.stats().failures) == (0.0, 0)
    source.content = ValueError()
    directory.refresh()
    assert len(messages(caplog)) == 2


def test_a_source_that_never_worked_says_that_all_is_unknown(caplog):
    assert not Directory(Rows().content.index).refresh()
    assert "every project are unknown" in messages(caplog)[0]


def test_an_error_whose_text_raises_is_still_told(caplog):
    class MeanError(Exception):
        def __str__(self):
            raise ZeroDivisionError

    source = Rows()
    source.content = MeanError()
    Directory(source).refresh()
    assert "cannot be read: MeanError. Until" in messages(caplog)[0]


# --- rows


@pytest.mark.parametrize(
    ("plan", "tier", "expected"),
    [("PRO", "hot", ("pro", "HOT")), (" Free ", "Cold", ("free", "COLD")), ("UNKNOWN", "Unknown", ("unknown",) * 2)],
)
def test_letter_case_is_normalised(plan, tier, expected, caplog):
    tenant = read({"project_id": "p", "plan": plan, "tier": tier}).get("p")
    assert (tenant.plan, tenant.tier) == expected
    assert not caplog.records


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"plan": "pro"}, "there is no project_id"),
        ({"project_id": 83}, "83 is not text: put it in quotes"),
        ({"project_id": False}, "False is not text"),
        ({"project_id": "a b"}, "'a b' is not 1 to 128"),
        ({"project_id": "x" * 1000}, "…"),
        ({"project_id": "_other"}, "reserved"),
        ({"project_id": "proj_a", "plan": "free"}, "twice: the first row counts"),
        ("proj_a", "'proj_a' is not a mapping"),
        (None, "None is not a mapping"),
    ],
)
def test_a_row_without_a_usable_project_id_is_skipped(row, problem, caplog):
    directory = read(ADA, row, BOB)
    assert (directory.stats().entries, directory.stats().rejected, directory.stats().mended) == (2, 1, 0)
    assert directory.get("proj_a").plan == "pro"
    (message,) = messages(caplog)
    assert "Skipped: 1, kept without a bad field: 0; first: row 2: " in message
    assert problem in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("change", "expected", "problem"),
    [
        ({"plan": "gold"}, ("unknown", "WARM"), "plan 'gold' is none of free, starter, pro, enterprise, unknown"),
        ({"plan": None}, ("unknown", "WARM"), "plan is missing"),
        ({"tier": ["HOT"]}, ("pro", "unknown"), "tier ['HOT'] is none of COLD, WARM, HOT, PERSISTENT, unknown"),
        ({"tenant_id": 7}, ("pro", "WARM"), "tenant_id 7 is not"),
        ({"database": "a\nb"}, ("pro", "WARM"), "database 'a\\nb' is not"),
    ],
)
def test_a_bad_field_is_left_out(change, expected, problem, caplog):
    directory = read({**ADA, **change})
    tenant = directory.get("proj_a")
    assert (tenant.plan, tenant.tier) == expected
    assert directory.stats().mended == 1
    assert problem in messages(caplog)[0]
    assert "(project proj_a)" in messages(caplog)[0]


def test_the_same_bad_rows_are_told_once(caplog):
    source = Rows({**ADA, "plan": "gold"}, None)
    directory = Directory(source)
    for _ in range(3):
        directory.refresh()
    assert len(messages(caplog)) == 1
    source.content = (*source.content, None)
    directory.refresh()
    assert "Skipped: 2, kept without a bad field: 1" in messages(caplog)[1]


def test_endless_rows_are_an_outage(monkeypatch, caplog):
    monkeypatch.setattr(rows_module, "MAX_ROWS", 10)
    directory = Directory(lambda: iter(dict, None))
    assert not directory.refresh()
    assert "there are more than 10 rows" in messages(caplog)[0]


# --- files


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.yaml", "tenants:\n- {project_id: p1, plan: pro, tier: HOT}\n- {project_id: p2, plan: free, tier: COLD}\n"),
        ("t.yml", "p1: {plan: pro, tier: HOT}\np2: {plan: free, tier: COLD, project_id: p9}\n"),
        ("t.yaml", "{tenants: {p1: {plan: pro, tier: HOT}, p2: {plan: free, tier: COLD}}}"),
        ("t.json", '{"p1": {"plan": "pro", "tier": "HOT"}, "p2": {"plan": "free", "tier": "COLD"}}'),
        ("t", '\ufeff[{"project_id": "p1", "plan": "pro", "tier": "HOT"}, {"project_id": "p2"}]'),
    ],
)
def test_a_file_is_read_in_each_form(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    directory = Directory(FileSource(path))
    assert directory.refresh()
    assert directory.stats().entries == 2
    assert (directory.get("p1").plan, directory.get("p1").tier) == ("pro", "HOT")


def test_an_entry_without_fields_is_a_tenant_and_a_bare_value_is_not(tmp_path, caplog):
    (tmp_path / "t.yaml").write_text("p1:\np2: pro\n")
    directory = Directory(FileSource(tmp_path / "t.yaml"))
    directory.refresh()
    assert (directory.stats().entries, directory.stats().rejected) == (1, 1)


def test_an_unchanged_file_is_not_read_again(tmp_path, monkeypatch):
    path = tmp_path / "t.json"
    path.write_text(json.dumps([ADA]))
    now = 0.0
    directory = Directory(FileSource(path), clock=lambda: now)
    directory.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(file_module, "read_text", None)
        now = 50.0
        assert directory.refresh()
    assert directory.stats().age == 0.0
    (tmp_path / "new").write_text(json.dumps([{**ADA, "tier": "COLD"}]))
    (tmp_path / "new").replace(path)  # same size
    assert directory.refresh()
    assert directory.get("proj_a").tier == "COLD"


def test_a_broken_file_is_not_parsed_again_until_it_changes(tmp_path, monkeypatch, caplog):
    path = tmp_path / "t.yaml"
    path.write_text("tenants:\n- project_id: 'p1\n")
    directory = Directory(FileSource(path))
    assert not directory.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(file_module, "read_text", None)
        assert not directory.refresh()
    assert directory.stats().failures == 2
    path.write_text("p1: {plan: pro, tier: HOT}")
    assert directory.refresh()
    assert len(messages(caplog)) == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.yaml", b"tenants:\n- project_id: p1\n  plan: [,]", "line 3, column 10: "),
        ("t.yaml", b"a: &x 1\nb: !!python/object:os.system {}", "line 2, column 4: could not determine a constructor"),
        ("t.json", b'{"a":\n oops}', "line 2, column 2: Expecting value"),
        ("t.yaml", b"a: 1\nb: \xff", "line 2: it is not UTF-8"),
        ("t.yaml", b"\xc3\xa4: 1\na: \x07", "line 2: a character #x07 is not allowed"),
        ("t.yaml", b" \n", "it is empty"),
        ("t.yaml", b"just text", "it has neither a list `tenants:`"),
        ("t.yaml", b"p1: {plan: pro, Password: hunter2}", "it contains secrets (a field `password`)"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(tmp_path, caplog, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    assert not Directory(FileSource(path)).refresh()
    (message,) = messages(caplog)
    assert f"({path}) cannot be read: " in message
    assert reason in message
    assert "hunter2" not in message
    assert "\n" not in message


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(file_module, "MAX_BYTES", 100)
    (tmp_path / "t.yaml").write_text("#" * 101)
    assert not Directory(FileSource(tmp_path / "t.yaml")).refresh()
    assert "it is larger than 100 bytes" in messages(caplog)[0]


def test_a_missing_file_and_a_pipe_are_outages(tmp_path, caplog):
    os.mkfifo(tmp_path / "pipe")
    assert not Directory(FileSource(tmp_path / "pipe")).refresh()
    assert not Directory(FileSource(tmp_path / "none.yaml")).refresh()
    assert "it is not a regular file" in messages(caplog)[0]
    assert "FileNotFoundError" in messages(caplog)[1]


def test_a_file_is_found_after_the_application_changed_its_directory(tmp_path, monkeypatch):
    (tmp_path / "t.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    source = FileSource("t.json")
    monkeypatch.chdir("/")
    assert Directory(source).refresh()


# --- SQL, as far as it goes without a server


def test_a_missing_driver_is_told_as_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(UnusableError, match=re.escape('pip install "otel-dynabase[asyncpg]"')):
        SqlSource("postgresql://db/x", "SELECT 1").load()


@pytest.mark.parametrize("dsn", ["postgresql://ada:hun#ter2@db/x", "mysql://ada:hunter2@db", "postgresql://[hunter2"])
def test_a_bad_dsn_is_in_no_message(dsn, caplog):
    assert not Directory(SqlSource(dsn, "SELECT 1")).refresh()
    assert "it must be a postgresql:// address" in messages(caplog)[0]
    assert "hun" not in caplog.text


def test_on_a_running_event_loop_the_query_is_refused_without_blocking_it(caplog):
    async def refresh():
        return Directory(SqlSource("postgresql://db/x", "SELECT 1")).refresh()

    assert not asyncio.run(refresh())
    assert "background thread" in messages(caplog)[0]


# --- from the configuration


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, type(None)),
        ({"directory": "t.yaml"}, FileSource),
        ({"directory": "postgresql://db/x"}, SqlSource),
        ({"directory_dsn_file": "/run/secrets/dsn"}, SqlSource),
        ({"directory": Rows(ADA)}, Rows),
        ({"directory": FileSource("t.yaml")}, FileSource),
        ({"directory": Dsn("postgresql://db/x"), "directory_dsn_file": "x"}, SqlSource),
    ],
)
def test_the_settings_choose_the_source(settings, kind, caplog):
    assert type(source_of(Config.load({}, **settings))) is kind
    assert len(caplog.records) == (len(settings) == 2)


def test_a_directory_is_built_from_the_settings():
    calls = []
    config = Config.load({}, directory=Rows(ADA), database_pattern="x_(?P<project_id>.+)")
    directory = directory_of(config, on_change=lambda: calls.append(1))
    assert not calls
    assert directory.refresh()
    assert (directory.get("proj_a").plan, directory.project_of("x_1"), calls) == ("pro", "1", [1])


def test_tenants_compare_by_identity():
    assert Tenant("p") != Tenant("p")
    assert len({Tenant("p"), Tenant("p")}) == 2
