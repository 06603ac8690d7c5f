"""What there is to draw of one tenant's time: its window as lanes of marks, each with its words."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import UNKNOWN
from otel_dynabase.catalog.events import BREAKER_EVENT, CACHE_ALERT, CEILING_HIT, COLD_START, LIMIT_HIT, SCALED_TO_ZERO
from otel_dynabase.catalog.plans import TIERS
from otel_dynabase.history.phrases import duration, phrase
from otel_dynabase.history.standing import explained
from otel_dynabase.output.harmless import brief
from otel_dynabase.output.lanes import Lane, Mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_dynabase.catalog.events import Event
    from otel_dynabase.history.standing import Span
    from otel_dynabase.history.stored import Stored
    from otel_dynabase.history.window import Count, Window
    from otel_dynabase.output.axis import Axis

SAID: Final = 3
"""Events whose words one mark has; the others of its bin are counted."""
LONGEST: Final = 150
"""Columns of a mark's words,"""
WORD: Final = 32
"""and of what is one word of ours, unless somebody forged it."""
NANO: Final = 1e9
NONE: Final = (("none", ""),)
SHAPES: Final = {
    COLD_START: ("Cold starts", "up", "solid"),
    SCALED_TO_ZERO: ("Scaled to zero", "down", "hollow"),
    BREAKER_EVENT: ("Circuit", "circle", "hollow"),
    CEILING_HIT: ("At its plan\u2019s limit", "square", "solid"),
    CACHE_ALERT: ("Cache", "diamond", "hollow"),
}
"""The events that are single marks: their lane, their shape, and how it is filled."""
CIRCUITS: Final = {"open": ("circle", "alarm"), "half_open": ("half", "half"), "closed": ("circle", "hollow")}
"""The same of a circuit by its state, the worst first."""


def lanes(window: Window, axis: Axis) -> list[Lane]:
    """Return the lanes from the top; one of caches only where there is something to see."""
    single = [_single(event, window, axis) for event in SHAPES]
    return [
        Lane("Tier", 60, [_tier(span, axis) for span in window.tiers()]),
        Lane("Plan", 24, [_plan(span, axis) for span in window.plans()]),
        _statements(window, axis),
        _limit_hits(window, axis),
        *(lane for lane in single if lane.marks or lane.name != SHAPES[CACHE_ALERT][0]),
    ]


def _tier(span: Span, axis: Axis) -> Mark:
    level = TIERS.index(span.value) + 1 if span.value in TIERS else 0
    height = (1.5 * level - 0.5) / (1.5 * len(TIERS) - 0.5)
    return _span(span, axis, [(f"tier {span.value}", height), ("cap", 0.0)] if level else [("gap", 0.3)])


def _plan(span: Span, axis: Axis) -> Mark:
    return _span(span, axis, [("gap" if span.value == UNKNOWN else "plan-band", 1.0)])


def _span(span: Span, axis: Axis, bars: list[tuple[str, float]]) -> Mark:
    value = brief(span.value, WORD)
    when = f"{value}, {axis.extent(span.begin, span.end)} ({duration(span.end - span.begin)})"
    untold = "what it was is not known here" if span.value == UNKNOWN else "no change to it is known"
    what = untold if span.because is None else explained(span.because)
    return Mark(axis.share(span.begin), axis.share(span.end), when, brief(what, LONGEST), bars, label=value)


def _bin(begin: int, axis: Axis) -> tuple[float, float, str]:
    end = begin + axis.step
    return axis.share(begin), axis.share(end), axis.extent(begin, end)


# --- bars -------------------------------------------------------------------------------------------------------------


def _statements(window: Window, axis: Axis) -> Lane:
    known = {begin: made for begin, made in window.activity.statements.items() if begin >= axis.bin(axis.since)}
    if not known:
        gap = Mark(0, 1, axis.extent(axis.since, axis.until), window.activity.note, [("gap", 1.0)])
        return Lane("Statements", 40, [gap], [("not known", "")])
    most = max(known.values())
    marks = [
        Mark(*_bin(begin, axis), f"{made:,.0f} statements", [("statements", made / most)])
        for begin, made in sorted(known.items())
        if made > 0
    ]
    note = f"{sum(known.values()):,.0f}, at most {most:,.0f} in {duration(axis.step)}" if most else "none"
    return Lane("Statements", 40, sorted((*marks, *_gaps(known, axis)), key=lambda mark: mark.begin), [(note, "")])


