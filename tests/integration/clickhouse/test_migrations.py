"""`otel-dynabase migrate` on the real engine: from nothing, again, cut off, twice at the same time, and refused."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest

from otel_dynabase import cli
from otel_dynabase.clickhouse import cluster, migrations, roles
from otel_dynabase.clickhouse.migrations import Migration, MigrationError
from otel_dynabase.clickhouse.quoting import literal
from tests.integration.clickhouse.conftest import created
from tests.integration.clickhouse.database import Database

TABLES = {"tier_events", "tier_events_daily", "metric_detail_gauge", "metric_detail_sum", "metric_detail_histogram"}


@pytest.fixture
def migrate(empty, capsys):
    """Run the command; return its exit code and what it said."""

    def run(*arguments):
        where = ["--clickhouse-url", empty.server.url, "--clickhouse-database", empty.name]
        code = cli.main(["migrate", *where, *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def schema(database):
    """Return what there is, by name, as it can be compared between databases."""
    listed = database.rows("SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()")
    named = {name: query for name, query in listed if not name.startswith(".")}
    return {name: query.replace(database.name, "") for name, query in named.items()}


def test_it_says_what_it_did_and_then_that_there_is_nothing_to_do(empty, migrate):
    names = [migration.name for migration in migrations.known()]
    code, said = migrate()
    assert code == 0
    assert re.findall(r"^(\w+): applied, \d+\.\d\d s$", said, re.MULTILINE) == names
    assert schema(empty).keys() > TABLES
    assert migrate() == (0, f"{empty.name} is up to date\n")
    assert json.loads(migrate("--json")[1]) == {"database": empty.name, "applied": [], "roles": False}


def test_a_dry_run_changes_nothing_and_its_sql_is_what_would_be_run(empty, migrate):
    code, sql = migrate("--dry-run")
    assert code == 0
    assert schema(empty) == {}
    listed = json.loads(migrate("--dry-run", "--json")[1])["pending"]
    assert [part["name"] for part in listed] == ["what was applied", *(m.name for m in migrations.known())]
    assert migrations.statements(sql) == tuple(statement for part in listed for statement in part["statements"])
    for statement in migrations.statements(sql):
        empty.execute(statement)
    by_hand = schema(empty)
    for name in by_hand:
        empty.execute(f"DROP TABLE {name} SYNC")
    migrate()
    assert schema(empty) == by_hand


def test_a_database_that_is_missing_is_made(empty, migrate):
    empty.execute(f"DROP DATABASE {empty.name} SYNC")
    assert migrate()[0] == 0
    assert schema(empty).keys() > TABLES


class CutOffError(Exception):
    """The process has ended."""


class CutOff:
    """A connection of a process that is killed before its statement number `after`."""

    def __init__(self, connection, after):
        self.rows = connection.rows
        self._connection = connection
        self._left = after

    def execute(self, sql, /, **values):
        if self._left == 0:
            raise CutOffError
        self._left -= 1
        self._connection.execute(sql, **values)


def test_whatever_was_cut_off_the_next_run_finishes(clickhouse, empty):
    every = migrations.known()
    for migration in every:
        for after in range(len((migrations.HISTORY, *migration.statements, "its record")) + 1):
            assert migrations.pending(empty.connection, every)[0] == migration
            with suppress(CutOffError):  # the last one gets through
                migrations.bring_up_to_date(CutOff(empty.connection, after))
    assert migrations.pending(empty.connection, every) == []
    with created(clickhouse) as at_once:
        migrations.bring_up_to_date(at_once.connection)
        assert schema(empty) == schema(at_once)


def test_two_at_the_same_time_do_no_harm(empty):
    def run(_):
        with Database.connect(empty.server, empty.name) as one:
            migrations.bring_up_to_date(one.connection)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    assert migrations.pending(empty.connection, migrations.known()) == []
    versions = empty.rows("SELECT DISTINCT version, name FROM dynabase_migrations ORDER BY version")
    assert versions == [(migration.version, migration.name) for migration in migrations.known()]


def test_a_file_that_was_changed_after_it_was_applied_is_refused(database):
    first, *others = migrations.known()
    changed = replace(first, statements=(*first.statements, "CREATE TABLE IF NOT EXISTS more (x Int8) ENGINE = Memory"))
    with pytest.raises(MigrationError, match=r"0001_tier_events is not what was applied on .* a new migration"):
        migrations.pending(database.connection, [changed, *others])
    assert migrations.pending(database.connection, [first, *others]) == []


def test_a_database_that_is_newer_than_the_package_is_refused(database, monkeypatch, migrate):
    later = Migration(len(migrations.known()) + 1, "9999_of_the_future", ())
    list(migrations.apply(database.connection, [later]))
    code, said = migrate()
    assert code == 2
    assert "has migration 9999_of_the_future, of otel-dynabase" in said
    assert "Install that version or a later one" in said


def test_a_new_migration_is_applied_to_what_is_there(database):
    more = Migration(
        len(migrations.known()) + 1, "9999_more", ("ALTER TABLE tier_events ADD COLUMN IF NOT EXISTS x Int8",)
    )
    every = [*migrations.known(), more]
    assert migrations.pending(database.connection, every) == [more]
    list(migrations.apply(database.connection, [more]))
    assert migrations.pending(database.connection, every) == []
    assert "`x` Int8" in schema(database)["tier_events"]


def test_every_table_with_rows_of_projects_is_spread_over_a_cluster_and_closed_to_other_customers(database):
    with_projects = database.rows(
        "SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'project_id'"
    )
    assert {table for (table,) in with_projects} - {"tier_events_daily_count"} == set(cluster.SHARDED)


def test_the_engine_understands_what_is_rendered_for_a_cluster(database):
    """Parsed, not run: there is no Keeper here."""
    customer = roles.Customer.of("it's `a` \\ project", "somebody")
    every = [migrations.HISTORY, *(sql for m in migrations.known() for sql in m.statements), *roles.roles()]
    for statement in [*every, *customer.statements()]:
        for rendered in cluster.render(statement, "the 'cluster'", "the `database`"):
            formatted = database.one(f"SELECT formatQuerySingleLine({literal(rendered)})")
            assert "ON CLUSTER `the 'cluster'`" in formatted
