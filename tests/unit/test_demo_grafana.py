"""What Grafana would send for a dashboard's texts, as its documentation has it."""

import pytest

from examples.grafana import Dashboard, Range, promql, sql
from examples.panels import DASHBOARDS

OVER = Range(1_700_000_000, 1_700_000_900, step=15)
VALUES = {"plan": ["pro", "free"], "project": ["proj_o'hara"], "tier": ["HOT"], "odd": ["a.b", "c"]}


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('x{plan=~"$plan"}', 'x{plan=~"(pro|free)"}'),
        ('x{tier=~"${tier}"}', 'x{tier=~"HOT"}'),
        ('x{odd=~"$odd"}', 'x{odd=~"(a\\\\.b|c)"}'),
        ("rate(x[$__rate_interval])", "rate(x[40s])"),
        ("increase(x[$__range]) > $__interval_s", "increase(x[900s]) > 15"),
        ("x[$__interval]", "x[15s]"),
        ('label_replace(x, "hour", "0$1", "hour", "(.)")', 'label_replace(x, "hour", "0$1", "hour", "(.)")'),
    ],
)
def test_prometheus_gets(text, sent):
    assert promql(text, VALUES, OVER) == sent


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("plan IN (${plan:singlequote})", "plan IN ('pro','free')"),
        ("project_id = ${project:singlequote}", "project_id = 'proj_o\\'hara'"),
        ("$__timeFilter(at)", "at >= toDateTime(1700000000) AND at <= toDateTime(1700000900)"),
        ("at > $__fromTime - 1 OR at < $__toTime", "at > toDateTime(1700000000) - 1 OR at < toDateTime(1700000900)"),
        ("$__timeInterval(at)", "toStartOfInterval(toDateTime(at), INTERVAL 15 second)"),
        ("sum(x) / $__interval_s", "sum(x) / 15"),
        ("${unknown:singlequote}", "${unknown:singlequote}"),
    ],
)
def test_clickhouse_gets(text, sent):
    assert sql(text, VALUES, OVER) == sent


def test_a_repeated_panel_asks_once_for_each_value():
    board = Dashboard(DASHBOARDS / "dynabase-tier-health.json")
    asked = [question for question in board.questions(board.values({}), OVER) if "Cold Start" in question.panel]
    levels = ("L1_miss", "L2_hit", "L3_hit", "unknown")
    assert [[level for level in levels if f'cache_level=~"{level}"' in one.text] for one in asked] == [
        [level] for level in levels
    ]


def test_nothing_is_left_to_fill_in():
    for file in DASHBOARDS.glob("*.json"):
        board = Dashboard(file)
        for question in board.questions(board.values({"project": ["one"]}), OVER):
            assert "${" not in question.text
            assert "$__" not in question.text
            assert not {"$plan", "$tier", "$project"} & set(question.text.replace('"', " ").split())
