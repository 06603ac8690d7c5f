"""Every signal of the catalogue is measured, none of it a stub: each is seen in the store that it is for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.running import AfterSignals

pytestmark = pytest.mark.end_to_end


def test_every_metric_and_every_event_is_seen(after_signals: AfterSignals):
    done = after_signals.done
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "metrics_seen": 52,  # the ticket's forty, eleven of the semantic conventions, and one of the collector's
        "metrics_total": 52,
        "events_seen": 10,  # the ticket's eight, and two of the collector's
        "events_total": 10,
        "missing": [],
    }
