"""The report: what the stores say, for an operator to read or for a program; and whether it is what the load caused."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from examples.ledger import (
    BREAKERS,
    CACHE,
    CACHE_ALERTS,
    COLD_STARTS,
    ERRORS,
    EVENT_KINDS,
    LIMIT_HITS,
    METRIC_KINDS,
    PLAN_CHANGES,
    QUERIES,
    REJECTIONS,
    SCALED,
    TRANSITIONS,
    Ledger,
    differences,
    folded,
    only,
    total,
)
from otel_dynabase.catalog.plans import PLAN_TABLE, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from examples.ledger import Difference, Entry
    from examples.readback import Reading
    from examples.tenants import Tenant

    Paint = Callable[[str, str], str]
    """Takes an ANSI style and a text."""

FOLDED_PLANS: Final = frozenset({"free"})
"""Plans whose tenants the collector shows as one (OTELCOL_BUDGET_FREE)."""

TIMES: Final = "\u00d7"

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"

STORY: Final = {
    "max_pool_size queued": "queued for a connection, {queued} at most",
    "connection_timeout rejected": "no connection in time, after {queued}",
    "query_timeout rejected": "statement timeout",
    "max_concurrent rejected": "refused by PostgreSQL: its connection limit",
    "auth_failure": "refused by PostgreSQL: wrong password",
    "circuit_open": "not even tried, its circuit was open",
}
"""How a limit hit, or a rejection that is none, reads."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was run: the tenants, the load's own account, and how much it was."""

    tenants: Sequence[Tenant]
    caused: Ledger
    requests: int
    seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison found: figures that differ, flaws of the telemetry itself, and how many figures there were."""

    differences: tuple[Difference, ...]
    flaws: tuple[str, ...]
    compared: int

    @property
    def ok(self) -> bool:
        """Whether the stores say what was caused, no more and no less."""
        return not self.differences and not self.flaws


def judge(run: Run, reading: Reading) -> Verdict:
    """Compare both stores with what the load caused."""
    metrics, told = folded(only(run.caused, METRIC_KINDS), FOLDED_PLANS), only(run.caused, EVENT_KINDS)
    found = (*differences("Prometheus", metrics, reading.metrics), *differences("ClickHouse", told, reading.told))
    compared = len(metrics.keys() | reading.metrics.keys()) + len(told.keys() | reading.told.keys())
    return Verdict(found, tuple(reading.flaws()), compared)


def plain(_style: str, text: str) -> str:
    """Return the text as it is: where there is no terminal."""
    return text


def coloured(style: str, text: str) -> str:
    """Return the text in an ANSI style."""
    return f"\x1b[{style}m{text}\x1b[0m"


# --- for people -------------------------------------------------------------------------------------------------------


def render(run: Run, reading: Reading, verdict: Verdict, paint: Paint = plain) -> str:
    """Return the whole report."""
    head = f"{len(run.tenants)} tenants, {run.requests:,} requests in {run.seconds:.0f} s. What the stores say:"
    parts = [
        head,
        "\n".join(_plan_lines(run, reading, paint)),
        "\n".join(_tenant_lines(run, reading, paint)),
        _event_line(reading, paint),
        "\n".join(_verdict_lines(verdict, paint)),
    ]
    return "\n\n".join(part for part in parts if part)


def _plan_lines(run: Run, reading: Reading, paint: Paint) -> Iterator[str]:
    heads = ("plan", "tenants", "queries", "errors", "p95", "objective", "queued", "rejected", "cold starts")
    rows = [heads, *(_plan_cells(run, reading, plan) for plan in PLAN_TABLE)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        if row is heads:
            yield paint(BOLD, "   ".join(cells))
        else:
            yield "   ".join(_highlight(row, cells, reading, paint))


def _plan_cells(run: Run, reading: Reading, plan: Plan) -> tuple[str, ...]:
    def sum_of(kind: str, ending: str = "") -> str:
        return f"{total(reading.metrics, kind, plan=plan.name, ending=ending):,}"

    return (
        plan.name,
        str(sum(tenant.plan == plan.name for tenant in run.tenants)),
        sum_of(QUERIES),
        sum_of(ERRORS),
        _time(reading.p95_by_plan.get(plan.name)),
        f"≤ {_time(plan.query_p95)}",
        sum_of(LIMIT_HITS, "queued"),
        sum_of(LIMIT_HITS, "rejected"),
        sum_of(COLD_STARTS),
    )


def _highlight(row: tuple[str, ...], cells: list[str], reading: Reading, paint: Paint) -> list[str]:
    """Colour what an operator looks at first: p95 against its objective, and limits that turned somebody away."""
    plan = _plan(row[0])
    p95 = reading.p95_by_plan.get(plan.name)
    if p95 is not None:
        cells[4] = paint(RED if p95 > plan.query_p95 else GREEN, cells[4])
    for column, style in ((6, YELLOW), (7, RED), (8, YELLOW)):
        if row[column] != "0":
            cells[column] = paint(style, cells[column])
    return cells


def _tenant_lines(run: Run, reading: Reading, paint: Paint) -> Iterator[str]:
    """Tell of each tenant that had trouble, those who pay most first; the quiet ones are not mentioned."""
    order = [plan.name for plan in reversed(PLAN_TABLE)]
    width = max((len(tenant.project_id) for tenant in run.tenants), default=0)
    for tenant in sorted(run.tenants, key=lambda tenant: (order.index(tenant.plan), tenant.project_id)):
        stories = list(_stories(tenant, reading))
        if stories:
            who = paint(BOLD, tenant.project_id.ljust(width))
            yield f"{who}   {tenant.plan:<10}   " + "; ".join(stories)


def _stories(tenant: Tenant, reading: Reading) -> Iterator[str]:
    project = tenant.project_id
    queued = _time(reading.queued_ms.get(project, 0) / 1000)
    started = _time(reading.startup_ms.get(project, 0) / 1000)
    for entry, count in sorted(reading.told.items()):
        if entry.project_id == project:
            yield from _told(entry, count, queued, started)
    if refused := total(reading.metrics, REJECTIONS, project=project, ending="auth_failure"):
        yield f"{refused} {TIMES} {STORY['auth_failure']}"
    if spared := total(reading.metrics, REJECTIONS, project=project, ending="circuit_open"):
        yield f"{spared} {TIMES} {STORY['circuit_open']}"
    if accesses := total(reading.metrics, CACHE, project=project):
        hits = accesses - total(reading.metrics, CACHE, project=project, ending="L4_miss")
        yield f"{accesses} cache accesses, {hits / accesses:.0%} hits"
    objective, p95 = _plan(tenant.plan).query_p95, reading.p95_by_project.get(project)
    if p95 is not None and p95 > objective:
        yield f"p95 {_time(p95)}, where its plan promises {_time(objective)}"


def _told(entry: Entry, count: int, queued: str, started: str) -> Iterator[str]:
    """Tell of what one kind of event says; `queued` and `started` are the worst of the tenant's durations."""
    words = entry.detail.split()
    if entry.kind == LIMIT_HITS:
        yield f"{count} {TIMES} " + STORY.get(entry.detail, entry.detail).format(queued=queued)
    elif entry.kind == COLD_STARTS:
        yield f"cold start from {entry.detail} in {started}"
    elif entry.kind == TRANSITIONS:
        yield f"{words[0]} \u2192 {words[1]}, {words[2]}"
    elif entry.kind == PLAN_CHANGES:
        yield f"{words[2]} from {words[0]} to {words[1]}"
    elif entry.kind == SCALED:
        yield f"scaled to zero, {entry.detail}"
    elif entry.kind == BREAKERS and entry.detail == "open":
        yield f"circuit opened {count} {TIMES}"
    elif entry.kind == CACHE_ALERTS:
        yield "its cache hits less than expected"


