"""The observer's look at projects' databases, with a clock of its own."""

import asyncio
import json

from otel_dynabase.catalog.metrics import SELF_ASKED_IN_VAIN, SELF_FOLDED
from otel_dynabase.directory import Directory
from otel_dynabase.events import EventLog
from otel_dynabase.observer.ceilings import load_limits
from otel_dynabase.observer.settings import ObserverConfig
from otel_dynabase.observer.usage import UsagePart
from otel_dynabase.store import Budget, Store

NOON = 1_800_014_400.0
"""12:00 UTC of some day."""
FLUSH = 1.2
"""Seconds after which a backend has told the server what it counted, if it runs another statement then."""


class Observed:
    """A usage part with a store, a directory and a clock of its own."""

    def __init__(self, rows, **settings):
        self.rows = [{"plan": "pro", "tier": "HOT"} | row for row in rows]
        self.store = Store()
        self.directory = Directory(lambda: self.rows)
        assert self.directory.refresh()
        self.events = EventLog(self.store)
        self.config = ObserverConfig.load({}, observe_usage_interval=1, observe_interval=2, **settings)
        self.monotonic = 0.0
        self.now = NOON
        self.part = self._part()

    def _part(self):
        limits = load_limits(self.config.observe_limits)
        budget = Budget(1000, self.store.sum(SELF_FOLDED))
        return UsagePart(
            self.store, self.events, self.config, limits=limits, budget=budget, clock=lambda: self.monotonic
        )

    def restart(self):
        """Go on in another process, from what was dumped."""
        state = json.loads(json.dumps(self.part.dump()))
        self.part = self._part()
        self.part.load(state)

    def all_tenants(self):
        return {row["project_id"]: self.directory.get(row["project_id"]) for row in self.rows}

    def tier(self, project, tier):
        next(row for row in self.rows if row["project_id"] == project)["tier"] = tier
        assert self.directory.refresh()

    async def round(self, later=30.0):
        """Let time pass and run a round."""
        self.now += later
        self.monotonic += later
        answers = await self.part.gather(self.all_tenants())
        self.part.apply(answers, self.all_tenants(), self.now)
        return answers

    def total(self, metric, *key):
        """Add up a counter over the series whose keys have all of these values."""
        return sum(
            point.value for found, labels, point in self.store.series() if found is metric and set(key) <= set(labels)
        )

    def gauge(self, metric, *key):
        """Return the one value of a gauge, or None."""
        values = [value for found, labels, value in self.part.observe() if found is metric and set(key) <= set(labels)]
        assert len(values) <= 1
        return values[0] if values else None

    def in_vain(self):
        return {labels[0]: point.value for metric, labels, point in self.store.series() if metric is SELF_ASKED_IN_VAIN}


class Client:
    """An application's connection, whose statements are counted by the server when it has flushed its statistics."""

    def __init__(self, connection):
        self.connection = connection

    async def run(self, times, query="SELECT 1"):
        for _ in range(times):
            await self.connection.fetchval(query)


async def settled(pg, name):
    """Wait until no backend of the database is left: each tells what it counted when it ends."""
    left = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND backend_type = 'client backend'"
    for _ in range(200):
        if pg.execute(left) == "0":
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a connection is left")


def shared(pg, *databases, **settings):
    """Observe projects whose databases are on the shared server."""
    return Observed([{"project_id": database.name} for database in databases], observe_servers=pg.dsn, **settings)
