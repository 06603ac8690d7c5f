"""Who the tenants are, as far as the directory can be believed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.catalog.attributes import UNKNOWN
from otel_dynabase.directory import Tenant

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("otel_dynabase")

ANSWERS: Final = 3
"""Answers in a row without more than half of the tenants after which they are believed to be gone."""


class Census:
    """The tenants that every part works with.

    Two things are not taken at their word: a plan or tier that is missing or misspelt is the last good one's until a
    good one comes, and an answer in which more than half of the tenants are missing must be given ANSWERS times.
    """

    def __init__(self) -> None:
        self.tenants: Mapping[str, Tenant] = {}
        self._doubtful = 0

    def take(self, answer: Mapping[str, Tenant]) -> None:
        """Look at an answer of the directory's."""
        missing = sum(project_id not in answer for project_id in self.tenants)
        if missing * 2 > len(self.tenants):
            self._doubtful += 1
            if self._doubtful < ANSWERS:
                if self._doubtful == 1:
                    logger.warning(
                        "In the tenant directory %d of %d projects are missing: believed after %d such answers.",
                        missing,
                        len(self.tenants),
                        ANSWERS,
                    )
                return
        self._doubtful = 0
        self.tenants = {project_id: self._mended(tenant) for project_id, tenant in answer.items()}

    def _mended(self, tenant: Tenant) -> Tenant:
        """Return a tenant with the last good plan and tier, as the same object for as long as nothing changes."""
        known = self.tenants.get(tenant.project_id)
        if known is None or known is tenant:
            return tenant
        plan = known.plan if tenant.plan == UNKNOWN else tenant.plan
        tier = known.tier if tenant.tier == UNKNOWN else tenant.tier
        mended = (tenant.project_id, tenant.tenant_id, plan, tier, tenant.database)
        if mended == _fields(known):
            return known
        return tenant if (plan, tier) == (tenant.plan, tenant.tier) else Tenant(*mended)

    def dump(self) -> Any:
        """Return the tenants as what JSON can hold."""
        return [_fields(tenant) for tenant in self.tenants.values()]

    def load(self, state: Any) -> None:
        """Go on with the tenants that `dump` returned."""
        self.tenants = {project_id: Tenant(project_id, *rest) for project_id, *rest in state}


def _fields(tenant: Tenant) -> tuple[str, str | None, str, str, str | None]:
    return tenant.project_id, tenant.tenant_id, tenant.plan, tenant.tier, tenant.database
