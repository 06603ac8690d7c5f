"""How many statements a tenant made in each bin of time: from whichever store knows it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.doctor.check import Unknown, Wrong
from otel_dynabase.doctor.http import Refused, get_json
from otel_dynabase.doctor.settings import OFF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FINEST: Final = 60
"""Prometheus needs two samples of a series to say how much it grew: it looks back so many seconds at least."""
NOT_KEPT: Final = "not known: the collector keeps no detail of it (collector/detail.yaml), and Prometheus {why}"


@dataclass(frozen=True, slots=True)
class Activity:
    """Statements by the beginning of each bin; what is not in it is not known. `note` says from where, or why not."""

    statements: Mapping[int, float] = field(default_factory=dict)
    note: str = ""


def of_clickhouse(rows: Sequence[Mapping[str, Any]]) -> Activity | None:
    """Take the rows of the query `timeline_statements`; None where no detail is kept."""
    known = {int(row["begin"]): float(row["statements"]) for row in rows}
    return Activity(known, "from the detail of metrics in ClickHouse") if known else None


def of_prometheus(url: str, project: str, bins: Sequence[int], step: int, timeout: float) -> Activity:
    """Ask Prometheus, which has series of a project's own while it is one of the busiest of its plan."""
    selector = f"db_queries_total{{project_id={json.dumps(project, ensure_ascii=False)}}}"
    asked = {
        "query": f"sum(rate({selector}[{max(step, FINEST)}s])) * {step}",
        "start": str(bins[0] + step),
        "end": str(bins[-1] + step),
        "step": str(step),
    }
    try:
        place = url if url == OFF else f"{url}/api/v1/query_range"
        found = get_json(place, timeout, "", **asked)["data"]["result"]
        points = found[0]["values"] if found else []
        made = {round(float(at)) - step: float(value) for at, value in points}
    except Unknown:
        return Activity(note=NOT_KEPT.format(why="is not asked"))
    except (Wrong, Refused):
        return Activity(note=NOT_KEPT.format(why="does not answer"))
    except (LookupError, TypeError, ValueError):
        return Activity(note=NOT_KEPT.format(why="answers with something else"))
    known = {begin: statements for begin, statements in made.items() if math.isfinite(statements)}
    if not known:
        return Activity(note=NOT_KEPT.format(why="has no series of its own for it"))
    return Activity(known, "from Prometheus, where the project has series of its own")
