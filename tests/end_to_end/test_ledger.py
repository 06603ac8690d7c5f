"""Application, collector and ClickHouse killed and paused under load: `make bench-ledger` in small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.ledger.__main__ import mistakes, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.end_to_end


def test_no_event_is_lost_or_counted_twice_whoever_is_killed(tmp_path: Path) -> None:
    found = run(tmp_path, minutes=0.6, kills=1, seed=11)
    assert list(mistakes(found)) == []
    assert (found["kills"], found["pauses"]) == (3, 3)
    assert found["acknowledged"] > 500
