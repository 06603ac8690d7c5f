"""SQLAlchemy's own tests, with and without our instrumentation: every test must end alike.

Its pools' tests run as upstream runs them, on pretended drivers, with every pool followed as if it were PostgreSQL's;
those of engines, transactions, reconnecting and asyncio run on a real server, over each driver that we measure.

python -m tests.conformance.sqlalchemy_suite [-k EXPRESSION]
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg

from tests.conformance import upstream
from tests.conformance.suite import OURS, Suite, arguments, judge, runs_of, unobtainable, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from examples.stack.postgres import Postgres

POOLS = ("test/engine/test_pool.py", "test/engine/test_reconnect.py")
ENGINES = ("test/engine/test_reconnect.py", "test/engine/test_transaction.py", "test/engine/test_execute.py")
DIALECT = ("test/dialect/postgresql/test_dialect.py",)
ASYNCIO = ("test/ext/asyncio",)
RUNS = {
    None: POOLS,
    "psycopg": ENGINES + DIALECT,
    "psycopg_async": ("test/engine/test_reconnect.py", *ASYNCIO),
    "asyncpg": ENGINES + DIALECT + ASYNCIO,
}
"""What runs over which driver; None: on pretended drivers and SQLite, as upstream does."""
SETTING_UP = (
    "CREATE ROLE scott SUPERUSER LOGIN PASSWORD 'tiger'",
    "CREATE SCHEMA test_schema",
    "CREATE SCHEMA test_schema_2",
)
"""README.unittests.rst, "PostgreSQL configuration"."""
OF_A_BACKEND = re.compile(r"(?<=::)(\w+?)_(?:postgresql|sqlite)[^:]*(?=::)")
"""A test class as its tests report it: with the backend that it runs on."""


class SqlalchemySuite(Suite):
    """Its tests bring a plugin of pytest's, and are told the server's address."""

    server: ClassVar[dict[str, Any]] = {"jit": "off", "max_prepared_transactions": 10}
    options = ("-c", "pyproject.toml", "-o", "addopts=", "-p", "tests.conformance.sqlalchemy_plugin")

    def __init__(self, folder: Path, driver: str | None, modules: Sequence[str], expression: str) -> None:
        super().__init__(folder, modules, expression)
        self.name = f"sqlalchemy, {driver or 'no driver':>13},"
        self._driver = driver

    def chosen(self, tests: Sequence[str]) -> Sequence[str]:
        """Name tests as pytest finds them, before the plugin has made one class of each for every backend."""
        return [OF_A_BACKEND.sub(r"\1", test) for test in tests]

    def prepare(self, server: Postgres) -> list[str]:
        """Set a database up, unless no driver is to ask for it."""
        if self._driver is None:
            return []
        server.execute("CREATE DATABASE test")
        dsn = server.dsn("test")
        with psycopg.connect(dsn, autocommit=True) as connection:
            for statement in SETTING_UP:
                connection.execute(statement)
        address = dsn.rpartition("@")[2]
        return ["--dburi", f"postgresql+{self._driver}://scott:tiger@{address}"]


def kept(path: Path) -> Path | None:
    """Say where a file of the source distribution goes: its tests, their settings and their plugin for pytest."""
    inside = path.relative_to(path.parts[0])
    wanted = inside.parts[:1] == ("test",) or str(inside) in {"pyproject.toml", "setup.cfg"}
    return inside if wanted or inside.parts[:4] == ("lib", "sqlalchemy", "testing", "plugin") else None


def main() -> int:
    """Compare; return 0 if every test ended alike, 1 if not, 2 if there was nothing to compare."""
    asked = arguments(__doc__)
    try:
        folder = upstream.tests("sqlalchemy", kept, [*POOLS, *ENGINES, *DIALECT, *ASYNCIO])
    except upstream.UnobtainableError as error:
        return unobtainable(error)
    passed, wrong, details = 0, [], {}
    for driver, modules in RUNS.items():
        suite = SqlalchemySuite(folder, driver, modules, asked.expression)
        runs = runs_of(suite, ("plain", *OURS))
        passed += runs["plain"].count("passed")
        wrong += [line for side in OURS for line in judge(suite, runs, side)]
        details[driver or "no driver"] = {side: str(run) for side, run in runs.items()}
    return verdict(passed, wrong, **details)


if __name__ == "__main__":
    sys.exit(main())
