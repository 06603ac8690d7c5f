"""Every query of every runbook runs on the real stores, as somebody types it who was woken by the alert."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from examples.tenants import DIRECTORY
from tests.end_to_end.running import ROOT
from tests.runbooks import SLUGS, queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.end_to_end.running import AfterSignals
    from tests.runbooks import Query

pytestmark = pytest.mark.end_to_end

PROJECT = {
    "enterprise-cold-start": "proj_fjord",  # of another plan: no enterprise tenant is ever asleep in the demo
    "tier-transitions": "proj_ember",
    "ceiling-hits": "proj_heron",
}
"""Whom a page's PROJECT is in the demo."""
NOTHING_WRONG = {
    "pg_stat_activity": "the load is over: nobody runs a statement",
    "otel_dynabase_observer_asked_in_vain_total": "every server has answered",
}
"""What may find nothing, and why."""


@pytest.mark.parametrize("slug", SLUGS)
def test_every_query_can_be_run_and_has_an_answer(after_signals: AfterSignals, slug: str) -> None:
    empty = [query.text for query in queries(slug) if not answer(after_signals, query)]
    assert [text for text in empty if not any(name in text for name in NOTHING_WRONG)] == []


def answer(stores: AfterSignals, query: Query) -> Sequence[Any]:
    """Run a query; return its rows, or the lines that a command has printed."""
    if query.language == "promql":
        return stores.prometheus.query(query.text)
    if query.language == "sql":
        return stores.clickhouse.rows(query.text)
    if query.language == "postgresql":
        with psycopg.connect(stores.environment["POSTGRES"]) as connection:
            return connection.execute(query.text).fetchall()
    return typed(stores, query.text.replace("PROJECT", PROJECT.get(query.slug, "PROJECT")))


def typed(stores: AfterSignals, command: str) -> Sequence[str]:
    environment = {
        **os.environ,
        **stores.environment,
        "OTEL_SERVICE_NAME": "runbook",
        "OTEL_DYNABASE_DIRECTORY": str(DIRECTORY),
    }
    done = subprocess.run(
        [sys.executable, "-m", "otel_dynabase.cli", *command.split()[1:]],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, command + done.stdout + done.stderr
    return done.stdout.splitlines()
