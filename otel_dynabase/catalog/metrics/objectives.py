"""What Prometheus records of each plan's objectives. A share is always one of events, never a mean of shares."""

from __future__ import annotations

from otel_dynabase.catalog.attributes import PLAN, SLO, SLO_LATENCY, SLO_SHARE
from otel_dynabase.catalog.kinds import Recorded

# --- what is judged ---------------------------------------------------------------------------------------------------

SLO_EVENTS = Recorded(
    "plan:slo_events:rate1m", "{event}/s", (PLAN, SLO),
    "Events a second that an objective judges: statements, attempts, cold starts.",
    sources=("rule",),
)  # fmt: skip
SLO_BAD_EVENTS = Recorded(
    "plan:slo_bad_events:rate1m", "{event}/s", (PLAN, SLO),
    "Of those, the ones that missed it: slower than promised, or failed by the platform.",
    sources=("rule",),
)  # fmt: skip
SLO_TARGET = Recorded(
    "slo_target", "1", (PLAN, SLO),
    "Share of good events that the plan promises; absent where no event may be bad.",
    sources=("rule",),
)  # fmt: skip

SLO_EVENTS_COUNTED = Recorded(
    "plan:slo_events:increase1m", "{event}", (PLAN, SLO),
    "Events of a minute that an objective judges: what longer windows add up.",
    sources=("rule",),
)  # fmt: skip
SLO_BAD_EVENTS_COUNTED = Recorded(
    "plan:slo_bad_events:increase1m", "{event}", (PLAN, SLO),
    "Of those, the ones that missed it.",
    sources=("rule",),
)  # fmt: skip

# --- how fast the budget goes -----------------------------------------------------------------------------------------

BURN_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def _burn_rate(window: str) -> Recorded:
    what = f"How many times faster than it may the error budget was spent in the last {window}; 1 spends it in 30 days."
    return Recorded(f"plan:slo_burn_rate:{window}", "1", (PLAN, SLO), what, sources=("rule",))


BURN_RATES = tuple(map(_burn_rate, BURN_WINDOWS))
BURN_5M, BURN_30M, BURN_1H, BURN_2H, BURN_6H, BURN_1D, BURN_3D = BURN_RATES

# --- what is left of 30 days ------------------------------------------------------------------------------------------

SLO_BAD_SHARE = Recorded(
    "plan:slo_bad_events:share30d", "1", (PLAN, SLO),
    "Share of the last 30 days' events that missed the objective; absent where there were none.",
    sources=("rule",),
)  # fmt: skip
ERROR_BUDGET = Recorded(
    "plan:slo_error_budget_remaining:30d", "1", (PLAN, SLO),
    "Share of 30 days' error budget that is left; negative when more was spent than there was.",
    sources=("rule",),
)  # fmt: skip
QUERY_COMPLIANCE = Recorded(
    "slo_query_latency_compliance", "1", (PLAN, SLO_LATENCY),
    "Share of the last 30 days' statements within the plan's objective; absent where there were none.",
    sources=("rule",),
)  # fmt: skip
COLD_START_COMPLIANCE = Recorded(
    "slo_cold_start_compliance", "1", (PLAN, SLO_LATENCY),
    "Share of the last 30 days' cold starts within the plan's objective; absent where there were none.",
    sources=("rule",),
)  # fmt: skip
AVAILABILITY_COMPLIANCE = Recorded(
    "slo_availability_compliance", "1", (PLAN, SLO_SHARE),
    "Share of the last 30 days' attempts that the platform did not fail: what the customer's own SQL did wrong is no "
    "failure of it.",
    sources=("rule",),
)  # fmt: skip
