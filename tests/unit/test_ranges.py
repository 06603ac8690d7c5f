"""Ranges of time as people say them."""

import argparse
import time
from argparse import Namespace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dynabase.commands import ranges
from otel_dynabase.commands.ranges import Range

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def tokyo(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def asked(since, until=None, *, local=False):
    return ranges.given(Namespace(since=since, until=until, local=local), NOW)


@pytest.mark.parametrize(
    ("said", "when"),
    [
        ("45s", NOW - timedelta(seconds=45)),
        ("90m", NOW - timedelta(minutes=90)),
        ("24h", NOW - timedelta(hours=24)),
        (" 7d ", NOW - timedelta(days=7)),
        ("4w", NOW - timedelta(weeks=4)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T09:30", datetime(2026, 11, 24, 9, 30, tzinfo=UTC)),
        ("2026-11-24 09:30:15.5", datetime(2026, 11, 24, 9, 30, 15, 500_000, tzinfo=UTC)),
        ("2026-11-24T09:30:15Z", datetime(2026, 11, 24, 9, 30, 15, tzinfo=UTC)),
        ("2026-11-24T09:30:15+09:00", datetime(2026, 11, 24, 0, 30, 15, tzinfo=UTC)),
        ("99999w", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_moment(said, when):
    assert asked(said) == Range(when, None)


@pytest.mark.parametrize("said", ["", "soon", "24", "-1h", "1.5h", "1y", "999999999w", "2026-13-01", "24 hours", "h"])
def test_what_is_no_moment_says_what_one_is(said):
    with pytest.raises(ValueError, match=r"--since .* cannot be used; allowed: a length of time such as 90m"):
        asked(said)


def test_a_range_must_go_forwards():
    assert asked("2h", "1h") == Range(NOW - timedelta(hours=2), NOW - timedelta(hours=1))
    for until in ("2h", "3h"):
        with pytest.raises(ValueError, match=f"--since 2h is not before --until {until}"):
            asked("2h", until)


def test_local_times_are_those_of_this_machine(tokyo):
    assert asked("2026-11-24T09:30", local=True).since == datetime(2026, 11, 24, 0, 30, tzinfo=UTC)
    assert asked("2026-11-24T09:30Z", local=True).since == datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    assert ranges.in_zone(datetime(2026, 11, 24, 9, 30), here=True) == "2026-11-24 18:30"  # noqa: DTZ001  # ClickHouse's


def test_what_clickhouse_is_asked():
    assert asked("1h").parameters() == {"since": "2026-11-24 11:00:00.000000", "until": "2262-01-01 00:00:00.000000"}
    assert asked("1h").about() == {"since": "2026-11-24T11:00:00.000Z", "until": None}


@given(st.text(max_size=30))
def test_nothing_that_is_said_breaks_it(said):
    try:
        since = asked(said).since
    except ValueError:
        return
    assert ranges.EARLIEST <= since <= ranges.LATEST


@pytest.mark.parametrize("text", ["-1", "x", "", "1.5", "9" * 19])
def test_a_count_is_a_whole_number(text):
    assert ranges.positive("5") == 5
    with pytest.raises(argparse.ArgumentTypeError):
        ranges.positive(text)
