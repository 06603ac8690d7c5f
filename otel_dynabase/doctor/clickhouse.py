"""ClickHouse: whether it answers, has the tables of this version and our time, and got the event."""

from __future__ import annotations

import time
from datetime import UTC
from typing import TYPE_CHECKING, Final

from otel_dynabase.clickhouse import migrations
from otel_dynabase.clickhouse.connection import ClickHouseError, Connection
from otel_dynabase.clickhouse.explained import reason
from otel_dynabase.clickhouse.queries import query
from otel_dynabase.doctor.check import Check, Unknown, Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_dynabase.clickhouse.settings import ClickHouseConfig
    from otel_dynabase.doctor.marker import Marker

PART: Final = "ClickHouse"
SKEW: Final = 5.0
"""Seconds by which two clocks may differ: beyond them, events of one trace seem to be in the wrong order."""
ARRIVES: Final = 20.0
"""Seconds that a marker may take: a batch of the collector's waits a second, a retry up to ten."""
POLL: Final = 0.25
CLOCK: Final = "SELECT now64(3, 'UTC') AS clock, version() AS version"


class ClickHouse:
    """ClickHouse's checks, over one connection."""

    def __init__(self, config: ClickHouseConfig, timeout: float, marker: Marker) -> None:
        self._config = config
        self._timeout = timeout
        self._marker = marker
        self._connection: Connection | None = None

    def checks(self) -> Iterator[Check]:
        """Return what is looked at."""
        yield Check(PART, "answers", self.answers, self._timeout)
        yield Check(PART, "schema", self.schema, self._timeout)
        yield Check(PART, "event arrived", self.arrived, ARRIVES + self._timeout)

    def _connected(self) -> Connection:
        if self._connection is None:
            raise Unknown("not asked: ClickHouse does not answer")
        return self._connection

    def answers(self) -> str:
        """Connect, and compare the clocks."""
        try:
            connection = Connection(self._config)
            before = time.time()
            (row,) = connection.rows(CLOCK)
            local = (before + time.time()) / 2
        except ClickHouseError as error:
            raise Wrong(*reason(error)) from None
        self._connection = connection
        skew = row["clock"].replace(tzinfo=UTC).timestamp() - local
        if abs(skew) > SKEW:
            raise Wrong(f"its clock is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}", "keep both by NTP")
        return f"version {row['version']}, its clock agrees"

    def schema(self) -> str:
        """Compare the tables with what this version knows."""
        known = migrations.known()
        try:
            pending = migrations.pending(self._connected(), known)
        except ClickHouseError as error:
            raise Wrong(*reason(error)) from None
        if pending:
            raise Wrong(f"to be applied: {', '.join(one.name for one in pending)}", "run otel-dynabase migrate")
        return f"{known[-1].name} is the last of {len(known)} migrations"

    def arrived(self) -> str:
        """Look for the marker until it is there."""
        if "logs" not in self._marker.sent:
            raise Unknown("not looked for: no event was taken by the collector")
        connection = self._connected()
        deadline = time.monotonic() + ARRIVES
        try:
            while not connection.rows(query("marker"), event_id=self._marker.event_id)[0]["stored"]:
                if time.monotonic() > deadline:
                    advice = "see the collector's log for its exporter clickhouse, and OTELCOL_CLICKHOUSE_*"
                    raise Wrong(f"the event has not arrived within {ARRIVES:g} s", advice)
                time.sleep(POLL)
        except ClickHouseError as error:
            raise Wrong(*reason(error)) from None
        return "the event is stored"
