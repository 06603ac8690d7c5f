"""One tenant's time as one page: it needs no network, runs no script, and can be read by anybody anywhere."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import UNKNOWN
from otel_dynabase.history.phrases import phrase
from otel_dynabase.history.standing import PLAN, TIER, explained, how, why
from otel_dynabase.history.stored import rfc3339
from otel_dynabase.output.answer import MOST_LAST
from otel_dynabase.output.harmless import brief
from otel_dynabase.output.lanes import chart
from otel_dynabase.output.markup import Markup, tag
from otel_dynabase.output.timeline import LONGEST, NANO, WORD, lanes
from otel_dynabase.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_dynabase.history.standing import Span
    from otel_dynabase.history.stored import Stored
    from otel_dynabase.history.window import Window
    from otel_dynabase.output.axis import Axis

GENERATOR: Final = "otel-dynabase"
NAME: Final = 120
"""Columns of the longest name that is shown."""
CHANGES: Final = 20
"""Changes that are listed; all that are known are among the events."""
HEADS: Final = ("Time", "Event", "What", "Trace")
HINT: Final = "Point at a mark, tap it, or go from mark to mark with the Tab key: what it stands for is said here."


def page(window: Window, axis: Axis, notes: Sequence[str]) -> str:
    """Return the whole document; `notes` are said at its end."""
    style = Markup(files("otel_dynabase.output").joinpath("page.css").read_text())
    name = brief(window.project, NAME)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="generator", content=f"{GENERATOR} {__version__}"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{name}: timeline"),
        tag("style", style),
    )
    body = tag(
        "body",
        tag("a", "Skip to the events", class_="skip", href="#events"),
        tag(
            "header",
            tag("p", f"Timeline of a tenant, as of {axis.when(axis.until):%d %b %Y, %H:%M} {axis.zone}", class_="over"),
            tag("h1", tag("bdi", name)),
        ),
        tag("main", *_answer(window, axis), _drawn(window, axis, name), _changes(window, axis), _table(window, axis)),
        _footer(window, axis, notes),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def is_page(begin: str) -> bool:
    """Say whether a text that begins so is a page of ours."""
    return str(tag("meta", name="generator", content=GENERATOR)).removesuffix('">') in begin


def _policy(style: str) -> str:
    """Allow this page its one stylesheet and nothing else: no script, no request, no frame, no form."""
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


# --- the answer -------------------------------------------------------------------------------------------------------


def summary(window: Window, axis: Axis) -> list[str]:
    """Say in sentences which tier the tenant has, since when, and how and why it came to it."""
    tier = window.tiers()[-1]
    return [f"{_named(tier)}{_since(tier, axis)}.", *(() if tier.because is None else [f"Why: {why(tier.because)}."])]


def _named(tier: Span) -> str:
    return "Tier unknown" if tier.value == UNKNOWN else tier.value


def _since(span: Span, axis: Axis) -> str:
    if span.because is not None:
        return f" since {_date(span.because.time_ns / NANO, axis)}, {how(span.because)}"
    return ": nobody told" if span.value == UNKNOWN else f", at least since {_date(span.begin, axis)}"


def _date(at: float, axis: Axis) -> str:
    return f"{axis.when(at):%d %b %Y, %H:%M:%S} {axis.zone}"


def _answer(window: Window, axis: Axis) -> list[Markup]:
    tier, plan = window.tiers()[-1], window.plans()[-1]
    first, *because = summary(window, axis)
    value, rest = _named(tier), first.removeprefix(_named(tier))
    return [
        tag("p", tag("strong", brief(value, WORD)), brief(rest, LONGEST), class_="answer"),
        *(tag("p", brief(said, MOST_LAST), class_="why") for said in because),
        tag("p", brief(f"Plan: {plan.value}{_since(plan, axis)}.", LONGEST), class_="plan"),
    ]


# --- the picture ------------------------------------------------------------------------------------------------------


def _drawn(window: Window, axis: Axis, name: str) -> Markup:
    extent = f"{_date(axis.since, axis)} to {_date(axis.until, axis)}"
    return tag(
        "section",
        tag("h2", f"{axis.extent(axis.since, axis.until)} {axis.zone}", id="time"),
        chart(lanes(window, axis), axis, f"Timeline of {name}, {extent}", HINT),
        aria_labelledby="time",
    )


# --- in words ---------------------------------------------------------------------------------------------------------


def _changes(window: Window, axis: Axis) -> Markup | None:
    """List the changes of tier and plan, the newest first, each with what the platform said of it."""
    changes = sorted((*window.before, *window.of(TIER.event_type, PLAN.event_type)), key=lambda event: event.time_ns)
    if not changes:
        return None
    older = f"Before them are {len(changes) - CHANGES} among the events." if len(changes) > CHANGES else None
    return tag(
        "section",
        tag("h2", "Changes of tier and plan, and why", id="changes"),
        tag("ol", *(_change(change, axis) for change in reversed(changes[-CHANGES:])), class_="changes"),
        tag("p", older, class_="plan") if older else None,
        aria_labelledby="changes",
    )


def _change(change: Stored, axis: Axis) -> Markup:
    standing = TIER if change.event_type == TIER.event_type else PLAN
    target = brief(str(change.get(standing.after) or UNKNOWN), WORD)
    return tag("li", _time(change, axis), tag("p", tag("strong", target), brief(f", {explained(change)}.", MOST_LAST)))


def _table(window: Window, axis: Axis) -> Markup:
    head = tag("tr", *(tag("th", name, scope="col", role="columnheader") for name in HEADS), role="row")
    rows = [_row(event, axis) for event in reversed(window.events)]
    return tag(
        "section",
        tag("h2", "Events", id="events", tabindex=-1),
        tag(
            "table",
            tag("caption", _caption(window)),
            tag("thead", head, role="rowgroup"),
            tag("tbody", *rows, role="rowgroup"),
            role="table",  # a telephone shows rows as paragraphs, and they are to stay rows
        ),
        aria_labelledby="events",
    )


def _caption(window: Window) -> str:
    whole = sum(count.events for count in window.counts)
    older = ", ".join(f"{count:,} of {event_type}" for event_type, count in window.left_out())
    return f"{whole:,} events, the newest first" + (f"; older ones are only drawn: {older}." if older else ".")


def _row(event: Stored, axis: Axis) -> Markup:
    cells = (
        tag("td", _time(event, axis), role="cell"),
        tag("td", brief(event.event_type, WORD).replace("_", " "), class_="kind", role="cell"),
        tag("td", tag("bdi", brief(phrase(event), MOST_LAST)), class_="what", role="cell"),
        tag("td", brief(event.trace_id, WORD), class_="trace", role="cell"),
    )
    return tag("tr", *cells, role="row")


def _time(event: Stored, axis: Axis) -> Markup:
    at = event.time_ns / NANO
    shown = axis.clock(at) if at >= axis.since else f"{axis.when(at):%d %b %H:%M:%S}"
    return tag("time", shown, datetime=rfc3339(event.time_ns))


def _footer(window: Window, axis: Axis, notes: Sequence[str]) -> Markup:
    source = f"Statements are {window.activity.note}." if window.activity.note else ""
    said = (
        f"Times are {axis.zone}. Nothing here is guessed: what nobody told is unknown.",
        source,
        *notes,
        f"Made by otel-dynabase {__version__}.",
    )
    return tag("footer", *(tag("p", text) for text in said if text))
