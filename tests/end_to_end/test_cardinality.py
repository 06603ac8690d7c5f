"""Tenants that come and go among the named, a collector that is killed: `make bench-cardinality` in small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.cardinality.__main__ import mistakes, run
from benchmarks.cardinality.run import Pace

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.end_to_end

FAST = Pace(export=1, statements=500, shift=6, replace=7, interval=2, stay=3, stale=6, treatments=("stopped", "killed"))


def test_series_stay_within_the_budget_and_every_sum_is_exact(tmp_path: Path) -> None:
    found = run(tmp_path, minutes=0.5, tenants=1000, seed=1, pace=FAST)
    assert list(mistakes(found)) == []
    assert found["processes"] > 6
