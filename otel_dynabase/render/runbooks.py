"""The runbooks' tables: which alerts there are, how urgent, for whom, and which page is about them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from otel_dynabase.catalog.plans import PLANS
from otel_dynabase.render.rules import ALERTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_dynabase.render.rules import Alert

SEVERITIES = ("critical", "warning", "info")
PAGES = tuple(dict.fromkeys(alert.runbook for alert in ALERTS))


def index() -> str:
    """Return all alerts as a Markdown table, the most urgent first."""
    rows = [f"| {row} | [{page}]({page}.md) |" for row, page in _rows(ALERTS)]
    return "\n".join(["| alert | severity | plans | runbook |", "|---|---|---|---|", *rows]) + "\n"


def of(page: str) -> str:
    """Return the alerts that a page is about."""
    rows = [f"| {row} |" for row, _page in _rows(alert for alert in ALERTS if alert.runbook == page)]
    return "\n".join(["| alert | severity | plans |", "|---|---|---|", *rows]) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {
    "alerts": index,
    **{f"alerts of {page}": partial(of, page) for page in PAGES},
}
FILES = ("collector/runbooks/index.md", *(f"collector/runbooks/{page}.md" for page in PAGES))


def _rows(alerts: Iterable[Alert]) -> list[tuple[str, str]]:
    """Return each alert of a severity once, with all of its plans, and its page."""
    plans: dict[tuple[str, str, str], set[str]] = {}
    for alert in sorted(alerts, key=lambda alert: SEVERITIES.index(alert.severity)):
        plans.setdefault((alert.name, alert.severity, alert.runbook), set()).update(alert.plans)
    return [
        (f"`{name}` | {severity} | {', '.join(sorted(whose, key=PLANS.index)) or 'the platform'}", page)
        for (name, severity, page), whose in plans.items()
    ]
