"""Users, roles and row policies for the engine in-process, which has nowhere to keep them and one user only: `default`.

What chDB's engine takes is a file, when it opens a data directory, with each user's grants and row filters. So the
statements that make users are kept here, and whoever asks, the file gives `default` the rights of that one. It is the
engine that grants and filters; what is done here is what a server's user directory does: passwords, who has which role,
which policies are whose. Understood are the statements that `otel-dynabase migrate --roles` and `customer` run.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ADMINISTRATOR: Final = "default"
OWNER: Final = "owner"
"""Who a view's CURRENT_USER is when the administrator makes it: `default` is everybody."""
NAME: Final = r"(?:`(?:[^`\\]|\\.)*`|\w+)"
NAMES: Final = rf"{NAME}(?:, {NAME})*"
ABOUT_ACCESS: Final = re.compile(
    r"\s*(GRANT|REVOKE|(CREATE|ALTER|DROP)\s+(USER|ROLE|ROW\s+POLICY|POLICY|QUOTA|SETTINGS\s+PROFILE))\b", re.IGNORECASE
)
CREATE_ROLE: Final = re.compile(rf"CREATE ROLE (?:IF NOT EXISTS )?(?P<role>{NAME})")
CREATE_USER: Final = re.compile(
    rf"CREATE USER (?P<user>{NAME}) IDENTIFIED "
    rf"(?:WITH sha256_hash BY '(?P<hash>\w+)' SALT '(?P<salt>\w+)'|BY '(?P<password>[^'\\]*)')"
    rf"(?: DEFAULT ROLE (?P<roles>{NAMES}))?"
)
DROP_USER: Final = re.compile(rf"DROP USER (?:IF EXISTS )?(?P<user>{NAME})")
GRANT: Final = re.compile(rf"(?P<what>GRANT .+) ON (?P<where>\S+) TO (?P<to>{NAMES})")
GRANT_ROLES: Final = re.compile(rf"GRANT (?P<roles>{NAMES}) TO (?P<to>{NAMES})")
POLICY: Final = re.compile(
    rf"CREATE ROW POLICY (?:IF NOT EXISTS |OR REPLACE )?(?P<name>{NAME}) ON (?P<tables>.+?) "
    rf"FOR SELECT USING (?P<condition>.+) TO (?P<all>ALL EXCEPT )?(?P<to>{NAMES})"
)
CURRENT_USER: Final = re.compile(r"\bDEFINER = CURRENT_USER\b")
USERS: Final = """\
<clickhouse>
  <profiles><default></default></profiles>
  <quotas><default></default></quotas>
  <users>
{users}
  </users>
</clickhouse>
"""
USER: Final = """\
    <{name}>
      <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
      {rights}
    </{name}>"""


class UnknownStatementError(ValueError):
    """A statement about users that is not understood here, though the real server may."""


class ExistsError(ValueError):
    """There is a user of that name."""


class UnknownRoleError(ValueError):
    """There is neither a role nor a user of that name."""


@dataclass(slots=True)
class User:
    """Somebody who may ask: the hash of password and salt, and the granted roles."""

    digest: str
    salt: str = ""
    roles: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Policy:
    """Which rows of one table those named may see, or all others."""

    database: str
    table: str
    condition: str
    names: frozenset[str]
    excepted: bool

    def applies(self, names: set[str]) -> bool:
        """Say whether it is about somebody who has these names: a user's, and the roles'."""
        return self.excepted == self.names.isdisjoint(names)


