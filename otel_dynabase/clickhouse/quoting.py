"""Text as part of a statement, where ClickHouse takes no parameters: in what defines users, roles and policies."""

from __future__ import annotations


def literal(text: str) -> str:
    """Return text as a string literal, whatever is in it."""
    return "'" + _escaped(text, "'") + "'"


def identifier(name: str) -> str:
    """Return a name as a quoted identifier, whatever is in it."""
    return "`" + _escaped(name, "`") + "`"


def _escaped(text: str, quote: str) -> str:
    return text.replace("\\", "\\\\").replace(quote, "\\" + quote)
