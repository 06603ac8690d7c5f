"""`otel-dynabase upsell`: who keeps staying at a limit of the plan that they pay for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.catalog.plans import RESOURCES
from otel_dynabase.clickhouse.queries import query
from otel_dynabase.commands.asking import add, answered, ask, parser_of
from otel_dynabase.commands.ranges import BY_DAY, in_utc, in_zone, positive
from otel_dynabase.output.answer import Answer, Column

if TYPE_CHECKING:
    from argparse import Namespace

    from otel_dynabase.clickhouse.connection import Connection
    from otel_dynabase.commands.ranges import Range

DESCRIPTION: Final = """\
Tenants who keep staying at a limit of the plan that they have now: those who stay most often first.

A hit is a sustained stay at 95 % of what the plan grants, told by `otel-dynabase observe`; a stay that lasts is one hit
an hour. Hits under a plan that a tenant has left do not count.
"""
EXAMPLES: Final = """\
examples:
  otel-dynabase upsell
      More than 5 hits in the last 30 days, as in the ticket.

  otel-dynabase upsell --since 7d --more-than 0 --format csv > upsell.csv
      Whoever was at a limit this week, for a spreadsheet.
"""


def register(commands: Any) -> None:
    """Add the command to those that there are."""
    parser = parser_of(commands, "upsell", "who keeps staying at a limit of the plan", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--more-than", type=positive, default=5, metavar="N", help="hits that are not enough yet (default: 5)"
    )
    add(parser, _upsell, since="30d")


def _upsell(given: Namespace) -> int:
    def question(connection: Connection, asked: Range) -> int:
        in_full = asked.is_in_full(datetime.now(UTC))
        name = "upsell" if in_full else "upsell_daily"
        rows = connection.rows(query(name), more_than=given.more_than, **asked.parameters())
        nobody = f"Nobody was at a limit more than {given.more_than} times since {given.since}."
        notes = [*([] if in_full else [BY_DAY]), *([] if rows else [nobody])]
        about = {**asked.about(), "more_than": given.more_than}
        return answered(given, Answer(columns(here=given.local), rows, about, notes=notes))

    return ask(given, question)


def columns(*, here: bool) -> tuple[Column, ...]:
    """Return the columns; times are of this machine's zone or of UTC."""
    return (
        Column("project_id", "project"),
        Column("tenant_id", "tenant"),
        Column("plan", "plan"),
        Column("ceiling_hits", "hits", right=True),
        *(Column(resource, resource.replace("_", " "), right=True) for resource in RESOURCES),
        Column("last_hit", "last hit", show=lambda when: in_zone(when, here=here), data=in_utc),
        Column("next_plan", "next plan", data=lambda plan: plan or None),
    )
