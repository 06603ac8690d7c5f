"""Whatever happens to the directory and to the observer: each change that was seen is counted once and told once."""

import asyncio
import contextlib
from collections import Counter
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_dynabase import events as events_module
from otel_dynabase.catalog.metrics import PLAN_CHANGES, SCALE_TO_ZERO, SELF_FOLDED, TIER_TRANSITIONS
from otel_dynabase.config import Config
from otel_dynabase.directory import Directory
from otel_dynabase.events import watch_export
from otel_dynabase.observer.facts import Noticing
from otel_dynabase.observer.reign import Reign
from otel_dynabase.observer.settings import TELLS
from otel_dynabase.observer.state.file import FileState
from otel_dynabase.observer.troubles import Bench, Troubles
from otel_dynabase.observer.watch import Watch
from otel_dynabase.store import Budget

PROJECTS = ("a", "b", "c", "d")
ANCHORS = [{"project_id": f"anchor_{n}", "plan": "free", "tier": "HOT"} for n in range(5)]
"""They never change, so that no answer loses more than half of the tenants."""
STANDINGS = st.tuples(st.sampled_from(["free", "pro", "bogus"]), st.sampled_from(["COLD", "WARM", "HOT", None]))
TABLES = st.dictionaries(st.sampled_from(PROJECTS), STANDINGS)
ENDS = ("goes on", "goes on", "before saving", "after saving", "after sending", "unanswered", "refused")


class CrashError(BaseException):
    """The process is gone."""


class Crashing(FileState):
    """A state file whose process may be killed on either side of saving; meanwhile others try to send."""

    crash = ""
    meanwhile = staticmethod(lambda: None)

    async def save(self, document):
        self.meanwhile()
        if self.crash == "before saving":
            raise CrashError
        await super().save(document)
        self.meanwhile()
        if self.crash == "after saving":
            raise CrashError


class World:
    """An observer that is started again after each crash, and everything that was ever seen of it."""

    def __init__(self, folder):
        self.rows = []
        self.arrived = InMemoryLogRecordExporter()
        self.state = Crashing(folder / "state.json")
        self.state.meanwhile = self.send
        self.answer = "SUCCESS"
        self.reader = InMemoryMetricReader()
        self.seen = Counter()
        self.reign = None

    async def start(self):
        if self.reign is not None:
            await self.state.release()
        assert await self.state.acquire()
        noticing = Noticing(lambda: ANCHORS + self.rows)
        document = await self.state.load()
        self.reign = Reign(
            Config.load({}),
            state=self.state,
            directory=Directory(noticing),
            troubles=Troubles(),
            parts=lambda store, events: [
                Watch(
                    store,
                    events,
                    facts=lambda: noticing.facts,
                    tells=frozenset(TELLS),
                    prices={},
                    budget=Budget(1000, store.sum(SELF_FOLDED)),
                )
            ],
            document=document,
            saved=document,
            bench=Bench(),
        )
        world = self

        class Exporter(InMemoryLogRecordExporter):
            def export(self, batch):
                if world.answer != "FAILURE":
                    world.arrived.export(batch)
                return SimpleNamespace(name=world.answer)

        Exporter.export = watch_export(self.reign.events)(Exporter.export)
        self.provider = LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(Exporter()))

    async def round(self, end):
        self.state.crash = end
        with contextlib.suppress(CrashError):
            await self.reign.account(await self.reign.ask(), 0.0)
        self.state.crash = ""
        self.collect()
        self.answer = {"unanswered": "LOST", "refused": "FAILURE"}.get(end, "SUCCESS")
        self.send()
        self.answer = "SUCCESS"
        if end not in {"goes on", "refused"}:
            await self.start()

    def send(self):
        events_module.get_logger_provider = lambda: self.provider
        self.reign.events.flush()

    def collect(self):
        """Collect as a reader does; no total may ever fall below one that was seen."""
        scope = self.reign._producer.produce(self.reader, {})
        now = Counter()
        for metric in scope.metrics:
            if metric.name in {TIER_TRANSITIONS.name, PLAN_CHANGES.name, SCALE_TO_ZERO.name}:
                for point in metric.data.data_points:
                    now[metric.name, *sorted(point.attributes.items()), point.start_time_unix_nano] = point.value
        if scope.metrics:
            assert self.seen <= now
            self.seen = now
        return now


class Model:
    """The changes that an observer sees which never crashes, of the tables that were saved."""

    def __init__(self):
        self.picture = {}
        self.transitions, self.plans, self.sleeps = Counter(), Counter(), 0

    def take(self, table):
        for project, (said_plan, said_tier) in table.items():
            old = self.picture.get(project, ("unknown", "unknown"))
            plan = old[0] if said_plan == "bogus" else said_plan
            tier = said_tier or old[1]
            if "unknown" not in {old[1], tier} and old[1] != tier:
                self.transitions[project, old[1], tier] += 1
                self.sleeps += tier == "COLD"
            if "unknown" not in {old[0], plan} and old[0] != plan:
                self.plans[project, old[0], plan] += 1
            self.picture[project] = (plan, tier)
        for project in self.picture.keys() - table.keys():
            plan, _ = self.picture.pop(project)
            if plan == "pro":
                self.plans[project, plan, "unknown"] += 1


@settings(max_examples=150, deadline=None)
@given(history=st.lists(st.tuples(TABLES, st.sampled_from(ENDS)), max_size=12))
def test_any_history_of_tables_and_crashes(history, tmp_path_factory):
    original = events_module.get_logger_provider
    try:
        asyncio.run(check(history, tmp_path_factory.mktemp("observer")))
    finally:
        events_module.get_logger_provider = original


async def check(history, folder):
    world, model = World(folder), Model()
    await world.start()
    for table, end in [*history, (dict(history[-1][0]) if history else {}, "goes on")]:
        world.rows = [{"project_id": p, "plan": plan, "tier": tier} for p, (plan, tier) in table.items()]
        await world.round(end)
        if end != "before saving":
            model.take(table)
    world.reign.events._clock = lambda: float("inf")  # what was refused is due again
    world.send()
    assert world.reign.events.backlog == 0
    records = [readable.log_record for readable in world.arrived.get_finished_logs()]
    unique = {record.attributes["event_id"]: record for record in records}.values()
    told = Counter(record.event_name for record in unique)
    assert told["tier_transition"] == model.transitions.total()
    assert told["plan_change"] == model.plans.total()
    assert told["scale_to_zero"] == model.sleeps
    names = ("project_id", "source_tier", "target_tier")
    transitions = [record for record in unique if record.event_name == "tier_transition"]
    assert Counter(tuple(map(record.attributes.get, names)) for record in transitions) == model.transitions
    sequence = sorted(record.attributes["event_seq"] for record in unique)
    assert sequence == list(range(1, len(sequence) + 1))
    assert counted(world, TIER_TRANSITIONS) == model.transitions.total()
    assert counted(world, PLAN_CHANGES) == model.plans.total()
    assert counted(world, SCALE_TO_ZERO) == model.sleeps
    await world.state.release()


def counted(world, metric):
    return sum(value for (name, *_), value in world.collect().items() if name == metric.name)