class Access:
    """Who may do what; kept in `directory`, as the statements that said so."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._journal = directory / "access.sql"
        self._file = directory / "users.xml"
        self.config = directory / "config.xml"
        self._users: dict[str, User] = {}
        self._roles: set[str] = set()
        self._grants: dict[str, list[str]] = {}
        self._policies: dict[tuple[str, str, str], Policy] = {}
        self.config.write_text(
            f"<clickhouse><user_directories><users_xml><path>{escape(str(self._file.absolute()))}</path>"
            "</users_xml></user_directories></clickhouse>\n"
        )
        if self._journal.exists():
            for line in self._journal.read_text().splitlines():
                database, _, statement = line.partition("\t")
                self._take(statement, database)

    def take(self, statement: str, database: str) -> None:
        """Do what a statement says, formatted as the engine's `formatQuerySingleLine` does, and keep it.

        Raises UnknownStatementError, ExistsError and UnknownRoleError.
        """
        self._take(statement, database)
        with self._journal.open("a") as journal:
            journal.write(f"{database}\t{statement}\n")

    def _take(self, statement: str, database: str) -> None:
        if found := CREATE_USER.fullmatch(statement):
            self._create_user(found)
        elif found := DROP_USER.fullmatch(statement):
            self._users.pop(_plain(found["user"]), None)
        elif found := GRANT.fullmatch(statement):
            for name in self._known(found["to"]):
                grant = f"{found['what']} ON {_qualified(found['where'], database)}"
                self._grants.setdefault(name, []).append(grant)
        elif found := GRANT_ROLES.fullmatch(statement):
            for name in self._known(found["to"]):
                self._users[name].roles.update(self._known(found["roles"]))
        elif found := POLICY.fullmatch(statement):
            self._policy(found, database)
        elif found := CREATE_ROLE.fullmatch(statement):
            self._roles.add(_plain(found["role"]))
        else:
            raise UnknownStatementError(statement)

    def _known(self, names: str) -> list[str]:
        found = list(_split(names))
        for name in found:
            if name not in self._users and name not in self._roles:
                raise UnknownRoleError(name)
        return found

    def _create_user(self, found: re.Match[str]) -> None:
        name = _plain(found["user"])
        if name in self._users or name in {ADMINISTRATOR, OWNER}:
            raise ExistsError(name)
        digest = found["hash"] or sha256(found["password"].encode()).hexdigest()
        self._users[name] = User(digest.lower(), found["salt"] or "", set(self._known(found["roles"] or "")))

    def _policy(self, found: re.Match[str], database: str) -> None:
        for table in _split(found["tables"]):
            self._policies[found["name"], database, table] = Policy(
                database, table, found["condition"], frozenset(_split(found["to"])), excepted=bool(found["all"])
            )

    def admits(self, user: str, password: str) -> bool:
        """Say whether these are a user and the password."""
        if user == ADMINISTRATOR:
            return not password
        known = self._users.get(user)
        given = sha256((password + (known.salt if known else "")).encode()).hexdigest()
        return hmac.compare_digest(given, known.digest if known else "")

    def prepare(self, user: str) -> None:
        """Write the file by which the engine's `default` has the rights of this user."""
        named = [_element(ADMINISTRATOR, self._rights(user)), _element(OWNER, "")]
        named += [_element(name, self._rights(name)) for name in self._users]
        self._file.write_text(USERS.format(users="\n".join(named)))

    def _rights(self, user: str) -> str:
        if user == ADMINISTRATOR:
            return ""
        names = {user, *self._users[user].roles}
        grants = [grant for name in sorted(names) for grant in self._grants.get(name, ())]
        grants.append(f"GRANT SET DEFINER ON `{user}`")  # which a server does not ask of a user about itself
        queries = "".join(f"<query>{escape(grant)}</query>" for grant in grants)
        return f"<grants>{queries}</grants><databases>{self._filters(names)}</databases>"

    def _filters(self, names: set[str]) -> str:
        """Return what the user sees of each table: a row that any of the policies shows."""
        shown: dict[tuple[str, str], list[str]] = {}
        for policy in self._policies.values():
            if policy.applies(names):
                shown.setdefault((policy.database, policy.table), []).append(f"({policy.condition})")
        return "".join(
            f"<{database}><{table}><filter>{escape(' OR '.join(conditions))}</filter></{table}></{database}>"
            for (database, table), conditions in shown.items()
        )


def credentials(headers: Mapping[str, str], url: Mapping[str, str]) -> tuple[str, str]:
    """Return the user and the password of a request, from wherever they are; what cannot be read admits nobody."""
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    user = headers.get("x-clickhouse-user") or url.get("user") or ADMINISTRATOR
    return user, headers.get("x-clickhouse-key") or url.get("password", "")


def with_definer(sql: str, user: str) -> str:
    """Write the name of who asks where a view is to run with the rights of CURRENT_USER, as a server does."""
    definer = OWNER if user == ADMINISTRATOR else user
    return CURRENT_USER.sub(lambda _: f"DEFINER = `{definer}`", sql)


def _element(name: str, rights: str) -> str:
    return USER.format(name=name, rights=rights)


def _qualified(where: str, database: str) -> str:
    return where if "." in where else f"{database}.{where}"


def _split(names: str) -> Iterable[str]:
    return map(_plain, re.findall(NAME, names))


def _plain(name: str) -> str:
    """Return a name without its quotes."""
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if name.startswith("`") else name
