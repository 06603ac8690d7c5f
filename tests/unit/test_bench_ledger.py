"""The benchmark's account: whatever may be wrong, it says so."""

from pathlib import Path

import pytest

from benchmarks.ledger.account import CALM, LAST_SECOND, Account, Tail, waiting
from benchmarks.ledger.applications import Life
from benchmarks.ledger.faults import Fault, Outage, schedule

SECOND = 1_000_000_000


def life(emitted, *, instance="one", killed=0.0, acknowledged=()):
    """Make a process: its events' times by number, in seconds."""
    times = {number: int(at * SECOND) for number, at in emitted.items()}
    return Life(Path(), None, int(killed * SECOND), instance, times, 0, set(acknowledged))


def row(seq, *, instance="one", event_id=None):
    return {"instance": instance, "seq": seq, "id": event_id or f"{instance}-{seq}"}


def away(victim, began, ended):
    return Outage(Fault(victim, "killed", 0, 0), int(began * SECOND), int(ended * SECOND))


def test_all_is_well():
    account = Account([life({1: 1, 2: 2}, acknowledged={"one-1"})], [], [row(1), row(2)])
    assert (account.emitted, account.rows, account.duplicates, account.unheard, account.lost) == (2, 2, 0, 0, 0)
    assert account.complete
    assert account.tails == []


def test_what_a_process_that_ended_well_emitted_must_be_there():
    account = Account([life({1: 1, 2: 2})], [], [row(1)])
    assert account.lost == 1
    assert not account.complete


def test_what_was_acknowledged_must_be_there_although_its_process_was_killed():
    account = Account([life({1: 1}, killed=2, acknowledged={"one-1"})], [], [])
    assert account.betrayed == 1
    assert not account.complete


@pytest.mark.parametrize("copy", [row(1), row(1, event_id="another")], ids=["same id", "same number"])
def test_a_copy_is_a_duplicate(copy):
    assert Account([life({1: 1})], [], [row(1), copy]).duplicates == 1


def test_what_nobody_emitted_is_noticed():
    assert Account([life({1: 1})], [], [row(1), row(2), row(1, instance="two")]).unheard == 2


def test_a_tail_is_what_a_killed_process_had_not_exported_and_how_old_it_was():
    account = Account([life({1: 1, 2: 9.5, 3: 9.9}, killed=10)], [], [row(1)])
    (tail,) = account.tails
    assert tail.ages == pytest.approx([0.5, 0.1])
    assert (tail.emitted, tail.collector_there, tail.unexplained) == (3, True, 0)


def test_what_is_older_than_the_last_second_has_no_excuse():
    assert Tail(2, [LAST_SECOND + 0.1, 0.2], 0.0).unexplained == 1
    assert Tail(2, [LAST_SECOND + 0.1, 0.2], 5.0).unexplained == 0


@pytest.mark.parametrize(
    ("outages", "expected"),
    [
        ([], 0),
        ([away("ClickHouse", 90, 110)], 0),
        ([away("collector", 90, 110)], 10),
        ([away("collector", 101, 110)], 0),
        ([away("collector", 60, 100 - CALM - 1)], 0),
        ([away("collector", 60, 100 - CALM + 1)], 40),
        ([away("collector", 90, 110), away("collector", 40, 90 - CALM + 1)], 60),
    ],
    ids=["none", "another's", "during it", "after the kill", "long over", "just over", "one after the other"],
)
def test_for_how_long_the_collector_had_not_been_there(outages, expected):
    assert waiting(outages, 100 * SECOND) == expected


def test_the_journal_is_read_as_it_was_written(tmp_path):
    journal = tmp_path / "journal"
    journal.write_text("instance abc\nemitted 1 100\nemitted 2 200\ndropped 2\nacknowledged x y\nemitted 2 300\n")
    read = Life(journal, None)
    read.read()
    assert (read.instance, read.emitted, read.dropped) == ("abc", {1: 100, 2: 300}, 1)
    assert read.acknowledged == {"x", "y"}


def test_a_schedule_kills_as_often_as_asked_pauses_once_and_never_overlaps_for_one_victim():
    for seed in range(20):
        plans = schedule(("a", "b"), 600, 4, seed)
        assert plans == schedule(("a", "b"), 600, 4, seed)
        for plan in plans:
            assert sorted(fault.kind for fault in plan) == ["killed"] * 4 + ["paused"]
            assert all(plan[n].at + plan[n].seconds < plan[n + 1].at for n in range(4))
            assert plan[-1].at + plan[-1].seconds < 600
    assert schedule(("a",), 600, 4, 1) != schedule(("a",), 600, 4, 2)
