"""From rows, whatever is in them, to a table of tenants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.attributes import PLAN, TIER, UNKNOWN
from otel_dynabase.directory.source import UnusableError
from otel_dynabase.directory.tenant import MAX_ID, RESERVED, Tenant, valid_project_id

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

MAX_ROWS: Final = 1_000_000
SHOWN: Final = 60
"""Characters of a bad value that a warning repeats."""

_CANONICAL: Final = {attribute.name: {value.lower(): value for value in attribute.values} for attribute in (PLAN, TIER)}


@dataclass(slots=True)
class Flaws:
    """What was wrong with the rows: how many were skipped, how many were kept without a bad field, one example."""

    skipped: int = 0
    mended: int = 0
    example: str = ""

    def __bool__(self) -> bool:
        return bool(self.example)

    def __str__(self) -> str:
        return f"Skipped: {self.skipped}, kept without a bad field: {self.mended}; first: {self.example}"

    def skip(self, row: int, problem: str) -> None:
        """Count a row that is left out. `row` counts from 1."""
        self.skipped += 1
        self.example = self.example or f"row {row}: {problem}"

    def mend(self, row: int, problem: str) -> None:
        """Count a row that is kept although something in it is not. `row` counts from 1."""
        self.mended += 1
        self.example = self.example or f"row {row}: {problem}"


@dataclass(frozen=True, slots=True)
class Table:
    """A whole answer of a source; replaced, never changed.

    `databases` maps a database's name to its project, or to None where several projects share it. `version` is the
    source's own word on what was read; it is kept here so that no fork or race can part the two.
    """

    version: Hashable = None
    tenants: dict[str, Tenant] = field(default_factory=dict)
    databases: dict[str, str | None] = field(default_factory=dict)
    flaws: Flaws = field(default_factory=Flaws)


class _BadRowError(Exception):
    """There is no tenant in a row."""


def read_rows(rows: Iterable[object], previous: Mapping[str, Tenant], version: Hashable = None) -> Table:
    """Build a table; a tenant whose fields are those of `previous` stays the same object.

    Bad rows are noted in the table's flaws and never raise. Raises UnusableError at more than MAX_ROWS rows, and what
    the iterable itself raises.
    """
    table = Table(version)
    for number, row in enumerate(rows, 1):
        if number > MAX_ROWS:
            raise UnusableError(f"there are more than {MAX_ROWS:,} rows")
        try:
            tenant, problem = _tenant(row, table.tenants)
        except _BadRowError as bad:
            table.flaws.skip(number, str(bad))
            continue
        except Exception as error:  # a row is somebody's object: its methods may do anything
            table.flaws.skip(number, f"{type(error).__name__} while reading it")
            continue
        if problem:
            table.flaws.mend(number, f"{problem} (project {tenant.project_id})")
        _add(table, tenant, previous)
    return table


def _add(table: Table, tenant: Tenant, previous: Mapping[str, Tenant]) -> None:
    known = previous.get(tenant.project_id)
    table.tenants[tenant.project_id] = known if known is not None and _same(known, tenant) else tenant
    if tenant.database is not None:
        shared = tenant.database in table.databases
        table.databases[tenant.database] = None if shared else tenant.project_id


def _same(one: Tenant, other: Tenant) -> bool:
    return (
        one.plan == other.plan
        and one.tier == other.tier
        and one.tenant_id == other.tenant_id
        and one.database == other.database
    )


def _tenant(row: object, seen: Mapping[str, Tenant]) -> tuple[Tenant, str]:
    """Return a row's tenant and the first problem with it, or an empty string. Raises _BadRowError."""
    if not isinstance(row, Mapping):
        raise _BadRowError(f"{_excerpt(row)} is not a mapping")
    project_id = _project_id(row.get("project_id"))
    if project_id in seen:
        raise _BadRowError(f"project_id {project_id!r} is there twice: the first row counts")
    problems: list[str] = []
    tenant = Tenant(
        project_id,
        tenant_id=_name("tenant_id", row, problems),
        plan=_choice("plan", row, problems),
        tier=_choice("tier", row, problems),
        database=_name("database", row, problems),
    )
    return tenant, problems[0] if problems else ""


def _project_id(value: object) -> str:
    if value is None:
        raise _BadRowError("there is no project_id")
    if isinstance(value, (int, float)):  # YAML reads 0123 as 83: guessing what was meant could name another tenant
        raise _BadRowError(f"project_id {_excerpt(value)} is not text: put it in quotes")
    if not valid_project_id(value):
        raise _BadRowError(
            f"project_id {_excerpt(value)} is not 1 to {MAX_ID} printable characters without white space"
        )
    if value in RESERVED:
        raise _BadRowError(f"project_id {value!r} is a reserved name")
    return value


def _name(column: str, row: Mapping[object, object], problems: list[str]) -> str | None:
    value = row.get(column)
    if value is None:
        return None
    if isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isprintable():
        return value
    problems.append(f"{column} {_excerpt(value)} is not 1 to {MAX_ID} printable characters")
    return None


def _choice(column: str, row: Mapping[object, object], problems: list[str]) -> str:
    value, names = row.get(column), _CANONICAL[column]
    if value is None:
        problems.append(f"{column} is missing")
        return UNKNOWN
    name = names.get(value.strip().lower()) if isinstance(value, str) and len(value) <= SHOWN else None
    if name is None:
        problems.append(f"{column} {_excerpt(value)} is none of {', '.join(names.values())}")
    return name or UNKNOWN


def _excerpt(value: object) -> str:
    text = repr(value[:SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
