"""How the demo reads ClickHouse's rows; that its queries are right is shown by the demo itself, on the real engine."""

from examples.ledger import COLD_STARTS, LIMIT_HITS, Entry, Ledger
from examples.readback import EventCounts, _told, _worst

HIT = {"plan": "pro", "project_id": "proj_a", "event_type": "limit_hit", "source_tier": "", "startup_ms": 0.0}
ROWS = [
    {**HIT, "limit_type": "max_pool_size", "action": "queued", "hits": 15, "queued_ms": 718.2},
    {**HIT, "limit_type": "connection_timeout", "action": "rejected", "hits": 2, "queued_ms": 2000.0},
    {
        "plan": "starter",
        "project_id": "proj_b",
        "event_type": "cold_start",
        "limit_type": "",
        "action": "",
        "source_tier": "WARM",
        "hits": 1,
        "queued_ms": 0.0,
        "startup_ms": 640.5,
    },
]


def test_hits_are_counted_and_not_events():
    assert _told(ROWS) == Ledger(
        {
            Entry("pro", "proj_a", LIMIT_HITS, "max_pool_size queued"): 15,
            Entry("pro", "proj_a", LIMIT_HITS, "connection_timeout rejected"): 2,
            Entry("starter", "proj_b", COLD_STARTS, "WARM"): 1,
        }
    )


def test_the_worst_value_of_each_project_and_none_where_there_was_none():
    assert _worst(ROWS, "queued_ms") == {"proj_a": 2000.0}
    assert _worst(ROWS, "startup_ms") == {"proj_b": 640.5}


def test_events_are_settled_when_each_is_stored_or_known_to_be_dropped():
    assert EventCounts(emitted=3, stored=2, dropped=1).settled
    assert not EventCounts(emitted=3, stored=2).settled
    assert not EventCounts().settled
