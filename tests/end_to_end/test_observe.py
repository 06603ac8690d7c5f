"""However often the observer is killed in the middle of changes: each is stored once and counted once."""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import otel_dynabase.observer
from tests.end_to_end.observing import Observing
from tests.end_to_end.running import by, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from examples.stack.stack import Stack

pytestmark = pytest.mark.end_to_end

CHANGES = Path(otel_dynabase.observer.__file__).with_name("changes.sql")
TIERS = ("COLD", "WARM", "HOT", "PERSISTENT")


@pytest.fixture
def observing(stack: Stack, tmp_path: Path) -> Iterator[Callable[..., Observing]]:
    made: list[Observing] = []

    def make(name: str, **env: str) -> Observing:
        made.append(Observing(stack, name, tmp_path, **env))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_killed_in_a_loop_while_the_directory_changes(
    stack: Stack, observing: Callable[..., Observing], tmp_path: Path
) -> None:
    """By differences: every project changes once, at any moment of a round, of a save or of an export."""
    service, directory, chance = "differences", tmp_path / "tenants.json", random.Random(7)
    tenants = {f"diff_{number:03}": {"plan": "pro", "tier": "WARM"} for number in range(80)}
    waiting, expected = list(tenants), {}

    def write() -> None:
        new = directory.with_suffix(".new")
        new.write_text(json.dumps({"tenants": tenants}))
        new.replace(directory)

    def change(some: int) -> None:
        for _ in range(some):
            project = waiting.pop()
            tenants[project]["tier"] = chance.choice(("COLD", "HOT"))
            expected[project] = tenants[project]["tier"]
        write()

    write()
    state = tmp_path / "state.json"
    observer = observing(service, OTEL_DYNABASE_DIRECTORY=str(directory), OTEL_DYNABASE_OBSERVE_STATE=str(state))
    observer.start()
    observer.becomes("active")
    while waiting:
        change(5)
        time.sleep(chance.uniform(0, 0.3))
        change(5)
        time.sleep(chance.uniform(0, 0.5))
        observer.kill()
        observer.start()
        observer.becomes("active")
    log = observer.end()
    assert "Traceback" not in log, log

    transitions = {(project, "WARM", tier): 1 for project, tier in expected.items()}
    assert_told(stack, service, transitions)
    asleep = {(project,): 1.0 for project, tier in expected.items() if tier == "COLD"}
    assert by(stack, f'sum by (project_id) (tenant_scale_to_zero_total{{job="{service}"}})', "project_id") == asleep
    assert {(row,): 1.0 for row in stored(stack, service, "scale_to_zero", "project_id")} == asleep


def test_killed_in_a_loop_while_tenants_flip_and_another_takes_over(
    stack: Stack, observing: Callable[..., Observing]
) -> None:
    """By the journal: changes faster than any look at the directory, in transactions that end out of order."""
    service = "journal"
    stack.postgres.execute("CREATE DATABASE platform")
    dsn = stack.postgres.dsn("platform")
    stack.postgres.execute(
        "CREATE TABLE dynabase_tenants "
        "(project_id text PRIMARY KEY, tenant_id text, plan text, tier text, database text);"
        "INSERT INTO dynabase_tenants SELECT 'flip_' || n, 'org_1', 'pro', 'WARM' FROM generate_series(0, 5) n;"
        + CHANGES.read_text(),
        "platform",
    )
    env = {
        "OTEL_DYNABASE_DIRECTORY": dsn,
        "OTEL_DYNABASE_OBSERVE_STATE": "directory",
        "OTEL_DYNABASE_OBSERVE_CHANGES_QUERY": "shipped",
    }
    active, other = observing(service, **env), observing(service, **env)
    active.start()
    active.becomes("active")
    other.start()
    other.becomes("standby")
    flips = [Flips(dsn, f"flip_{number}", number) for number in range(6)]
    for turn in range(4):
        time.sleep(0.3 + 0.2 * turn)
        killed = time.monotonic()
        active.kill()
        other.becomes("active")
        assert time.monotonic() - killed < 5
        active, other = other, active
        other.start()
        other.becomes("standby")
    made: dict[tuple[str, str, str], int] = {}
    for flip in flips:
        flip.end(made)
    assert sum(made.values()) > 500
    assert_told(stack, service, made)
    for each in (active, other):
        log = each.end()
        assert "Traceback" not in log, log


