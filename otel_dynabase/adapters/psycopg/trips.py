"""Wrappers of the generators that both kinds of connections run: trips of server-side cursors, and pipelines."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from otel_dynabase.adapters.psycopg.blocking import begun
from otel_dynabase.adapters.psycopg.statements import as_seen, in_list, no_rows
from otel_dynabase.tenant import is_internal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from otel_dynabase.adapters.psycopg.statements import Rows, StatementRecords

    Function = Callable[..., Any]


class Trips:
    """Wrappers of what fetches, whether that is waited for or awaited."""

    def __init__(self, records: StatementRecords) -> None:
        self._records = records

    def fetch(self, original: Function) -> Function:
        """Wrap ServerCursor._fetch_gen, which all ways of fetching from a server-side cursor go through."""
        return self._trip(original, in_list)

    def scroll(self, original: Function) -> Function:
        """Wrap ServerCursor._scroll_gen."""
        return self._trip(original, no_rows)

    def _trip(self, original: Function, rows: Rows) -> Function:
        def trip(cursor: Any, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            series = begun(self._records.of_fetch, cursor, args, kwargs)
            if series is None:
                return (yield from original(cursor, *args, **kwargs))
            began = perf_counter()
            try:
                result = yield from original(cursor, *args, **kwargs)
            except BaseException as error:
                series.failed(began, as_seen(error), driver_timeout=False)
                raise
            series.done(began, rows, cursor, result)
            return result

        return trip

    def fetch_results(self, original: Function) -> Function:
        """Wrap Pipeline._fetch_gen: here a statement of a pipeline fails, after it was sent."""

        def _fetch_gen(pipeline: Any, *args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            try:
                return (yield from original(pipeline, *args, **kwargs))
            except BaseException as error:
                if not is_internal():
                    self._records.control_failed(pipeline, as_seen(error))
                raise

        return _fetch_gen
