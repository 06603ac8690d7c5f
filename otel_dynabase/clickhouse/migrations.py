"""The schema in versions: SQL files that are applied in order, each once.

Every statement can be run again, so a migration that was cut off in its middle is simply run again, and two that run at
the same time do no harm. What was applied is in the table `dynabase_migrations`.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_dynabase.clickhouse.connection import ClickHouseError
from otel_dynabase.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")
STATEMENT_END: Final = re.compile(r";\s*$", re.MULTILINE)
HISTORY: Final = """\
CREATE TABLE IF NOT EXISTS dynabase_migrations
(
    version UInt32,
    name String,
    checksum String,
    otel_dynabase String,
    applied_by String DEFAULT currentUser(),
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (version, checksum)"""
KNOWN: Final = "SELECT count() AS known FROM system.tables WHERE database = currentDatabase() AND name = {table:String}"
APPLIED: Final = """\
SELECT version, checksum, any(name) AS name, any(otel_dynabase) AS otel_dynabase, min(applied_at) AS at
FROM dynabase_migrations
GROUP BY version, checksum
ORDER BY version, at"""
RECORD: Final = """\
INSERT INTO dynabase_migrations (version, name, checksum, otel_dynabase)
SELECT {version:UInt32}, {name:String}, {checksum:String}, {otel_dynabase:String}"""


class Database(Protocol):
    """What migrations ask of a connection."""

    def rows(self, sql: str, /, **values: object) -> list[dict[str, Any]]:
        """Run a query and return its rows by column name."""

    def execute(self, sql: str, /, **values: object) -> None:
        """Run a statement that returns nothing."""


class MigrationError(ClickHouseError):
    """The database's schema and the files do not fit together; says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file; `name` is without its ending."""

    version: int
    name: str
    statements: tuple[str, ...]

    @property
    def checksum(self) -> str:
        """What tells that a file was changed; comments may."""
        return sha256("\n;\n".join(self.statements).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration that was applied just now; `took` is in seconds."""

    migration: Migration
    took: float


def directory() -> Path:
    """Return the folder of the SQL files: in an installed package, or in a checkout."""
    shipped = Path(str(files("otel_dynabase.clickhouse"))) / "sql"
    return shipped if shipped.is_dir() else Path(__file__).parents[2] / "collector" / "clickhouse"


def statements(script: str) -> tuple[str, ...]:
    """Split a SQL script at each semicolon that ends a line; lines that are comments go away."""
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return tuple(statement.strip() for statement in STATEMENT_END.split(code) if statement.strip())


def known(folder: Path | None = None) -> list[Migration]:
    """Read the migrations, in order. Raises MigrationError when a number is missing or there twice."""
    named = {file: NAME.fullmatch(file.name) for file in sorted((folder or directory()).glob("*.sql"))}
    found = [Migration(int(name[1]), file.stem, statements(file.read_text())) for file, name in named.items() if name]
    versions = [migration.version for migration in found]
    if not found or versions != list(range(1, len(found) + 1)):
        raise MigrationError(f"The migrations in {folder or directory()} are not numbered 0001, 0002, …: {versions}")
    return found


def pending(database: Database, migrations: Sequence[Migration]) -> list[Migration]:
    """Return what is still to be applied. Raises MigrationError when what was applied does not fit."""
    if not database.rows(KNOWN, table="dynabase_migrations")[0]["known"]:
        return list(migrations)
    by_version = {migration.version: migration for migration in migrations}
    done = set()
    for row in database.rows(APPLIED):
        migration = by_version.get(row["version"])
        if migration is None:
            raise MigrationError(
                f"The database has migration {row['name']}, of otel-dynabase {row['otel_dynabase']}; this is "
                f"{__version__}, which knows {migrations[-1].name} as the last. Install that version or a later one."
            )
        if migration.checksum != row["checksum"]:
            raise MigrationError(
                f"{migration.name} is not what was applied on {row['at']:%Y-%m-%d %H:%M} under this number by "
                f"otel-dynabase {row['otel_dynabase']}. Restore the file, and put the change into a new migration."
            )
        done.add(migration.version)
    return [migration for migration in migrations if migration.version not in done]


def apply(
    database: Database,
    migrations: Iterable[Migration],
    render: Callable[[str], Sequence[str]] = lambda statement: (statement,),
) -> Iterator[Applied]:
    """Apply migrations one after the other, and yield each when it is recorded. Raises ClickHouseError."""
    for migration in migrations:
        began = time.monotonic()
        for statement in rendered((HISTORY, *migration.statements), render):
            database.execute(statement)
        database.execute(
            RECORD,
            version=migration.version,
            name=migration.name,
            checksum=migration.checksum,
            otel_dynabase=__version__,
        )
        yield Applied(migration, time.monotonic() - began)


def rendered(script: Iterable[str], render: Callable[[str], Sequence[str]]) -> Iterator[str]:
    """Yield what `render` makes of each statement: for a cluster, several."""
    for statement in script:
        yield from render(statement)


def bring_up_to_date(database: Database) -> None:
    """Apply what is pending on a single server. Raises ClickHouseError."""
    for _ in apply(database, pending(database, known())):
        pass
