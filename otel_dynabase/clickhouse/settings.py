"""How to reach ClickHouse: a table of settings beside `config.SETTINGS`, read in the same way."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_dynabase.config import PATH, TEXT, Kind, Setting, read, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def _url(value: object) -> str:
    text = str(TEXT.parse(value))
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        raise ValueError("no such address")
    return text.rstrip("/")


URL: Final = Kind("http://host:8123 or https://host:8443, without user and password", _url)

CLICKHOUSE_SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("clickhouse_url", URL, "http://127.0.0.1:8123", "Where ClickHouse answers HTTP."),
    Setting("clickhouse_database", TEXT, "default", "The database with the events."),
    Setting("clickhouse_user", TEXT, "default", "Who asks."),
    Setting("clickhouse_password", TEXT, None, "The password (a secret).", secret=True),
    Setting("clickhouse_password_file", PATH, None, "A file that contains the password (a secret)."),
    Setting("clickhouse_timeout", seconds(0.1, 86_400), 60.0, "Longest time that an answer may take."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickHouseConfig:
    """The settings, by name, typed. Durations in seconds."""

    clickhouse_url: str
    clickhouse_database: str
    clickhouse_user: str
    clickhouse_password: str | None = field(repr=False)
    clickhouse_password_file: Path | None
    clickhouse_timeout: float

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, /, **overrides: object) -> ClickHouseConfig:
        """Read the settings as `Config.load` does: never raises, warns of what cannot be used."""
        return cls(**read(CLICKHOUSE_SETTINGS, os.environ if environ is None else environ, overrides))

    def password(self) -> str:
        """Return the password, from the file if there is one; raises OSError when that cannot be read."""
        if self.clickhouse_password_file is not None:
            return self.clickhouse_password_file.read_text().strip()
        return self.clickhouse_password or ""
