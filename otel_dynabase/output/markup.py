"""HTML and SVG, escaped by construction: `tag` is the only way from text to markup."""

from __future__ import annotations

from html import escape
from typing import Final

from otel_dynabase.output.harmless import printable

VOID: Final = frozenset({"meta", "link", "br"})
"""Elements that HTML has no end of."""


class Markup(str):
    """What is markup already; every other text is escaped where it becomes part of one."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: object) -> Markup:
    """Return an element; `class_` is `class`, `aria_label` is `aria-label`, and what is None is left out.

    Whatever would change the direction of text, or is not to be seen, is written as an escape.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(_child(child) for child in children if child is not None)
    return Markup(f"<{name}{told}>" if name in VOID else f"<{name}{told}>{inside}</{name}>")


def _child(child: str) -> str:
    return child if isinstance(child, Markup) else _escaped(child)


def _escaped(text: str) -> str:
    return escape(printable(text))
