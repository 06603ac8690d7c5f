"""A tenant: which project, whose, on which plan and tier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeGuard

from otel_dynabase.catalog.attributes import OTHER_PROJECT, UNKNOWN

MAX_ID: Final = 128
"""Characters of the longest project_id."""

RESERVED: Final = frozenset({OTHER_PROJECT, UNKNOWN})
"""Values of the label `project_id` that mean something else than a project."""


@dataclass(frozen=True, slots=True, eq=False)
class Tenant:
    """What the directory says of one project.

    Compared by identity, so that caches on the way of a query cost nothing: the directory hands out the same object
    for as long as none of its fields changes.
    """

    project_id: str
    tenant_id: str | None = None
    plan: str = UNKNOWN
    tier: str = UNKNOWN
    database: str | None = None


NOBODY: Final = Tenant(UNKNOWN)
"""The answer for what cannot be a project."""


def valid_project_id(value: object) -> TypeGuard[str]:
    """Say whether a value can be a project_id: text of 1 to 128 printable characters without white space."""
    # isprintable() already refuses control characters, lone surrogates and every white space but the plain one.
    return isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isprintable() and " " not in value
