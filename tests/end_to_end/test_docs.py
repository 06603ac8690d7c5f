"""What the documents tell a reader to type works, but for what says in its source why it cannot run here.

A block of commands that is not run stands after a line `<!-- not run: why -->`. The README's have a test of their own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples.stack import build
from examples.stack.clickhouse import ClickHouse
from tests.end_to_end.running import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.stack.stack import Stack

DOCS = ROOT / "docs"
pytestmark = pytest.mark.end_to_end

BLOCK = re.compile(r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```sh\n(?P<commands>.*?)^```$", re.DOTALL | re.MULTILINE)
QUESTION = re.compile(r"\| `(otel-dynabase [^`]+)` \|$", re.MULTILINE)
"""A command in a table's last column."""
SHOWN = {
    "get-started": ["limit_hit   max_pool_size, queued", '"8"]}]}}', "✓ collector: losses and queues"],
    "ask": ["✓ ClickHouse: event arrived", '"$schema": "https://json-schema.org/draft/2020-12/schema"'],
    "clickhouse": ["roles: applied", "customer_proj_abc123    "],
    "deploy": ["otelcol-dynabase-", "SUCCESS", "is valid prometheus config file syntax"],
    "upgrade": ["is up to date"],
}
"""By page, what its commands print, in part."""


def commands(text: str) -> list[str]:
    """Return the blocks of a page that are run, and the questions in its tables."""
    found = [block for block in BLOCK.finditer(text) if block["why"] is None]
    # nothing to show (1) is an answer too
    asked = [f"{question} || test $? -eq 1\n" for question in QUESTION.findall(text)]
    return [block["commands"] for block in found] + asked


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Link what a command may read of a checkout; what it writes stays in the temporary folder."""
    for name in ("collector", "otelcol-config.yaml", "examples", "otel_dynabase"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    for user in ("admin", "reader"):
        (tmp_path / user).touch()  # whose password is empty
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in build.programs():
        (programs / program.name).symlink_to(program.ensure())
    return tmp_path


def environment(stack: Stack, checkout: Path) -> dict[str, str]:
    """Return a reader's environment, who has the stack and an environment with the package in it."""
    endpoints = stack.endpoints
    return {
        **os.environ,
        **endpoints.environment(),
        "PATH": os.pathsep.join([str(checkout / "bin"), str(checkout / ".venv/bin"), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "PIP_DRY_RUN": "1",  # what a page installs is there already: that there is such an extra is what is tried
        "PIP_NO_INDEX": "1",
        "PIP_QUIET": "1",
        "OTEL_DYNABASE_CLICKHOUSE_URL": endpoints.clickhouse,
        "OTEL_DYNABASE_PROMETHEUS_URL": endpoints.prometheus,
        "OTEL_DYNABASE_COLLECTOR_HEALTH_URL": endpoints.collector_health,
        "OTEL_DYNABASE_COLLECTOR_METRICS_URL": endpoints.collector_metrics,
    }


@pytest.fixture
def clickhouse(stack: Stack, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClickHouse]:
    """The stack's; or an empty one, where a page makes tables and users."""
    if request.node.callspec.params["page"] != "clickhouse":
        yield stack.clickhouse
        return
    with ClickHouse(tmp_path / "clickhouse") as fresh:
        yield fresh


@pytest.mark.parametrize("page", SHOWN)
def test_a_pages_commands_work(stack: Stack, clickhouse: ClickHouse, checkout: Path, page: str) -> None:
    script = "set -eu\n" + "".join(commands((DOCS / f"{page}.md").read_text()))
    places = {
        'eval "$(.venv/bin/python -m examples.stack up --env)"': "",  # the README's tour runs it; this stack is up
        "https://clickhouse:8443": clickhouse.url,
        "CLICKHOUSE_USER=admin": "CLICKHOUSE_USER=default",  # the only user whom the engine in-process has at first
        "CLICKHOUSE_USER=reader": "CLICKHOUSE_USER=default",
        "/run/secrets/": f"{checkout}/",
    }
    for written, here in places.items():
        script = script.replace(written, here)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=checkout,
        env=environment(stack, checkout),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "does not provide the extra" not in said
    assert [shown for shown in SHOWN[page] if shown not in said] == [], said


def test_every_block_is_run_or_says_why_not() -> None:
    for page in DOCS.glob("*.md"):
        text = page.read_text()
        assert len(list(BLOCK.finditer(text))) == text.count("```sh"), page
        assert bool(commands(text)) == (page.stem in SHOWN), page
