"""An application under load, for `benchmarks.ledger`: it writes down each of its events before the event exists.

DATABASES='{"project": "postgresql://…", …}' opentelemetry-instrument python -m benchmarks.ledger.app FILE

FILE gets a line for each fact, by one write(2) that SIGKILL cannot undo:

    instance 4bf92f35-…            whose sequence of events this is: service.instance.id
    emitted 17 1795600000123456789   the event's number and the time, before it is emitted
    dropped 17                     there was no room for it
    acknowledged 0199… 0199…       ids of events that the collector has taken

Every tenant's pool has one connection, for which two statements queue; a third runs into a statement timeout; and the
platform's own code reports tier transitions.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import asyncpg
from opentelemetry._logs import get_logger_provider

from otel_dynabase import report
from otel_dynabase.events import EventLog

REST = 0.6
"""Seconds between two rounds of a tenant, on average."""
HELD = 0.02
"""Seconds that a tenant's only connection is held while others queue."""
TOO_LONG = "SET LOCAL statement_timeout = 10; SELECT pg_sleep(1)"


class Journal:
    """The application's own account of its events, on disk before anything happens."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.RLock()

    def write(self, *words: object) -> None:
        """Append one line."""
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())

    def follow(self) -> None:
        """Write down what every event log of this process emits, and what the collector acknowledges."""
        emit, exported = EventLog.emit, EventLog.exported

        def emit_written_down(log: EventLog, *args: Any, amends: Any = None, **kwargs: Any) -> Any:
            if amends is not None:  # not a further event
                return emit(log, *args, amends=amends, **kwargs)
            with self._lock:
                number = log.sequence + 1
                self.write("emitted", number, time.time_ns())
                record = emit(log, *args, **kwargs)
                if record is None:
                    self.write("dropped", number)
                return record

        def exported_written_down(log: EventLog, event_ids: list[str], *, accepted: bool) -> None:
            if accepted and event_ids:
                self.write("acknowledged", *event_ids)
            exported(log, event_ids, accepted=accepted)

        EventLog.emit = emit_written_down  # type: ignore[method-assign,assignment]
        EventLog.exported = exported_written_down  # type: ignore[method-assign,assignment]


async def tenant(project: str, dsn: str, stop: asyncio.Event) -> None:
    """Hit one tenant's limits, and change its tier, round after round."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        while not stop.is_set():
            async with pool.acquire():
                queued = [asyncio.create_task(pool.fetchval("SELECT 1")) for _ in range(2)]
                await asyncio.sleep(HELD)
            await asyncio.gather(*queued)
            with suppress(asyncpg.QueryCanceledError):
                await pool.execute(TOO_LONG)
            report.tier_transition(project, source="WARM", target="HOT", reason="automatic_promotion")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), random.uniform(0, 2 * REST))  # noqa: S311  # only spreads the load


async def main() -> None:
    """Run every tenant until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    databases = json.loads(os.environ["DATABASES"])
    await asyncio.gather(*(tenant(project, dsn, stop) for project, dsn in databases.items()))


if __name__ == "__main__":
    journal = Journal(sys.argv[1])
    provider: Any = get_logger_provider()
    journal.write("instance", provider.resource.attributes["service.instance.id"])
    journal.follow()
    asyncio.run(main())
