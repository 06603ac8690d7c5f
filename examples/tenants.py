"""The demo's tenants: who they are (`tenants.yaml`), and a real database and role for each."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from examples.stack.postgres import Postgres

DIRECTORY: Final = Path(__file__).with_name("tenants.yaml")
SLEEPER: Final = "proj_fjord"
"""Has a PostgreSQL server of its own, which is stopped and started again."""
LOCKED_OUT: Final = "proj_iris"
"""Its password was changed, and nobody told the service."""
CONNECTION_LIMITED: Final = "proj_lotus"
"""Its role may hold fewer connections than its pool would like."""
ROLE_CONNECTIONS: Final = 3

TEMPLATE: Final = "demo_template"
SCHEMA: Final = """
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference text NOT NULL UNIQUE,
    cents integer NOT NULL
);
CREATE TABLE ledger (order_id bigint NOT NULL REFERENCES orders, cents integer NOT NULL);
INSERT INTO orders (reference, cents) SELECT 'old-' || n, n * 7 FROM generate_series(1, 120) AS n;
GRANT SELECT, INSERT ON orders, ledger TO PUBLIC;
"""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One project of the directory; `database` is also the name of its role."""

    project_id: str
    plan: str
    database: str


def read_tenants(file: Path = DIRECTORY) -> list[Tenant]:
    """Return the tenants of a directory file, in its order."""
    rows = yaml.safe_load(file.read_text())["tenants"]
    return [Tenant(row["project_id"], row["plan"], row["database"]) for row in rows]


def create_databases(tenants: Sequence[Tenant], shared: Postgres, own: Postgres) -> dict[str, str]:
    """Create each tenant's role and database, anew where they exist, and return the DSN for each project.

    SLEEPER's are on the server `own`, all others' on `shared`; both must run. Raises RuntimeError with PostgreSQL's
    message.
    """
    dsns: dict[str, str] = {}
    for server, mine in (
        (shared, [tenant for tenant in tenants if tenant.project_id != SLEEPER]),
        (own, [tenant for tenant in tenants if tenant.project_id == SLEEPER]),
    ):
        passwords = {tenant: secrets.token_hex(16) for tenant in mine}
        server.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE);\nCREATE DATABASE {TEMPLATE};")
        server.execute(SCHEMA, TEMPLATE)
        server.execute("\n".join(_creation(tenant, password) for tenant, password in passwords.items()))
        for tenant, password in passwords.items():
            known = "outdated" if tenant.project_id == LOCKED_OUT else password
            dsns[tenant.project_id] = server.dsn(tenant.database, tenant.database, known)
    return dsns


def _creation(tenant: Tenant, password: str) -> str:
    name = tenant.database
    limit = ROLE_CONNECTIONS if tenant.project_id == CONNECTION_LIMITED else -1
    return f"""
DROP DATABASE IF EXISTS {name} WITH (FORCE);
DROP ROLE IF EXISTS {name};
CREATE ROLE {name} LOGIN PASSWORD '{password}' CONNECTION LIMIT {limit};
CREATE DATABASE {name} OWNER {name} TEMPLATE {TEMPLATE};
REVOKE ALL ON DATABASE {name} FROM PUBLIC;
"""


def drop_databases(tenants: Sequence[Tenant], server: Postgres) -> None:
    """Remove what `create_databases` left on a server that lives on."""
    names = [tenant.database for tenant in tenants]
    statements = [f"DROP DATABASE IF EXISTS {name} WITH (FORCE);" for name in (*names, TEMPLATE)]
    server.execute("\n".join([*statements, *(f"DROP ROLE IF EXISTS {name};" for name in names)]))


def write_secrets(file: Path, dsns: Mapping[str, str]) -> None:
    """Write the DSNs where only their owner can read them."""
    file.touch(mode=0o600)
    file.write_text(json.dumps(dsns, indent=2))
