"""The instrumentation's own figures: few, and bounded."""

from __future__ import annotations

from otel_dynabase.catalog.attributes import (
    COST_OUTCOME,
    EVENT_OUTCOME,
    FAULT_PLACE,
    OBSERVER_BREAK,
    OBSERVER_FAILURE,
    OBSERVER_PLACE,
    OBSERVER_UNREADABLE,
    REPORT,
    REPORT_OUTCOME,
    ROUND_OUTCOME,
)
from otel_dynabase.catalog.kinds import Counter, Gauge, UpDownCounter

SELF_EVENTS = Counter(
    "otel_dynabase.events", "{event}", (EVENT_OUTCOME,),
    "Events by what became of them; `dropped` is what storage will never see.",
)  # fmt: skip
SELF_SERIES = UpDownCounter(
    "otel_dynabase.series", "{series}", (),
    "Series that this process keeps.",
)  # fmt: skip
SELF_FOLDED = Counter(
    "otel_dynabase.folded", "{lookup}", (),
    "Times that a tenant beyond the budget was measured into `_other`.",
)  # fmt: skip
SELF_FAULTS = UpDownCounter(
    "otel_dynabase.faults", "{fault}", (FAULT_PLACE,),
    "Failures inside the instrumentation that were kept from the application.",
)  # fmt: skip
SELF_UNKNOWN = UpDownCounter(
    "otel_dynabase.directory.unknown_projects", "{project}", (),
    "Projects that were asked for and are not in the directory.",
)  # fmt: skip
SELF_DIRECTORY_AGE = Gauge(
    "otel_dynabase.directory.age", "s", (),
    "Time since the directory was last read without error.",
    fold="max",
)  # fmt: skip
SELF_COSTS = Counter(
    "otel_dynabase.query_costs", "{statement}", (COST_OUTCOME,),
    "Statements that were sampled for their cost, by what became of them; `explained` is what the histogram counts.",
    sources=("app, opt-in",),
)  # fmt: skip
SELF_REPORTS = Counter(
    "otel_dynabase.reports", "{report}", (REPORT, REPORT_OUTCOME),
    "Calls of the report API; `refused`: its arguments cannot be used; `dropped`: too many before instrumenting.",
    sources=("report",),
)  # fmt: skip
SELF_ASKED_IN_VAIN = Counter(
    "otel_dynabase.observer.asked_in_vain", "{failure}", (OBSERVER_FAILURE,),
    "Times that a database server could not be asked for its statistics.",
    sources=("observer",),
)  # fmt: skip
SELF_BREAKS = Counter(
    "otel_dynabase.observer.breaks", "{break}", (OBSERVER_BREAK,),
    "Times that a database's statistics began anew: counting goes on from there, and nothing is made up.",
    sources=("observer",),
)  # fmt: skip
SELF_UNREADABLE = Gauge(
    "otel_dynabase.observer.unreadable", "{project}", (OBSERVER_UNREADABLE,),
    "Projects of which something cannot be read, for want of rights, an extension or a setting: it is absent, not 0.",
    sources=("observer",),
)  # fmt: skip
SELF_ROUNDS = Counter(
    "otel_dynabase.observer.rounds", "{round}", (ROUND_OUTCOME,),
    "Rounds of the observer's, by whether everything in it worked.",
    sources=("observer",),
)  # fmt: skip
SELF_ROUND_DURATION = Gauge(
    "otel_dynabase.observer.round.duration", "s", (),
    "How long the observer's last round took, saving included.",
    sources=("observer",), fold="max",
)  # fmt: skip
SELF_FAILURES = UpDownCounter(
    "otel_dynabase.observer.failures", "{failure}", (OBSERVER_PLACE,),
    "Times that a part of the observer's did not work; `state`: the totals could not be saved.",
    sources=("observer",),
)  # fmt: skip
SELF_BACKLOG = Gauge(
    "otel_dynabase.observer.backlog", "{event}", (),
    "Events of the observer's that the collector has not acknowledged yet.",
    sources=("observer",),
)  # fmt: skip
SELF_MARKER = Counter(
    "otel_dynabase.doctor.marker", "{millisecond}", (),
    "When `otel-dynabase doctor` was last on its way, in milliseconds since the epoch: it knows its point again.",
    sources=("doctor",),
)  # fmt: skip
