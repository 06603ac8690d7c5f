"""Roles, and readers who see one customer's project; see `roles.sql` for what each may do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from typing import Final

from otel_dynabase.clickhouse.cluster import SHARDED
from otel_dynabase.clickhouse.migrations import directory, statements
from otel_dynabase.clickhouse.quoting import identifier, literal

USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,62}")
PREFIX: Final = "customer_"


@dataclass(frozen=True, slots=True)
class Customer:
    """A reader of one project: user name and password, which ClickHouse never gets to see."""

    project: str
    user: str
    password: str = field(default_factory=lambda: token_urlsafe(24), repr=False)

    @classmethod
    def of(cls, project: str, user: str | None = None) -> Customer:
        """Make one with a new password. Raises ValueError for a project or a name that cannot be used."""
        if not project or not project.isprintable():
            raise ValueError(f"{project!r} is not a project_id")
        name = PREFIX + project if user is None else user
        if not USER.fullmatch(name):
            allowed = "1 to 63 of A-Z a-z 0-9 _ . @ -, not beginning with a digit, a dot, @ or -"
            raise ValueError(f"{name!r} cannot be a user's name: give another one with --user ({allowed})")
        return cls(project, name)

    def statements(self) -> list[str]:
        """Return what makes this reader; the first is refused when there is a user of that name already."""
        salt = token_hex(16)
        digest = sha256((self.password + salt).encode()).hexdigest()
        user = identifier(self.user)
        policy = f"{identifier('dynabase_' + self.user)} ON {', '.join(SHARDED)}"
        return [
            f"CREATE USER {user} IDENTIFIED WITH sha256_hash BY {literal(digest)} SALT {literal(salt)}",
            f"CREATE ROW POLICY OR REPLACE {policy} FOR SELECT USING project_id = {literal(self.project)} TO {user}",
            f"GRANT dynabase_customer TO {user}",
        ]

    def drop(self) -> str:
        """Return what takes back what `statements` began; the policy alone shows nobody anything."""
        return f"DROP USER {identifier(self.user)}"


def roles() -> tuple[str, ...]:
    """Return the statements that make the roles."""
    return statements((directory() / "roles.sql").read_text())
