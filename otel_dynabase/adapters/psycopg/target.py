"""Where psycopg would connect to, read from its arguments before there is a connection to ask."""

from __future__ import annotations

import getpass
import os
import re
from typing import TYPE_CHECKING, Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMED_BY_THE_POOL = re.compile(r"pool-\d+")
"""The name that a pool gives itself: a number, which grows with every pool that is made."""


def target_of(conninfo: Any, kwargs: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return a target's name, `host:port/database`, and its database (psycopg: keyword arguments win over conninfo).

    Credentials are never part of the name. What is not given is named by libpq's environment variables or its default.
    What libpq cannot parse it will refuse when connecting.
    """
    try:
        known = conninfo_to_dict(conninfo or "", **kwargs)
    except ProgrammingError:
        return "unknown", None

    def given(name: str, variable: str, default: str | None) -> str | None:
        value = known.get(name)
        return str(value) if value not in (None, "") else os.environ.get(variable) or default

    host = known.get("host") or known.get("hostaddr") or os.environ.get("PGHOST") or "localhost"
    user = given("user", "PGUSER", None)
    database = given("dbname", "PGDATABASE", user or _account())
    return f"{host}:{given('port', 'PGPORT', '5432')}/{database or ''}", database


def target_of_pool(pool: Any) -> tuple[str, str | None]:
    """Return a pool's name and its database; the name is its own if somebody gave it one.

    A target that is a function to call (psycopg_pool 3.3) is not known before there is a connection.
    """
    conninfo, kwargs = pool.conninfo, pool.kwargs or {}
    if callable(conninfo) or callable(kwargs):
        return pool.name, None
    name, database = target_of(conninfo, kwargs)
    return (name if NAMED_BY_THE_POOL.fullmatch(pool.name) else pool.name), database


def _account() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
