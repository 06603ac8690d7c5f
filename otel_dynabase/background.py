"""One daemon thread for everything that must not happen on the application's path."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

from otel_dynabase import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[], float]


class Background:
    """Runs jobs on a thread of its own; each returns the seconds until it wants to run again, or infinity."""

    def __init__(
        self, jobs: dict[str, Job], *, prompt: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jobs = jobs
        self._prompt = prompt
        """The job that `wake` is for."""
        self._clock = clock
        self._due = dict.fromkeys(jobs, 0.0)
        self._wake = threading.Event()
        self._woken = False
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="otel-dynabase", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Have the prompt job run now; cheap enough for the application's path."""
        self._woken = True
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """End the thread, waiting at most `timeout` seconds for the job that is running."""
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def after_fork(self) -> None:
        """Start again in a child, where the parent's thread does not exist."""
        self._wake = threading.Event()
        if self._thread is not None and not self._stopped:
            self.start()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            if self._woken and self._prompt is not None:
                self._woken = False
                self._due[self._prompt] = 0.0
            now = self._clock()
            for name, due in list(self._due.items()):
                if due <= now:
                    self._due[name] = self._clock() + self._call(name)
            rest = min(self._due.values(), default=math.inf) - self._clock()
            self._wake.wait(None if math.isinf(rest) else max(rest, 0.0))

    def _call(self, name: str) -> float:
        try:
            return self._jobs[name]()
        except Exception:
            faults.ignore(name)
            return 1.0
