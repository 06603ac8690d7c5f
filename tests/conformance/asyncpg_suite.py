"""asyncpg's own tests, with and without our instrumentation: every test must end alike.

python -m tests.conformance.asyncpg_suite [--official] [-k EXPRESSION]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tests.conformance import upstream
from tests.conformance.suite import OURS, Suite, arguments, judge, runs_of, unobtainable, verdict

if TYPE_CHECKING:
    from examples.stack.postgres import Postgres

MODULES = (
    "test_pool",
    "test_copy",
    "test_cursor",
    "test_prepare",
    "test_cancellation",
    "test_timeout",
    "test_adversity",
    "test_execute",
    "test_transaction",
    "test_listeners",
    "test_logging",
)
"""The modules about pools, connections and statements; the rest are about types, codecs, TLS and packaging."""
OFFICIAL = ("official", "ours+official")
"""What the official instrumentation breaks is not ours to mend, but beneath ours it must break nothing more."""


class AsyncpgSuite(Suite):
    """Its tests ask libpq's variables where the server is."""

    name = "asyncpg"

    def environment(self, server: Postgres) -> dict[str, str]:
        """Say where the server is."""
        url = urlsplit(server.dsn())
        return {
            "PGHOST": url.hostname or "",
            "PGPORT": str(url.port),
            "PGUSER": unquote(url.username or ""),
            "PGPASSWORD": unquote(url.password or ""),
            "PGDATABASE": url.path.removeprefix("/"),
        }


def kept(path: Path) -> Path | None:
    """Say where a file of the source distribution goes: the tests must not be a package called `tests`."""
    inside = path.parts[1:2] == ("tests",) and len(path.parts) > 2 and path.name != "__init__.py"
    return Path(*path.parts[2:]) if inside else None


def main() -> int:
    """Compare; return 0 if every test ended alike, 1 if not, 2 if there was nothing to compare."""
    asked = arguments(__doc__, ("--official", "also run under the official asyncpg instrumentation"))
    modules = [f"{name}.py" for name in MODULES]
    try:
        folder = upstream.tests("asyncpg", kept, modules)
    except upstream.UnobtainableError as error:
        return unobtainable(error)
    suite = AsyncpgSuite(folder, modules, asked.expression)
    runs = runs_of(suite, ("plain", *OURS, *(OFFICIAL if asked.official else ())))
    wrong = [line for side in OURS for line in judge(suite, runs, side)]
    if asked.official:
        for line in judge(suite, runs, "official"):
            print(f"  official instrumentation: {line}")
        wrong += judge(suite, runs, "ours+official", "official")
    return verdict(runs["plain"].count("passed"), wrong, **{side: str(run) for side, run in runs.items()})


if __name__ == "__main__":
    sys.exit(main())
