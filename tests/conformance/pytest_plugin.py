"""Loaded into the pytest that runs the driver's tests: puts a side in force, and writes down every test's outcome."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.sides import Side

if TYPE_CHECKING:
    from collections.abc import Iterator

RANK = ("passed", "skipped", "failed")
"""Of a test's phases (setup, call, teardown) and its subtests, the worst outcome is the test's."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--side", default="plain", help="what the tests run under")
    group.addoption("--outcomes", type=Path, help="file for the outcomes")


def pytest_configure(config: pytest.Config) -> None:
    side = Side(config.getoption("--side"))
    side.enter()
    config.pluginmanager.register(_Recorder(side, config.getoption("--outcomes")))


class _Recorder:
    def __init__(self, side: Side, path: Path) -> None:
        self._side = side
        self._path = path
        self._outcomes: dict[str, str] = {}
        self._reasons: dict[str, str] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        with self._side.test(item.name):
            result = yield
        gc.collect()  # a future or connection that a test has dropped is reported to whichever test runs then
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "failed" if outcome == "failed" else "passed"
        self._outcomes[report.nodeid] = max(self._outcomes.get(report.nodeid, "passed"), outcome, key=RANK.index)
        if report.failed:
            self._reasons[report.nodeid] = report.longreprtext

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._outcomes[report.nodeid] = "failed"
            self._reasons[report.nodeid] = report.longreprtext

    def pytest_sessionfinish(self) -> None:
        written = {
            "outcomes": self._outcomes,
            "reasons": self._reasons,
            "faults": self._side.faults,
            "left": self._side.left(),
        }
        self._path.write_text(json.dumps(written))
