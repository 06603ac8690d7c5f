"""Where the observer's state is kept: whole or not at all, for one process at a time, and lost is lost at once."""

import asyncio
import time

import asyncpg
import pytest

from otel_dynabase.observer.journal import QUERY, Journal
from otel_dynabase.observer.state import LostError, NotSavedError, UnreachableError
from otel_dynabase.observer.state.database import APPLICATION_NAME, DatabaseState
from otel_dynabase.observer.state.file import FileState

# --- a file -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "observe.json"


async def test_a_file_is_one_processs_and_survives_it(path):
    first, second = FileState(path), FileState(path)
    assert await first.acquire()
    assert not await second.acquire()
    assert await first.load() is None
    await first.save("one")
    await first.save("two ü")
    assert await first.load() == "two ü"
    await first.release()
    assert await second.acquire()
    assert await second.load() == "two ü"
    assert sorted(file.name for file in path.parent.iterdir()) == ["observe.json", "observe.json.lock"]
    assert path.stat().st_mode & 0o777 == 0o600
    await second.release()


async def test_a_file_that_cannot_be_written_is_not_saved_and_the_old_one_stays(path):
    state = FileState(path)
    assert await state.acquire()
    await state.save("good")
    path.with_name("observe.json.new").mkdir()
    with pytest.raises(NotSavedError, match="Is a directory"):
        await state.save("better")
    assert await state.load() == "good"
    path.with_name("observe.json.new").rmdir()
    await state.save("better")
    assert await state.load() == "better"
    await state.release()


async def test_a_lock_file_that_was_deleted_or_replaced_is_a_lost_lock(path):
    state, other = FileState(path), FileState(path)
    assert await state.acquire()
    watching = asyncio.ensure_future(state.lost())
    await asyncio.sleep(0.05)
    assert not watching.done()
    path.with_name("observe.json.lock").unlink()
    assert await other.acquire()
    assert "deleted or replaced" in await asyncio.wait_for(watching, 5)
    with pytest.raises(LostError):
        await state.save("late")
    await other.save("mine")
    assert await other.load() == "mine"
    await state.release()
    await other.release()


async def test_a_place_that_cannot_be_one_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreachableError, match=r"Not a directory|File exists"):
        await FileState(tmp_path / "file" / "observe.json").acquire()
    binary = FileState(tmp_path / "binary.json")
    binary.path.write_bytes(b"\xff")
    assert await binary.acquire()
    with pytest.raises(UnreachableError):
        await binary.load()
    await binary.release()


# --- a table ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(pg):
    name = f"state_{time.monotonic_ns()}"
    pg.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
    yield name
    pg.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def make(pg, database):
    def state(table="otel_dynabase_observer", **options):
        dsn = pg.server.dsn(database, **options)
        return DatabaseState(lambda: dsn, table)

    return state


def terminate(pg, database):
    found = pg.execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        f"WHERE datname = '{database}' AND application_name = '{APPLICATION_NAME}'"
    )
    assert int(found) > 0


async def test_a_table_is_one_processs_and_survives_it(make):
    first, second = make(), make("public.otel_dynabase_observer")
    assert await first.acquire()
    assert not await second.acquire(), "the same table under another spelling"
    assert not await second.acquire()
    assert await first.load() is None
    await first.save("one")
    await first.save("two ü")
    assert await first.load() == "two ü"
    await first.release()
    assert await second.acquire()
    assert await second.load() == "two ü"
    await second.release()


async def test_another_table_is_another_state(make):
    first, second = make(), make("other")
    assert await first.acquire()
    assert await second.acquire()
    await first.save("first")
    await second.save("second")
    assert (await first.load(), await second.load()) == ("first", "second")
    await first.release()
    await second.release()


async def test_a_session_that_was_ended_is_a_lost_lock(make, pg, database):
    state, other = make(), make()
    assert await state.acquire()
    watching = asyncio.ensure_future(state.lost())
    await asyncio.to_thread(terminate, pg, database)
    assert await asyncio.wait_for(watching, 5)
    with pytest.raises(LostError):
        await state.save("late")
    assert await other.acquire()
    assert await other.load() is None
    await state.release()
    await other.release()


async def test_a_session_without_the_lock_saves_nothing(make, pg, database):
    """As behind a pooler that gives each transaction another session, or resets them."""
    state = make()
    assert await state.acquire()
    await state.save("mine")
    await state._connection.execute("SELECT pg_advisory_unlock_all()")
    with pytest.raises(LostError, match="PgBouncer must pool sessions"):
        await state.save("not mine")
    assert await state.load() == "mine"
    await state.release()


async def test_a_table_that_takes_no_more_is_not_saved_and_the_lock_is_kept(make, pg, database):
    state, other = make(), make()
    assert await state.acquire()
    await state.save("good")
    pg.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION SQLSTATE '53100' USING MESSAGE = 'no space left'; END $$;"
        "CREATE TRIGGER full_disk BEFORE UPDATE ON otel_dynabase_observer FOR EACH ROW EXECUTE FUNCTION full_disk()",
        database,
    )
    with pytest.raises(NotSavedError, match="no space left"):
        await state.save("better")
    assert not await other.acquire()
    pg.execute("DROP FUNCTION full_disk CASCADE", database)
    await state.save("better")
    assert await state.load() == "better"
    await state.release()
    await other.release()


async def test_a_server_that_takes_no_writes_any_more_is_a_lost_lock(make, pg):
    state = make()
    assert await state.acquire()
    await state._connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(LostError, match="read-only"):
        await state.save("late")
    await state.release()


