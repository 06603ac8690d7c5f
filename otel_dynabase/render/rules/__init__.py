"""Prometheus' rules, out of the catalogue and the plan table: one module for each file of collector/prometheus."""

from __future__ import annotations

from otel_dynabase.render.rules import recording, slo_tracking, tier_critical, tier_warnings
from otel_dynabase.render.rules.rule import Alert, Group, Recording, document
from otel_dynabase.render.rules.tier_critical import REJECTIONS_A_MINUTE

__all__ = ("ALERTS", "FILES", "GROUPS", "RECORDINGS", "REJECTIONS_A_MINUTE", "Alert", "Group", "Recording", "document")

FILES = {
    "recording.yml": recording,
    "slo-tracking.yml": slo_tracking,
    "tier-critical.yml": tier_critical,
    "tier-warnings.yml": tier_warnings,
}
"""The module of each file: `WHAT` is in it, and its `GROUPS`."""
GROUPS = tuple(group for module in FILES.values() for group in module.GROUPS)
_RULES = [rule for group in GROUPS for rule in group.rules]
ALERTS = tuple(rule for rule in _RULES if isinstance(rule, Alert))
RECORDINGS = tuple(rule for rule in _RULES if isinstance(rule, Recording))


def file(name: str) -> str:
    """Return a rule file."""
    return document(FILES[name].WHAT, FILES[name].GROUPS)
