"""The applications that suffer: several processes, each with its databases and a journal of its own."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples.stack.process import ROOT, ChildProcess

if TYPE_CHECKING:
    from examples.stack.stack import Stack

SERVICE: Final = "ledger"
PROCESSES: Final = 3
TENANTS: Final = 12
"""Tenants of each process, with a database each."""
PLANS: Final = ("free", "starter", "pro", "enterprise")
INSTRUMENT: Final = Path(sys.executable).with_name("opentelemetry-instrument")
PATIENCE: Final = 180.0
"""Longest time, in seconds, that a process that ends may take to send what it has left."""


@dataclass
class Life:
    """One process from its start to its end, and what it wrote down."""

    journal: Path
    process: ChildProcess
    killed: int = 0
    """Unix nanoseconds, or 0."""
    instance: str = ""
    emitted: dict[int, int] = field(default_factory=dict)
    """Unix nanoseconds by the event's number."""
    dropped: int = 0
    acknowledged: set[str] = field(default_factory=set)

    def read(self) -> None:
        """Read the journal."""
        for line in self.journal.read_text().splitlines():
            what, *words = line.split()
            if what == "instance":
                (self.instance,) = words
            elif what == "emitted":
                self.emitted[int(words[0])] = int(words[1])
            elif what == "dropped":
                del self.emitted[int(words[0])]
                self.dropped += 1
            else:
                self.acknowledged.update(words)


class Applications:
    """Several processes of the application; a fault hits one of them."""

    def __init__(self, work: Path, stack: Stack, env: dict[str, str], seed: int) -> None:
        self._work = work
        self._env = env
        self._chance = random.Random(seed)  # noqa: S311  # must be repeatable
        self._stack = stack
        self.lives: list[Life] = []
        self._running: dict[int, Life] = {}
        self._victim = 0

    def start_all(self) -> None:
        """Start every process."""
        for number in range(PROCESSES):
            self._start(number)

    def _start(self, number: int) -> None:
        journal = self._work / f"journal-{len(self.lives)}"
        life = Life(journal, ChildProcess("the application", self._work / f"application-{number}.log"))
        env = {**self._env, "DATABASES": json.dumps(databases(self._stack, number))}
        command: list[str | Path] = [INSTRUMENT, sys.executable, "-m", "benchmarks.ledger.app", journal]
        life.process.start(command, lambda: journal.exists() and journal.stat().st_size > 0, env=env, cwd=ROOT)
        self.lives.append(life)
        self._running[number] = life

    def start(self) -> None:
        """Start another process in the killed one's place."""
        self._start(self._victim)

    def kill(self) -> None:
        """Kill one process."""
        life = self._choose()
        life.killed = time.time_ns()
        life.process.kill()

    def pause(self) -> None:
        """Pause one process."""
        self._choose().process.pause()

    def resume(self) -> None:
        """Let the paused one go on."""
        self._running[self._victim].process.resume()

    def _choose(self) -> Life:
        self._victim = self._chance.choice(sorted(self._running))
        return self._running[self._victim]

    def stop(self) -> None:
        """End all, which send what they have left."""
        for life in self._running.values():
            life.process.stop(timeout=PATIENCE)


def projects(number: int) -> list[str]:
    """Return the projects of one process."""
    return [f"ledger_{number}_{tenant}" for tenant in range(TENANTS)]


def databases(stack: Stack, number: int) -> dict[str, str]:
    """Return where the databases of one process are."""
    return {project: stack.postgres.dsn(project) for project in projects(number)}


def prepare(stack: Stack, work: Path) -> dict[str, str]:
    """Create the databases and the directory; return the environment of the applications."""
    everybody = [project for number in range(PROCESSES) for project in projects(number)]
    stack.postgres.execute("\n".join(f"CREATE DATABASE {project} STRATEGY file_copy;" for project in everybody))
    rows = [
        {"project_id": project, "plan": PLANS[number % len(PLANS)], "tier": "HOT"}
        for number, project in enumerate(everybody)
    ]
    directory = work / "tenants.json"
    directory.write_text(json.dumps({"tenants": rows}))
    return {
        **os.environ,
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.endpoints.otlp_grpc,
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "OTEL_DYNABASE_DIRECTORY": str(directory),
        "OTEL_DYNABASE_SHUTDOWN_TIMEOUT": str(PATIENCE),
    }
