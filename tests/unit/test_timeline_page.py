"""The page of a tenant's time: what was so when, the arithmetic of its axis, and that nothing in it is obeyed."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from otel_dynabase.catalog.attributes import CHANGE_TYPE, TRANSITION
from otel_dynabase.catalog.fields import FIELDS, IDENTITY
from otel_dynabase.catalog.plans import TIERS
from otel_dynabase.history import activity
from otel_dynabase.history.activity import Activity, of_prometheus
from otel_dynabase.history.standing import MOVED, PLAN, TIER, spans, start
from otel_dynabase.history.window import Window
from otel_dynabase.output import lanes, timeline
from otel_dynabase.output.axis import BINS, DAY, STEPS, TICKS, Axis
from otel_dynabase.output.markup import Markup, tag
from otel_dynabase.output.page import page, summary
from tests import timeline_story as story

# --- what was so ------------------------------------------------------------------------------------------------------


def moved(at, source, target, event_type="tier_transition"):
    before, after = ("source_tier", "target_tier") if event_type == "tier_transition" else ("from_tier", "to_tier")
    told = {name: value for name, value in ((before, source), (after, target)) if value}
    return replace(story.event("12:00", event_type, **told), time_ns=at * 10**9)


EARLIER = moved(-50, "COLD", "WARM")
UP, DOWN = moved(10, "WARM", "HOT"), moved(40, "HOT", "WARM")


@pytest.mark.parametrize(
    ("earlier", "changes", "carried", "expected"),
    [
        (EARLIER, [], "", [("WARM", 0, 100)]),
        (EARLIER, [UP, DOWN], "HOT", [("WARM", 0, 10), ("HOT", 10, 40), ("WARM", 40, 100)]),
        (None, [UP], "PERSISTENT", [("WARM", 0, 10), ("HOT", 10, 100)]),
        (None, [], "HOT", [("HOT", 0, 100)]),
        (None, [], "unknown", [("unknown", 0, 100)]),
        (None, [], "", [("unknown", 0, 100)]),
        # between two changes that do not fit together was one that nobody told
        (EARLIER, [DOWN], "", [("unknown", 0, 40), ("WARM", 40, 100)]),
        (None, [UP, moved(20, "COLD", "WARM")], "", [("WARM", 0, 10), ("unknown", 10, 20), ("WARM", 20, 100)]),
        # a change that does not say from what does not contradict
        (EARLIER, [moved(10, "", "HOT")], "", [("WARM", 0, 10), ("HOT", 10, 100)]),
        (EARLIER, [moved(10, "WARM", "")], "", [("WARM", 0, 10), ("unknown", 10, 100)]),
        (None, [moved(0, "WARM", "HOT")], "", [("HOT", 0, 100)]),
    ],
)
def test_what_was_so_when(earlier, changes, carried, expected):
    begins = start(TIER, earlier, changes, carried)
    found = spans(TIER, begins, earlier, changes, since=0, until=100)
    assert [(span.value, span.begin, span.end) for span in found] == expected


def test_what_is_so_is_explained_by_the_change_that_made_it_so():
    found = spans(TIER, "WARM", EARLIER, [UP, moved(40, "COLD", "WARM")], since=0, until=100)
    assert [span.because and span.because.time_ns // 10**9 for span in found] == [-50, None, 40]


@given(
    st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["", *TIERS]), st.sampled_from(["", *TIERS])), max_size=8)
)
def test_what_was_so_has_no_gap_and_is_never_guessed(changes):
    told = [moved(at, source, target) for at, source, target in sorted(changes)]
    found = spans(TIER, start(TIER, None, told, ""), None, told, since=0, until=100)
    assert [found[0].begin, *(span.end for span in found)] == [*(span.begin for span in found), 100]
    said = {name for _, *names in changes for name in names}
    assert {span.value for span in found} <= said | {"unknown"}


def test_plans_change_under_the_tickets_names():
    change = moved(10, "free", "pro", "plan_change")
    found = spans(PLAN, start(PLAN, None, [change], ""), None, [change], since=0, until=20)
    assert [span.value for span in found] == ["free", "pro"]


def test_of_more_changes_than_are_known_the_first_ones_are_unknown():
    whole, _ = story.window()
    events = [event for event in story.EVENTS if event.event_type == "tier_transition"][-2:]
    cut = replace(whole, events=events)
    assert [span.value for span in cut.tiers()] == ["unknown", "HOT", "WARM"]
    assert dict(cut.left_out())["tier_transition"] == 3


# --- the axis ---------------------------------------------------------------------------------------------------------

AXES = st.builds(
    lambda since, length: Axis(since, since + length),
    st.floats(1.7e9, 1.8e9),
    st.floats(1, 90 * DAY),
)


@given(AXES, st.floats(0, 1, exclude_max=True))
def test_every_moment_is_in_one_bin_and_on_the_axis(axis, share):
    at = axis.since + share * (axis.until - axis.since)
    assume(at < axis.until)
    bins = axis.bins()
    assert axis.step in STEPS
    assert len(bins) <= BINS + 2
    assert bins[0] <= axis.since < bins[0] + axis.step
    assert axis.bin(at) in bins
    assert axis.bin(at) <= at < axis.bin(at) + axis.step
    assert all(begin % axis.step == 0 for begin in bins)
    assert axis.share(at) == pytest.approx(share, abs=1e-6)
    assert (axis.share(axis.since - 5), axis.share(axis.until + 5)) == (0, 1)


@given(AXES)
def test_the_axis_has_few_whole_moments(axis):
    ticks = list(axis.ticks())
    moments = [at for at, _ in ticks]
    assert len(ticks) <= TICKS + 1
    assert all(axis.since <= at <= axis.until and at % 1 == 0 for at in moments)
    assert len({round(later - at) for at, later in pairwise(moments)}) <= 1


@pytest.mark.parametrize(
    ("length", "step", "first"),
    [(60, 2, "20:00:00"), (3600, 120, "20:00"), (86_400, 1800, "21:00"), (7 * DAY, 4 * 3600, "24 Nov")],
)
def test_steps_are_those_that_people_count_in(length, step, first):
    axis = Axis(story.SINCE, story.SINCE + length)
    assert axis.step == step
    assert next(axis.ticks())[1] == first


def test_times_are_of_the_zone_that_they_are_read_in(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    __import__("time").tzset()
    try:
        here = Axis(story.SINCE, story.UNTIL, here=True)
        assert (here.zone, Axis(story.SINCE, story.UNTIL).zone) == ("IST", "UTC")
        assert here.clock(story.UNTIL) == "25 Nov 01:30:00"
        assert [label for _, label in here.ticks()][:2] == ["03:00", "06:00"]
    finally:
        monkeypatch.undo()
        __import__("time").tzset()


# --- nothing is obeyed ------------------------------------------------------------------------------------------------

EVIL = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</style></svg></title><!--",
    "\u202egnp.exe\u2066\u200f",
    "\x00\x1b[31m\r\n\ud800",
    "&lt;b&gt;&amp;",
    "\u05d0\u05d1 proj",
    "x" * 10_000,
    "&" * 10_000,
)
TEXTS = st.sampled_from(EVIL) | st.text(max_size=30)
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "a", "header", "main", "section", "footer", "h1", "h2", "p"),
    *("strong", "bdi", "ol", "li", "time", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("svg", "defs", "pattern", "path", "g", "line", "text", "tspan", "rect", "foreignobject"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "href", "id", "role", "scope", "datetime", "xmlns"),
    *("tabindex", "aria-label", "aria-labelledby", "aria-hidden", "text-anchor", "patternunits", "patterntransform"),
    *("x", "y", "x1", "x2", "y1", "y2", "dx", "rx", "width", "height", "d"),
}


class Seen(HTMLParser):
    """What a page is made of: its elements, their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.attributes, self.links, self.texts = set(), set(), set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value for name, value in attrs if name in {"href", "src", "xlink:href"}}

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        raise AssertionError(data)


