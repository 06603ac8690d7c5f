"""`otel-dynabase customer PROJECT`: a reader in ClickHouse who sees one project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.clickhouse.cluster import render
from otel_dynabase.clickhouse.connection import ClickHouseError
from otel_dynabase.clickhouse.explained import explained
from otel_dynabase.clickhouse.roles import Customer
from otel_dynabase.commands import flags
from otel_dynabase.commands.asking import add_clickhouse, config_of, connect, unusable

if TYPE_CHECKING:
    from argparse import Namespace

    from otel_dynabase.clickhouse.connection import Connection

DESCRIPTION: Final = """\
Make a user of ClickHouse's for a customer: one who reads the rows of one project, in every table, and changes nothing.
The password is made here and printed once; ClickHouse gets its salted hash.
"""
EXAMPLES: Final = """\
examples:
  OTEL_DYNABASE_CLICKHOUSE_USER=admin OTEL_DYNABASE_CLICKHOUSE_PASSWORD_FILE=/run/secrets/admin \\
  otel-dynabase customer proj_abc123
      customer_proj_abc123    and a password

Run `otel-dynabase migrate --roles` before. To give somebody a new password, drop the user and make it again:
DROP USER customer_proj_abc123.

exit codes: 0 the user was made, 2 it was not (one line says why)
"""


def register(commands: Any) -> None:
    """Add the command to those that there are."""
    customer = flags.command(
        commands, "customer", "make a reader in ClickHouse who sees one project", DESCRIPTION, EXAMPLES
    )
    customer.add_argument("project", metavar="PROJECT", help="the project_id")
    customer.add_argument("--user", metavar="NAME", help="the user's name (default: customer_PROJECT)")
    customer.add_argument("--json", action="store_true", help="write one JSON object to standard output")
    customer.add_argument("--cluster", metavar="NAME", help="make it on all servers of this cluster")
    add_clickhouse(customer)
    customer.set_defaults(command=_customer)


def _customer(given: Namespace) -> int:
    try:
        customer = Customer.of(given.project, given.user)
        with connect(config_of(given)) as connection:
            _make(customer, connection, given.cluster)
    except ValueError as error:
        return unusable(str(error))
    except ClickHouseError as error:
        return unusable(explained(error))
    made = {"project_id": customer.project, "user": customer.user, "password": customer.password}
    print(json.dumps(made) if given.json else f"{customer.user}    {customer.password}")  # noqa: T201  # a command
    return 0


def _make(customer: Customer, connection: Connection, cluster: str | None) -> None:
    """Make the user, whole or not at all. Raises ClickHouseError."""

    def run(statement: str) -> None:
        for sql in [statement] if cluster is None else render(statement, cluster, connection.database):
            connection.execute(sql)

    create, *rights = customer.statements()
    run(create)
    try:
        for statement in rights:
            run(statement)
    except ClickHouseError:
        run(customer.drop())
        raise
