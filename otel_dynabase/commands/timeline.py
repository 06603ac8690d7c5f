"""`otel-dynabase timeline PROJECT`: everything that happened to a tenant, in order."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.clickhouse.queries import query
from otel_dynabase.commands import page, types
from otel_dynabase.commands.asking import add, answered, ask, parser_of
from otel_dynabase.commands.ranges import positive
from otel_dynabase.history.export import exported
from otel_dynabase.history.phrases import phrase
from otel_dynabase.history.stored import Stored, rfc3339
from otel_dynabase.output.answer import DIM, RED, YELLOW, Answer, Column

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping, Sequence

    from otel_dynabase.clickhouse.connection import Connection
    from otel_dynabase.commands.ranges import Range

DESCRIPTION: Final = """\
Everything that happened to one tenant, in order: tiers, plans, limits, cold starts, circuits, caches, and when the
collector gave it series of its own in Prometheus or folded them; with the trace that it happened in.
"""
EXAMPLES: Final = """\
examples:
  otel-dynabase timeline proj_abc123
      The last 24 hours.

  otel-dynabase timeline proj_abc123 --type tier_transition --since 7d
      Why did it change its tier?

  otel-dynabase timeline proj_abc123 --since 7d --html proj_abc123.html
      The same on one axis of time, as a page for any browser: tier, plan, statements, limit hits, cold starts.

  otel-dynabase timeline proj_abc123 --since 2026-11-24T20:00Z --until 2026-11-24T21:00Z --format json
      One hour, for a program: every attribute of every event.
"""
STYLES: Final = {"limit_hit": YELLOW, "cache_efficiency_alert": YELLOW, "tier_ceiling_hit": YELLOW}
MOST: Final = 1000


def register(commands: Any) -> None:
    """Add the command to those that there are."""
    parser = parser_of(commands, "timeline", "everything that happened to a tenant, in order", DESCRIPTION, EXAMPLES)
    parser.add_argument("project", metavar="PROJECT", help="the project_id")
    types.add(parser)
    parser.add_argument("--limit", type=positive, metavar="N", help=f"the newest N events (default: {MOST})")
    page.add(parser)
    add(parser, _timeline, since="24h")


def _timeline(given: Namespace) -> int:
    def question(connection: Connection, asked: Range) -> int:
        if given.html is not None:
            code = page.written(connection, given, asked, datetime.now(UTC))
            return answered(given, _nothing(connection, given, asked)) if code is None else code
        given.limit = MOST if given.limit is None else given.limit
        events = read(connection, given.project, asked, types.given(given), given.limit + 1)
        return answered(given, answer(given, asked, events) if events else _nothing(connection, given, asked))

    return ask(given, question)


def read(connection: Connection, project: str, asked: Range, types: Sequence[str], most: int) -> list[Stored]:
    """Return the newest events of a project in a range, oldest first. Raises ClickHouseError."""
    values = {"project": project, "types": list(types), "most": most, **asked.parameters()}
    return [Stored.of(row) for row in connection.rows(query("timeline"), **values)]


def answer(given: Namespace, asked: Range, events: Sequence[Stored]) -> Answer:
    """Show events as lines of a timeline; there may be one more than was asked for, which shows that there are more."""
    shown = events[-given.limit :] if given.limit else []
    notes = [] if asked.is_in_full(datetime.now(UTC)) else ["Events are kept for 90 days."]
    truncated = len(events) > len(shown)
    if truncated:
        notes.append(f"There are more: these are the newest {given.limit}. See --since, --until, --type, --limit.")
    return Answer(
        columns=columns(shown, here=given.local),
        rows=[row_of(event) for event in shown],
        about={"project_id": given.project, **asked.about(), "truncated": truncated},
        notes=notes,
        headed=False,
    )


def columns(events: Sequence[Stored], *, here: bool) -> tuple[Column, ...]:
    """Return the columns; times are of this machine's zone or of UTC, with the date unless all are of today."""

    def at(time_ns: int) -> datetime:
        when = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        return when.astimezone() if here else when

    days = {at(event.time_ns).date() for event in events} - {at(time.time_ns()).date()}
    clock = "%Y-%m-%d %H:%M:%S" if days else "%H:%M:%S"
    return (
        Column(
            "timestamp",
            "time",
            data=rfc3339,
            show=lambda time_ns: f"{at(time_ns):{clock}}",
            style=lambda _row: DIM,
        ),
        Column("event_type", "event", style=_style),
        Column("what", "what", long=True),
        Column("trace_id", "trace", show=lambda trace: f"trace {trace}" if trace else "", style=lambda _row: DIM),
        *(Column(name) for name in ("span_id", "event_id", "plan", "tier", "attributes")),
    )


def row_of(event: Stored) -> dict[str, Any]:
    """Return an event as a row: what to show, and all of it."""
    told = exported(event)
    head = {name: told.pop(name) for name in ("event_type", "trace_id", "span_id", "event_id", "plan", "tier")}
    del told["timestamp"], told["project_id"]
    return {"timestamp": event.time_ns, "what": phrase(event), **head, "attributes": told}


def _style(row: Mapping[str, Any]) -> str | None:
    told = row["attributes"]
    if told.get("action") == "rejected" or told.get("state") == "open":
        return RED
    return STYLES.get(row["event_type"])


def _nothing(connection: Connection, given: Namespace, asked: Range) -> Answer:
    """Say that there is nothing, and whose name may have been meant."""
    known = [row["project_id"] for row in connection.rows(query("similar_projects"), project=given.project)]
    meant = f"; did you mean {' or '.join(known)}?" if known else " at all."
    said = f"There are no events of {given.project}{meant}"
    if given.project in known:
        said = f"{given.project} has no such events since {given.since}."
    about = {"project_id": given.project, **asked.about(), "truncated": False}
    return Answer(columns((), here=False), (), about, notes=[said])
