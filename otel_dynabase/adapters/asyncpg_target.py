"""Where asyncpg would connect to, read from the arguments before there is a connection to ask."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def target_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return a target's name, `host:port/database`, and its database (asyncpg.connect_utils: arguments win over DSN).

    Credentials are never part of the name. What is not given is left to libpq's rules and named by its environment
    variables or its default.
    """
    dsn = args[0] if args else kwargs.get("dsn")
    url = urlsplit(dsn) if isinstance(dsn, str) else urlsplit("")
    query = parse_qs(url.query)

    def given(name: str, *from_url: str | None) -> str | None:
        value = kwargs.get(name)
        if isinstance(value, list | tuple):
            value = value[0] if value else None
        return str(value) if value is not None else next((text for text in from_url if text), None)

    try:
        netloc_host, netloc_port = url.hostname or "", str(url.port or "")
    except ValueError:  # several hosts: named together
        netloc_host, netloc_port = url.netloc.rpartition("@")[2], ""
    user = given("user", unquote(url.username or ""), *query.get("user", ()), os.environ.get("PGUSER"))
    database = given(
        "database",
        unquote(url.path.removeprefix("/")),
        *query.get("dbname", ()),
        *query.get("database", ()),
        os.environ.get("PGDATABASE"),
        user,
    )
    host = given("host", unquote(netloc_host), *query.get("host", ()), os.environ.get("PGHOST"), "localhost")
    port = given("port", netloc_port, *query.get("port", ()), os.environ.get("PGPORT"), "5432")
    return f"{host}:{port}/{database or ''}", database
