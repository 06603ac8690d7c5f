"""A part that fails in the middle of its account: nothing of it is seen, and the others go on."""

import asyncio
import json
import logging

import pytest

from otel_dynabase.catalog.metrics import IO_BYTES
from otel_dynabase.config import Config
from otel_dynabase.observer import run, sdk
from otel_dynabase.observer.run import Observer
from otel_dynabase.observer.settings import ObserverConfig
from otel_dynabase.observer.snapshot import read
from otel_dynabase.observer.state.file import FileState
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
