"""ClickHouse's schema as text: the SQL files, what becomes of them on a cluster, and readers of one project."""

import re
from hashlib import sha256

import pytest

from otel_dynabase.clickhouse import cluster, migrations, roles
from otel_dynabase.clickhouse.migrations import MigrationError, known, statements
from otel_dynabase.clickhouse.quoting import identifier, literal
from otel_dynabase.clickhouse.roles import Customer

EVERY = [migrations.HISTORY, *(statement for migration in known() for statement in migration.statements)]


def test_statements_end_where_a_line_ends_with_a_semicolon():
    script = "-- a; b;\nSELECT 1;\n\n  -- c;\nSELECT ';' ;\nSELECT 2 -- d\n"
    assert statements(script) == ("SELECT 1", "SELECT ';'", "SELECT 2 -- d")


def test_the_files_are_numbered_without_a_gap(tmp_path):
    for name in ("0001_a.sql", "0003_b.sql", "roles.sql"):
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError, match=r"not numbered 0001, 0002, …: \[1, 3\]"):
        known(tmp_path)
    (tmp_path / "0002_c.sql").write_text("SELECT 1;")
    assert [migration.name for migration in known(tmp_path)] == ["0001_a", "0002_c", "0003_b"]


def test_a_comment_may_change_and_a_statement_may_not(tmp_path):
    def checksum(text):
        (tmp_path / "0001_a.sql").write_text(text)
        return known(tmp_path)[0].checksum

    assert checksum("SELECT 1;\n") == checksum("-- one\nSELECT 1;\n") != checksum("SELECT 2;\n")


@pytest.mark.parametrize("statement", [*EVERY, *roles.roles()], ids=lambda statement: " ".join(statement.split()[:8]))
def test_every_statement_can_be_run_again(statement):
    assert re.match(r"GRANT |(CREATE|ALTER) [A-Z ]*?IF NOT EXISTS ", statement)


# --- on a cluster -----------------------------------------------------------------------------------------------------

TABLE = "CREATE TABLE IF NOT EXISTS tier_events\n(\n    x Int8\n)\nENGINE = ReplacingMergeTree(version)\nORDER BY x"


def test_a_table_becomes_a_replicated_one_and_a_distributed_one_over_it():
    local, distributed = cluster.render(TABLE, "c", "db")
    assert local == TABLE.replace("tier_events", "tier_events_local ON CLUSTER 'c'").replace("= ", "= Replicated")
    assert distributed == (
        "CREATE TABLE IF NOT EXISTS tier_events ON CLUSTER 'c' AS tier_events_local\n"
        "ENGINE = Distributed('c', 'db', 'tier_events_local', cityHash64(LogAttributes['project_id']))"
    )


def test_the_history_is_the_same_on_every_server():
    [history] = cluster.render(migrations.HISTORY, "c", "it's")
    path = r"'/clickhouse/tables/it\'s/dynabase_migrations', '{shard}-{replica}'"
    assert f"ENGINE = ReplicatedReplacingMergeTree({path})\n" in history


def test_a_view_works_on_what_its_own_server_has():
    [view] = (sql for sql in EVERY if "MATERIALIZED VIEW" in sql)
    [rendered] = cluster.render(view, "c", "db")
    assert rendered.startswith("CREATE MATERIALIZED VIEW IF NOT EXISTS tier_events_daily_count ON CLUSTER 'c'\n")
    assert not re.search(r"\btier_events(_daily)?\b", rendered)
    assert "WHERE database = 'db' AND table = 'tier_events_local'" in rendered


def test_rights_are_given_on_both_tables():
    assert cluster.render("GRANT INSERT ON tier_events TO w", "c", "db") == [
        "GRANT ON CLUSTER 'c' INSERT ON tier_events TO w",
        "GRANT ON CLUSTER 'c' INSERT ON tier_events_local TO w",
    ]
    assert cluster.render(Customer.of("p", "u").drop(), "c", "db") == ["DROP USER `u` ON CLUSTER 'c'"]
    assert cluster.render("GRANT dynabase_customer TO `u`", "c", "db") == [
        "GRANT ON CLUSTER 'c' dynabase_customer TO `u`"
    ]


def test_a_project_may_be_called_like_a_table():
    _, policy, _ = Customer.of("tier_events", "u").statements()
    [rendered] = cluster.render(policy, "c", "db")
    assert "ON tier_events, tier_events_local, tier_events_daily, tier_events_daily_local," in rendered
    assert rendered.endswith("FOR SELECT USING project_id = 'tier_events' TO `u`")


def test_nothing_is_rendered_by_guessing():
    with pytest.raises(ValueError, match="cannot be rendered for a cluster: OPTIMIZE TABLE tier_events"):
        cluster.render("OPTIMIZE TABLE tier_events", "c", "db")


# --- a customer's reader ----------------------------------------------------------------------------------------------


def test_clickhouse_gets_a_salted_hash_and_no_password():
    customer = Customer.of("proj_a")
    created = customer.statements()[0]
    found = re.fullmatch(
        r"CREATE USER `customer_proj_a` IDENTIFIED WITH sha256_hash BY '(\w{64})' SALT '(\w{32})'", created
    )
    assert found[1] == sha256((customer.password + found[2]).encode()).hexdigest()
    assert customer.password not in created + repr(customer)
    assert customer.password != Customer.of("proj_a").password


@pytest.mark.parametrize("user", ["", "1st", "a b", "a`b", "a'b", "a;DROP", "ä", "-a", "a" * 64])
def test_a_name_that_could_be_more_than_a_name_is_refused(user):
    with pytest.raises(ValueError, match="cannot be a user's name"):
        Customer.of("proj_a", user)


@pytest.mark.parametrize("project", ["", "a\nb", "a\0b"])
def test_what_is_no_project_is_refused(project):
    with pytest.raises(ValueError, match="is not a project_id"):
        Customer.of(project, "u")


@pytest.mark.parametrize("text", ["plain", "it's", "\\", "\\'", "a`b", "'; DROP TABLE x; --"])
def test_quoted_text_cannot_end_its_quotes(text):
    for quoted, quote in ((literal(text), "'"), (identifier(text), "`")):
        inner = re.fullmatch(rf"{quote}((?:[^{quote}\\]|\\.)*){quote}", quoted)
        assert re.sub(r"\\(.)", r"\1", inner[1]) == text
