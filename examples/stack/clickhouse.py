"""A ClickHouse server of the stack: the real engine, as a child process behind ClickHouse's HTTP interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from examples.stack.part import Part
from examples.stack.process import ChildProcess, answers_ok, free_port, python_program
from otel_dynabase.clickhouse import migrations
from otel_dynabase.clickhouse.connection import Connection
from otel_dynabase.clickhouse.settings import ClickHouseConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

QUERY_TIMEOUT: Final = 60.0


class ClickHouseError(RuntimeError):
    """ClickHouse refused a query: its error number and text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ClickHouse(Part):
    """One ClickHouse server on loopback with its own data directory; the port stays the same over restarts."""

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self.directory = directory.absolute()
        port = port or free_port()
        super().__init__("ClickHouse", ChildProcess("ClickHouse", self.directory / "clickhouse.log"))
        self._connect(f"http://127.0.0.1:{port}")

    def _connect(self, url: str) -> None:
        self.url = url.rstrip("/")
        # an idle connection would outlive a killed server
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(timeout=QUERY_TIMEOUT, limits=limits, trust_env=False)

    @classmethod
    def existing(cls, url: str) -> Self:
        """Return a server that runs already, `http://user:password@host:8123`."""
        part = cls(Path())
        part.child = None
        part._connect(url)
        return part

    def is_ready(self) -> bool:
        """Say whether the server answers `/ping`."""
        if self.child is not None:
            return answers_ok(httpx.URL(self.url).port or 0, "/ping")
        try:
            return self._http.get(f"{self.url}/ping").is_success
        except httpx.HTTPError:
            return False

    def _launch(self, child: ChildProcess) -> None:
        port = str(httpx.URL(self.url).port)
        program, env = python_program("examples.stack.clickhouse_server")
        arguments = ["--port", port, "--data", str(self.directory / "data")]
        child.start([*program, *arguments], self.is_ready, env=env)

    def execute(self, sql: str, /, *, data: bytes = b"", parameters: Mapping[str, str] | None = None) -> str:
        """Run one statement and return its result as text, tab-separated unless it has a FORMAT clause.

        `data` is what an INSERT … FORMAT inserts; `parameters` are the URL's (`param_…`, settings, `database`).
        Raises ClickHouseError, and httpx.HTTPError when the server does not answer.
        """
        url = dict(parameters or {})
        if data:
            url["query"] = sql
        answer = self._http.post(self.url, params=url, content=data or sql.encode())
        if not answer.is_success:
            raise ClickHouseError(int(answer.headers.get("X-ClickHouse-Exception-Code", 0)), answer.text.strip())
        return answer.text

    def rows(self, sql: str, /, **values: str) -> list[dict[str, Any]]:
        """Run one query without a FORMAT clause and return its rows by column name; 64-bit integers are numbers.

        `values` replace the query's `{name:Type}`.
        """
        parameters = {"default_format": "JSONEachRow", "output_format_json_quote_64bit_integers": "0"}
        parameters |= {f"param_{name}": value for name, value in values.items()}
        return [json.loads(line) for line in self.execute(sql, parameters=parameters).splitlines()]

    def connection(self) -> Connection:
        """Connect as the package's own commands do."""
        url = httpx.URL(self.url)
        return Connection(
            ClickHouseConfig.load(
                {},
                clickhouse_url=str(url.copy_with(username=None, password=None)),
                clickhouse_user=url.username or None,
                clickhouse_password=url.password or None,
            )
        )

    def apply(self) -> None:
        """Bring the schema up to date, as `otel-dynabase migrate` does."""
        with self.connection() as connection:
            migrations.bring_up_to_date(connection)
