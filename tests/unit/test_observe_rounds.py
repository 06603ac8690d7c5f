"""Rounds of asking: who is due, in which order, and where each project's database is."""

import asyncio
import re

import pytest

from otel_dynabase.directory import Tenant, UnusableError
from otel_dynabase.observer.addresses import Addresses, address, awake, owners
from otel_dynabase.observer.expensive import BATCH, Expensive
from otel_dynabase.observer.postgres import Answer, reason_of
from otel_dynabase.observer.reading import Reading
from otel_dynabase.observer.rounds import Asked, Schedule, Target, ask_all
from otel_dynabase.observer.settings import ObserverConfig
from tests.unit.test_observe_reading import START

TARGETS = [Target(name, f"postgresql://{name}") for name in "abc"]
ANSWER = Answer([])


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def due(schedule, targets=TARGETS):
    return "".join(target.name for target in schedule.due(targets))


def test_everybody_is_due_an_interval_after_they_were_asked():
    clock = Clock()
    schedule = Schedule(30, 5, clock)
    assert due(schedule) == "abc"
    schedule.done(Asked(TARGETS[0], 0.0, ANSWER))
    assert due(schedule) == "bc"
    clock.now = 24
    assert due(schedule) == "bc"
    clock.now = 25  # the next round comes too late
    assert due(schedule) == "bca"


def test_who_does_not_answer_is_left_alone_for_longer_and_longer_and_asked_last():
    clock, pauses, last = Clock(), [], 0.0
    schedule = Schedule(30, 0, clock)
    while len(pauses) < 8:
        if due(schedule, TARGETS[:1]):
            pauses.append(clock.now - last)
            last = clock.now
            schedule.done(Asked(TARGETS[0], clock.now, failure="timeout"))
        clock.now += 10
    assert pauses == [0, 60, 120, 240, 480, 600, 600, 600]
    clock.now = last + 600
    assert due(schedule) == "bca"
    schedule.done(Asked(TARGETS[0], clock.now, ANSWER))
    clock.now += 30
    assert due(schedule, TARGETS[:1]) == "a"


def test_an_interval_longer_than_the_longest_pause_is_kept():
    clock = Clock()
    schedule = Schedule(3600, 0, clock)
    schedule.done(Asked(TARGETS[0], 0.0, failure="timeout"))
    clock.now = 3599
    assert due(schedule, TARGETS[:1]) == ""
    clock.now = 3600
    assert due(schedule, TARGETS[:1]) == "a"


def test_who_is_gone_is_forgotten():
    schedule = Schedule(30, 0, Clock())
    for target in TARGETS:
        schedule.done(Asked(target, 0.0, ANSWER))
    schedule.keep({"b"})
    assert due(schedule) == "ac"


def test_no_more_are_asked_at_one_time_than_allowed():
    asked, most, now = [], 0, 0

    async def ask(target):
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        asked.append(target.name)
        return Asked(target, 0.0, ANSWER)

    done, late = asyncio.run(ask_all(TARGETS * 10, ask, concurrency=4, deadline=60))
    assert (len(done), late, most) == (30, 0, 4)
    assert asyncio.run(ask_all([], ask, concurrency=4, deadline=60)) == ([], 0)


def test_a_deadline_that_is_over_asks_nobody_and_says_so():
    async def ask(_target):
        await asyncio.sleep(0)
        raise AssertionError("asked")

    assert asyncio.run(ask_all(TARGETS, ask, concurrency=4, deadline=-1)) == ([], 3)


def measured(expensive, target, oids, at, **answer):
    readings = [Reading("db", START._replace(oid=oid), 0, accepting=True, here=False, size=1) for oid in oids]
    expensive.done(Asked(target, at, Answer(readings, **answer)))


def test_sizes_are_asked_for_a_few_at_a_time_and_the_oldest_first():
    clock, databases = Clock(), [(f"db{oid}", oid) for oid in range(BATCH + 10)]
    expensive, target = Expensive(100, 0, clock), TARGETS[0]

    def sizes():
        return expensive.want(target, lambda name: name != "db5").sizes(databases)

    first = sizes()
    assert len(first) == BATCH
    assert 5 not in first
    measured(expensive, target, first, 0.0)
    clock.now = 10
    second = sizes()
    assert len(second) == 9
    measured(expensive, target, second, 10.0)
    clock.now = 99
    assert sizes() == []
    clock.now = 105
    assert sizes() == first
    assert expensive.want(TARGETS[1], lambda _: True).sizes([("x", 1)]) == [1]