async def test_a_server_that_cannot_be_asked_says_why_and_not_with_which_password(pg, database):
    wrong = DatabaseState(lambda: pg.server.dsn(database, user="locked", password="hunter2"), "otel_dynabase_observer")
    with pytest.raises(UnreachableError) as refused:
        await wrong.acquire()
    assert "hunter2" not in str(refused.value)
    nowhere = DatabaseState(lambda: "postgresql://ada:hunter2@127.0.0.1:1/x", "otel_dynabase_observer")
    with pytest.raises(UnreachableError) as refused:
        await nowhere.acquire()
    assert "hunter2" not in str(refused.value)
    assert "Connect" in str(refused.value)


# --- the log of changes -----------------------------------------------------------------------------------------------


@pytest.fixture
def logged(pg, database, request):
    changes = request.config.rootpath / "otel_dynabase/observer/changes.sql"
    pg.execute(
        "CREATE TABLE dynabase_tenants (project_id text, plan text, tier text, tier_reason text, change_type text);"
        "INSERT INTO dynabase_tenants SELECT 'p' || n, 'pro', 'WARM' FROM generate_series(1, 9) n;"
        + changes.read_text()
        + changes.read_text(),  # twice does no harm
        database,
    )
    return pg.server.dsn(database)


def steps(entries):
    return [(entry.project_id, entry.old[1], entry.new[1]) for entry in entries]


async def test_a_log_is_read_once_and_in_order(logged, pg, database):
    journal = Journal(lambda: logged, QUERY)
    assert await journal.end() == ""
    pg.execute(
        "UPDATE dynabase_tenants SET tier = 'HOT', tier_reason = 'manual_upgrade' WHERE project_id = 'p1';"
        "UPDATE dynabase_tenants SET tier = 'nonsense' WHERE project_id = 'p1';"
        "UPDATE dynabase_tenants SET tier_reason = NULL, tier = 'cold', plan = 'free' WHERE project_id = 'p1';"
        "UPDATE dynabase_tenants SET plan = plan;"
        "DELETE FROM dynabase_tenants WHERE project_id = 'p2';"
        "INSERT INTO dynabase_tenants VALUES ('p10', 'pro', 'HOT')",
        database,
    )
    first, second, third, left = await journal.read("", 100)
    assert steps((first, second, third)) == [("p1", "WARM", "HOT"), ("p1", "HOT", None), ("p1", None, "COLD")]
    assert (third.old[0], third.new[0], third.left) == ("pro", "free", False)
    assert (left.project_id, left.old, left.new, left.left) == ("p2", ("pro", "WARM"), (None, None), True)
    assert [entry.facts.tier_reason for entry in (first, second, third)] == ["manual_upgrade", "manual_upgrade", None]
    assert abs(first.at - time.time()) < 60
    assert first.facts.since == first.at
    assert await journal.read(left.cursor, 100) == []
    assert await journal.end() == left.cursor
    assert await journal.read("", 2) == [first, second]
    assert await journal.read(second.cursor, 100) == [third, left]


async def test_pages_are_as_one(logged, pg, database, monkeypatch):
    monkeypatch.setattr("otel_dynabase.observer.journal.PAGE", 3)
    journal = Journal(lambda: logged, QUERY)
    pg.execute("UPDATE dynabase_tenants SET tier = 'HOT'", database)
    assert len(await journal.read("", 100)) == 9
    assert len(await journal.read("", 7)) == 7
    assert (await journal.read("", 9))[-1].cursor == await journal.end()


async def test_what_is_committed_late_with_a_low_id_is_not_missed(logged):
    """Whatever the order of ids, of transactions and of their ends is: each change is read once."""
    journal = Journal(lambda: logged, QUERY)
    cursor, read = "", []

    async def look():
        nonlocal cursor
        found = await journal.read(cursor, 100)
        cursor = found[-1].cursor if found else cursor
        read.extend(steps(found))

    connections = [await asyncpg.connect(logged) for _ in range(3)]
    early, late, other = connections
    update = "UPDATE dynabase_tenants SET tier = 'HOT' WHERE project_id = $1"
    open_early, open_late = early.transaction(), late.transaction()
    await open_late.start()
    await late.execute("SELECT pg_current_xact_id()")  # the lower transaction takes the higher id in the log
    await open_early.start()
    await early.execute(update, "p1")
    await late.execute(update, "p2")
    await other.execute(update, "p3")
    await look()
    assert read == [], "an older transaction still runs"
    await open_early.commit()
    await look()
    assert read == []
    await open_late.commit()
    await look()
    assert sorted(read) == [("p1", "WARM", "HOT"), ("p2", "WARM", "HOT"), ("p3", "WARM", "HOT")]
    await look()
    assert len(read) == 3
    for connection in connections:
        await connection.close()


async def test_a_query_of_ones_own_needs_no_more_than_a_cursor(logged, pg, database):
    query = (
        "SELECT change_id::text AS cursor, project_id, old_plan, new_plan, old_tier, new_tier "
        "FROM dynabase_tenant_changes WHERE change_id > coalesce($1, '0')::bigint ORDER BY change_id LIMIT $2"
    )
    pg.execute("UPDATE dynabase_tenants SET tier = 'HOT' WHERE project_id = 'p1'", database)
    (entry,) = await Journal(lambda: logged, query).read("", 10)
    assert (entry.cursor, entry.at, entry.tenant_id, entry.facts.since) == ("1", None, None, None)
    assert steps([entry]) == [("p1", "WARM", "HOT")]
