"""A round as a whole: a part that fails in it is undone, and series without a tenant are forgotten in time."""

import asyncio
import json
import logging

import pytest

from otel_dynabase.catalog.metrics import IO_BYTES
from otel_dynabase.config import Config
from otel_dynabase.directory import Directory
from otel_dynabase.observer import run, sdk
from otel_dynabase.observer.reign import GRACE, RETIRING, Reign
from otel_dynabase.observer.run import Observer
from otel_dynabase.observer.settings import ObserverConfig
from otel_dynabase.observer.snapshot import read
from otel_dynabase.observer.state.file import FileState
from otel_dynabase.observer.troubles import Bench, Troubles
from otel_dynabase.producer import Bridge

KEY = ("a", "HOT", "pro", "read")


class Counting:
    """Adds one a round, and fails in the rounds that it is told to: after it has added."""

    def __init__(self, name, store, failing=()):
        self.name = name
        self._sum = store.sum(IO_BYTES, (name, *KEY[1:]))
        self._failing = failing
        self.rounds = 0

    async def gather(self, tenants):
        if "gather" in self._failing:
            raise OSError("no route")
        return list(tenants)

    def apply(self, gathered, tenants, now):
        assert gathered == list(tenants) == ["a", "b", "c"]
        self.rounds += 1
        self._sum.add()
        if self.rounds in self._failing:
            raise LookupError("unheard of")

    def observe(self):
        return iter(())

    def dump(self):
        return self.rounds

    def load(self, state):
        self.rounds = state


@pytest.fixture
def observe(monkeypatch, tmp_path):
    """Run some rounds with parts of the test's own; return them, and the totals that were saved after each."""
    monkeypatch.setattr(sdk, "configure", lambda instance_id: None)
    monkeypatch.setattr(sdk, "shutdown", lambda: None)
    monkeypatch.setattr(Bridge, "connect", lambda bridge: None)
    directory = tmp_path / "tenants.json"
    directory.write_text(json.dumps({name: {"plan": "pro", "tier": "HOT"} for name in "abc"}))
    state = tmp_path / "state.json"

    def observe(rounds, **failing):
        seen, totals = [], []

        def parts(store, events, **_):
            return [Counting(name, store, rounds) for name, rounds in failing.items()]

        async def main():
            config = Config.load({}, directory=directory, shutdown_timeout=0)
            settings = ObserverConfig.load({}, observe_interval=0.1, observe_health="off")
            observer = Observer(config, settings, FileState(state), told=told)
            observers.append(observer)
            return await observer.run()

        def told(done):
            seen.append(done)
            saved = read(state.read_text()).store.get(IO_BYTES.name, [])
            totals.append({key[0]: value for key, _, value in saved})
            if len(seen) == rounds:
                observers[0]._stop.set()

        observers = []
        monkeypatch.setattr(run, "parts_of", parts)
        assert asyncio.run(main()) == 0
        return seen, totals

    return observe


def test_a_part_that_fails_is_undone_and_sits_out_while_others_go_on(observe, caplog):
    caplog.set_level(logging.INFO)
    seen, totals = observe(5, good=(), bad=(2,))
    # round 2 is undone and done again without it; in round 3 it fails again, and sits two rounds out
    assert [total["good"] for total in totals] == [1, 2, 3, 4, 5]
    assert [total["bad"] for total in totals] == [1, 1, 1, 1, 1]
    assert [list(done.failures) for done in seen] == [[], ["bad"], ["bad"], ["bad"], ["bad"]]
    said = [message for message in caplog.messages if message.startswith("bad: ")]
    assert said == ["bad: LookupError: unheard of. The round is undone; rounds it sits out: 1."]


def test_a_part_that_cannot_ask_is_left_out_of_the_round(observe, warnings_of):
    seen, totals = observe(3, good=(), deaf=("gather",))
    assert totals == [{"good": 1, "deaf": 0}, {"good": 2, "deaf": 0}, {"good": 3, "deaf": 0}]
    assert [done.failures for done in seen] == [{"deaf": "OSError: no route"}] * 3
    assert warnings_of() == ["deaf: OSError: no route. It is tried again in the next round."]


def test_series_without_their_tenant_are_exported_for_a_while_and_then_forgotten(tmp_path):
    now, rows = [1_800_000_000.0], [{"project_id": name, "plan": "pro", "tier": "HOT"} for name in "abc"]
    keys = [(name, "HOT", "pro", "read") for name in ("a", "b", "_other")]

    async def main():
        state = FileState(tmp_path / "state.json")
        assert await state.acquire()
        reign = Reign(
            Config.load({}),
            state=state,
            directory=Directory(lambda: rows),
            troubles=Troubles(),
            parts=lambda _store, _events: [],
            document=None,
            saved=None,
            bench=Bench(),
            clock=lambda: now[0],
        )

        async def round_(later):
            now[0] += later
            await reign.account(await reign.ask(), 0.0)
            return sorted(key[0] for metric, key, _ in reign.store.series() if metric is IO_BYTES)

        for key in keys:
            reign.store.sum(IO_BYTES, key).add()
        seen = [await round_(0)]
        rows[0]["tier"] = "COLD"
        del rows[1]
        seen += [await round_(later) for later in (RETIRING, GRACE - 1, RETIRING)]
        await state.release()
        return seen, read(state.path.read_text()).store[IO_BYTES.name]

    seen, saved = asyncio.run(main())
    assert seen == [["_other", "a", "b"]] * 3 + [["_other"]]
    assert [key for key, *_ in saved] == [["_other", "HOT", "pro", "read"]]
