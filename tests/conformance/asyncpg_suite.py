"""asyncpg's own tests, with and without our instrumentation: every test must end alike.

python -m tests.conformance.asyncpg_suite [--official] [-k EXPRESSION]
"""

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
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from examples.stack.postgres import Postgres
from tests.conformance import upstream
from tests.conformance.outcomes import Run, differences

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
ATTEMPTS = 3
"""Times that a test which differs is run again alone, on both sides, before the difference counts."""
LONGEST = 900.0
"""Seconds after which a run counts as hanging."""
NO_TEST_RAN = 5
"""pytest's exit status for an expression or a file without tests."""
OURS = ("ours", "hostile")
OFFICIAL = ("official", "ours+official")
"""What the official instrumentation breaks is not ours to mend, but beneath ours it must break nothing more."""


class Suite:
    """Runs the tests of one folder."""

    def __init__(self, folder: Path, expression: str) -> None:
        self._folder = folder
        self._expression = expression

    def run(self, side: str, tests: Sequence[str] = ()) -> Run:
        """Run the tests under one side, on a server of their own: a test that fails leaves its tables behind."""
        with tempfile.TemporaryDirectory() as work, Postgres(Path(work) / "postgres", jit="off") as server:
            return self._pytest(server, Path(work) / "outcomes.json", side, tests)

    def _pytest(self, server: Postgres, outcomes: Path, side: str, tests: Sequence[str]) -> Run:
        """Raise RuntimeError where pytest itself fails."""
        chosen = list(tests) or [f"{name}.py" for name in upstream.MODULES]
        chosen += ["-k", self._expression] if self._expression and not tests else []
        command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", ".", *ISOLATED]
        command += ["--side", side, "--outcomes", str(outcomes), *chosen]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env={**os.environ, **_libpq(server.dsn()), "PYTHONPATH": str(ROOT)},
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


ISOLATED = (
    "-q",
    "--import-mode=importlib",
    "--tb=short",
    "-p",
    "no:cacheprovider",
    "-p",
    "tests.conformance.pytest_plugin",
)


def _libpq(dsn: str) -> dict[str, str]:
    """Say where the server is in libpq's own variables, which is how the driver's tests ask."""
    url = urlsplit(dsn)
    return {
        "PGHOST": url.hostname or "",
        "PGPORT": str(url.port),
        "PGUSER": unquote(url.username or ""),
        "PGPASSWORD": unquote(url.password or ""),
        "PGDATABASE": url.path.removeprefix("/"),
    }


def _timed_run(suite: Suite, side: str) -> Run:
    began = time.monotonic()
    run = suite.run(side)
    print(f"{side:>14}: {run} in {time.monotonic() - began:.0f} s", flush=True)
    return run


def _judge(suite: Suite, runs: dict[str, Run], side: str, reference: str = "plain") -> list[str]:
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", action="store_true", help="also run under the official asyncpg instrumentation")
    parser.add_argument("-k", dest="expression", default="", help="run only matching tests (pytest's -k)")
    return parser.parse_args()


def main() -> int:
    """Compare; return 0 if every test ended alike, 1 if not, 2 if there was nothing to compare."""
    arguments = _arguments()
    try:
        folder = upstream.tests()
    except upstream.UnobtainableError as error:
        print(error, file=sys.stderr)
        return 2
    suite = Suite(folder, arguments.expression)
    runs = {"plain": _timed_run(suite, "plain")}
    if not runs["plain"].outcomes:
        print("No test ran.", file=sys.stderr)
        return 2
    runs |= {side: _timed_run(suite, side) for side in OURS + (OFFICIAL if arguments.official else ())}
    wrong = [line for side in OURS for line in _judge(suite, runs, side)]
    if arguments.official:
        for line in _judge(suite, runs, "official"):
            print(f"  official instrumentation: {line}")
        wrong += _judge(suite, runs, "ours+official", "official")
    for line in wrong:
        print(f"  DIFFERENT: {line}")
    passed = runs["plain"].count("passed")
    print(json.dumps({"passed": passed, "failed": len(wrong), **{side: str(run) for side, run in runs.items()}}))
    print(f"{passed} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
