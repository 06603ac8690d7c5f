"""The directory that the settings ask for."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from otel_dynabase.config import Dsn
from otel_dynabase.directory.file import FileSource
from otel_dynabase.directory.lookup import Directory
from otel_dynabase.directory.source import Source
from otel_dynabase.directory.sql import SqlSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.config import Config
    from otel_dynabase.directory.source import AnySource

logger = logging.getLogger("otel_dynabase")


def directory_of(
    config: Config,
    *,
    quiet: Callable[[], AbstractContextManager[None]] = nullcontext,
    on_change: Callable[[], None] | None = None,
) -> Directory:
    """Build the directory, without asking its source yet. `quiet`: see SqlSource."""
    return Directory(
        source_of(config, quiet=quiet),
        pattern=config.database_pattern,
        interval=config.directory_interval,
        on_change=on_change,
    )


def source_of(config: Config, *, quiet: Callable[[], AbstractContextManager[None]] = nullcontext) -> AnySource | None:
    """Build the source of the tenants' rows, or None. `quiet`: see SqlSource."""
    place, dsn_file = config.directory, config.directory_dsn_file
    if place is not None and dsn_file is not None:
        logger.warning("Both a directory and directory_dsn_file=%s are set: the directory is used.", dsn_file)
    match place:
        case None:
            return None if dsn_file is None else SqlSource(dsn_file, config.directory_query, quiet=quiet)
        case Dsn(text):
            return SqlSource(text, config.directory_query, quiet=quiet)
        case Path():
            return FileSource(place)
        case Source():
            return place
        case _ if callable(place):
            return place
    return None
