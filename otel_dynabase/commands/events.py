"""`otel-dynabase events`: every event as JSON Lines, in the ticket's shape, and the JSON Schema of a line."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.clickhouse.queries import query
from otel_dynabase.commands import flags, types
from otel_dynabase.commands.asking import FOUND, add, ask, parser_of
from otel_dynabase.commands.ranges import LATEST, Range
from otel_dynabase.history.export import exported, schema
from otel_dynabase.history.stored import Stored
from otel_dynabase.output.harmless import json_text

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from otel_dynabase.clickhouse.connection import Connection

EXPORT: Final = """\
Every event of a range as JSON Lines: each once, in the order that it happened, with times in UTC. What is not known is
null; `otel-dynabase events schema` says what each line has. It is read a day at a time, however long the range is.
"""
EXAMPLES: Final = """\
examples:
  otel-dynabase events export --since 7d > events.jsonl
      A week of everybody's events.

  otel-dynabase events export --project proj_abc123 --type limit_hit,cold_start | jq .hit_count
      Some events of one project, of the last 24 hours.

  otel-dynabase events schema > event.schema.json
      What a line has, as JSON Schema.
"""


def register(commands: Any) -> None:
    """Add the commands to those that there are."""
    events = flags.command(
        commands,
        "events",
        "events as JSON Lines, and their JSON Schema",
        "Every event as JSON Lines, in the ticket's shape, and the JSON Schema of a line.",
        EXAMPLES,
    )
    actions = events.add_subparsers(title="commands", metavar="COMMAND", required=True)
    export = parser_of(actions, "export", "every event of a range, one a line", EXPORT, EXAMPLES)
    export.add_argument("--project", default="", metavar="PROJECT", help="only this project_id")
    types.add(export)
    add(export, _export, since="24h", forms=("jsonl",))
    actions.add_parser("schema", help="the JSON Schema of an exported line").set_defaults(command=_schema)


def _schema(_given: Namespace) -> int:
    sys.stdout.write(json_text(schema(), indent=2) + "\n")
    return FOUND


def _export(given: Namespace) -> int:
    def question(connection: Connection, asked: Range) -> int:
        for event in read(connection, asked, given.project, types.given(given)):
            sys.stdout.write(json_text(exported(event)) + "\n")
        return FOUND

    return ask(given, question)


def read(connection: Connection, asked: Range, project: str, types: list[str]) -> Iterator[Stored]:
    """Yield the events of a range in order, a day at a time: so no server has to sort more than that.

    Raises ClickHouseError.
    """
    narrowed = {"project": project, "types": types}
    for row in connection.rows(query("days"), **narrowed, **asked.parameters()):
        day = within(asked, datetime.combine(row["day"], time.min, UTC))
        for stored in connection.stream(query("export"), **narrowed, **day.parameters()):
            yield Stored.of(stored)


def within(asked: Range, midnight: datetime) -> Range:
    """Return the part of a range that is on a day."""
    return Range(max(asked.since, midnight), min(asked.until or LATEST, midnight + timedelta(days=1)))