@settings(max_examples=60, deadline=None)
@given(
    TEXTS, TEXTS, st.sets(st.sampled_from([*FIELDS, *(field.name for field in IDENTITY)]), max_size=6), st.booleans()
)
def test_whatever_is_stored_is_text(name, value, names, unknown):
    def hostile(event):
        told = event.attributes | dict.fromkeys(names, value)
        kind = value if unknown and event.event_type == "cold_start" else event.event_type
        return replace(event, event_type=kind, trace_id=value, attributes=told)

    window, axis = story.window(name, [hostile(event) for event in story.EVENTS], [hostile(story.BEFORE[0])])
    text = page(window, axis, [value])
    seen = Seen(text)
    assert seen.elements <= ELEMENTS
    assert seen.attributes <= ATTRIBUTES
    assert seen.links == {"#events"}
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text) < 500_000
    text.encode()


@given(TEXTS)
def test_text_comes_back_as_it_went_in(text):
    (said,) = Seen(tag("p", text, "", title=text)).texts or [""]
    assert said == (text if text.isprintable() else said)
    assert tag("p", Markup("<b>x</b>"), None) == "<p><b>x</b></p>"


def test_the_policy_allows_the_stylesheet_and_nothing_else():
    text = page(*story.window(), [])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert re.fullmatch(
        r"default-src &#x27;none&#x27;; style-src &#x27;sha256-[\w+/=]{44}&#x27;; base-uri &#x27;none&#x27;; "
        r"form-action &#x27;none&#x27;",
        policy,
    )
    assert "://" not in text.replace('xmlns="http://www.w3.org/1999/xhtml"', "")


