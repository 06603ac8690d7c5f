"""A connection to ClickHouse over HTTP, by clickhouse-connect (tested: 1.0 to 1.12)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from otel_dynabase.clickhouse.settings import ClickHouseConfig

CODE: Final = re.compile(r"\bCode: (\d+)\.")
INSTALL: Final = 'The commands that ask ClickHouse need clickhouse-connect: pip install "otel-dynabase[clickhouse]"'


class ClickHouseError(Exception):
    """ClickHouse could not be reached, or refused what it was asked; says what to do. `code` is its number, or 0."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Connection:
    """One client; a context manager. Values never become part of a query's text: they are sent as its parameters."""

    def __init__(self, config: ClickHouseConfig) -> None:
        """Connect. Raises ClickHouseError."""
        try:
            import clickhouse_connect  # noqa: PLC0415  # an extra: the package works without it
        except ImportError:
            raise ClickHouseError(INSTALL) from None
        self._where = config.clickhouse_url
        self.database = config.clickhouse_database
        url = urlsplit(config.clickhouse_url)
        secure = url.scheme == "https"
        try:
            self._client: Any = clickhouse_connect.get_client(
                interface=url.scheme,
                host=url.hostname,
                port=url.port or (8443 if secure else 8123),
                username=config.clickhouse_user,
                password=config.password(),
                database=config.clickhouse_database,
                send_receive_timeout=config.clickhouse_timeout,
                autogenerate_session_id=False,  # nothing here needs a session, and one allows a single query at a time
                client_name="otel-dynabase",
            )
        except OSError as error:
            raise ClickHouseError(f"The password's file cannot be read: {error}") from None
        except Exception as error:  # driver, transport and server each have their own
            raise self._refused(error) from None

    def rows(self, sql: str, /, **values: object) -> list[dict[str, Any]]:
        """Run a query and return its rows by column name; `values` fill its `{name:Type}`. Raises ClickHouseError."""
        try:
            return list(self._client.query(sql, parameters=values).named_results())
        except Exception as error:
            raise self._refused(error) from None

    def stream(self, sql: str, /, **values: object) -> Iterator[dict[str, Any]]:
        """Run a query and yield its rows as they come, however many there are. Raises ClickHouseError."""
        try:
            with self._client.query_rows_stream(sql, parameters=values) as rows:
                names = rows.source.column_names
                for row in rows:
                    yield dict(zip(names, row, strict=True))
        except Exception as error:
            raise self._refused(error) from None

    def execute(self, sql: str, /, **values: object) -> None:
        """Run a statement that returns nothing. Raises ClickHouseError."""
        try:
            self._client.command(sql, parameters=values)
        except Exception as error:
            raise self._refused(error) from None

    def close(self) -> None:
        """Close it."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _refused(self, error: Exception) -> ClickHouseError:
        """Say in one line what was wrong; the driver's text has the server's, and no password."""
        lines = str(error).strip().splitlines() or [type(error).__name__]
        code = CODE.search(str(error))  # clickhouse-connect 1.0 has it nowhere else
        return ClickHouseError(f"ClickHouse at {self._where}: {lines[0]}", int(code[1]) if code else 0)
