"""Who may do what, as the real engine enforces it: grants and row filters are its own (see clickhouse_access).

The engine's only user is `default`, so its errors name that one, whoever asks.
"""

import uuid
from functools import partial
from types import SimpleNamespace

import pytest

from examples.stack.clickhouse import ClickHouse, ClickHouseError
from otel_dynabase import cli
from otel_dynabase.clickhouse import migrations
from otel_dynabase.clickhouse.cluster import SHARDED
from otel_dynabase.clickhouse.quoting import literal
from otel_dynabase.clickhouse.roles import Customer, roles
from tests.integration.clickhouse.conftest import created
from tests.integration.clickhouse.database import days_ago

DENIED, WRONG_PASSWORD = 497, 516
HOSTILE = "it's `b` OR 1=1; -- \\"
PROJECTS = ("a", "b", HOSTILE)


@pytest.fixture(scope="module")
def platform(clickhouse):
    """A database with roles, users and rows of three projects in every table."""
    with created(clickhouse) as database:
        where = ["--clickhouse-url", clickhouse.url, "--clickhouse-database", database.name]
        assert cli.main(["migrate", "--roles", *where]) == 0
        assert cli.main(["migrate", "--roles", *where]) == 0
        for user in ("writer", "reader", "migrator"):
            database.execute(f"CREATE USER {user} IDENTIFIED BY '{user}' DEFAULT ROLE dynabase_{user}")
            database.execute(f"GRANT dynabase_{user} TO {user}")
        customers = [Customer.of(project, f"customer_{n}") for n, project in enumerate(PROJECTS)]
        for statement in (statement for customer in customers for statement in customer.statements()):
            database.execute(statement)
        fill(database)
        yield SimpleNamespace(database=database, customers=customers)


def fill(database):
    for project in PROJECTS:
        database.store({"event.name": "cold_start", "event_id": str(uuid.uuid4()), "project_id": project})
        point = {"TimeUnix": days_ago(0).isoformat(), "MetricName": "m", "Attributes": {"project_id": project}}
        for kind in ("gauge", "sum", "histogram"):
            database.insert(f"metric_detail_{kind}", point)
    database.count()


class Asker:
    """Somebody's way to the database."""

    def __init__(self, database, user, password):
        self._ask = partial(database.asked_by, user, password)

    def rows(self, sql):
        return self._ask(sql)

    def denied(self, sql):
        with pytest.raises(ClickHouseError) as refused:
            self._ask(sql)
        return refused.value.code == DENIED


@pytest.fixture
def writer(platform):
    return Asker(platform.database, "writer", "writer")


@pytest.fixture
def reader(platform):
    return Asker(platform.database, "reader", "reader")


@pytest.fixture(params=range(len(PROJECTS)), ids=["a", "b", "hostile"])
def customer(request, platform):
    return platform.customers[request.param]


CHANGES = (
    "INSERT INTO tier_events (Timestamp) VALUES (now())",
    "ALTER TABLE tier_events DELETE WHERE 1",
    "ALTER TABLE tier_events ADD COLUMN x Int8",
    "TRUNCATE TABLE tier_events",
    "DROP TABLE tier_events_daily_count",
    "CREATE TABLE other (x Int8) ENGINE = Memory",
    "SYSTEM REFRESH VIEW tier_events_daily_count",
    "CREATE USER other IDENTIFIED BY 'x'",
    "GRANT dynabase_reader TO writer",
)


def test_the_writer_reads_nothing(writer):
    for table in (*SHARDED, "dynabase_migrations"):
        assert writer.denied(f"SELECT * FROM {table}")
        assert writer.denied(f"SELECT count() FROM {table}")


def test_the_writer_inserts_and_sees_which_columns_there_are(platform, writer):
    for table in SHARDED.keys() - {"tier_events_daily"}:
        assert ["project_id", "String"] in [row[:2] for row in writer.rows(f"DESCRIBE TABLE {table}")]
        writer.rows(f"INSERT INTO {table} ({'Timestamp' if table == 'tier_events' else 'TimeUnix'}) VALUES (now())")
    assert writer.denied("INSERT INTO tier_events_daily (day) VALUES (today())")
    assert all(writer.denied(sql) for sql in CHANGES[1:])
    for table in SHARDED.keys() - {"tier_events_daily"}:
        assert platform.database.one(f"SELECT count() FROM {table} WHERE project_id = ''") == 1


def test_the_reader_reads_everything_and_changes_nothing(platform, reader):
    for table in SHARDED:
        assert len(reader.rows(f"SELECT DISTINCT project_id FROM {table} WHERE project_id != ''")) == len(PROJECTS)
    assert all(reader.denied(sql) for sql in CHANGES)


