"""Every signal of the catalogue is measured, none of it a stub: each is seen in the store that it is for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from otel_dynabase.catalog.kinds import Recorded
from otel_dynabase.catalog.metrics import METRICS

if TYPE_CHECKING:
    from tests.end_to_end.running import AfterSignals

pytestmark = pytest.mark.end_to_end

MEASURED = 49
"""The ticket's forty without its three recording rules, eleven of the semantic conventions, one of the collector's."""


def test_every_metric_and_every_event_is_seen(after_signals: AfterSignals):
    done = after_signals.done
    recorded = sum(isinstance(metric, Recorded) for metric in METRICS)
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "metrics_seen": MEASURED + recorded,
        "metrics_total": MEASURED + recorded,
        "events_seen": 10,  # the ticket's eight, and two of the collector's
        "events_total": 10,
        "missing": [],
    }
