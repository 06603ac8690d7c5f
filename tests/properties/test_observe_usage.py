"""The observer's books balance: whatever a server does to its statistics, and whenever the observer is restarted."""

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from otel_dynabase.catalog.metrics import QUERIES_BY_HOUR, QUERY_RATE, SELF_FOLDED
from otel_dynabase.directory import Tenant
from otel_dynabase.events import EventLog
from otel_dynabase.observer.asking import Answers
from otel_dynabase.observer.ceilings import DEFAULTS
from otel_dynabase.observer.postgres import Answer
from otel_dynabase.observer.reading import Counters, Reading
from otel_dynabase.observer.rounds import Asked, Target
from otel_dynabase.observer.settings import ObserverConfig
from otel_dynabase.observer.usage import UsagePart
from otel_dynabase.store import Budget, Store

NOON = 1_800_014_400.0
CONFIG = ObserverConfig.load({}, observe_ceiling_after=60)
LIMITS = DEFAULTS | {"free": {"connections": 3, "query_rate": 10, "storage": 1e6, "compute_time": 1}}
SERVER = Target("server 1", "")


class Books:
    """A part with its store; `restarts`: in another process after each round."""

    def __init__(self, *, restarts):
        self.store = Store()
        self.events = EventLog(self.store)
        self.restarts = restarts
        self.part = self.new()

    def new(self):
        budget = Budget(1, self.store.sum(SELF_FOLDED))
        return UsagePart(self.store, self.events, CONFIG, limits=LIMITS, budget=budget, clock=lambda: 0.0)

    def round(self, answers, tenants, now):
        self.part.apply(answers, tenants, now)
        if self.restarts:
            state = json.loads(json.dumps(self.part.dump()))
            shown, asking = self.part._watched, self.part._asking
            self.part = self.new()
            self.part.load(state)
            self.part._asking = asking  # where databases are is found out again, and no part of the state
            for project, watched in shown.items():  # nor are the gauges: there are none until somebody has looked
                self.part._watched[project].gauges = watched.gauges
                self.part._watched[project].labels = watched.labels

    def series(self):
        return {
            (metric.name, key): point.value if hasattr(point, "value") else (point.counts, point.total)
            for metric, key, point in self.store.series()
            if metric is not SELF_FOLDED
        }

    def gauges(self):
        return sorted((metric.name, key, value) for metric, key, value in self.part.observe() if metric.labels[1:])

    def told(self):
        return [(record.time_ns, record.attributes["resource_type"]) for record in self.events._outbox]