def _event_line(reading: Reading, paint: Paint) -> str:
    counts = reading.counts
    dropped = f"{counts.dropped} dropped"
    balance = f"{counts.emitted} emitted = {counts.stored} stored + "
    balance = balance if counts.settled else balance.replace("=", "≠")
    dropped = paint(RED, dropped) if counts.dropped else dropped
    told = [(kind, total(reading.told, kind)) for kind in (LIMIT_HITS, COLD_STARTS, TRANSITIONS, PLAN_CHANGES)]
    kinds = [_count(number, kind.removesuffix("s")) for kind, number in told if number]
    rest = f"; they tell of {' and '.join(filter(None, [', '.join(kinds[:-1]), *kinds[-1:]]))}"
    return f"{paint(BOLD, 'events')}   {balance}{dropped}{rest}"


def _verdict_lines(verdict: Verdict, paint: Paint) -> Iterator[str]:
    if verdict.ok:
        yield paint(GREEN, "✓") + f" {verdict.compared} figures compared: the stores say exactly what the load caused."
        return
    problems = [*map(str, verdict.differences), *verdict.flaws]
    yield paint(RED, "✗") + f" {verdict.compared} figures compared, and this is wrong:"
    yield from (f"  {problem}" for problem in problems)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _time(seconds: float | None) -> str:
    """Write a duration for people: milliseconds below a second."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _plan(name: str) -> Plan:
    return next(plan for plan in PLAN_TABLE if plan.name == name)


# --- for programs -----------------------------------------------------------------------------------------------------


def to_json(run: Run, reading: Reading, verdict: Verdict) -> str:
    """Return everything as one JSON object; durations in the unit that their name says."""
    return json.dumps(
        {
            "ok": verdict.ok,
            "load": {
                "seed": run.seed,
                "seconds": round(run.seconds, 3),
                "requests": run.requests,
                "tenants": len(run.tenants),
            },
            "plans": {plan.name: _plan_figures(reading, plan) for plan in PLAN_TABLE},
            "metrics": _figures(reading.metrics),
            "events": {**dataclasses.asdict(reading.counts), "told": _figures(reading.told)},
            "caused": _figures(run.caused),
            "figures_compared": verdict.compared,
            "differences": [
                {**_named(entry.entry), "store": entry.store, "caused": entry.caused, "stored": entry.stored}
                for entry in verdict.differences
            ],
            "flaws": verdict.flaws,
        },
        indent=2,
    )


def _plan_figures(reading: Reading, plan: Plan) -> dict[str, Any]:
    p95 = reading.p95_by_plan.get(plan.name)
    return {
        "queries": total(reading.metrics, QUERIES, plan=plan.name),
        "errors": total(reading.metrics, ERRORS, plan=plan.name),
        "p95_ms": None if p95 is None else round(p95 * 1000, 3),
        "objective_ms": plan.query_p95 * 1000,
        "queued": total(reading.metrics, LIMIT_HITS, plan=plan.name, ending="queued"),
        "rejected": total(reading.metrics, LIMIT_HITS, plan=plan.name, ending="rejected"),
        "cold_starts": total(reading.metrics, COLD_STARTS, plan=plan.name),
    }


def _figures(ledger: Ledger) -> list[dict[str, Any]]:
    return [{**_named(entry), "count": count} for entry, count in sorted(ledger.items())]


def _named(entry: Any) -> dict[str, Any]:
    named: dict[str, Any] = entry._asdict()
    return named
