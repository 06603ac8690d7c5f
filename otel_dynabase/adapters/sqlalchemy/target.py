"""Where an engine connects to, read from its URL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def target_of(engine: Engine) -> tuple[str, str | None]:
    """Return a target's name, `host:port/database`, and its database, as the dialect hands them to its driver.

    What the URL does not say is left to libpq's rules and named by its environment variables or its default. Without
    a host and a database the application connects by itself (`creator`): then the database is not known.
    """
    _, given = engine.dialect.create_connect_args(engine.url)

    def first(*names: str) -> str | None:
        value: Any = next((given[name] for name in names if given.get(name)), None)
        if isinstance(value, list | tuple):
            value = value[0]
        return None if value is None else str(value).partition(",")[0]

    user = first("user") or os.environ.get("PGUSER")
    host = first("host") or os.environ.get("PGHOST") or "localhost"
    port = first("port") or os.environ.get("PGPORT") or "5432"
    database = first("database", "dbname") or os.environ.get("PGDATABASE") or user
    return f"{host}:{port}/{database or ''}", database