# --- what the page says -----------------------------------------------------------------------------------------------


def test_it_says_first_why_a_tenant_was_demoted():
    window, axis = story.window()
    assert summary(window, axis) == [
        "WARM since 24 Nov 2026, 18:20:09 UTC, demoted automatically from HOT.",
        "Why: 12 queries in 4 h, uptime 9.1 h.",
    ]


def test_every_reason_of_the_catalogue_has_words():
    assert set(MOVED) == {*TRANSITION.values, *CHANGE_TYPE.values}


def test_a_reason_that_nobody_told_is_not_made_up():
    other = story.event("12:00", "tier_transition", source_tier="HOT", target_tier="WARM", reason="cost_policy")
    assert summary(*story.window(events=[other]))[0].endswith(", from HOT, cost_policy.")
    none = story.event("12:00", "tier_transition", target_tier="WARM")
    assert summary(*story.window(events=[none]))[0].endswith(", from an unknown one, for no reason that was told.")
    told = story.event("12:00", "tier_transition", source_tier="HOT", target_tier="WARM", reason="automatic_demotion")
    assert summary(*story.window(events=[told]))[1] == "Why: no conditions were told with it."
    assert summary(*story.window(events=[], before=[])) == ["Tier unknown: nobody told."]
    carried = [story.event("12:00", "limit_hit", tier="HOT")]
    assert summary(*story.window(events=carried, before=[])) == ["HOT, at least since 23 Nov 2026, 20:00:00 UTC."]


def drawn(window, axis):
    return {lane.name: lane for lane in timeline.lanes(window, axis)}


def test_a_bin_says_all_of_its_limit_hits():
    marks = drawn(*story.window())["Limit hits"].marks
    assert [mark.what for mark in marks][2] == (
        "9 \u00d7 connection_timeout rejected, worst 10 s; 71 \u00d7 max_pool_size queued, worst 4.02 s"
    )
    assert [look for look, _ in marks[2].bars] == ["rejected", "waited"]
    assert sum(share for _, share in marks[1].bars) == pytest.approx(85 / 85)


def test_what_is_not_known_is_not_drawn_as_zero():
    window, axis = story.window()
    gaps = [mark for mark in drawn(window, axis)["Statements"].marks if mark.what == "not known"]
    assert [mark.when for mark in gaps] == ["14:00 to 15:00"]
    unknown = drawn(replace(window, activity=Activity(note="not known: why")), axis)["Statements"]
    assert [mark.what for mark in unknown.marks] == ["not known: why"]


def test_lanes_of_nothing_say_so():
    lanes = drawn(*story.window(events=[]))
    assert {name for name, lane in lanes.items() if list(lane.note) == [("none", "")]} == {
        *("Limit hits", "Cold starts", "Scaled to zero", "Circuit", "At its plan\u2019s limit"),
    }


def test_a_circuit_shows_the_worst_state_of_each_bin():
    (mark,) = drawn(*story.window())["Circuit"].marks
    assert (mark.shape, mark.look) == timeline.CIRCUITS["open"]
    assert mark.when == "3, 10:00 to 10:30"
    assert mark.what.startswith("circuit open (proj_abc123; opens at 5; 120 calls judged); circuit half open")


