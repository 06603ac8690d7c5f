"""Grafana's dashboards, out of the catalogue and the plan table: `collector/grafana/dashboards/*.json`.

A dashboard is a list of panels (`panel.Panel`), each drawn by one function (`kinds`). Panels are written in Grafana's
classic model, which every Grafana reads; its library would rather have the second one, which only new ones do, and says
so when it is imported. It is needed for rendering only, and imported nowhere else in the package.
"""

from __future__ import annotations

import json
import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    import grafana_foundation_sdk.builders.barchart  # these two warn, when they are imported first
    import grafana_foundation_sdk.builders.dashboard  # noqa: F401

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from otel_dynabase.render.dashboards.slo_tracking import SLO_TRACKING
from otel_dynabase.render.dashboards.tenant import TENANT
from otel_dynabase.render.dashboards.tenant_patterns import TENANT_PATTERNS
from otel_dynabase.render.dashboards.tier_economics import TIER_ECONOMICS
from otel_dynabase.render.dashboards.tier_health import TIER_HEALTH

BOARDS = {board.uid: board for board in (TIER_HEALTH, TENANT_PATTERNS, TIER_ECONOMICS, SLO_TRACKING, TENANT)}


def document(uid: str) -> str:
    """Return a dashboard's file."""
    return json.dumps(BOARDS[uid].drawn(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
