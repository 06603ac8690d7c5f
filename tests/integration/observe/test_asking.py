"""Whom the observer asks, and that nobody who is slow, dead or asleep holds up the others, on a real PostgreSQL."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from otel_dynabase.catalog.metrics import ACTIVE_HOURS, ACTIVITY_STATE, CEILING_HITS, MEMORY_USAGE, QUERIES_BY_HOUR
from tests.integration.observe.observed import NOON, Observed, settled, shared


@asynccontextmanager
async def listener(answer):
    """Listen on a loopback port; `answer(reader, writer)` for each connection. Yields the port and the connections."""
    connections = []

    async def serve(reader, writer):
        connections.append(time.monotonic())
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], connections
    finally:
        server.close()


async def silence(reader, _writer):
    """Accept, and never answer."""
    await reader.read()


def template(pg):
    """Return the address of a project's own database."""
    return pg.server.dsn("TARGET").replace("TARGET", "{database}")


async def test_a_cold_project_is_not_connected_to(pg, database):
    observed = Observed(
        [{"project_id": database.name, "tier": "COLD"}, {"project_id": "nobody-knows", "tier": None}],
        observe_template=template(pg),
    )
    connected = f"SELECT sessions FROM pg_stat_database WHERE datname = '{database.name}'"
    for _ in range(3):
        answers = await observed.round()
        assert answers.asked == []
    assert pg.execute(connected) == "0"
    assert observed.gauge(ACTIVITY_STATE, database.name) == 0
    assert observed.gauge(ACTIVE_HOURS, database.name) == 0
    observed.tier(database.name, "WARM")
    await observed.round()
    await settled(pg, database.name)
    assert pg.execute(connected) == "1"
    await database.queries(4)
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR) == 4


async def test_what_ran_while_it_was_awake_unseen_is_counted_after_the_sleep(pg, database):
    observed = Observed([{"project_id": database.name}], observe_template=template(pg))
    await observed.round()
    observed.tier(database.name, "COLD")
    await observed.round(7200)
    await settled(pg, database.name)
    observed.tier(database.name, "HOT")
    await database.queries(9)
    await observed.round()
    assert observed.total(QUERIES_BY_HOUR, "14") == observed.total(QUERIES_BY_HOUR) == 9
    assert observed.gauge(ACTIVITY_STATE) == 1


async def test_a_database_that_never_answers_delays_no_other(pg, database, tmp_path):
    async with listener(silence) as (port, connections):
        file = tmp_path / "servers"
        file.write_text(f"# shared\npostgresql://x:y@127.0.0.1:{port}/z\n{pg.dsn}\npostgresql://x:y@127.0.0.1:1/z\n")
        observed = Observed([{"project_id": database.name}], observe_servers_file=file, observe_timeout=0.5)
        began = time.monotonic()
        await observed.round()
        assert time.monotonic() - began < 1.5
        assert observed.gauge(ACTIVITY_STATE, database.name) == 0
        assert observed.in_vain() == {"timeout": 1, "absent": 1}
        asked = len(connections)
        await observed.round(1)  # after an interval; who did not answer is left alone for longer
        assert observed.gauge(ACTIVITY_STATE, database.name) == 0
        assert len(connections) == asked
        await observed.round(2)
        assert len(connections) == asked + 1
        assert observed.in_vain() == {"timeout": 2, "absent": 2}


async def test_a_round_ends_at_its_deadline_and_who_was_late_is_first_in_the_next(pg, tmp_path):
    async with listener(silence) as (port, connections):
        rows = [{"project_id": f"p{number}"} for number in range(10)]
        observed = Observed(
            rows,
            observe_template=f"postgresql://x:y@127.0.0.1:{port}/{{database}}",
            observe_timeout=60,
            observe_concurrency=4,
        )
        began = time.monotonic()
        observed.part._asking._clock = time.monotonic
        await observed.round()
        assert 1.5 < time.monotonic() - began < 3.5  # the round's interval is 2 s
        assert observed.in_vain() == {"late": 10}
        assert len(connections) == 4


async def test_a_place_is_free_again_after_the_timeout(pg, database):
    async with listener(silence) as (port, connections):
        rows = [{"project_id": f"p{number}"} for number in range(9)]
        observed = Observed(
            rows,
            observe_template=f"postgresql://x:y@127.0.0.1:{port}/{{database}}",
            observe_timeout=0.2,
            observe_concurrency=3,
        )
        await observed.round()
        assert observed.in_vain() == {"timeout": 9}
        assert len(connections) == 9


