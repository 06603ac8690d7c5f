"""Statements: what ran, for whom, how long, how it ended."""

from __future__ import annotations

import re
from time import perf_counter
from typing import TYPE_CHECKING, Any

from otel_dynabase import faults
from otel_dynabase.catalog.attributes import OPERATION
from otel_dynabase.catalog.metrics import ERRORS, OPERATION_DURATION, RETURNED_ROWS
from otel_dynabase.probes.failures import error_type, statement_timeout
from otel_dynabase.spans import current_span, in_context, name_tenant

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.probes.coldstart import ColdStarts
    from otel_dynabase.probes.limits import Limits
    from otel_dynabase.probes.pool import PoolProbe
    from otel_dynabase.probes.tenants import TenantSeries
    from otel_dynabase.store import Distribution, Store

OTHER = "OTHER"
SCANNED = 4096
"""Characters of a statement that are searched for its command."""
CACHED = 2048
"""Statements whose command is remembered, by their text."""
KNOWN = 256
"""Statements of a pool's that are found by their text."""

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


class StatementSeries:
    """Where one tenant's statements of one operation go: bound once, then kept.

    One call a statement when it has ended, which keeps its own failures to itself. `began` is `time.perf_counter()`.
    """

    __slots__ = ("_duration", "_operation", "_rows", "_series", "_statements")

    def __init__(self, statements: Statements, series: TenantSeries, operation: str) -> None:
        self._statements = statements
        self._series = series
        self._operation = operation
        self._duration: Distribution | None = None
        self._rows: Distribution | None = None

    @property
    def operation(self) -> str:
        """The statement's command."""
        return self._operation

    @property
    def project_id(self) -> str:
        """Whose statement it is."""
        return self._series.tenant.project_id

    def done(self, began: float, rows: Callable[[Any, Any], int | None], subject: Any, result: Any) -> None:
        """Account for a result; `rows(subject, result)` counts its rows, None where a statement gives none."""
        now = perf_counter()
        try:
            span = current_span() if in_context() else None
            durations = self._duration or self._bind_duration()
            tenant = self._series
            tenant.ran(began, now)
            if span is None:
                durations.record(now - began)
            else:
                name_tenant(span, tenant.tenant)
                durations.record_in(span, now - began, now)
            count = rows(subject, result)
            if count is not None:
                (self._rows or self._bind_rows()).record(count)
            if self._statements.cold_starts.awaiting:
                self._statements.cold_starts.first_query(tenant, now - began)
        except Exception:
            faults.ignore("measuring a statement")

    def _bind_duration(self) -> Distribution:
        """Find the series of what went well, which there is none of before the first."""
        key = (*self._series.labels, self._operation, None)
        self._duration = self._statements.store.distribution(OPERATION_DURATION, key)
        return self._duration

    def _bind_rows(self) -> Distribution:
        """Find the series of returned rows; a command that never returns any has none."""
        key = (*self._series.labels, self._operation)
        self._rows = self._statements.store.distribution(RETURNED_ROWS, key)
        return self._rows

    def failed(self, began: float, error: BaseException, *, driver_timeout: bool) -> None:
        """Account for a failure; `driver_timeout` says that a TimeoutError was the driver's own doing."""
        now = perf_counter()
        try:
            series, statements, duration = self._series, self._statements, now - began
            series.ran(began, now)
            span = current_span()
            if span is not None:
                name_tenant(span, series.tenant)
            key = (*series.labels, self._operation, error_type(error))
            statements.store.distribution(OPERATION_DURATION, key).record(duration)
            statements.control_failed(series, error)
            if driver_timeout and isinstance(error, TimeoutError):
                statements.limits.hit(series, "query_timeout", "rejected")
            if statements.cold_starts.awaiting:
                statements.cold_starts.first_query(series, duration)
        except Exception:
            faults.ignore("measuring a failed statement")


class Statements:
    """Where every statement goes."""

    def __init__(self, store: Store, limits: Limits, cold_starts: ColdStarts) -> None:
        self.store = store
        self.limits = limits
        self.cold_starts = cold_starts
        self._commands: dict[str, str] = {}

    def series(self, tenant: TenantSeries, sql: str, operation: str | None = None) -> StatementSeries:
        """Return where a statement of a tenant's goes, by its text or by the operation that it is known to be."""
        operation = operation or self._commands.get(sql) or self._command(sql)
        found: StatementSeries | None = tenant.statements.get(operation)
        return found or self._bind(tenant, operation)

    def bind(self, probe: PoolProbe, sql: str) -> StatementSeries:
        """Return where a statement of a pool's goes, and have it found in one look while the pool is one tenant's."""
        known = probe.statements  # the one of this moment: a refresh in between must not get a stale answer
        series = self.series(probe.series(), sql)
        if len(known) < KNOWN and probe.own_series() is not None:
            known[sql] = series
        return series

    def _bind(self, tenant: TenantSeries, operation: str) -> StatementSeries:
        bound = tenant.statements[operation] = StatementSeries(self, tenant, operation)
        return bound

    def _command(self, sql: str) -> str:
        if len(self._commands) >= CACHED:
            self._commands.clear()
        found = self._commands[sql] = command(sql)
        return found

    def control_failed(self, series: TenantSeries, error: BaseException) -> None:
        """Count the failure of something that is not a statement of the application's: COMMIT, PREPARE."""
        series.count(ERRORS, error_type(error))
        if statement_timeout(error):
            self.limits.hit(series, "query_timeout", "rejected")
