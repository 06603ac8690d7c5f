"""Where asyncpg would connect to, read from the arguments before there is a connection to ask."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def target_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return a target's name, `host:port/database`, and its database (asyncpg.connect_utils: arguments win over DSN).

    Credentials are never part of the name. What is not given is left to libpq's rules and named by its environment
    variables or its default.
    """
    dsn = args[0] if args else kwargs.get("dsn")
    url = urlsplit(dsn) if isinstance(dsn, str) else urlsplit("")
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}

    def given(name: str, *otherwise: str | None) -> str | None:
        value = kwargs.get(name)
        if isinstance(value, list | tuple):
            value = value[0] if value else None
        return str(value) if value is not None else next((text for text in otherwise if text is not None), None)

    url_host, url_port = _address(url) if kwargs.get("host") is None else (None, None)
    user = given("user", unquote(url.username) if url.username else query.get("user"), os.environ.get("PGUSER"))
    path = unquote(url.path.removeprefix("/")) if url.path else None
    asked = query.get("dbname", query.get("database"))
    database = given("database", path, asked, os.environ.get("PGDATABASE"), user)
    host = given("host", url_host, query.get("host"), os.environ.get("PGHOST"), "localhost")
    port = given("port", url_port, query.get("port"), os.environ.get("PGPORT"), "5432")
    return f"{host}:{port}/{database or ''}", database


def _address(url: SplitResult) -> tuple[str | None, str | None]:
    """Return a URL's host and port; several hosts are named together."""
    try:
        return (unquote(url.hostname) if url.hostname else None), (str(url.port) if url.port else None)
    except ValueError:
        return url.netloc.rpartition("@")[2], None
