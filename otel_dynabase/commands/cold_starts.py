"""`otel-dynabase cold-starts`: what waking up costs, beside what each plan promises."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.catalog.plans import PLAN_TABLE, PLANS
from otel_dynabase.clickhouse.queries import query
from otel_dynabase.commands.asking import add, answered, ask, parser_of
from otel_dynabase.commands.ranges import BY_DAY
from otel_dynabase.output.answer import GREEN, RED, Answer, Column

if TYPE_CHECKING:
    from argparse import Namespace

    from otel_dynabase.clickhouse.connection import Connection
    from otel_dynabase.commands.ranges import Range

DESCRIPTION: Final = """\
Cold starts by plan and by the tier that the tenant slept in: how many, how long, and whether the 95th percentile keeps
what the plan promises. An enterprise tenant may not be put to sleep at all: one start breaks the promise.
"""
EXAMPLES: Final = """\
examples:
  otel-dynabase cold-starts
      The last 7 days, as in the ticket.

  otel-dynabase cold-starts --since 30d --format json
      For a program; durations in milliseconds.
"""
OBJECTIVES: Final = {plan.name: plan.cold_start_p95 for plan in PLAN_TABLE}
SKETCHED: Final = "Percentiles are within 1 % of a value that was measured; there is no average."
FIGURES: Final = ("avg_cold_start_ms", "p95_cold_start_ms", "worst_cold_start_ms", "p95_first_query_ms")


def register(commands: Any) -> None:
    """Add the command to those that there are."""
    parser = parser_of(commands, "cold-starts", "what waking up costs, by plan and tier", DESCRIPTION, EXAMPLES)
    add(parser, _cold_starts, since="7d")


def _cold_starts(given: Namespace) -> int:
    def question(connection: Connection, asked: Range) -> int:
        in_full = asked.is_in_full(datetime.now(UTC))
        found = connection.rows(query("cold_starts" if in_full else "cold_starts_daily"), **asked.parameters())
        rows = sorted(map(judged, found), key=lambda row: (order(row["plan"]), row["source_tier"]))
        nobody = f"Nobody was woken since {given.since}."
        notes = [*([] if in_full else [BY_DAY, SKETCHED]), *([] if rows else [nobody])]
        return answered(given, Answer(COLUMNS, rows, asked.about(), notes=notes))

    return ask(given, question)


def order(plan: str) -> int:
    """Return where a plan stands; one that is not known comes last."""
    return PLANS.index(plan) if plan in PLANS else len(PLANS)


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """Add the plan's objective and whether it is kept: None where nothing was promised, or nothing measured."""
    figures = {name: _known(row[name]) for name in FIGURES}
    plan, p95 = row["plan"], figures["p95_cold_start_ms"]
    if plan not in OBJECTIVES:
        return {**row, **figures, "objective_ms": None, "kept": None}
    objective_ms = round((OBJECTIVES[plan] or 0) * 1000)
    kept = False if objective_ms == 0 else None if p95 is None else p95 <= objective_ms
    return {**row, **figures, "objective_ms": objective_ms, "kept": kept}


def _known(figure: float | None) -> float | None:
    """Return a figure in milliseconds, to the microsecond; what nothing was measured for is NaN."""
    return None if figure is None or math.isnan(figure) else round(figure, 3)


def milliseconds(figure: float | None) -> str:
    """Write a duration of a table."""
    return "-" if figure is None else f"{figure:,.0f} ms"


def _objective(figure: float | None) -> str:
    if figure == 0:
        return "none may happen"
    return "-" if figure is None else f"≤ {figure:,.0f} ms"


def _style(row: Any) -> str | None:
    return {True: GREEN, False: RED}.get(row["kept"])


COLUMNS: Final = (
    Column("plan", "plan"),
    Column("source_tier", "from"),
    Column("cold_starts", "starts", right=True),
    Column("measured"),
    Column("projects", "projects", right=True),
    Column("avg_cold_start_ms", "average", milliseconds, right=True),
    Column("p95_cold_start_ms", "p95", milliseconds, right=True, style=_style),
    Column("worst_cold_start_ms", "worst", milliseconds, right=True),
    Column("objective_ms", "objective", _objective, right=True),
    Column("kept", "kept", lambda kept: {True: "yes", False: "no"}.get(kept, "-"), style=_style),
    Column("p95_first_query_ms", "first query p95", milliseconds, right=True),
)