@pytest.mark.parametrize(
    ("dsn", "reason"),
    [
        ("postgresql://nobody:wrong@127.0.0.1:{port}/postgres", "auth_failure"),
        ("postgresql://postgres:{password}@127.0.0.1:{port}/missing", "refused"),
        ("postgresql://postgres:{password}@127.0.0.1:{port}x/missing", "settings"),
    ],
)
async def test_why_nobody_answered_is_counted_and_no_secret_is_told(pg, dsn, reason, warnings_of):
    dsn = dsn.format(port=pg.server.port, password=pg.server.password)
    observed = Observed([{"project_id": "p"}], observe_servers=dsn)
    await observed.round()
    assert observed.in_vain() == {reason: 1}
    assert len(warnings_of()) == 1
    assert pg.server.password not in warnings_of()[0]
    assert "wrong@" not in warnings_of()[0]


async def test_a_file_of_addresses_that_cannot_be_read_is_counted_and_read_again(pg, database, tmp_path):
    file = tmp_path / "servers"
    observed = Observed([{"project_id": database.name}], observe_servers_file=file)
    await observed.round()
    assert observed.in_vain() == {"settings": 1}
    file.write_text(pg.dsn)
    await observed.round()
    assert observed.gauge(ACTIVITY_STATE) == 0


async def test_a_project_on_a_shared_server_is_not_asked_at_an_address_of_its_own(pg, database):
    observed = Observed(
        [{"project_id": database.name}, {"project_id": "elsewhere"}],
        observe_servers=pg.dsn,
        observe_template=template(pg),
    )
    answers = await observed.round()
    assert [asked.target.project for asked in answers.asked] == [None, "elsewhere"]


async def test_the_observer_goes_on_where_it_stopped(pg, database):
    """Killed and started anew, it counts what ran meanwhile, and makes up no activity of that time."""
    observed = shared(pg, database)
    await observed.round()
    await database.queries(10)
    await observed.round()
    observed.restart()
    await database.queries(40)
    await observed.round(3 * 3600)
    assert observed.total(QUERIES_BY_HOUR) == 50
    assert observed.gauge(ACTIVITY_STATE) == 0
    hours = observed.part._watched[database.name].hours
    assert (hours.watched.bit_count(), hours.active.bit_count()) == (2, 1)
    assert {int(labels[-1]) for metric, labels, _ in observed.store.series() if metric is QUERIES_BY_HOUR} == {
        *range(12, 16)
    }


async def test_staying_at_the_plan_s_limit_is_a_hit_and_an_event(pg, database, tmp_path):
    limits = tmp_path / "limits.yaml"
    limits.write_text("free: { connections: 2, storage: null, compute_time: null, query_rate: null }")
    observed = Observed(
        [{"project_id": database.name, "plan": "free"}],
        observe_servers=pg.dsn,
        observe_limits=limits,
        observe_ceiling_after=60,
    )
    async with database.client(), database.client():
        await observed.round()
        await observed.round()
        assert observed.total(CEILING_HITS) == 0
        observed.restart()
        await observed.round()
        await observed.round()
        assert observed.total(CEILING_HITS, database.name, "connections") == 1
    (record,) = observed.events._outbox
    assert record.event.name == "tier_ceiling_hit"
    told = {"resource_type": "connections", "hit_count_24h": 1, "upgrade_suggested": True, "project_id": database.name}
    assert told.items() <= record.attributes.items()
    assert record.attributes["metadata"] == {"used": 2, "limit": 2.0, "stayed_sec": 60.0, "larger_plan": "starter"}
    assert record.time_ns == int((NOON + 90) * 1e9)


async def test_a_size_is_asked_for_rarely(pg, database):
    observed = shared(pg, database, observe_size_interval=100)
    watched = []
    for _ in range(5):
        answers = await observed.round(25)
        (answer,) = (asked.answer for asked in answers.asked)
        watched.append(next(one.size for one in answer.readings if one.database == database.name))
    size = int(pg.execute(f"SELECT pg_database_size('{database.name}')"))
    assert [one is not None for one in watched] == [True, False, False, False, True]
    assert watched[-1] == pytest.approx(size, rel=0.05)  # autovacuum may work in it
    assert observed.gauge(MEMORY_USAGE, "shared_buffers") is None  # there is no pg_buffercache here
