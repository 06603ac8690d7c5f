"""An answer: rows by name, the columns to show them in, and what has to be said beside them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

from otel_dynabase.output.harmless import cut, json_text, printable, spreadsheet, width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Row = Mapping[str, Any]

FORMS: Final = ("table", "json", "csv")
MOST: Final = 64
"""Columns of the widest cell of a table, and"""
MOST_LAST: Final = 400
"""of one in a column that may be as long as it needs."""
GAP: Final = "   "
BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"


def text_of(value: Any) -> str:
    """Write a value for people; nothing for what is not known."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(text_of, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `name` is its key, with its unit; a table shows it if it has a `head`.

    `show` writes a value for people, `data` makes of it what JSON and CSV have; `style` is the ANSI style of a row's
    cell.
    """

    name: str
    head: str | None = None
    show: Callable[[Any], str] = text_of
    data: Callable[[Any], Any] = lambda value: value
    right: bool = False
    long: bool = False
    style: Callable[[Row], str | None] = lambda _row: None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found. `about` is what was asked, `notes` are what the rows do not say by themselves."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    about: Mapping[str, Any]
    notes: Sequence[str] = ()
    headed: bool = True
    """Whether a table begins with the columns' heads."""


def write(answer: Answer, form: str, out: TextIO, errors: TextIO, *, coloured: bool) -> None:
    """Write an answer in one of FORMS; notes go to `errors` where the form has no place for them."""
    if form == "json":
        rows = [_named(answer, row) for row in answer.rows]
        print(json_text({**answer.about, "rows": rows, "notes": list(answer.notes)}, indent=2), file=out)
        return
    if form == "csv":
        _csv(answer, out)
    else:
        for line in lines(answer, coloured=coloured):
            print(line, file=out)
    for note in answer.notes:
        print(printable(note), file=errors)


def _named(answer: Answer, row: Row) -> dict[str, Any]:
    return {column.name: column.data(row[column.name]) for column in answer.columns}


def _csv(answer: Answer, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(column.name for column in answer.columns)
    for row in answer.rows:
        writer.writerow(spreadsheet(_flat(column.data(row[column.name]))) for column in answer.columns)


def _flat(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json_text(value)
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def lines(answer: Answer, *, coloured: bool = False) -> Iterator[str]:
    """Yield a table: aligned columns, every cell harmless and of a bounded width."""
    columns = [column for column in answer.columns if column.head is not None]
    heads = [[column.head or "" for column in columns]] if answer.headed and answer.rows else []
    body = [[_cell(column, row) for column in columns] for row in answer.rows]
    widths = [max(map(width, cells)) for cells in zip(*heads, *body, strict=True)]
    for cells in heads:
        yield _line(
            [_padded(*each) for each in zip(columns, cells, widths, strict=True)],
            [BOLD if coloured else None] * len(cells),
        )
    for row, cells in zip(answer.rows, body, strict=True):
        styles = [column.style(row) if coloured else None for column in columns]
        yield _line([_padded(*each) for each in zip(columns, cells, widths, strict=True)], styles)


def _cell(column: Column, row: Row) -> str:
    return cut(printable(column.show(row[column.name])), MOST_LAST if column.long else MOST)


def _padded(column: Column, cell: str, wide: int) -> str:
    space = " " * (wide - width(cell))
    return space + cell if column.right else cell + space


def _line(cells: Sequence[str], styles: Sequence[str | None]) -> str:
    painted = [f"\x1b[{style}m{cell}\x1b[0m" if style else cell for cell, style in zip(cells, styles, strict=True)]
    return GAP.join(painted).rstrip()
