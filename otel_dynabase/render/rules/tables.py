"""The objectives and the windows of their alerts as Markdown tables, for docs/slo.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dynabase.catalog.plans import LATENCY_TARGET, PLAN_TABLE
from otel_dynabase.render.rules.windows import SLOW, STEADY, fast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_dynabase.render.rules.windows import Pair


def objectives() -> str:
    """Return what each plan was promised."""
    rows = (
        (
            plan.name,
            f"{LATENCY_TARGET:.0%} within {plan.query_p95 * 1000:g} ms",
            f"{LATENCY_TARGET:.0%} within {plan.cold_start_p95:g} s" if plan.cold_start_p95 else "none may happen",
            f"{plan.availability * 100:g}%",
            plan.breach,
        )
        for plan in PLAN_TABLE
    )
    return _table(("plan", "statements", "cold starts", "availability", "a breach is"), rows)


def windows() -> str:
    """Return each fast pair, and how long a total outage takes to trip it."""
    budgets = {round(1 - LATENCY_TARGET, 6): "statements of every plan"}
    for plan in PLAN_TABLE:
        budget = round(1 - plan.availability, 6)
        budgets[budget] = ", ".join(filter(None, (budgets.get(budget), f"availability of {plan.name}")))
    rows = []
    for budget, whose in budgets.items():
        pair = fast(budget)
        share = pair.factor * budget
        rows.append((f"{budget * 100:g}%", whose, *_pair(pair), f"{share * 100:.3g}%", f"{share * pair.seconds:.0f} s"))
    head = ("budget", "of", "long", "short", "factor", "bad events", "a total outage trips it after")
    return _table(head, rows)


def slow() -> str:
    """Return the pairs that every objective has beside it."""
    rows = [("statements only", *_pair(STEADY), "", "the breach")]
    for pair in SLOW:
        spent = pair.factor * pair.seconds / (30 * 86_400)
        alert = "ErrorBudgetBurn" if pair is not SLOW[0] else "ErrorBudgetBurn, as severe as a breach"
        rows.append(("every objective", *_pair(pair), f"{spent:.0%}", alert))
    return _table(("of", "long", "short", "factor", "of 30 days' budget in the long one", "alert"), rows)


def _pair(pair: Pair) -> tuple[str, str, str]:
    return pair.long, pair.short, f"{pair.factor:g}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
