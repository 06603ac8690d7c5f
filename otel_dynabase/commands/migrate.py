"""`otel-dynabase migrate`: bring ClickHouse's tables up to date."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.clickhouse import cluster, migrations, roles
from otel_dynabase.clickhouse.connection import ClickHouseError
from otel_dynabase.clickhouse.explained import explained
from otel_dynabase.clickhouse.quoting import identifier, literal
from otel_dynabase.commands import flags
from otel_dynabase.commands.asking import add_clickhouse, config_of, connect, unusable

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from otel_dynabase.clickhouse.connection import Connection
    from otel_dynabase.clickhouse.migrations import Migration
    from otel_dynabase.clickhouse.settings import ClickHouseConfig

DESCRIPTION: Final = """\
Bring the tables in ClickHouse up to date: events in full for 90 days, counted by day for two years, and the metrics of
each tenant. It can be run at any time, by several at once, and again after it was cut off.
"""
EXAMPLES: Final = """\
examples:
  otel-dynabase migrate --dry-run
      Print the SQL that would be run.

  OTEL_DYNABASE_CLICKHOUSE_URL=https://clickhouse:8443 OTEL_DYNABASE_CLICKHOUSE_USER=admin \\
  OTEL_DYNABASE_CLICKHOUSE_PASSWORD_FILE=/run/secrets/admin otel-dynabase migrate --roles
      The tables, and who may do what with them. Without --roles the rights of dynabase_migrator are enough.

  otel-dynabase migrate --cluster events
      On all servers of a cluster that ClickHouse knows by this name: replicated tables, spread by project.

A database that is missing is made. The password comes only from the environment, as above.

exit codes: 0 the tables are up to date, 2 they are not (one line says why)
"""
UNKNOWN_DATABASE: Final = 81
"""ClickHouse's number for it."""


def register(commands: Any) -> None:
    """Add the command to those that there are."""
    migrate = flags.command(commands, "migrate", "bring ClickHouse's tables up to date", DESCRIPTION, EXAMPLES)
    migrate.add_argument("--dry-run", action="store_true", help="print the SQL that would be run, and do not run it")
    migrate.add_argument("--json", action="store_true", help="write one JSON object to standard output")
    migrate.add_argument("--roles", action="store_true", help="make the roles too, as an administrator")
    migrate.add_argument("--cluster", metavar="NAME", help="do it on all servers of this cluster")
    add_clickhouse(migrate)
    migrate.set_defaults(command=_migrate)


def _migrate(given: Namespace) -> int:
    try:
        with _connect(given, config_of(given)) as connection:
            return _run(given, connection)
    except migrations.MigrationError as error:
        return unusable(str(error))
    except ClickHouseError as error:
        return unusable(explained(error))


def _connect(given: Namespace, config: ClickHouseConfig) -> Connection:
    """Connect to the database, which is made where it is missing."""
    try:
        return connect(config)
    except ClickHouseError as error:
        if error.code != UNKNOWN_DATABASE or given.dry_run:
            raise
    create = f"CREATE DATABASE IF NOT EXISTS {identifier(config.clickhouse_database)}"
    with connect(replace(config, clickhouse_database="default")) as connection:
        connection.execute(create if given.cluster is None else f"{create} ON CLUSTER {literal(given.cluster)}")
    return connect(config)


def _run(given: Namespace, connection: Connection) -> int:
    render = _renderer(given.cluster, connection.database)
    waiting = migrations.pending(connection, migrations.known())
    wanted = roles.roles() if given.roles else ()
    if given.dry_run:
        _show(given, waiting, wanted, render)
        return 0
    applied = []
    for done in migrations.apply(connection, waiting, render):
        applied.append({"version": done.migration.version, "name": done.migration.name, "seconds": round(done.took, 3)})
        _say(given, f"{done.migration.name}: applied, {done.took:.2f} s")
    for statement in migrations.rendered(wanted, render):
        connection.execute(statement)
    if wanted:
        _say(given, "roles: applied")
    elif not applied:
        _say(given, f"{connection.database} is up to date")
    if given.json:
        _write(json.dumps({"database": connection.database, "applied": applied, "roles": given.roles}))
    return 0


def _renderer(name: str | None, database: str) -> Callable[[str], Sequence[str]]:
    if name is None:
        return lambda statement: (statement,)
    return partial(cluster.render, cluster=name, database=database)


def _show(
    given: Namespace, waiting: Sequence[Migration], wanted: Sequence[str], render: Callable[[str], Sequence[str]]
) -> None:
    """Print what would be run, as clickhouse-client takes it."""
    parts = [(migration.name, migration.statements) for migration in waiting]
    if waiting:
        parts.insert(0, ("what was applied", (migrations.HISTORY,)))
    if wanted:
        parts.append(("roles", tuple(wanted)))
    sql = [{"name": name, "statements": list(migrations.rendered(script, render))} for name, script in parts]
    if given.json:
        _write(json.dumps({"pending": sql}))
        return
    for part in sql:
        _write("\n".join((f"-- {part['name']}", *(f"{statement};\n" for statement in part["statements"]))))


def _say(given: Namespace, text: str) -> None:
    """Say what was done, to people."""
    if not given.json:
        _write(text)


def _write(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # a command