def test_marks_are_as_many_as_bins_however_much_happens():
    events = [
        replace(event, time_ns=int(story.SINCE + second) * 10**9)
        for event in story.EVENTS
        for second in range(0, 86_400, 180)
    ]
    events.sort(key=lambda event: event.time_ns)
    window, axis = story.window(events=events)
    newest = [event for event in events if event.event_type == "cold_start"][-5:]
    found = drawn(replace(window, events=newest), axis)
    assert all(len(lane.marks) <= BINS + 2 for lane in found.values())
    last = found["Cold starts"].marks[-1]
    assert last.when == "10, 19:30 to 20:00"
    assert last.what.startswith("7 before; from COLD in 1.83 s")


@pytest.mark.parametrize(("share", "fits"), [(0.5, ""), (0.05, "wide"), (0.01, None)])
def test_names_stand_where_they_fit(share, fits):
    assert lanes._fits(lanes.Mark(0, share, "", "", label="HOT")) == fits


# --- statements out of Prometheus -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("url", "why"), [("off", "is not asked"), ("http://127.0.0.1:1", "does not answer")])
def test_whoever_knows_nothing_says_so(url, why):
    told = of_prometheus(url, "p", [0], 60, 1.0)
    assert not told.statements
    assert told.note == activity.NOT_KEPT.format(why=why)


def series(status, last, least):
    """Return two series as Prometheus does: from time 0 every 10 s, None where there is no sample."""
    return [
        {"metric": {"__name__": name, "status": status, "is": which},
         "values": [[number * 10, str(value)] for number, value in enumerate(values) if value is not None]}
        for which, name, values in (("last", "db_queries_total", last), ("least", "", least))
    ]  # fmt: skip


def test_what_a_counter_grew_by_is_exact_and_nothing_is_made_up():
    found = [
        *series("ok", [100, 103, 103, 2, 9], [90, 100, 103, 0, 2]),  # begins anew
        *series("error", [None, None, 4, 5, None], [None, None, 0, 4, None]),  # is born
    ]
    assert activity.made(found, [0, 10, 20, 30, 40]) == {0: 3, 10: 4, 20: 3, 30: 7}
    late = series("ok", [None, None, 1_000_007, None, 1_000_010], [None, None, 1_000_000, None, 1_000_010])
    assert activity.made(late, [0, 10, 20, 30, 40]) == {10: 7, 30: 3}  # whose earlier points were lost
    assert activity.made([], [0, 10]) == {}


# --- for everybody's eyes ---------------------------------------------------------------------------------------------

STYLE = files("otel_dynabase.output").joinpath("page.css").read_text()
SCHEMES = [dict(re.findall(r"--(\w+): (#\w+);", part)) for part in STYLE.split("@media", 2)[:2]]


def luminance(colour):
    """Return the relative luminance of WCAG 2."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("colours", SCHEMES, ids=["light", "dark"])
def test_contrasts_are_enough(colours):
    """WCAG 2 AA: 4.5 for text, 3 for what is drawn."""
    for text in ("ink", "quiet", "bad", "wait", "focus"):
        for ground in ("paper", "wash"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for shape in ("calm", "plan", "tier3", "tier4"):
        assert contrast(colours[shape], colours["paper"]) >= 3, shape
    lightness = [luminance(colours[f"tier{level}"]) for level in (1, 2, 3, 4)]
    assert lightness in (sorted(lightness), sorted(lightness, reverse=True))  # an order that needs no colours


def test_tiers_are_told_apart_by_their_height():
    events = [story.tier(f"{hour}:00", "", name, "", {}) for hour, name in enumerate(TIERS, 8)]
    window, axis = story.window(events=events, before=[])
    heights = [mark.bars[0][1] for mark in drawn(window, axis)["Tier"].marks[1:]]
    assert len(heights) == len(TIERS)
    assert heights == sorted(set(heights))


def test_nothing_moves():
    assert not re.search(r"animation|transition|@keyframes|url\(h|@import", STYLE)


def test_a_window_says_which_of_its_events_are_only_counted():
    window, _ = story.window()
    assert list(window.left_out()) == []
    fewer = Window(window.project, 0, 1, window.events[:3], window.counts, (), Activity())
    assert dict(fewer.left_out())["limit_hit"] == 6