def _gaps(known: Mapping[int, float], axis: Axis) -> Iterator[Mark]:
    """Yield each stretch of bins of which nobody knows: nothing is not drawn as zero."""
    silent = [begin for begin in axis.bins() if begin not in known]
    for _, run in groupby(enumerate(silent), key=lambda numbered: numbered[1] - numbered[0] * axis.step):
        stretch = [begin for _, begin in run]
        begin, end = stretch[0], stretch[-1] + axis.step
        yield Mark(axis.share(begin), axis.share(end), axis.extent(begin, end), "not known", [("gap", 1.0)])


def _limit_hits(window: Window, axis: Axis) -> Lane:
    bins: dict[int, list[Count]] = defaultdict(list)
    for count in window.counted(LIMIT_HIT.name):
        bins[count.begin].append(count)
    if not bins:
        return Lane("Limit hits", 40, note=NONE)
    most = max(sum(count.hits for count in counts) for counts in bins.values())
    marks = [_hits(begin, counts, most, axis) for begin, counts in bins.items()]
    rejected = sum(_rejected(counts) for counts in bins.values())
    waited = sum(count.hits for counts in bins.values() for count in counts) - rejected
    note = ((f"{waited:,} waited", "is-waited"), (", ", ""), (f"{rejected:,} rejected", "is-rejected"))
    return Lane("Limit hits", 40, marks, note)


def _rejected(counts: Sequence[Count]) -> int:
    return sum(count.hits for count in counts if count.action == "rejected")


def _hits(begin: int, counts: Sequence[Count], most: int, axis: Axis) -> Mark:
    rejected = _rejected(counts)
    waited = sum(count.hits for count in counts) - rejected
    bars = [(look, hits / most) for look, hits in (("rejected", rejected), ("waited", waited)) if hits]
    return Mark(*_bin(begin, axis), brief("; ".join(map(_kind, counts)), LONGEST), bars)


def _kind(count: Count) -> str:
    worst = "" if count.worst_wait_ms is None else f", worst {duration(count.worst_wait_ms / 1000)}"
    return f"{count.hits:,} \u00d7 {count.limit_type or 'a limit'} {count.action or 'hit'}{worst}"


# --- single marks -----------------------------------------------------------------------------------------------------


def _single(event: Event, window: Window, axis: Axis) -> Lane:
    name, shape, look = SHAPES[event]
    bins: dict[int, list[Count]] = defaultdict(list)
    for count in window.counted(event.name):
        bins[count.begin].append(count)
    known: dict[int, list[Stored]] = defaultdict(list)
    for stored in window.of(event.name):
        known[axis.bin(stored.time_ns / NANO)].append(stored)
    marks = []
    for begin, counts in bins.items():
        drawn = _circuit(counts) if event is BREAKER_EVENT else (shape, look)
        marks.append(_one(begin, counts, known[begin], drawn, axis))
    return Lane(name, 18, marks, () if marks else NONE)


def _circuit(counts: Sequence[Count]) -> tuple[str, str]:
    """Show the worst state that a circuit was in."""
    states = {count.state for count in counts}
    return next((drawn for state, drawn in CIRCUITS.items() if state in states), CIRCUITS["closed"])


def _one(begin: int, counts: Sequence[Count], known: Sequence[Stored], drawn: tuple[str, str], axis: Axis) -> Mark:
    """Draw what happened in one bin as one mark: where it happened if that is one moment, or else in the middle."""
    first, last = min(count.first_ns for count in counts), max(count.last_ns for count in counts)
    at = axis.share((first + last) / 2 / NANO)
    events = sum(count.events for count in counts)
    when = axis.clock(first / NANO) if events == 1 else f"{events:,}, {axis.extent(begin, begin + axis.step)}"
    return Mark(at, at, when, brief("; ".join(_told(known, events)), LONGEST), shape=drawn[0], look=drawn[1])


def _told(known: Sequence[Stored], events: int) -> Iterator[str]:
    shown = known[-SAID:]
    if older := events - len(shown):
        yield f"{older:,} before"
    yield from map(phrase, shown)
