"""Statements: what ran, for whom, how long, how it ended."""

from __future__ import annotations

import re
from time import perf_counter
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from otel_dynabase import faults
from otel_dynabase.catalog.attributes import OPERATION
from otel_dynabase.catalog.metrics import ERRORS, OPERATION_DURATION
from otel_dynabase.probes.failures import error_type, statement_timeout
from otel_dynabase.spans import name_tenant

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.probes.coldstart import ColdStarts
    from otel_dynabase.probes.limits import Limits
    from otel_dynabase.probes.tenants import Tenants, TenantSeries
    from otel_dynabase.store import Store

OTHER = "OTHER"
SCANNED = 4096
"""Characters of a statement that are searched for its command."""
CACHED = 2048
"""Statements whose command is remembered, by their text."""

_ALIASES = {"START": "BEGIN", "END": "COMMIT", "ABORT": "ROLLBACK", "TABLE": "SELECT", "VALUES": "SELECT"}
_TOKENS = re.compile(
    r"--[^\n]*|/\*.*?(?:\*/|$)|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$|[A-Za-z_]+|[()]", re.DOTALL
)
_AFTER_WITH = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE"})


def command(sql: str) -> str:
    """Return a statement's command out of the bounded set: its first word, or after WITH the first outside brackets."""
    depth, common_table = 0, False
    for token in _TOKENS.finditer(sql[:SCANNED]):
        text = token.group()
        if text == "(":
            depth += 1
        elif text == ")":
            depth -= 1
        elif text[0].isalpha():
            word = text.upper()
            if common_table:
                if depth == 0 and word in _AFTER_WITH:
                    return _ALIASES.get(word, word)
            elif word == "WITH":
                common_table, depth = True, 0
            else:
                word = _ALIASES.get(word, word)
                return word if word in OPERATION.values else OTHER
    return OTHER


class Statement:
    """One statement under way. Every method keeps its own failures to itself."""

    __slots__ = ("_began", "_operation", "_series", "_span", "_statements")

    def __init__(self, statements: Statements, series: TenantSeries, operation: str, span: trace.Span) -> None:
        self._statements = statements
        self._series = series
        self._operation = operation
        self._span = span
        self._began = perf_counter()

    def done(self, rows: Callable[[Any, Any], int | None], subject: Any, result: Any) -> None:
        """Account for a result; `rows(subject, result)` counts its rows, None where a statement gives none."""
        now = perf_counter()
        try:
            duration = now - self._began
            series = self._series.statements.get(self._operation) or self._series.statement(self._operation)
            series.duration.record_in(self._span, duration, now)
            count = rows(subject, result)
            if count is not None:
                series.returned(count)
            if self._statements.cold_starts.awaiting:
                self._statements.cold_starts.first_query(self._series, duration)
        except Exception:
            faults.ignore("measuring a statement")

    def failed(self, error: BaseException, *, driver_timeout: bool) -> None:
        """Account for a failure; `driver_timeout` says that a TimeoutError was the driver's own doing."""
        now = perf_counter()
        try:
            self._statements.failed(
                self._series, self._operation, error, now - self._began, driver_timeout=driver_timeout
            )
        except Exception:
            faults.ignore("measuring a failed statement")


class Statements:
    """Where every statement goes."""

    def __init__(self, store: Store, tenants: Tenants, limits: Limits, cold_starts: ColdStarts) -> None:
        self._store = store
        self._tenants = tenants
        self._limits = limits
        self.cold_starts = cold_starts
        self._commands: dict[str, str] = {}

    def begin(self, series: TenantSeries, sql: str, operation: str | None = None) -> Statement:
        """Start timing a statement of a tenant's."""
        span = trace.get_current_span()
        if span is not trace.INVALID_SPAN:
            name_tenant(span, series.tenant)
        return Statement(self, series, operation or self._commands.get(sql) or self._command(sql), span)

    def _command(self, sql: str) -> str:
        if len(self._commands) >= CACHED:
            self._commands.clear()
        found = self._commands[sql] = command(sql)
        return found

    def failed(
        self, series: TenantSeries, operation: str, error: BaseException, duration: float, *, driver_timeout: bool
    ) -> None:
        """Count a failed statement, its error and the limit that ended it, if one did."""
        kind = error_type(error)
        self._store.distribution(OPERATION_DURATION, (*series.labels, operation, kind)).record(duration)
        self.control_failed(series, error)
        if driver_timeout and isinstance(error, TimeoutError):
            self._limits.hit(series, "query_timeout", "rejected")
        if self.cold_starts.awaiting:
            self.cold_starts.first_query(series, duration)

    def control_failed(self, series: TenantSeries, error: BaseException) -> None:
        """Count the failure of something that is not a statement of the application's: COMMIT, PREPARE."""
        series.count(ERRORS, error_type(error))
        if statement_timeout(error):
            self._limits.hit(series, "query_timeout", "rejected")
