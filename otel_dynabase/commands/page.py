"""`otel-dynabase timeline PROJECT --html FILE`: the same as a page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.clickhouse.queries import query
from otel_dynabase.commands.asking import FOUND, unusable
from otel_dynabase.commands.ranges import FULL, Range
from otel_dynabase.doctor.settings import DoctorConfig
from otel_dynabase.history.activity import Activity, of_clickhouse, of_prometheus
from otel_dynabase.history.stored import Stored
from otel_dynabase.history.window import Count, Window
from otel_dynabase.output.axis import Axis
from otel_dynabase.output.harmless import printable
from otel_dynabase.output.page import is_page, page, summary
from otel_dynabase.output.timeline import NANO

if TYPE_CHECKING:
    from argparse import Namespace
    from datetime import datetime

    from otel_dynabase.clickhouse.connection import Connection

OUTPUT: Final = "-"
EACH: Final = 100
"""Events of each type that the page has one by one; the others are in its bars and marks."""
HEAD: Final = 200
"""Characters of a file that tell whether it is a page."""


def add(parser: Any) -> None:
    """Add `--html`."""
    parser.add_argument(
        "--html",
        metavar="FILE",
        help="as one page that needs no network; an older page is replaced; -: to standard output",
    )


def written(connection: Connection, given: Namespace, asked: Range, now: datetime) -> int | None:
    """Write the page and say where it is; return the exit code, or None where there is nothing to show.

    Raises ClickHouseError, and ValueError for what was asked wrongly.
    """
    if given.types or given.format != "table" or given.limit is not None:
        raise ValueError("--html shows everything on one page: leave out --type, --format and --limit")
    if given.html != OUTPUT and not _may_write(Path(given.html)):
        raise ValueError(f"{given.html} is there and is no page of ours: give another name for --html")
    window, axis = read(connection, given.project, asked, now, here=given.local)
    if not window.counts and not window.before:
        return None
    text = page(window, axis, [] if asked.is_in_full(now) else ["Events are kept for 90 days."])
    if given.html == OUTPUT:
        sys.stdout.write(text)
        return FOUND
    try:
        Path(given.html).write_text(text, encoding="utf-8")
    except OSError as error:
        return unusable(f"{given.html} cannot be written: {error.strerror}")
    said = " ".join(summary(window, axis))
    print(printable(f"{Path(given.html).absolute()}: {said}"))  # noqa: T201  # a command
    return FOUND


def _may_write(target: Path) -> bool:
    """Say whether nobody's work is lost: an earlier page may go, and what is no file keeps nothing."""
    if not target.is_file():
        return True
    try:
        with target.open(encoding="utf-8", errors="replace") as there:
            return is_page(there.read(HEAD))
    except OSError:
        return False


def read(connection: Connection, project: str, asked: Range, now: datetime, *, here: bool) -> tuple[Window, Axis]:
    """Return what there is to show of a project, and the axis to show it on. Raises ClickHouseError."""
    gone = now - FULL
    begin = asked.since if asked.until and asked.until <= gone else max(asked.since, gone)
    values = {"project": project, **Range(begin, asked.until).parameters()}
    events = [Stored.of(row) for row in connection.rows(query("timeline_newest"), most=EACH, **values)]
    # a clock that goes ahead is no reason to leave an event out
    newest = max((event.time_ns / NANO for event in events), default=0.0)
    since, end = begin.timestamp(), max(now.timestamp(), newest + 1, begin.timestamp() + 1)
    axis = Axis(since, min(asked.until.timestamp(), end) if asked.until else end, here=here)
    counts = [Count.of(row) for row in connection.rows(query("timeline_bins"), step=axis.step, **values)]
    before = [Stored.of(row) for row in connection.rows(query("timeline_before"), **values)]
    activity = _activity(connection, project, axis, values)
    return Window(project, axis.since, axis.until, events, counts, before, activity), axis


def _activity(connection: Connection, project: str, axis: Axis, values: dict[str, str]) -> Activity:
    rows = connection.rows(query("timeline_statements"), step=axis.step, **values)
    config = DoctorConfig.load()
    return of_clickhouse(rows) or of_prometheus(
        config.prometheus_url, project, axis.bins(), axis.step, config.doctor_timeout
    )
