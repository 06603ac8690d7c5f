"""The directory itself: the last good answer of a source, for a lookup that never waits."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_dynabase.directory.rows import Flaws, Table, read_rows
from otel_dynabase.directory.source import Source, UnusableError, Versioned
from otel_dynabase.directory.tenant import NOBODY, RESERVED, Tenant, valid_project_id

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from otel_dynabase.directory.source import AnySource

logger = logging.getLogger("otel_dynabase")

MAX_UNKNOWN: Final = 4096
"""Unknown projects that are remembered: requests may bring any number of made-up ones."""

MAX_NAME: Final = 256
"""Characters of the longest database name that a pattern is tried on."""

MAX_REASON: Final = 300
"""Characters of an error that a warning repeats."""


@dataclass(frozen=True, slots=True)
class Stats:
    """How the directory is doing."""

    entries: int
    age: float | None
    """Seconds since the source last confirmed the answer; None if it never did."""
    failures: int
    """Failed refreshes since then."""
    unknown: int
    """Different projects that were asked for and are not there, as far as MAX_UNKNOWN allows."""
    unknown_lookups: int
    """Times that one was asked for; racing threads may lose a few."""
    rejected: int
    """Rows of the last good answer that were skipped."""
    mended: int
    """Rows of the last good answer that were kept without a bad field."""


class Directory:
    """Knows each project's plan and tier. Lookups never wait and never raise; `refresh` belongs to a background thread.

    `pattern` finds the project in a database's name by its group `project_id`; `interval` (seconds) is when the owner
    of the directory refreshes it, for warnings to say; `on_change` is called after a refresh that changed a tenant.
    """

    def __init__(
        self,
        source: AnySource | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        pattern: re.Pattern[str] | None = None,
        interval: float = 10.0,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.on_change = on_change
        self._load = source.load if isinstance(source, Source) else source
        self._versioned = source if isinstance(source, Versioned) else None
        self._name = _name(source)
        self._clock = clock
        self._pattern = pattern
        self._interval = interval
        self._table = Table()
        self._broken: tuple[Hashable, str] | None = None
        self._good_at: float | None = None
        self._failures = 0
        self._told = Flaws()
        self._strangers: dict[str, Tenant] = {}
        self._unknown_lookups = 0

    @property
    def tenants(self) -> Mapping[str, Tenant]:
        """All tenants by project_id: one answer of the source, which is replaced and never changed."""
        return self._table.tenants

    def get(self, project_id: str) -> Tenant:
        """Return a project's tenant; if it is not there, one whose plan and tier are unknown."""
        try:
            return self._table.tenants[project_id]
        except Exception:  # KeyError, or whatever hashing somebody's object raises
            return self._stranger(project_id)

    def _stranger(self, project_id: object) -> Tenant:
        self._unknown_lookups += 1
        if not valid_project_id(project_id) or project_id in RESERVED:
            return NOBODY
        stranger = self._strangers.get(project_id)
        if stranger is None:
            stranger = Tenant(str(project_id))
            if len(self._strangers) < MAX_UNKNOWN:
                stranger = self._strangers.setdefault(stranger.project_id, stranger)
        return stranger

    def project_of(self, database: str | None) -> str | None:
        """Return the project that a database belongs to, or None: nobody's, or shared by several.

        The pattern alone decides if there is one; otherwise the `database` fields, and then the project_ids.
        """
        if not isinstance(database, str):
            return None
        if self._pattern is not None:
            match = self._pattern.fullmatch(database) if len(database) <= MAX_NAME else None
            project_id = match["project_id"] if match else None
            return project_id if valid_project_id(project_id) and project_id not in RESERVED else None
        table = self._table
        if database in table.databases:
            return table.databases[database]
        return database if database in table.tenants else None

    def refresh(self) -> bool:
        """Ask the source, and replace the whole table by its answer. Return False, and keep the table, if it failed.

        May block as long as the source does. Never raises. For one thread at a time; a second one does no harm.
        """
        if self._load is None:
            return True
        try:
            table = self._read(self._load)
        except Exception as error:
            self._failed(error)
            return False
        self._succeeded(table)
        return True

    def _read(self, load: Callable[[], Iterable[object]]) -> Table:
        """Return the source's answer: the present table if the source says that nothing changed."""
        version = self._versioned.version() if self._versioned is not None else None
        if version is not None:
            if version == self._table.version:
                return self._table
            if self._broken is not None and self._broken[0] == version:
                raise UnusableError(self._broken[1])
        try:
            return read_rows(load(), self._table.tenants, version)
        except UnusableError as error:
            self._broken = (version, str(error))
            raise

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures > 1:  # one warning an outage
            return
        entries = len(self._table.tenants)
        logger.warning(
            "The tenant directory (%s) cannot be read: %s. %s It is tried again every %g s.",
            self._name,
            _reason(error),
            f"The last good answer (projects: {entries}) stays in use."
            if self._good_at is not None
            else "Until it can, the plan and tier of every project are unknown.",
            self._interval,
        )

    def _succeeded(self, table: Table) -> None:
        previous, self._table = self._table, table
        self._good_at = self._clock()
        self._broken = None
        if self._failures:
            logger.info("The tenant directory (%s) works again; failed attempts: %d.", self._name, self._failures)
            self._failures = 0
        if table is previous:
            return
        if table.flaws and table.flaws != self._told:
            logger.warning("The tenant directory (%s) has bad rows. %s.", self._name, table.flaws)
        self._told = table.flaws
        if table.tenants != previous.tenants:  # tenants compare by identity, so this is quick
            self._changed(table)

    def _changed(self, table: Table) -> None:
        for project_id in list(self._strangers):  # a copy: lookups go on
            if project_id in table.tenants:
                self._strangers.pop(project_id, None)
        if self.on_change is not None:
            try:
                self.on_change()
            except Exception:
                logger.warning("What watches the tenant directory failed.", exc_info=True)

    def stats(self) -> Stats:
        """Return how the directory is doing now."""
        table, good_at = self._table, self._good_at
        return Stats(
            entries=len(table.tenants),
            age=None if good_at is None else self._clock() - good_at,
            failures=self._failures,
            unknown=len(self._strangers),
            unknown_lookups=self._unknown_lookups,
            rejected=table.flaws.skipped,
            mended=table.flaws.mended,
        )


def _name(source: object) -> str:
    """Name a source in a message: it may be anybody's function."""
    name = getattr(source, "name", None) or getattr(source, "__qualname__", None)
    return name if isinstance(name, str) else type(source).__name__


def _reason(error: Exception) -> str:
    """Say on one line and not too long what went wrong."""
    try:
        text = " ".join(str(error).split())[:MAX_REASON]
    except Exception:  # somebody's own __str__
        text = ""
    return text if text and isinstance(error, UnusableError) else f"{type(error).__name__}: {text}".rstrip(": ")
