"""The stack's keeper of users: which rights and rows whom the engine is told, by the statements that said so."""

import re

import pytest

from examples.stack.clickhouse_access import ABOUT_ACCESS, Access, ExistsError, UnknownRoleError, UnknownStatementError

STATEMENTS = (
    "CREATE ROLE IF NOT EXISTS readers",
    "CREATE ROLE customers",
    "GRANT SELECT ON events TO readers",
    "CREATE ROW POLICY IF NOT EXISTS nobody ON events FOR SELECT USING 0 TO customers",
    "CREATE ROW POLICY IF NOT EXISTS everything ON events FOR SELECT USING 1 TO ALL EXCEPT customers",
    "GRANT SELECT ON events TO customers",
    "CREATE USER ada IDENTIFIED BY 'secret' DEFAULT ROLE readers",
    "CREATE USER `bob o` IDENTIFIED BY 'b'",
    "GRANT customers TO `bob o`",
    "CREATE ROW POLICY OR REPLACE `of bob` ON events FOR SELECT USING p < 'x' TO `bob o`",
)


@pytest.fixture
def access(tmp_path):
    made = Access(tmp_path)
    for statement in STATEMENTS:
        made.take(statement, "db")
    return made


def rights(access, directory, user):
    access.prepare(user)
    text = (directory / "users.xml").read_text()
    return re.search(r"<default>(.*?)</default>\n", text, re.DOTALL)[1]


def test_the_engines_user_gets_the_rights_of_who_asks(access, tmp_path):
    ada, bob = (rights(access, tmp_path, user) for user in ("ada", "bob o"))
    assert "<query>GRANT SELECT ON db.events</query>" in ada
    assert "<filter>(1)</filter>" in ada
    assert "<filter>(0) OR (p &lt; 'x')</filter>" in bob


def test_passwords_are_needed(access):
    assert access.admits("ada", "secret")
    assert not access.admits("ada", "")
    assert not access.admits("nobody", "")
    assert access.admits("default", "")
    assert not access.admits("default", "x")


def test_everything_is_kept(access, tmp_path):
    again = Access(tmp_path)
    assert again.admits("ada", "secret")
    assert rights(again, tmp_path, "bob o") == rights(access, tmp_path, "bob o")


def test_nothing_is_kept_that_was_refused(access, tmp_path):
    with pytest.raises(ExistsError):
        access.take("CREATE USER ada IDENTIFIED BY 'other'", "db")
    with pytest.raises(UnknownStatementError):
        access.take("REVOKE SELECT ON events FROM readers", "db")
    for statement in ("GRANT nothing TO ada", "GRANT readers TO nobody", "GRANT SELECT ON events TO nobody"):
        with pytest.raises(UnknownRoleError):
            access.take(statement, "db")
    assert Access(tmp_path).admits("ada", "secret")


def test_who_is_dropped_is_gone(access):
    access.take("DROP USER ada", "db")
    assert not access.admits("ada", "secret")


@pytest.mark.parametrize(
    "sql", ["create user x", " GRANT a TO b", "DROP ROW POLICY p ON t", "revoke all on *.* from x"]
)
def test_what_is_about_access_is_recognised(sql):
    assert ABOUT_ACCESS.match(sql)
    assert not ABOUT_ACCESS.match(f"SELECT '{sql}'")
