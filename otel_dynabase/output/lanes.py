"""The lanes of a timeline as SVG: positions are shares of the width, so that a telephone and a wall show the same.

Whatever is a mark can be reached with the keyboard, has its words as its name, and shows them where the chart ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_dynabase.output.markup import Markup, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_dynabase.output.axis import Axis

NAME_ROW: Final = 18
"""Height of a lane's first row, in pixels: its name on a telephone, and its note."""
GAP: Final = 12
LABEL_ROW: Final = 16
AXIS_ROW: Final = 26
SAID_ROW: Final = 92
NARROW, WIDE = 280, 720
"""The least widths of the plot on a telephone and on a screen, in pixels; and"""
LETTER: Final = 7.5
"""of a letter: what tells whether a name fits."""
SHAPES: Final = {
    "up": "M0-6 6 5H-6Z",
    "down": "M0 6-6-5H6Z",
    "square": "M-5-5H5V5H-5Z",
    "diamond": "M0-6.5 6.5 0 0 6.5-6.5 0Z",
    "circle": "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0-11 0Z",
    "half": "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0-11 0ZM0-5.5a5.5 5.5 0 0 0 0 11Z",
}
"""Outlines around their middle; what is hollow is so by its class, for eyes that tell no colours."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane: its name, its height, what is on it, and a note beside its name."""

    name: str
    height: int
    marks: Sequence[Mark] = ()
    note: Sequence[tuple[str, str]] = ()
    """Texts, each with its class, or none."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One thing on a lane, from `begin` to `end` (shares of the width), said as `when` and `what`.

    `shape` is one of SHAPES at `begin`; or else `bars` are what is stacked, from the bottom, each a class and its share
    of the lane's height. A `label` stands above it where it fits.
    """

    begin: float
    end: float
    when: str
    what: str
    bars: Sequence[tuple[str, float]] = ()
    shape: str = ""
    look: str = ""
    label: str = ""


def chart(lanes: Sequence[Lane], axis: Axis, said: str, hint: str) -> Markup:
    """Draw lanes over one axis; `said` is the name of the whole, `hint` stands where the marks' words will."""
    top, drawn = 0, []
    bottom = sum(NAME_ROW + lane.height + GAP for lane in lanes)
    for lane in lanes:
        drawn.append(_lane(lane, top, bottom + AXIS_ROW))
        top += NAME_ROW + lane.height + GAP
    return tag(
        "svg",
        _patterns(),
        _ticks(axis, bottom),
        _words(bottom + AXIS_ROW, "", hint, "hint"),
        *drawn,
        class_="chart",
        width="100%",
        height=bottom + AXIS_ROW + SAID_ROW,
        role="group",
        aria_label=said,
    )


def _patterns() -> Markup:
    line = tag("path", d="M0 0V6", class_="hatching")
    return tag(
        "defs",
        tag("pattern", line, id="hatch", width=4, height=4, patternUnits="userSpaceOnUse",
            patternTransform="rotate(45)"),
    )  # fmt: skip


def _ticks(axis: Axis, bottom: int) -> Markup:
    drawn = []
    for number, (at, label) in enumerate(axis.ticks()):
        share = axis.share(at)
        anchor = "start" if share < 0.04 else "end" if share > 0.96 else "middle"  # noqa: PLR2004  # else it is cut
        rare = None if number % 2 else "wide"
        drawn.append(tag("line", x1=_x(share), x2=_x(share), y1=0, y2=bottom))
        drawn.append(tag("text", label, x=_x(share), y=bottom + 15, text_anchor=anchor, class_=rare))
    return tag("g", *drawn, class_="ticks", aria_hidden="true")


def _lane(lane: Lane, top: int, words: int) -> Markup:
    floor = top + NAME_ROW + lane.height
    note = [tag("tspan", text, class_=look or None) for text, look in lane.note]
    return tag(
        "g",
        tag("text", lane.name, class_="name", x=0, y=top + 12),
        tag("text", *note, class_="note", x="100%", y=top + 12, text_anchor="end") if note else None,
        tag("line", class_="floor", x1="0", x2="100%", y1=floor, y2=floor),
        *(_mark(lane, mark, top + NAME_ROW, words) for mark in lane.marks),
        role="group",
        aria_label=lane.name,
    )


def _mark(lane: Lane, mark: Mark, top: int, words: int) -> Markup:
    drawn = _shape(lane, mark, top) if mark.shape else _bars(lane, mark, top)
    return tag(
        "g",
        *drawn,
        _words(words, f"{mark.when}: ", mark.what, "said"),
        class_="mark",
        tabindex=0,
        role="img",
        aria_label=f"{lane.name}, {mark.when}: {mark.what}",
    )


def _shape(lane: Lane, mark: Mark, top: int) -> list[Markup]:
    middle = top + lane.height / 2
    hit = tag("rect", class_="hit", x=-9, y=-lane.height / 2, width=18, height=lane.height, rx=3)
    shape = tag("path", d=SHAPES[mark.shape], class_=mark.look)
    return [tag("svg", shape, hit, x=_x(mark.begin), y=middle, width=1, height=1, class_="shape")]


def _bars(lane: Lane, mark: Mark, top: int) -> list[Markup]:
    across = {"x": _x(mark.begin), "width": _x(mark.end - mark.begin)}
    floor, drawn = float(top + lane.height), []
    room = lane.height - (LABEL_ROW if mark.label else 0)
    for look, share in mark.bars:
        height = round(max(2.0, share * room), 1)
        floor -= height
        drawn.append(tag("rect", class_=look, **across, y=floor, height=height))
    if mark.label and (fits := _fits(mark)) is not None:
        drawn.append(tag("text", mark.label, class_=f"label {fits}".strip(), x=across["x"], dx=1, y=floor - 4))
    return [*drawn, tag("rect", class_="hit", **across, y=top, height=lane.height)]


def _fits(mark: Mark) -> str | None:
    """Return the class of a label that fits everywhere, or only where it is wide; None if it fits nowhere."""
    least = len(mark.label) * LETTER + 4
    share = mark.end - mark.begin
    return "" if share * NARROW >= least else "wide" if share * WIDE >= least else None


def _words(top: int, when: str, what: str, class_: str) -> Markup:
    strong = tag("strong", when) if when else None
    inside = tag("p", strong, what, xmlns="http://www.w3.org/1999/xhtml")
    where: dict[str, object] = {"x": 0, "y": top, "width": "100%", "height": SAID_ROW}
    return tag(
        "foreignObject", inside, **where, class_=class_, aria_hidden="true"
    )  # a mark's words are its name already


def _x(share: float) -> str:
    return f"{share * 100:.5g}%"
