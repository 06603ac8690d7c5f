"""ClickHouse's HTTP interface in front of the engine that `chdb-core` runs in this process.

`python -m examples.stack.clickhouse_server --port PORT --data DIRECTORY`

It speaks what `curl`, HTTP clients and the collector's `clickhouseexporter` use of the interface: the query in the URL
or the body, inserted data in the body (plain or gzip), FORMAT, `default_format`, `database`, `param_…`, settings as
URL parameters, errors as a status with text and `X-ClickHouse-Exception-Code`, `/ping`, users and passwords
(`clickhouse_access`). Not: sessions, ClickHouse's own block compression, more than one result block for a client that
asks for a protocol version.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from chdb.session import Session
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from examples.stack.clickhouse_access import (
    ABOUT_ACCESS,
    ADMINISTRATOR,
    Access,
    ExistsError,
    UnknownRoleError,
    UnknownStatementError,
    credentials,
    with_definer,
)
from examples.stack.clickhouse_native import REVISION_WITH_SERIALIZATION, BlockTooLargeError, for_client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

# Parameters of the interface itself; every other one is a setting of the query.
INTERFACE: Final = {
    *("query", "database", "default_format", "client_protocol_version", "user", "password", "role", "quota_key"),
    *("query_id", "compress", "decompress", "enable_http_compression", "wait_end_of_query", "buffer_size"),
}
SETTING: Final = re.compile(r"[A-Za-z_]\w*")
INSERT: Final = re.compile(r"\s*INSERT\s+INTO\b", re.IGNORECASE)
INSERT_FORMAT: Final = re.compile(
    r"(?P<into>\s*INSERT\s+INTO\b.*?)(?P<tail>(\s+SETTINGS\s.*)?\s+FORMAT\s+\w+\s*;?\s*)", re.IGNORECASE | re.DOTALL
)
FORMAT: Final = re.compile(r"\bFORMAT\s+(\w+)(\s+SETTINGS\s.*)?\s*;?\s*\Z", re.IGNORECASE | re.DOTALL)
EXCEPTION: Final = re.compile(r"Code: (\d+)\..*\(([A-Z0-9_]+)\)", re.DOTALL)
GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
TEXT: Final = "text/plain; charset=UTF-8"
CONTENT_TYPES: Final = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "Native": "application/octet-stream",
}


class QueryError(Exception):
    """The engine, or the interface, refused a query."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.name = name

    @property
    def status(self) -> int:
        """The HTTP status that the real server gives (exceptionCodeToHTTPStatus.cpp), by the error's name."""
        if self.name in {"SYNTAX_ERROR", "BAD_ARGUMENTS", "TYPE_MISMATCH", "INCORRECT_DATA", "ILLEGAL_COLUMN"}:
            return 400
        if self.name.startswith(("CANNOT_PARSE_", "ILLEGAL_TYPE_OF_ARGUMENT", "DUPLICATE_COLUMN")):
            return 400
        if self.name.startswith("UNKNOWN_"):
            return 404
        if self.name == "AUTHENTICATION_FAILED":
            return 403
        return 501 if self.name == "NOT_IMPLEMENTED" else 500


def refused(code: int, name: str, message: str) -> QueryError:
    """Make an error of the interface's own that looks like the server's."""
    return QueryError(code, name, f"Code: {code}. DB::Exception: {message}. ({name})")


