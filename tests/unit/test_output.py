"""Answers as tables, JSON and CSV: aligned, complete, and harmless whatever a tenant is called."""

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dynabase.output.answer import GREEN, RED, Answer, Column, lines, text_of, write
from otel_dynabase.output.harmless import cut, json_text, printable, spreadsheet, width

EVIL = "proj_\x1b[31m\x9b5n\u202egnp.exe\x00\r\n=1+1"
NAMES = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    [EVIL, "東京", "e\u0301", "=SUM(A1)", "-1"]
)


def answer(*names, notes=(), headed=True):
    columns = (Column("project_id", "project"), Column("hits", "hits", right=True), Column("data", data=lambda it: it))
    rows = [{"project_id": name, "hits": count, "data": {"name": name}} for count, name in enumerate(names)]
    return Answer(columns, rows, {"since": None}, notes=notes, headed=headed)


def written(what, form, *, coloured=False):
    out, errors = io.StringIO(), io.StringIO()
    write(what, form, out, errors, coloured=coloured)
    return out.getvalue(), errors.getvalue()


def test_a_table():
    assert written(answer("a", "longer", "東京", notes=["that is all"]), "table") == (
        "project   hits\na            0\nlonger       1\n東京         2\n",
        "that is all\n",
    )


def test_a_table_of_nothing_is_nothing():
    assert written(answer(notes=["nobody"]), "table") == ("", "nobody\n")


def test_a_table_without_heads():
    assert list(lines(answer("a", headed=False))) == ["a   0"]


def test_colours_come_only_when_they_are_asked_for():
    column = Column("x", "x", style=lambda row: RED if row["x"] else GREEN)
    what = Answer((column,), [{"x": 0}, {"x": 1}], {})
    assert "\x1b" not in written(what, "table")[0]
    assert written(what, "table", coloured=True)[0].splitlines()[1:] == ["\x1b[32m0\x1b[0m", "\x1b[31m1\x1b[0m"]


def test_json_is_one_document_with_everything():
    out, errors = written(answer(EVIL, notes=["that is all"]), "json")
    assert json.loads(out) == {
        "since": None,
        "rows": [{"project_id": EVIL, "hits": 0, "data": {"name": EVIL}}],
        "notes": ["that is all"],
    }
    assert not errors
    assert all(character.isprintable() or character == "\n" for character in out)


@given(st.lists(NAMES, max_size=5))
def test_a_table_is_aligned_and_obeyed_by_no_terminal(names):
    table = list(lines(answer(*names)))
    assert len(table) == (len(names) + 1 if names else 0)
    assert all(line.isprintable() for line in table)
    assert len({width(line) for line in table}) <= 1  # the last column is one of figures, so every line is full


@given(st.lists(NAMES, min_size=1, max_size=5))
def test_csv_computes_nothing(names):
    rows = list(csv.DictReader(io.StringIO(written(answer(*names), "csv")[0])))
    assert [row["hits"] for row in rows] == [str(count) for count in range(len(names))]
    for row, name in zip(rows, names, strict=True):
        assert not row["project_id"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert row["project_id"].removeprefix("'") == printable(name).removeprefix("'")


@given(NAMES)
def test_json_lines_are_one_line_each_and_lose_nothing(name):
    line = json_text({"name": name})
    assert line.isprintable()
    assert json.loads(line) == {"name": name}


@given(NAMES, st.integers(1, 30))
def test_what_is_cut_fits(name, most):
    text = printable(name)
    short = cut(text, most)
    assert width(short) <= most
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


@pytest.mark.parametrize("category", ["Cc", "Cf", "Zl", "Zp"])
def test_no_character_that_a_terminal_obeys_is_left(category):
    obeyed = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)) == category]
    assert obeyed
    assert all(printable(character).isascii() and printable(character).startswith("\\") for character in obeyed)


def test_numbers_are_left_to_spreadsheets():
    assert [spreadsheet(value) for value in (-1, -0.5, None, "-1", "safe")] == [-1, -0.5, None, "'-1", "safe"]


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (1234567, "1,234,567"), (True, "True"), (0.5, "0.5"), (["a", 1], "a, 1")]
)
def test_values_for_people(value, text):
    assert text_of(value) == text
