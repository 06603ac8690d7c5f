"""Expressions of Prometheus', put together from their parts."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def selector(name: str, *matchers: str) -> str:
    """Return the series of a name; an empty one stands for whatever the matchers name."""
    chosen = ", ".join(matcher for matcher in matchers if matcher)
    return f"{name}{{{chosen}}}" if chosen else name


def among(label: str, values: Iterable[str]) -> str:
    """Return a matcher for one of several values, or for the only one."""
    values = tuple(values)
    return f'{label}="{values[0]}"' if len(values) == 1 else f'{label}=~"{"|".join(values)}"'


def total(function: str, series: str, window: str, by: str = "plan") -> str:
    """Return a counter's `rate` or `increase` over a window, first of each series, then summed: never the other way."""
    summed = f"sum by ({by})" if by else "sum"
    return f"{summed} ({function}({series}[{window}]))"


def inside(expression: str) -> str:
    """Return an expression in brackets, a line for each of them if it has several."""
    return f"(\n{indented(expression)}\n)" if "\n" in expression else f"({expression})"


def indented(expression: str) -> str:
    """Return an expression moved to the right."""
    return textwrap.indent(expression, "  ")


def joined(operator: str, *expressions: str) -> str:
    """Return expressions with an operator on a line of its own between them."""
    return f"\n{operator}\n".join(expressions)
