"""The demo's comparison: whatever the stores say too little, too much or about somebody else must show."""

from hypothesis import given
from hypothesis import strategies as st

from examples.ledger import (
    EVENT_KINDS,
    LIMIT_HITS,
    OTHER,
    QUERIES,
    Difference,
    Entry,
    Ledger,
    differences,
    folded,
    only,
    total,
)

QUEUED = Entry("pro", "proj_a", LIMIT_HITS, "max_pool_size queued")
REJECTED = Entry("pro", "proj_a", LIMIT_HITS, "connection_timeout rejected")
FREE_1 = Entry("free", "proj_1", QUERIES, "ok")
FREE_2 = Entry("free", "proj_2", QUERIES, "ok")

ENTRIES = st.builds(
    Entry,
    st.sampled_from(["free", "pro"]),
    st.sampled_from(["proj_a", "proj_b"]),
    st.sampled_from([QUERIES, LIMIT_HITS]),
    st.sampled_from(["ok", "error"]),
)
LEDGERS = st.dictionaries(ENTRIES, st.integers(1, 9)).map(Ledger)


def test_equal_ledgers_have_no_differences():
    assert differences("Prometheus", Ledger({QUEUED: 3}), Ledger({QUEUED: 3})) == []


def test_what_is_missing_and_what_nobody_caused_both_show():
    found = differences("ClickHouse", Ledger({QUEUED: 3}), Ledger({REJECTED: 1}))
    assert found == [Difference("ClickHouse", REJECTED, 0, 1), Difference("ClickHouse", QUEUED, 3, 0)]


def test_a_zero_is_the_same_as_no_entry():
    assert differences("Prometheus", Ledger({QUEUED: 0}), Ledger()) == []


def test_a_difference_reads_as_a_sentence():
    assert str(Difference("ClickHouse", QUEUED, 15, 14)) == (
        "ClickHouse: proj_a (pro), limit hits, max_pool_size queued: 14, caused 15"
    )


def test_folding_adds_up_the_tenants_of_a_plan_and_leaves_the_others():
    caused = Ledger({FREE_1: 2, FREE_2: 5, QUEUED: 1})
    assert folded(caused, {"free"}) == Ledger({Entry("free", OTHER, QUERIES, "ok"): 7, QUEUED: 1})


def test_total_narrows_by_plan_project_and_ending():
    ledger = Ledger({QUEUED: 2, REJECTED: 3, FREE_1: 7, FREE_2: 11})
    assert total(ledger, LIMIT_HITS) == 5
    assert total(ledger, LIMIT_HITS, ending="rejected") == 3
    assert total(ledger, QUERIES, plan="free") == 18
    assert total(ledger, QUERIES, plan="free", project="proj_2") == 11
    assert total(ledger, QUERIES, plan="pro") == 0


def test_events_tell_of_limits_and_cold_starts_only():
    assert only(Ledger({QUEUED: 2, FREE_1: 7}), EVENT_KINDS) == Ledger({QUEUED: 2})


@given(LEDGERS)
def test_folding_loses_nothing(ledger):
    for kind in (QUERIES, LIMIT_HITS):
        for plan in ("free", "pro"):
            assert total(folded(ledger, {"free"}), kind, plan=plan) == total(ledger, kind, plan=plan)


@given(LEDGERS, LEDGERS)
def test_no_differences_means_equal(caused, stored):
    assert (differences("store", caused, stored) == []) == (caused == stored)
