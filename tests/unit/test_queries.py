"""The named queries: each says what its parameters are, so that any client can run it."""

import re
from importlib.resources import files

import pytest

from otel_dynabase.clickhouse import queries
from otel_dynabase.clickhouse.queries import query

NAMES = sorted(file.name.removesuffix(".sql") for file in files(queries).iterdir() if file.name.endswith(".sql"))


def test_the_tickets_queries_are_there():
    assert {"timeline", "upsell", "cold_starts"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_lines_explain_every_parameter(name):
    text = query(name)
    head = "\n".join(line for line in text.splitlines() if line.startswith("-- "))
    used = set(re.findall(r"\{(\w+):([^}]+)\}", text.replace(head, "")))
    explained = re.sub(r"(\w+), (\w+)( +DateTime64\(9, 'UTC'\))", r"\1\3\n-- \2\3", head)
    for parameter, kind in used:
        assert re.search(rf"^-- {parameter} +{re.escape(kind)}", explained, re.MULTILINE), parameter
