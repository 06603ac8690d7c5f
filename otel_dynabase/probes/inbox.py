"""Where reports arrive, whenever they come: before this process is instrumented they wait for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from otel_dynabase import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.probes import Probes

    Tell = Callable[[Probes], object]
    """Tells a report to the probes."""

logger = logging.getLogger("otel_dynabase")

EARLY = 1024
"""Reports that wait at most; what comes then is not recorded, and counted."""


class Inbox:
    """Hands reports to the probes of the process; there is one inbox for the process."""

    def __init__(self) -> None:
        self._probes: Probes | None = None
        self._deaf = False
        self._warned = False
        self.after_fork()

    def after_fork(self) -> None:
        """Leave to the parent what waits there."""
        self._lock = threading.Lock()
        self._early: deque[tuple[str, Tell]] = deque()
        self._dropped: dict[str, int] = {}

    def join(self, probes: Probes) -> None:
        """Hand over what waited, and from now on everything at once."""
        with self._lock:
            self._probes, self._deaf = probes, False
            early, dropped = list(self._early), dict(self._dropped)
            self._early.clear()
            self._dropped.clear()
        for name, count in dropped.items():
            probes.reports(name, "dropped").add(count)
        for name, tell in early:
            _hand(probes, name, tell)

    def leave(self) -> None:
        """Keep reports again."""
        self._probes = None

    def ignore(self) -> None:
        """Drop reports without a word: this process was told not to measure."""
        with self._lock:
            self._deaf = True
            self._early.clear()

    def put(self, name: str, tell: Tell) -> None:
        """Have a report told, now or once there are probes."""
        probes = self._probes
        if probes is None:
            with self._lock:
                probes = self._probes
                if probes is None:
                    self._keep(name, tell)
                    return
        _hand(probes, name, tell)

    def refuse(self, name: str) -> None:
        """Count a report whose arguments cannot be used."""
        if self._probes is not None:
            self._probes.reports(name, "refused").add()

    def _keep(self, name: str, tell: Tell) -> None:
        if self._deaf:
            return
        if not self._warned:
            self._warned = True
            logger.warning(
                "otel-dynabase: report.%s() was called before this process is instrumented; up to %d reports wait for "
                "it: run it under opentelemetry-instrument, or call DynabaseInstrumentor().instrument()",
                name,
                EARLY,
            )
        if len(self._early) < EARLY:
            self._early.append((name, tell))
        else:
            self._dropped[name] = self._dropped.get(name, 0) + 1


def _hand(probes: Probes, name: str, tell: Tell) -> None:
    try:
        tell(probes)
        probes.reports(name, "accepted").add()
    except Exception:
        faults.ignore("taking a report")


inbox = Inbox()