class Engine:
    """The engine on one data directory; one query at a time, so call it from one thread.

    It has the rights of one user at a time: when another one asks, the data directory is opened again, in 60 ms.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._inbox = directory / "http-bodies"
        shutil.rmtree(self._inbox, ignore_errors=True)  # of requests that a crash cut off: never acknowledged
        self._inbox.mkdir()
        self.summary = "{}"
        self._read = (0, 0)
        self._directory = directory / "engine"
        self.access = Access(directory / "access")
        self._open(ADMINISTRATOR)

    def _open(self, user: str) -> None:
        self.access.prepare(user)
        where = f"{self._directory}?config-file={self.access.config}"
        self._session: Any = Session(where)  # type: ignore[no-untyped-call]
        self._user = user
        self._outdated = False
        self._database = "default"

    def _become(self, user: str) -> None:
        if user != self._user or self._outdated:
            self.close()
            self._open(user)

    def close(self) -> None:
        """Close the data directory."""
        self._session.close()

    def query(self, sql: str, output: str = "TabSeparated", parameters: Mapping[str, str] | None = None) -> bytes:
        """Run one statement and return its result in the format `output`, unless it has a FORMAT clause of its own.

        Raises QueryError.
        """
        try:
            result = self._session.query(sql, output, params=dict(parameters or {}))
            self._read = result.storage_rows_read(), result.storage_bytes_read()
            return bytes(result.bytes())
        except Exception as error:
            text = str(error)
            found = EXCEPTION.search(text)
            code, name = (int(found[1]), found[2]) if found else (1002, "UNKNOWN_EXCEPTION")
            raise QueryError(code, name, text) from None

    def request(self, sql: str, body: bytes, url: Mapping[str, str], user: str = ADMINISTRATOR) -> bytes:
        """Answer one HTTP request: query text, data to insert, the URL's parameters, and who asks."""
        database = url.get("database") or "default"
        if ABOUT_ACCESS.match(sql):
            return self._about_access(sql, database, user)
        self._become(user)
        self._use(database)
        sql = with_definer(sql, user)
        settings = [name for name in url if name not in INTERFACE and not name.startswith("param_")]
        parameters = {name.removeprefix("param_"): value for name, value in url.items() if name.startswith("param_")}
        applied: list[str] = []
        try:
            for name in settings:
                self._set(name, url[name])
                applied.append(name)
            if body and INSERT.match(sql):
                return self._insert(sql, body)
            output = url.get("default_format", "TabSeparated")
            result = self.query(sql, output, parameters)
            self.summary = json.dumps(dict(zip(("read_rows", "read_bytes"), map(str, self._read), strict=True)))
            return self._for_client(sql, output, result, int(url.get("client_protocol_version", 0)))
        finally:
            for name in applied:
                self.query(f"SET {name} = DEFAULT")

    def _about_access(self, sql: str, database: str, user: str) -> bytes:
        if user != ADMINISTRATOR:
            raise refused(497, "ACCESS_DENIED", f"{user}: Not enough privileges")
        escaped = sql.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        statement = self.query("SELECT formatQuerySingleLine({sql:String})", "TSVRaw", {"sql": escaped})
        try:
            self.access.take(statement.decode().strip(), database)
        except ExistsError as error:
            name = "ACCESS_ENTITY_ALREADY_EXISTS"
            raise refused(493, name, f"user `{error}` already exists") from None
        except UnknownRoleError as error:
            raise refused(511, "UNKNOWN_ROLE", f"There is no role `{error}` in user directories") from None
        except (UnknownStatementError, KeyError) as error:
            raise refused(48, "NOT_IMPLEMENTED", f"not understood here: {error}") from None
        self._outdated = True
        return b""

    def _use(self, database: str) -> None:
        if database == "default" != self._database:  # where a session begins, which takes no rights
            self.close()
            self._open(self._user)
        elif database != self._database:
            quoted = database.replace("\\", "\\\\").replace("`", "\\`")
            self.query(f"USE `{quoted}`")
            self._database = database

    def _set(self, name: str, value: str) -> None:
        if not SETTING.fullmatch(name):
            raise refused(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
        quoted = value.replace("\\", "\\\\").replace("'", "\\'")
        self.query(f"SET {name} = '{quoted}'")

    def _insert(self, sql: str, body: bytes) -> bytes:
        """Insert data of any format: handed over as a file, since query text cannot hold binary data."""
        statement = INSERT_FORMAT.fullmatch(sql)
        if statement is None:  # INSERT … VALUES: the data is part of the text
            return self.query(f"{sql}\n{body.decode()}")
        data = self._inbox / "insert.bin"
        data.write_bytes(body)
        try:
            return self.query(f"{statement['into']} FROM INFILE '{data}' {statement['tail']}")
        finally:
            data.unlink()

    def _for_client(self, sql: str, output: str, result: bytes, revision: int) -> bytes:
        if revision < REVISION_WITH_SERIALIZATION or output_format(sql, output) != "Native":
            return result
        scratch = self._inbox / "result.native"
        self._become(ADMINISTRATOR)  # the answer is there; to read it back from a file takes rights
        try:
            return for_client(result, scratch, self.query)
        except BlockTooLargeError as error:
            raise refused(48, "NOT_IMPLEMENTED", str(error)) from None
        finally:
            scratch.unlink(missing_ok=True)


def output_format(sql: str, default: str) -> str:
    """Return the format that a query's result has."""
    clause = FORMAT.search(sql)
    return clause[1] if clause else default


class Interface:
    """The HTTP endpoint; the event loop stays free (`/ping`) while the engine's one thread works."""

    def __init__(self, directory: Path) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._engine = self._thread.submit(Engine, directory).result()

    def close(self) -> None:
        """Let the running query end, then close the engine."""
        self._thread.submit(self._engine.close).result()
        self._thread.shutdown()

    async def ping(self, _request: Request) -> Response:
        """Answer as the real server does."""
        return PlainTextResponse("Ok.\n")

    async def query(self, request: Request) -> Response:
        """Run one query."""
        if request.headers.get("sec-fetch-site", "none") != "none" or "origin" in request.headers:
            return PlainTextResponse("Web pages have no access: `default` has no password.\n", 403)
        url = dict(request.query_params)
        try:
            user = self._user(request, url)
            body = _decoded(await request.body(), request.headers.get("content-encoding", ""), url)
            sql, body = (url["query"], body) if "query" in url else (body.decode(), b"")
            if not sql.strip():
                return PlainTextResponse("Ok.\n")
            if body and not INSERT.match(sql):
                sql, body = f"{sql}\n{body.decode()}", b""
            result, summary = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._answer, sql, body, url, user
            )
        except QueryError as error:
            headers = {"X-ClickHouse-Exception-Code": str(error.code)}
            return Response(f"{error}\n", error.status, headers, TEXT)
        name = output_format(sql, url.get("default_format", "TabSeparated"))
        headers = {"X-ClickHouse-Format": name, "X-ClickHouse-Summary": summary}
        return Response(result, headers=headers, media_type=CONTENT_TYPES.get(name, TEXT))

    def _answer(self, sql: str, body: bytes, url: Mapping[str, str], user: str) -> tuple[bytes, str]:
        """Return the result and what was read for it."""
        self._engine.summary = "{}"
        result = self._engine.request(sql, body, url, user)
        return result, self._engine.summary

    def _user(self, request: Request, url: Mapping[str, str]) -> str:
        """Return who asks. Raises QueryError."""
        user, password = credentials(request.headers, url)
        if self._engine.access.admits(user, password):
            return user
        message = f"{user}: Authentication failed: password is incorrect, or there is no user with such name"
        raise refused(516, "AUTHENTICATION_FAILED", message)


def _decoded(body: bytes, encoding: str, url: Mapping[str, str]) -> bytes:
    if url.get("compress", "0") != "0" or url.get("decompress", "0") != "0":
        message = "ClickHouse's own compression is not spoken here: set compress=none or compress=gzip"
        raise refused(48, "NOT_IMPLEMENTED", message)
    return zlib.decompress(body, GZIP_OR_ZLIB) if encoding in {"gzip", "deflate"} else body


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="ClickHouse's HTTP interface in front of the engine in-process")
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    parser.add_argument("--data", type=Path, required=True, help="data directory; created when missing")
    arguments = parser.parse_args()
    interface = Interface(arguments.data)
    routes = [
        Route("/ping", interface.ping, methods=["GET"]),
        Route("/{path:path}", interface.query, methods=["GET", "POST"]),
    ]
    # no passwords here: a web page that resolves its own name to 127.0.0.1 must not get in
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    try:
        app = Starlette(routes=routes, middleware=[hosts])
        uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", timeout_graceful_shutdown=10)
    finally:
        interface.close()


if __name__ == "__main__":
    main()
