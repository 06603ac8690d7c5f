"""What goes wrong inside the instrumentation stays inside it: counted, and said once.

Every guard in this package is an `except Exception` around telemetry alone, never around a driver's call, and it ends
here.
"""

from __future__ import annotations

import logging
import threading

logger = logging.getLogger("otel_dynabase")

counts: dict[str, int] = {}
"""Failures ignored so far, by place."""

strict = False
"""Raise instead of ignoring: the tests' setting, so that no test passes over a fault."""

_lock = threading.Lock()


def after_fork() -> None:
    """Take a lock that no thread of the parent's holds, and count from zero."""
    global _lock  # noqa: PLW0603  # one for the process
    _lock = threading.Lock()
    counts.clear()


def ignore(place: str) -> None:
    """Account for the exception that is being handled: count it, and log the first one of each place."""
    if strict:
        raise  # noqa: PLE0704  # called inside an except block only
    with _lock:
        counts[place] = counts.get(place, 0) + 1
        first = counts[place] == 1
    if first:
        logger.warning(
            "otel-dynabase: %s failed; the application is not affected, and further failures there are only counted "
            "(otel_dynabase.faults)",
            place,
            exc_info=True,  # noqa: LOG014  # called inside an except block only
        )
