"""The commands that ask ClickHouse, without it: arguments, figures, and errors in one line."""

import argparse
import json
import sys

import pytest

from otel_dynabase import cli
from otel_dynabase.clickhouse.connection import INSTALL, ClickHouseError
from otel_dynabase.clickhouse.explained import explained
from otel_dynabase.commands import types
from otel_dynabase.commands.cold_starts import judged
from otel_dynabase.commands.noisy import joined

AT = "ClickHouse at http://h:8123"
DRIVER = (
    f"{AT}: Received ClickHouse exception, code: 60, server response: Code: 60. DB::Exception: "
    "Unknown table expression identifier 'tier_events'. (UNKNOWN_TABLE) (for url http://h:8123)"
)
TRANSPORT = (
    f"{AT}: Error HTTPConnectionPool(host='h', port=8123): Max retries exceeded with url: / (Caused by "
    "NameResolutionError(\"HTTPConnection(host='h', port=8123): Failed to resolve 'h' ([Errno -2] Name or service not "
    'known)"))'
)
NO_FILE = "The password's file cannot be read: [Errno 2] No such file or directory: '/x'"
ASKING = (("timeline",), ("upsell",), ("cold-starts",), ("noisy",), ("events", "export"))


def test_an_error_is_one_line_that_says_what_to_do():
    assert explained(ClickHouseError(DRIVER)) == (
        f"{AT}: Unknown table expression identifier 'tier_events'. (UNKNOWN_TABLE) - "
        "the tables are not there: run otel-dynabase migrate"
    )
    assert explained(ClickHouseError(TRANSPORT)) == (
        f"{AT} cannot be reached ([Errno -2] Name or service not known) - "
        "is it running? set OTEL_DYNABASE_CLICKHOUSE_URL, or give --clickhouse-url"
    )


@pytest.mark.parametrize("own", [INSTALL, NO_FILE])
def test_the_packages_own_words_are_left_as_they_are(own):
    assert explained(ClickHouseError(own)) == own


def test_without_the_driver_the_command_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "clickhouse_connect", None)
    assert cli.main(["upsell"]) == 2
    assert capsys.readouterr().err == f"otel-dynabase: {INSTALL}\n"


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_help_teaches_by_examples(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0
    for taught in ("examples: otel-dynabase", "exit codes: 0", "--since WHEN", "(OTEL_DYNABASE_CLICKHOUSE_URL)"):
        assert taught in said
    assert "--clickhouse-password " not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["timeline"],
        ["timeline", "p", "--type", "DROP TABLE"],
        ["timeline", "p", "--limit", "-1"],
        ["upsell", "--more-than", "many"],
        ["noisy", "--format", "xml"],
        ["events", "export", "--format", "csv"],
        ["events"],
    ],
)
def test_what_cannot_be_asked_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: otel-dynabase" in capsys.readouterr().err


def test_types():
    parser = argparse.ArgumentParser(exit_on_error=False)
    types.add(parser)
    arguments = parser.parse_args(["--type", "limit_hit, cold_start", "--type", "of_a_later_version"])
    assert types.given(arguments) == ["limit_hit", "cold_start", "of_a_later_version"]
    assert types.given(parser.parse_args([])) == []
    with pytest.raises(argparse.ArgumentError, match="'x y' is no event type; there are: tier_transition"):
        parser.parse_args(["--type", "x y"])


def test_the_schema_needs_no_server(capsys):
    assert cli.main(["events", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "object"


# --- figures ----------------------------------------------------------------------------------------------------------


def started(plan, p95):
    row = dict.fromkeys(("avg_cold_start_ms", "worst_cold_start_ms", "p95_first_query_ms"), float("nan"))
    return judged({"plan": plan, "p95_cold_start_ms": p95, **row})


@pytest.mark.parametrize(
    ("plan", "p95", "objective", "kept"),
    [
        ("starter", 3000.0, 3000, True),
        ("starter", 3000.1, 3000, False),
        ("starter", float("nan"), 3000, None),
        ("starter", None, 3000, None),
        ("enterprise", 1.0, 0, False),
        ("unknown", 1.0, None, None),
    ],
)
def test_whether_a_plan_keeps_its_promise(plan, p95, objective, kept):
    row = started(plan, p95)
    assert (row["objective_ms"], row["kept"]) == (objective, kept)
    assert row["avg_cold_start_ms"] is None


def took(project, executing, holding=None):
    return {
        "project_id": project,
        "plan": "pro",
        "executing_s": executing,
        "statements": 1,
        "holding_s": holding,
        "waiting_s": None,
    }


def waited(project, queued, plan="pro"):
    return {
        "project_id": project,
        "plan": plan,
        "queued": queued,
        "rejected": 0,
        "throttled": 0,
        "worst_wait_ms": 5.0,
        "pools": ("x",),
    }


def test_who_takes_most_comes_first_then_who_waited_most():
    rows = joined([took("a", 1.0), took("b", 3.0, 2.0)], [waited("a", 7), waited("c", 1), waited("d", 2)])
    assert [row["project_id"] for row in rows] == ["b", "a", "d", "c"]
    assert [row["executing_share"] for row in rows] == [0.75, 0.25, None, None]
    assert [row["holding_share"] for row in rows] == [1.0, None, None, None]
    assert [row["queued"] for row in rows] == [0, 7, 2, 1]


def test_nobody_takes_a_share_of_nothing():
    (row,) = joined([took("a", 0.0, 0.0)], [])
    assert (row["executing_s"], row["executing_share"], row["holding_share"]) == (0.0, None, None)
