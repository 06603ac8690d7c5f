"""A log of changes that the platform's database keeps: with it no change is missed, however short it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.catalog.attributes import PLAN, TIER
from otel_dynabase.directory import valid_project_id
from otel_dynabase.directory.sql import connect, driver
from otel_dynabase.observer.facts import facts_of, unix_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_dynabase.observer.facts import Facts

PAGE: Final = 5000
"""Rows asked for at a time."""

QUERY: Final = """
SELECT transaction_id::text || '/' || change_id AS cursor, changed_at, project_id, tenant_id,
       old_plan, new_plan, old_tier, new_tier, tier_reason, scale_reason, change_type
FROM dynabase_tenant_changes
WHERE ($1::text IS NULL
       OR (transaction_id, change_id) > (split_part($1, '/', 1)::xid8, nullif(split_part($1, '/', 2), '')::bigint))
  AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY transaction_id, change_id
LIMIT $2"""
"""For `changes.sql`. Ids are given out before they are committed, so the highest visible one says nothing about lower
ones. Below the oldest transaction that still runs nothing can appear any more: rows are read in the order of their
transactions, and only up to there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the log; None is a plan or tier that is missing or misspelt."""

    cursor: str
    at: float | None
    project_id: str
    tenant_id: str | None
    old: tuple[str | None, str | None]
    """Plan and tier."""
    new: tuple[str | None, str | None]
    left: bool
    """The project was deleted."""
    facts: Facts


class Journal:
    """Reads the log in order: each row once, from where the last reading ended.

    The query's first column, `cursor`, is text that says where a row is; its parameters are the last cursor that was
    read, or NULL, and how many rows to return at most. Empty text is the cursor before the first row.
    """

    def __init__(self, dsn: Callable[[], str], query: str) -> None:
        self._dsn = dsn
        self._query = query

    async def read(self, cursor: str, limit: int) -> list[Entry]:
        """Return what comes after `cursor`. Raises what the server says, OSError or UnusableError."""
        connection = await connect(driver(), self._dsn())
        try:
            return await self._pages(connection, cursor, limit)
        finally:
            await connection.close(timeout=5)

    async def _pages(self, connection: Any, cursor: str, limit: int) -> list[Entry]:
        entries: list[Entry] = []
        while len(entries) < limit:
            wanted = min(PAGE, limit - len(entries))
            page = [_entry(row) for row in await connection.fetch(self._query, cursor or None, wanted)]
            entries += page
            if len(page) < wanted:
                break
            cursor = page[-1].cursor
        return entries

    async def end(self) -> str:
        """Return the last row's cursor: whoever begins to read has seen what came before in the directory."""
        cursor = ""
        while page := await self.read(cursor, PAGE):
            cursor = page[-1].cursor
        return cursor


def _entry(row: Mapping[str, Any]) -> Entry:
    project_id, tenant_id = row["project_id"], row.get("tenant_id")
    new = _standing(row, "new")
    return Entry(
        str(row["cursor"]),
        unix_seconds(row.get("changed_at")),
        project_id if valid_project_id(project_id) else "",
        None if tenant_id is None else str(tenant_id),
        _standing(row, "old"),
        new,
        left=row.get("new_plan") is None and row.get("new_tier") is None,
        facts=facts_of(row, since="changed_at"),
    )


def _standing(row: Mapping[str, Any], age: str) -> tuple[str | None, str | None]:
    return _known(row.get(f"{age}_plan"), PLAN.values), _known(row.get(f"{age}_tier"), TIER.values)


def _known(value: object, names: tuple[str, ...]) -> str | None:
    text = str(value).strip().lower()
    return next((name for name in names if name.lower() == text and name != "unknown"), None)