def test_ten_thousand_changes_between_two_looks(
    stack: Stack, observing: Callable[..., Observing], tmp_path: Path
) -> None:
    """More than the SDK's queue holds, and with what goes to zero more than the ledger does: the rest waits."""
    service, directory, state = "many", tmp_path / "tenants.json", tmp_path / "state.json"

    def write(tier: str) -> None:
        tenants = {f"many_{number:05}": {"plan": "free", "tier": tier} for number in range(10_000)}
        new = directory.with_suffix(".new")
        new.write_text(json.dumps({"tenants": tenants}))
        new.replace(directory)

    write("WARM")
    observer = observing(service, OTEL_DYNABASE_DIRECTORY=str(directory), OTEL_DYNABASE_OBSERVE_STATE=str(state))
    observer.start()
    observer.becomes("active")
    write("COLD")
    time.sleep(1)
    observer.kill()
    observer.start()
    query = "SELECT event_type, uniqExact(project_id) AS projects, count() AS n FROM tier_events FINAL "
    query += "WHERE ServiceName = {service:String} GROUP BY event_type ORDER BY event_type"
    wanted = [{"event_type": name, "projects": 10_000, "n": 10_000} for name in ("scale_to_zero", "tier_transition")]
    assert eventually(lambda: stack.clickhouse.rows(query, service=service), wanted.__eq__, 60) == wanted
    log = observer.end()
    assert "Queue full" not in log, log
    counted = f'sum (tenant_tier_transitions_total{{job="{service}", project_id="_other"}})'
    assert eventually(lambda: by(stack, counted), {(): 10_000.0}.__eq__, 20) == {(): 10_000.0}


class Flips(threading.Thread):
    """Changes one project's tier again and again; some transactions stay open for a while after their change."""

    def __init__(self, dsn: str, project: str, seed: int) -> None:
        super().__init__()
        self._dsn, self._project, self._chance = dsn, project, random.Random(seed)
        self._made: dict[tuple[str, str, str], int] = {}
        self._stop_it = threading.Event()
        self.start()

    def run(self) -> None:
        tier = "WARM"
        with psycopg.connect(self._dsn) as connection:
            while not self._stop_it.is_set():
                new = self._chance.choice([other for other in TIERS if other != tier])
                connection.execute("UPDATE dynabase_tenants SET tier = %s WHERE project_id = %s", (new, self._project))
                if self._chance.random() < 0.05:
                    time.sleep(self._chance.uniform(0, 0.4))
                if self._chance.random() < 0.1:
                    connection.rollback()  # it has taken an id in the log, and leaves a gap
                else:
                    connection.commit()
                    step = (self._project, tier, new)
                    self._made[step] = self._made.get(step, 0) + 1
                    tier = new
                time.sleep(0.005)

    def end(self, made: dict[tuple[str, str, str], int]) -> None:
        self._stop_it.set()
        self.join()
        made.update(self._made)


def assert_told(stack: Stack, service: str, transitions: dict[tuple[str, str, str], int]) -> None:
    """Compare both stores with the changes that were made: by project, from, and to."""
    found = eventually(lambda: told(stack, service), transitions.__eq__, 30)
    assert found == transitions, differences(found, transitions)
    selector = f'tenant_tier_transitions_total{{job="{service}"}}'
    labels = ("project_id", "from_tier", "to_tier")
    totals = {step: float(count) for step, count in transitions.items()}
    query = f"sum by ({', '.join(labels)}) ({selector})"
    counted = eventually(lambda: by(stack, query, *labels), totals.__eq__, 30)
    assert counted == totals, differences(counted, totals)
    assert by(stack, f"sum (resets({selector}[10m]))") == {(): 0.0}
    assert by(stack, f"count (count by (instance) ({selector}))") == {(): 1.0}
    born = by(stack, f"min (min_over_time({selector}[10m]))")
    assert born == {(): 0.0}, "an increase over the time before the first change sees it"


def told(stack: Stack, service: str) -> dict[tuple[str, str, str], int]:
    """Count the stored events, each event_id once."""
    rows = stack.clickhouse.rows(
        "SELECT project_id, source_tier, target_tier, count() AS n, uniqExact(event_id) AS ids FROM tier_events FINAL "
        "WHERE ServiceName = {service:String} AND event_type = 'tier_transition' "
        "GROUP BY project_id, source_tier, target_tier",
        service=service,
    )
    assert all(row["n"] == row["ids"] for row in rows)
    return {(row["project_id"], row["source_tier"], row["target_tier"]): row["n"] for row in rows}


def stored(stack: Stack, service: str, event_type: str, column: str) -> list[Any]:
    rows = stack.clickhouse.rows(
        f"SELECT {column} FROM tier_events FINAL "
        "WHERE ServiceName = {service:String} AND event_type = {event_type:String}",
        service=service,
        event_type=event_type,
    )
    return [row[column] for row in rows]


def differences(found: dict[Any, Any], wanted: dict[Any, Any]) -> dict[Any, Any]:
    """Return what is not equal: {key: (found, wanted)}."""
    keys = found.keys() | wanted.keys()
    return {key: (found.get(key), wanted.get(key)) for key in keys if found.get(key) != wanted.get(key)}
