"""A site: the whole chain, and for each plan a database server and an application, which a fault can hit."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples.stack.postgres import Postgres
from examples.stack.process import ROOT, ChildProcess
from examples.stack.stack import Stack
from otel_dynabase.catalog.plans import PLAN_TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from otel_dynabase.catalog.plans import Plan

TENANTS: Final = 4
"""Of each plan."""
RATE: Final = 10.0
"""Statements of each plan a second."""
INTERVAL: Final = "10s"
"""How often the collector sends series to Prometheus: its default, which the stack makes shorter."""
EXPORT: Final = "10000"
"""Milliseconds between two exports of an application: as README recommends."""
SLEEPER: Final = "sleeper"
"""An enterprise tenant that nobody has asked for."""
INSTRUMENT: Final = Path(sys.executable).with_name("opentelemetry-instrument")


class Service:
    """One plan: its tenants' databases, and the application that asks them."""

    def __init__(self, plan: Plan, work: Path, stack: Stack, env: Mapping[str, str]) -> None:
        self.plan = plan
        self.stack = stack
        self.projects = [f"{plan.name}_{number}" for number in range(TENANTS)]
        self.server = Postgres(work / plan.name)
        self._ready = work / f"{plan.name}-ready"
        self._application = ChildProcess("the application", work / f"{plan.name}.log")
        self._env = env

    def prepare(self) -> None:
        """Start the server, with a table that says how slow statements are and how many of them."""
        self.server.start()
        for project in self.projects:
            self.server.execute(f"CREATE DATABASE {project} STRATEGY file_copy")
            self.server.execute("CREATE TABLE pace AS SELECT 0::float8 AS seconds, 0::float8 AS share", project)

    def start(self) -> None:
        """Start the application; return when it sends statements."""
        self._ready.unlink(missing_ok=True)
        env = {**self._env, "DATABASES": json.dumps({name: self.server.dsn(name) for name in self.projects})}
        command: list[str | Path] = [
            INSTRUMENT,
            sys.executable,
            "-m",
            "benchmarks.detection.app",
            self._ready,
            str(RATE),
        ]
        command += [str(self.plan.connection_timeout)]
        if self.plan.cold_start_p95 is None:
            command += [self.stack.postgres.dsn(SLEEPER)]
        self._application.start(command, self._ready.exists, env=env, cwd=ROOT)

    def stop(self) -> None:
        """End the application and the server."""
        self._application.kill()
        self.server.kill()

    def kill(self) -> None:
        """End the application by SIGKILL."""
        self._application.kill()

    def slow_down(self, seconds: float, share: float) -> None:
        """Make a share of the statements take so many seconds."""
        change = f"UPDATE pace SET seconds = {seconds}, share = {share}"  # noqa: S608  # two numbers
        for project in self.projects:
            self.server.execute(change, project)

    def wake(self) -> None:
        """Let the application ask for the tenant that is asleep, whose compute comes up then."""
        if self._application.pid is not None:
            os.kill(self._application.pid, signal.SIGUSR1)
        self.stack.postgres.start()


class Site:
    """One stack with a service for each plan; a context manager. `clickhouse` is a server that runs already."""

    def __init__(self, work: Path, clickhouse: str = "") -> None:
        environ = {"OTEL_DYNABASE_STACK_CLICKHOUSE": clickhouse} if clickhouse else {}
        self.stack = Stack(work / "stack", environ=environ, collector={"OTELCOL_INTERVAL": INTERVAL})
        env = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.stack.ports.grpc}",
            "OTEL_METRIC_EXPORT_INTERVAL": EXPORT,
            "OTEL_DYNABASE_DIRECTORY": str(work / "tenants.json"),
        }
        self.services = {
            plan.name: Service(plan, work, self.stack, env | {"OTEL_SERVICE_NAME": plan.name}) for plan in PLAN_TABLE
        }
        self._work = work
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as running:
            running.enter_context(self.stack)
            self.stack.postgres.execute(f"CREATE DATABASE {SLEEPER}")
            self.stack.postgres.stop()
            everybody = [(name, plan) for plan, service in self.services.items() for name in service.projects]
            rows = [
                {"project_id": project, "plan": plan, "tier": "HOT"}
                for project, plan in [*everybody, (SLEEPER, "enterprise")]
            ]
            (self._work / "tenants.json").write_text(json.dumps({"tenants": rows}))
            for service in self.services.values():
                running.callback(service.stop)
                service.prepare()
                service.start()
            self._running = running.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._running.close()
