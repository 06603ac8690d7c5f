"""One upstream test suite, run with and without our instrumentation: every test must end alike."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from examples.stack.postgres import Postgres
from tests.conformance.outcomes import Run, differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.conformance.upstream import UnobtainableError

ROOT = Path(__file__).resolve().parents[2]
ATTEMPTS = 3
"""Times that a test which differs is run again alone, on both sides, before the difference counts."""
LONGEST = 900.0
"""Seconds after which a run counts as hanging."""
NO_TEST_RAN = 5
"""pytest's exit status for an expression or a file without tests."""
OURS = ("ours", "hostile")
ISOLATED = ("-q", "--tb=short", "-p", "no:cacheprovider", "-p", "tests.conformance.pytest_plugin")


class Suite:
    """Runs the tests of one folder. What an upstream needs besides is in its subclass."""

    name = ""
    server: ClassVar[dict[str, Any]] = {"jit": "off"}
    """Settings of the server."""
    options: tuple[str, ...] = ("-c", os.devnull, "--rootdir", ".", "--import-mode=importlib")
    """How its pytest is called."""

    def __init__(self, folder: Path, modules: Sequence[str], expression: str) -> None:
        self._folder = folder
        self._modules = modules
        self._expression = expression

    def chosen(self, tests: Sequence[str]) -> Sequence[str]:
        """Return what pytest is to be told to run these tests."""
        return tests

    def prepare(self, server: Postgres) -> list[str]:
        """Make a new server ready; return what is to be added to pytest's arguments."""
        del server
        return []

    def environment(self, server: Postgres) -> dict[str, str]:
        """Return the variables by which the tests find the server."""
        del server
        return {}

    def run(self, side: str, tests: Sequence[str] = ()) -> Run:
        """Run the tests under one side, on a server of their own: a test that fails leaves its tables behind."""
        with tempfile.TemporaryDirectory() as work, Postgres(Path(work) / "postgres", **self.server) as server:
            return self._pytest(server, Path(work) / "outcomes.json", side, tests)

    def _pytest(self, server: Postgres, outcomes: Path, side: str, tests: Sequence[str]) -> Run:
        """Raise RuntimeError where pytest itself fails."""
        chosen = list(self.chosen(tests) or self._modules)
        chosen += ["-k", self._expression] if self._expression and not tests else []
        command = [sys.executable, "-s", "-m", "pytest", *self.options, *ISOLATED, *self.prepare(server)]
        command += ["--side", side, "--outcomes", str(outcomes), *chosen]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env={**os.environ, **self.environment(server), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        if not outcomes.is_file():
            raise RuntimeError(
                f"pytest ended with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return Run({}) if done.returncode == NO_TEST_RAN else Run.read(outcomes)

    def confirmed(self, test: str, reference: str, side: str) -> bool:
        """Run a test that differs again, alone, on both sides: it counts if the two never agree."""
        return all(differences(self.run(reference, [test]), self.run(side, [test])) for _ in range(ATTEMPTS))


def runs_of(suite: Suite, sides: Iterable[str]) -> dict[str, Run]:
    """Run a suite under each side; say how each ended."""
    runs = {}
    for side in sides:
        began = time.monotonic()
        runs[side] = suite.run(side)
        print(f"{suite.name} {side:>14}: {runs[side]} in {time.monotonic() - began:.0f} s", flush=True)
    return runs


def judge(suite: Suite, runs: dict[str, Run], side: str, reference: str = "plain") -> list[str]:
    """Return what a side did wrong, in words; what only looked wrong is printed."""
    run = runs[side]
    wrong = [f"fault inside the instrumentation: {place}" for place in sorted(set(run.faults))]
    wrong += [f"left behind {count} times: {line}" for line, count in Counter(run.left).items()]
    for difference in differences(runs[reference], run):
        line = f"{difference.test}: {difference.plain} under {reference}, {difference.other} under {side}"
        if suite.confirmed(difference.test, reference, side):
            wrong.append(f"{line}\n{difference.reason}")
        else:
            print(f"  flaky, not counted (alone it ends alike): {line}\n{difference.reason}")
    return wrong


def arguments(about: str | None, *options: tuple[str, str]) -> argparse.Namespace:
    """Read the command line: -k, and switches of a suite's own, each with its help."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, meaning in options:
        parser.add_argument(name, action="store_true", help=meaning)
    parser.add_argument("-k", dest="expression", default="", help="run only matching tests (pytest's -k)")
    return parser.parse_args()


def verdict(passed: int, wrong: Sequence[str], **details: Any) -> int:
    """Print what there is to say; return 0 if every test ended alike, 1 if not, 2 if none ran."""
    for line in wrong:
        print(f"  DIFFERENT: {line}")
    print(json.dumps({"passed": passed, "failed": len(wrong), **details}))
    print(f"{passed} passed, {len(wrong)} failed")
    if wrong:
        return 1
    return 0 if passed else 2


def unobtainable(error: UnobtainableError) -> int:
    """Say why there is nothing to compare."""
    print(error, file=sys.stderr)
    return 2
