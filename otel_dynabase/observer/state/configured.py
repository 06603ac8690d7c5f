"""The state that the settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from otel_dynabase.config import Dsn
from otel_dynabase.directory.file import read_text
from otel_dynabase.directory.sql import MAX_DSN_BYTES
from otel_dynabase.observer.settings import DIRECTORY, state_file
from otel_dynabase.observer.state.database import DatabaseState
from otel_dynabase.observer.state.file import FileState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_dynabase.config import Config
    from otel_dynabase.observer.settings import ObserverConfig
    from otel_dynabase.observer.state import State


class NoStateError(Exception):
    """The settings name no place for the state; the message says what is missing."""


def state_of(config: Config, settings: ObserverConfig, environ: Mapping[str, str]) -> State:
    """Make the state, without touching it yet. Raises NoStateError."""
    place, file = settings.observe_state, settings.observe_state_dsn_file
    if isinstance(place, Path):
        return FileState(place)
    if place == DIRECTORY:
        dsn = dsn_of(config.directory, config.directory_dsn_file)
        if dsn is None:
            raise NoStateError("the state is to be on the directory's server, but the directory is not on a server")
        return DatabaseState(dsn, settings.observe_state_table)
    dsn = dsn_of(place, file)
    return FileState(state_file(environ)) if dsn is None else DatabaseState(dsn, settings.observe_state_table)


def dsn_of(place: object, file: Path | None) -> Callable[[], str] | None:
    """Return what gives a server's address each time it is needed (secrets are rotated), or None without one."""
    match place:
        case Dsn(text):
            return lambda: text
        case None if file is not None:
            return lambda: read_text(file, MAX_DSN_BYTES).strip()
    return None
