"""Plans and tiers: who pays for what, and what they were promised (the ticket's Part 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TIERS = ("COLD", "WARM", "HOT", "PERSISTENT")
"""Compute tiers in ascending order; the position is the value of `tenant_current_tier`."""
RESOURCES = ("connections", "query_rate", "storage", "compute_time")
"""What a plan limits."""
Severity = Literal["critical", "warning", "info"]
"""critical: a customer notices, somebody gets up; warning: within hours; info: nothing to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A subscription and its objectives. Durations in seconds, availability as a share."""

    name: str
    query_p95: float
    cold_start_p95: float | None
    """None: a cold start may not happen at all."""
    availability: float
    connection_timeout: float
    breach: Severity
    """How bad it is that an objective is missed."""


PLAN_TABLE = (
    Plan("free", query_p95=0.5, cold_start_p95=5.0, availability=0.95, connection_timeout=5.0, breach="warning"),
    Plan("starter", query_p95=0.2, cold_start_p95=3.0, availability=0.99, connection_timeout=10.0, breach="warning"),
    Plan("pro", query_p95=0.1, cold_start_p95=1.0, availability=0.995, connection_timeout=15.0, breach="critical"),
    Plan(
        "enterprise",
        query_p95=0.05,
        cold_start_p95=None,
        availability=0.999,
        connection_timeout=30.0,
        breach="critical",
    ),
)
LATENCY_TARGET = 0.95
"""The share of statements, and of cold starts, that a p95 promises."""
PLANS = tuple(plan.name for plan in PLAN_TABLE)
FAILED_BY_PLATFORM = (
    *("connection", "timeout", "connection_exception", "insufficient_resources", "operator_intervention"),
    *("system_error", "internal_error"),
)
"""The error types that count against availability; every other failure is what the customer's own SQL did wrong.

In SQLSTATE classes: 08, 53, 57, 58, XX. A call that a circuit breaker refuses counts too.
"""
