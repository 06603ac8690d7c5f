"""Moments in every form that a directory has them in."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from otel_dynabase.observer.facts import unix_seconds


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 11, 24, 8, tzinfo=UTC),
        datetime(2026, 11, 24, 8),  # noqa: DTZ001  # as YAML and `timestamp` give it: UTC
        datetime(2026, 11, 24, 10, tzinfo=timezone(timedelta(hours=2))),
        "2026-11-24T08:00:00Z",
        "2026-11-24 08:00",
        "2026-11-24T10:00:00+02:00",
        1795507200,
        1795507200.0,
    ],
)
def test_a_moment(value):
    assert unix_seconds(value) == 1795507200.0


def test_a_date_is_its_beginning():
    assert unix_seconds(date(2026, 11, 24)) == 1795478400.0


@pytest.mark.parametrize("value", [None, "", "soon", True, float("nan"), float("inf"), -1, 0, [], "2026-13-01"])
def test_no_moment(value):
    assert unix_seconds(value) is None