def test_what_was_refused_is_not_asked_for_at_once_again():
    clock = Clock()
    expensive, target = Expensive(100, 50, clock), TARGETS[0]
    assert expensive.want(target, lambda _: True).buffers
    measured(expensive, target, [], 0.0, unreadable={"size": "no", "buffers": "no"}, asked=frozenset({"buffers"}))
    clock.now = 49
    want = expensive.want(target, lambda _: True)
    assert (want.buffers, want.sizes([("x", 1)])) == (False, [])
    clock.now = 100
    want = expensive.want(target, lambda _: True)
    assert (want.buffers, want.sizes([("x", 1)])) == (True, [1])
    expensive.keep(())
    assert not Expensive(100, 0, clock).want(target, lambda _: True).buffers


def tenants(*rows):
    return {project: Tenant(project, database=database) for project, database in rows}


def test_a_database_belongs_to_whom_the_directory_says():
    owner = owners(tenants(("a", "db_a"), ("b", None), ("c", "shared"), ("d", "shared")), None)
    assert [owner(name) for name in ("db_a", "b", "shared", "c", "nobody")] == ["a", "b", None, "c", None]


def test_or_the_pattern():
    owner = owners(tenants(("a", "x"), ("b", None)), re.compile(r"tenant_(?P<project_id>\w+)"))
    assert [owner(name) for name in ("tenant_a", "tenant_b", "tenant_c", "x", "b")] == ["a", "b", None, None, None]


def test_an_address_of_its_own_names_the_project_as_a_url_may():
    tenant = Tenant("a@evil/b", database="my db")
    target = address("postgresql://u:p@{project_id}.db/{database}", tenant)
    assert (target.dsn, target.project) == ("postgresql://u:p@a%40evil%2Fb.db/my%20db", "a@evil/b")
    assert "p@" not in repr(target)
    assert address("postgresql://h/{database}", Tenant("a")).dsn == "postgresql://h/a"


@pytest.mark.parametrize(
    ("tier", "may"), [("COLD", False), ("unknown", False), ("WARM", True), ("HOT", True), ("PERSISTENT", True)]
)
def test_nobody_is_woken(tier, may):
    assert awake(Tenant("a", tier=tier)) is may


def test_addresses_come_from_the_settings_and_from_files_that_are_read_each_time(tmp_path):
    servers, template = tmp_path / "servers", tmp_path / "template"
    addresses = Addresses(
        ObserverConfig.load(
            {},
            observe_servers="postgresql://a postgres://b",
            observe_servers_file=servers,
            observe_template_file=template,
        )
    )
    with pytest.raises(FileNotFoundError):
        addresses.servers()
    servers.write_text("# more\n\npostgresql://c\n")
    template.write_text("postgresql://{project_id}/x\n")
    assert [target.dsn for target in addresses.servers()] == ["postgresql://a", "postgres://b", "postgresql://c"]
    assert addresses.template() == "postgresql://{project_id}/x"
    template.write_text("# nothing yet\n")
    with pytest.raises(UnusableError, match="no address"):
        addresses.template()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SERVERS", "postgresql://a:secret@b mysql://c"),
        ("SERVERS", "/a/file"),
        ("TEMPLATE", "postgresql://a:secret@b/postgres"),
        ("TEMPLATE", "postgresql://{project_id} postgresql://{database}"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_secret(variable, value, warnings_of):
    config = ObserverConfig.load({f"OTEL_DYNABASE_OBSERVE_{variable}": value})
    assert (config.observe_servers, config.observe_template) == (None, None)
    (said,) = warnings_of()
    assert "secret" not in said


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionRefusedError(111, "refused"), "absent"),
        (ConnectionResetError(104, "reset"), "connection"),
        (UnusableError("no"), "settings"),
        (RuntimeError("what"), "connection"),
    ],
)
def test_why_nobody_answered(error, reason):
    assert reason_of(error) == reason