class ObserverMachine(RuleBasedStateMachine):
    """A server that counts, a world that disturbs it, and two observers of it that must agree."""

    def __init__(self):
        super().__init__()
        self.steady, self.restarted = Books(restarts=False), Books(restarts=True)
        self.now = NOON
        self.clock = 500_000.0
        """The server's."""
        self.tier, self.plan = "HOT", "free"
        self.oid, self.started, self.reset, self.began = 5, 1000.0, 0.0, 1000.0
        self.statements, self.clients, self.servers = 0, 1, 0
        self._zero()
        self.polled, self.at = False, 0.0
        self.ran = self.vacuumed = 0
        """Since the last reading, or since the counters were lost."""
        self.disturbed = ""
        self.least = self.most = 0
        """Queries that must be, and may be, in the books."""
        self.seen = {}

    def _zero(self):
        self.transactions = self.sessions = self.read = self.calls = 0
        self.finished = self.last = 0.0

    @rule(queries=st.integers(0, 50))
    def run(self, queries):
        self.transactions += queries
        self.calls += queries
        self.finished += queries * 0.5
        self.read += queries * 8192
        self.last = self.clock if queries else self.last
        self.ran += queries

    @rule()
    def autovacuum(self):
        self.transactions += 2
        self.vacuumed += 2

    @rule(seconds=st.one_of(st.floats(0.1, 100), st.floats(100, 20_000)))
    def wait(self, seconds):
        self.now += seconds
        self.clock += seconds

    @rule(seconds=st.one_of(st.floats(-10_000, 10_000), st.sampled_from((-86_400.0, 86_400.0 * 400))))
    def set_the_observer_s_clock(self, seconds):
        self.now = max(NOON - 1e8, self.now + seconds)

    @rule(seconds=st.floats(-10_000, 10_000))
    def set_the_server_s_clock(self, seconds):
        self.clock += seconds

    @rule(clients=st.integers(0, 5))
    def connect(self, clients):
        self.sessions += max(0, clients - self.clients)
        self.transactions += max(0, clients - self.clients)
        self.clients = clients

    @rule()
    def evict_statements(self):
        self.statements += 1
        self.calls = 0
        self.disturbed = self.disturbed or "statements"

    def _start(self):
        self.clock += 1
        self.started = self.clock + self.servers / 1024  # no two servers start at the same moment

    def _lose(self, how):
        self._zero()
        self.ran = self.vacuumed = 0
        self.disturbed = how

    @rule()
    def reset_statistics(self):
        self.reset = self.began = self.clock
        self._lose("began anew")

    @rule()
    def crash(self):
        self._start()
        self.began = self.started
        self._lose("began anew")

    @rule()
    def restart(self):
        """Cleanly; by a clock that was set back it looks as if the server had been there before."""
        self._start()
        if self.started <= self.at:
            self.disturbed = self.disturbed if self.disturbed == "another" else "began anew"

    @rule()
    def recreate(self):
        self.oid += 1
        self._lose("began anew")

    @rule(queries=st.integers(0, 10**6))
    def fail_over(self, queries):
        """To a replica that has been counting for long; it may then be started again."""
        self.servers += 1
        self.started, self.began = float(self.servers), 0.5
        self._lose("another")
        self.transactions = self.calls = queries
        self.finished, self.read, self.sessions = queries * 0.5, queries * 8192, queries // 10

    @rule(tier=st.sampled_from(("WARM", "HOT")), plan=st.sampled_from(("free", "pro")))
    def change(self, tier, plan):
        self.tier, self.plan = tier, plan

    @rule(calls=st.booleans(), size=st.sampled_from((None, 10**5, 10**7)), running=st.integers(0, 2))
    def poll(self, calls, size, running):
        counters = Counters(
            at=self.clock, oid=self.oid, server=str(self.servers),
            started=self.started, reset=self.reset, began=self.began,
            transactions=self.transactions, sessions=self.sessions, finished=self.finished, executing=self.finished,
            read=self.read, temporary=0, clients=self.clients, busy=running > 0, last_query=self.last,
            statements=f"0/{self.statements}" if calls else None, calls=self.calls if calls else None,
            written=0 if calls else None, own=0, own_sessions=0, own_time=0.0,
        )  # fmt: skip
        self.poll_with(Reading("project", counters, running, accepting=True, here=False, size=size))
        exact = calls and self.disturbed == "" and self.by_calls
        if self.polled and self.disturbed != "another":
            self.least += self.ran if self.disturbed in {"", "statements"} else 0
            self.most += self.ran + (0 if exact else self.vacuumed)
        self.by_calls = calls
        self.at = self.clock
        self.polled, self.disturbed, self.ran, self.vacuumed = True, "", 0, 0

    by_calls = False

    def poll_with(self, reading):
        answer = Answer([reading], asked=frozenset({"connections", "size"}))
        self.round(Answers([Asked(SERVER, 0.0, answer)], names={SERVER.name}))

    @rule()
    def ask_in_vain(self):
        self.round(Answers([Asked(SERVER, 0.0, failure="timeout")], names={SERVER.name}))

    @rule()
    def not_be_due(self):
        self.round(Answers(names={SERVER.name}))

    @precondition(lambda self: not self.ran)
    @rule()
    def sleep(self):
        self.round(Answers(names={SERVER.name}, asleep={"project"}))

    def round(self, answers):
        tenants = {"project": Tenant("project", plan=self.plan, tier=self.tier)}
        for books in (self.steady, self.restarted):
            books.round(answers, tenants, self.now)

    @invariant()
    def no_counter_falls(self):
        series = self.steady.series()
        for name, value in self.seen.items():
            now = series[name]
            assert now >= value if not isinstance(value, tuple) else all(map(int.__ge__, now[0], value[0]))
        self.seen = series

    @invariant()
    def every_query_is_in_the_books_once(self):
        booked = sum(value for (name, _), value in self.steady.series().items() if name == QUERIES_BY_HOUR.name)
        assert self.least <= booked <= self.most

    @invariant()
    def no_rate_is_made_up(self):
        sampled = sum(value[1] for (name, _), value in self.steady.series().items() if name == QUERY_RATE.name)
        assert sampled <= self.most + 1e-6

    @invariant()
    def a_restart_changes_nothing(self):
        assert self.restarted.series() == self.steady.series()
        assert self.restarted.gauges() == self.steady.gauges()
        assert self.restarted.told() == self.steady.told()
        assert self.restarted.part.dump() == self.steady.part.dump()


ObserverMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
test_the_books_balance = ObserverMachine.TestCase
