"""Who the tenants are: not every answer of a directory is taken at its word."""

import json

from otel_dynabase.directory import Directory
from otel_dynabase.observer.census import Census
from otel_dynabase.observer.facts import Facts, Noticing


def answer(*rows):
    directory = Directory(lambda: [dict(zip(("project_id", "plan", "tier"), row, strict=True)) for row in rows])
    assert directory.refresh()
    return directory.tenants


ALL = answer(*((f"p{number}", "pro", "HOT") for number in range(10)))
SOME = dict(list(ALL.items())[:4])
MOST = dict(list(ALL.items())[:5])


def taken(*answers):
    census = Census()
    for each in answers:
        census.take(each)
    return census


def test_more_than_half_must_be_missing_three_times_to_be_believed_to_be_gone():
    assert len(taken(ALL, SOME).tenants) == 10
    assert len(taken(ALL, SOME, {}).tenants) == 10
    assert len(taken(ALL, SOME, SOME, SOME).tenants) == 4
    assert len(taken(ALL, MOST).tenants) == 5


def test_a_good_answer_in_between_begins_the_count_anew():
    assert len(taken(ALL, {}, {}, ALL, {}, {}).tenants) == 10


def test_the_doubt_is_said_once(warnings_of):
    taken(ALL, {}, {}, {}, {})
    assert warnings_of() == ["In the tenant directory 10 of 10 projects are missing: believed after 3 such answers."]


def test_the_first_answer_is_believed_whatever_it_is():
    assert taken({}, ALL).tenants == ALL


def test_what_is_unknown_now_is_as_it_was_and_the_same_object():
    good = answer(("a", "pro", "HOT"))
    census = taken(good, answer(("a", "nonsense", "HOT")), answer(("a", "pro", "nonsense")))
    assert census.tenants["a"] is good["a"]
    census.take(answer(("a", "free", "nonsense")))
    assert (census.tenants["a"].plan, census.tenants["a"].tier) == ("free", "HOT")
    mended = census.tenants["a"]
    census.take(answer(("a", "free", "nonsense")))
    assert census.tenants["a"] is mended


def test_it_survives_a_restart():
    census = Census()
    census.load(json.loads(json.dumps(taken(ALL).dump())))
    census.take({})
    assert len(census.tenants) == 10
    assert (census.tenants["p0"].plan, census.tenants["p0"].tier) == ("pro", "HOT")


# --- columns that only the observer reads -----------------------------------------------------------------------------


def noticed(*rows):
    noticing = Noticing(lambda: rows)
    directory = Directory(noticing)
    assert directory.refresh()
    return noticing.facts


def test_valid_facts_are_kept_and_others_are_not():
    facts = noticed(
        {"project_id": "a", "tier_since": "2026-11-24T08:00:00Z", "tier_reason": "manual_upgrade"},
        {"project_id": "b", "tier_reason": "because", "scale_reason": "manual", "change_type": None},
        {"project_id": "c", "tier_since": "yesterday", "change_type": "trial_conversion"},
        {"project_id": "d", "tier_since": None},
        {"project_id": "a", "tier_since": 1},
        {"project_id": None, "tier_since": 1},
        "nonsense",
    )
    assert facts == {
        "a": Facts(1795507200.0, "manual_upgrade"),
        "b": Facts(scale_reason="manual"),
        "c": Facts(change_type="trial_conversion"),
    }


def test_a_source_that_says_whether_it_changed_still_does(tmp_path):
    class Source:
        name = "versioned"
        asked = 0

        def load(self):
            self.asked += 1
            return [{"project_id": "a", "tier_since": 5}]

        def version(self):
            return 1

    source = Source()
    noticing = Noticing(source)
    directory = Directory(noticing)
    assert directory.refresh()
    assert directory.refresh()
    assert (source.asked, noticing.facts) == (1, {"a": Facts(5.0)})