def test_a_customer_sees_one_project_in_every_table(platform, customer):
    asker = Asker(platform.database, customer.user, customer.password)
    mine = f"project_id = {literal(customer.project)}"
    for table in SHARDED:
        assert asker.rows(f"SELECT DISTINCT {mine} FROM {table}") == [["1"]]
        assert asker.rows(f"SELECT count(), countIf({mine}) FROM {table} FINAL WHERE NOT {mine} OR 1") == [["1", "1"]]
        assert asker.rows(f"SELECT count() FROM {table} WHERE NOT {mine}") == [["0"]]
        # a condition that would fail on another's row is not even tried on it
        assert asker.rows(f"SELECT count() FROM {table} FINAL WHERE NOT ignore(throwIf(NOT {mine}))") == [["1"]]


def test_a_customer_finds_no_way_around(platform, customer):
    asker, name = Asker(platform.database, customer.user, customer.password), platform.database.name
    around = (
        f"SELECT * FROM mergeTreeIndex('{name}', 'tier_events')",
        f"SELECT * FROM mergeTreeIndex('{name}', 'tier_events_daily')",
        "SELECT * FROM dynabase_migrations",
        "SELECT * FROM tier_events_daily_count",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        f"SELECT * FROM remote('127.0.0.1', '{name}', 'tier_events')",
    )
    assert all(asker.denied(sql) for sql in (*around, *CHANGES))
    assert asker.rows(f"SELECT count() FROM merge('{name}', '^tier_events$')") == [["1"]]


def test_a_customer_without_a_policy_sees_nothing(platform):
    """What fails on the way to a new customer's policy fails closed."""
    platform.database.execute("CREATE USER unfinished IDENTIFIED BY 'x' DEFAULT ROLE dynabase_customer")
    platform.database.execute("GRANT dynabase_customer TO unfinished")
    for table in SHARDED:
        assert platform.database.asked_by("unfinished", "x", f"SELECT count() FROM {table}") == [["0"]]


def test_the_migrators_rights_are_enough_for_the_schema_and_for_counting(clickhouse, platform):
    with created(clickhouse) as fresh:
        for statement in roles():
            fresh.execute(statement)
        with fresh.as_user("migrator", "migrator") as migrator:
            migrations.bring_up_to_date(migrator.connection)
        fresh.store({"event.name": "cold_start", "event_id": str(uuid.uuid4()), "project_id": "p"})
        asker = Asker(fresh, "migrator", "migrator")
        asker.rows("SYSTEM REFRESH VIEW tier_events_daily_count")
        asker.rows("SYSTEM WAIT VIEW tier_events_daily_count")
        assert asker.rows("SELECT project_id, events FROM tier_events_daily FINAL") == [["p", "1"]]
        assert asker.denied("CREATE USER other IDENTIFIED BY 'x'")


@pytest.mark.parametrize("credentials", [("writer", "wrong"), ("nobody", ""), ("reader", "")])
def test_a_wrong_password_opens_nothing(platform, credentials):
    with pytest.raises(ClickHouseError) as refused:
        platform.database.asked_by(*credentials, "SELECT 1")
    assert refused.value.code == WRONG_PASSWORD


def test_users_outlive_a_restart(clickhouse, platform):
    clickhouse.kill()
    clickhouse.start()
    who = platform.customers[0]
    assert platform.database.asked_by(who.user, who.password, "SELECT project_id FROM tier_events") == [["a"]]


def test_the_command_makes_a_reader_once(platform, clickhouse, capsys):
    where = ["--clickhouse-url", clickhouse.url, "--clickhouse-database", platform.database.name]
    assert cli.main(["customer", "a", *where]) == 0
    user, password = capsys.readouterr().out.split()
    assert user == "customer_a"
    assert cli.main(["customer", "b", "--user", user, *where]) == 2
    assert "already exists" in capsys.readouterr().err
    assert platform.database.asked_by(user, password, "SELECT project_id FROM tier_events_daily FINAL") == [["a"]]


def test_without_the_roles_no_user_is_left_behind(tmp_path, capsys):
    with ClickHouse(tmp_path) as fresh:
        fresh.apply()
        command = ["customer", "a", "--user", "somebody", "--clickhouse-url", fresh.url]
        for _ in range(2):
            assert cli.main(command) == 2
            assert "the roles are not there: run otel-dynabase migrate --roles" in capsys.readouterr().err
        assert cli.main(["migrate", "--roles", "--clickhouse-url", fresh.url]) == 0
        assert cli.main(command) == 0
