"""Text out of a store, made harmless for where it is shown: anybody's project may be called anything."""

from __future__ import annotations

import json
import unicodedata
from typing import Any, Final

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""


def printable(text: str) -> str:
    r"""Write whatever a terminal might obey (control characters, escapes, changes of direction) as \x1b."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def spreadsheet(value: Any) -> Any:
    """Keep a spreadsheet from computing text: numbers are left alone."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if value.startswith(FORMULA) else text


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Write JSON that is readable, and harmless on a terminal: what does not print is escaped as JSON does it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


def width(text: str) -> int:
    """Return how many columns of a terminal a printable text takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def brief(text: str, most: int) -> str:
    """Return text that is harmless, and no more of it than so many columns."""
    return cut(printable(text), most)


def cut(text: str, most: int) -> str:
    """Return what fits into so many columns, the last one an ellipsis if something is missing."""
    if width(text) <= most:
        return text
    taken = used = 0
    for character in text:
        used += _columns(character)
        if used >= most:
            break
        taken += 1
    return text[:taken] + "…"
