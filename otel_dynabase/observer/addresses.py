"""Where the databases are: servers that many projects share, an address for each project, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from otel_dynabase.directory.file import read_text
from otel_dynabase.directory.lookup import MAX_NAME
from otel_dynabase.directory.source import UnusableError
from otel_dynabase.observer.rounds import Target

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otel_dynabase.directory import Tenant
    from otel_dynabase.observer.settings import ObserverConfig

MAX_BYTES: Final = 1024 * 1024
AWAKE: Final = frozenset({"WARM", "HOT", "PERSISTENT"})
"""Tiers whose own compute may be connected to: it would be woken otherwise, and nobody knows of an unknown tier."""


class Addresses:
    """Reads the addresses out of the settings, or out of files, each time: secrets are rotated."""

    def __init__(self, config: ObserverConfig) -> None:
        self._servers = config.observe_servers or ()
        self._servers_file = config.observe_servers_file
        self._template = config.observe_template
        self._template_file = config.observe_template_file

    def servers(self) -> list[Target]:
        """Return the shared servers. Raises OSError or UnusableError for a file that cannot be read."""
        dsns = [dsn.text for dsn in self._servers]
        if self._servers_file is not None:
            dsns += _lines(self._servers_file)
        return [Target(f"server {number}", dsn) for number, dsn in enumerate(dsns, 1)]

    def template(self) -> str | None:
        """Return the address that each project has one of, or None. Raises as above."""
        if self._template_file is not None:
            lines = _lines(self._template_file)
            if not lines:
                raise UnusableError(f"{self._template_file} has no address in it")
            return lines[0]
        return None if self._template is None else self._template.text


def _lines(path: Path) -> list[str]:
    return [line for line in map(str.strip, read_text(path, MAX_BYTES).splitlines()) if line and line[0] != "#"]


def awake(tenant: Tenant) -> bool:
    """Say whether a project's own compute may be connected to."""
    return tenant.tier in AWAKE


def address(template: str, tenant: Tenant) -> Target:
    """Return a project's own address."""
    database = database_of(tenant)
    dsn = template.replace("{project_id}", quote(tenant.project_id, safe=""))
    return Target(
        f"project {tenant.project_id}", dsn.replace("{database}", quote(database, safe="")), tenant.project_id
    )


def database_of(tenant: Tenant) -> str:
    """Return the name of a project's database: as the directory has it, or the project's own."""
    return tenant.database or tenant.project_id


def owners(tenants: Mapping[str, Tenant], pattern: re.Pattern[str] | None) -> Callable[[str], str | None]:
    """Make a function from a database's name on a shared server to the project that it belongs to, or None.

    As `Directory.project_of` has it: the pattern alone if there is one; otherwise the `database` fields, unless several
    projects share one, and then the project_ids.
    """
    databases: dict[str, str | None] = {}
    for project_id, tenant in tenants.items():
        if tenant.database is not None:
            databases[tenant.database] = None if tenant.database in databases else project_id

    def owner(database: str) -> str | None:
        if pattern is not None:
            match = pattern.fullmatch(database) if len(database) <= MAX_NAME else None
            project_id = match["project_id"] if match else None
        else:
            project_id = databases.get(database, database)
        return project_id if project_id in tenants else None

    return owner
