"""How many statements a tenant made in each bin of time: from whichever store knows it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.doctor.check import Unknown, Wrong
from otel_dynabase.doctor.http import Refused, get_json
from otel_dynabase.doctor.settings import OFF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOOKBACK: Final = 300
"""Seconds for which a sample counts, as Prometheus has it."""
QUERY: Final = (
    'label_replace(last_over_time({series}[{window}s]), "is", "last", "", "")'
    ' or label_replace(min_over_time({series}[{window}s]), "is", "least", "", "")'
)
"""Totals at the end of each bin, and the least ones in it: a rate would be extrapolated."""
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
    series = f"db_queries_total{{project_id={json.dumps(project, ensure_ascii=False)}}}"
    edges = [bins[0], *(begin + step for begin in bins)]
    asked = {"start": str(edges[0]), "end": str(edges[-1]), "step": str(step)}
    asked["query"] = QUERY.format(series=series, window=max(step, LOOKBACK))
    try:
        place = url if url == OFF else f"{url}/api/v1/query_range"
        known = made(get_json(place, timeout, "", **asked)["data"]["result"], edges)
    except Unknown:
        return Activity(note=NOT_KEPT.format(why="is not asked"))
    except (Wrong, Refused):
        return Activity(note=NOT_KEPT.format(why="does not answer"))
    except (LookupError, TypeError, ValueError):
        return Activity(note=NOT_KEPT.format(why="answers with something else"))
    if not known:
        return Activity(note=NOT_KEPT.format(why="has no series of its own for it"))
    return Activity(known, "from Prometheus, where the project has series of its own")


def made(found: Sequence[Mapping[str, Any]], edges: Sequence[int]) -> dict[int, float]:
    """Return how much a project's series grew between each two edges, by the first of them; unknown ones are absent.

    A series counts from what it was at the edge before, and where nothing is known of that, from its least: every one
    that is born begins with 0.
    """
    totals: dict[frozenset[tuple[str, str]], dict[str, dict[int, float]]] = defaultdict(dict)
    for series in found:
        labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
        values = {round(float(at)): float(value) for at, value in series["values"]}
        totals[frozenset(labels.items() - {("is", labels["is"])})][labels["is"]] = values
    known: dict[int, float] = defaultdict(float)
    for each in totals.values():
        last, before = each["last"], each["last"].get(edges[0])
        for begin, edge in pairwise(edges):
            if (total := last.get(edge)) is not None:
                base = each["least"][edge] if before is None else before
                known[begin] += total - base if total >= base else total  # it began anew
                before = total
    return dict(known)
