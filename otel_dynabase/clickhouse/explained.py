"""What an error of ClickHouse's means, in one line, and what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_dynabase.clickhouse.connection import ClickHouseError

SERVER: Final = re.compile(r"(?P<where>ClickHouse at \S+): (?P<said>.*)", re.DOTALL)
MESSAGE: Final = re.compile(r"(?:Code: (?P<number>\d+)\. )?DB::Exception: (?P<text>.*?)(?: \(for url .*)?$")
REASON: Final = re.compile(r"\[Errno -?\d+\] [^)'\"]+|timed out|[Nn]ame or service not known")
SHOWN: Final = 300
ADVICE: Final = {
    47: "the tables are of another version: run otel-dynabase migrate",
    60: "the tables are not there: run otel-dynabase migrate",
    81: "there is no such database: see OTEL_DYNABASE_CLICKHOUSE_DATABASE, or run otel-dynabase migrate",
    159: "it took too long: ask for a shorter time (--since, --until)",
    192: "there is no such user: see OTEL_DYNABASE_CLICKHOUSE_USER",
    193: "the password is wrong: see OTEL_DYNABASE_CLICKHOUSE_PASSWORD",
    194: "a password is needed: set OTEL_DYNABASE_CLICKHOUSE_PASSWORD",
    241: "it needs too much memory: ask for a shorter time (--since, --until)",
    497: "this user may not read that: ask as a reader (OTEL_DYNABASE_CLICKHOUSE_USER)",
    511: "the roles are not there: run otel-dynabase migrate --roles",
    516: "user or password is wrong: see OTEL_DYNABASE_CLICKHOUSE_USER and OTEL_DYNABASE_CLICKHOUSE_PASSWORD",
}
"""What to do about an error of ClickHouse's, by its number."""
UNREACHABLE: Final = "is it running? set OTEL_DYNABASE_CLICKHOUSE_URL, or give --clickhouse-url"


def reason(error: ClickHouseError) -> tuple[str, str]:
    """Say what was wrong, and what to do, or nothing where that says itself."""
    server = SERVER.fullmatch(str(error))
    if server is None:  # the package's own words, such as how to install what is missing
        return str(error), ""
    found = MESSAGE.search(server["said"])
    if found is None:
        because = REASON.search(server["said"])
        return f"{server['where']} cannot be reached ({because[0] if because else server['said'][:SHOWN]})", UNREACHABLE
    return f"{server['where']}: {found['text'][:SHOWN]}", ADVICE.get(error.code or int(found["number"] or 0), "")


def explained(error: ClickHouseError) -> str:
    """Say both in one line."""
    return " - ".join(filter(None, reason(error)))
