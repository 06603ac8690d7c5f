"""`otel-dynabase noisy`: who takes whose time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.clickhouse.queries import query
from otel_dynabase.commands.asking import add, answered, ask, parser_of
from otel_dynabase.output.answer import RED, YELLOW, Answer, Column

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Mapping

    from otel_dynabase.clickhouse.connection import Connection
    from otel_dynabase.commands.ranges import Range

DESCRIPTION: Final = """\
Who takes whose time: what each tenant's statements took and how long it held connections, with its share of the whole,
beside how often it had to wait, was turned away or slowed down. Those who take most come first.

Waiting is told by events, which are always there. What was taken is told by the detail of metrics, if the collector
sends that to ClickHouse; the answer says so where it is not known.
"""
EXAMPLES: Final = """\
examples:
  otel-dynabase noisy
      The last hour.

  otel-dynabase noisy --since 15m --pool db1:5432/shared
      Only those who share this connection pool: who held its connections while others waited?
"""
UNKNOWN: Final = (
    "What was taken is not known: there is no detail of metrics in this range. docs/ask.md says how the collector is "
    "made to keep it."
)
NOBODY: Final = "Nobody had to wait, was turned away or slowed down."
TAKEN: Final = ("executing_s", "statements", "holding_s", "waiting_s")
WAITED: Final = ("queued", "rejected", "throttled")


def register(commands: Any) -> None:
    """Add the command to those that there are."""
    parser = parser_of(commands, "noisy", "who takes whose time", DESCRIPTION, EXAMPLES)
    parser.add_argument("--pool", default="", metavar="NAME", help="only tenants in this connection pool")
    add(parser, _noisy, since="1h")


def _noisy(given: Namespace) -> int:
    def question(connection: Connection, asked: Range) -> int:
        values = {"pool": given.pool, **asked.parameters()}
        taken = connection.rows(query("spent"), **values)
        waited = connection.rows(query("noisy"), **values)
        notes = [*([] if taken else [UNKNOWN]), *([] if waited else [NOBODY])]
        about = {**asked.about(), "pool": given.pool or None}
        return answered(given, Answer(columns(known=bool(taken)), joined(taken, waited), about, notes=notes))

    return ask(given, question)


def joined(taken: Iterable[Mapping[str, Any]], waited: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put what each project took beside what it waited for; who takes most comes first, then who waited most.

    What is not known is None; shares are of all projects together.
    """
    spent = {row["project_id"]: row for row in taken}
    events = {row["project_id"]: row for row in waited}
    whole = {name: sum(row[name] or 0 for row in spent.values()) for name in ("executing_s", "holding_s")}
    rows = []
    for project in sorted(spent.keys() | events.keys()):
        took, told = spent.get(project, {}), events.get(project, {})
        row = {"project_id": project, "plan": told.get("plan") or took.get("plan")}
        row |= {name: _rounded(took.get(name)) for name in TAKEN}
        row |= {f"{name[:-2]}_share": _share(took.get(name), total) for name, total in whole.items()}
        row |= {name: told.get(name, 0) for name in WAITED}
        rows.append({**row, "worst_wait_ms": told.get("worst_wait_ms"), "pools": list(told.get("pools", ()))})
    return sorted(rows, key=_weight)


def _weight(row: Mapping[str, Any]) -> tuple[float, ...]:
    return (-(row["executing_s"] or 0), -(row["holding_s"] or 0), -sum(row[name] for name in WAITED))


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 6)


def _share(part: float | None, whole: float) -> float | None:
    return None if part is None or not whole else round(part / whole, 6)


def _seconds(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,.1f} s"


def _milliseconds(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,.0f} ms"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _if_any(name: str, style: str) -> Callable[[Mapping[str, Any]], str | None]:
    return lambda row: style if row[name] else None


COLUMNS: Final = (
    Column("project_id", "project"),
    Column("plan", "plan"),
    Column("statements", "statements", lambda count: "-" if count is None else f"{count:,}", right=True),
    Column("executing_s", "executing", _seconds, right=True),
    Column("executing_share", "share", _percent, right=True),
    Column("holding_s", "holding", _seconds, right=True),
    Column("holding_share", "share", _percent, right=True),
    Column("waiting_s", "waiting", _seconds, right=True),
    Column("queued", "queued", right=True, style=_if_any("queued", YELLOW)),
    Column("rejected", "rejected", right=True, style=_if_any("rejected", RED)),
    Column("throttled", "throttled", right=True, style=_if_any("throttled", YELLOW)),
    Column("worst_wait_ms", "worst wait", _milliseconds, right=True),
    Column("pools", "waited in"),
)


def columns(*, known: bool) -> tuple[Column, ...]:
    """Return the columns; a table leaves out what is not known of anybody."""
    unknown = () if known else {*TAKEN, "executing_share", "holding_share"}
    return tuple(replace(column, head=None) if column.name in unknown else column for column in COLUMNS)
