"""The demo's processes: the service and the control plane under `opentelemetry-instrument`, and the observer."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples.stack.process import ChildProcess, StartError, answers_ok, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from examples.stack.stack import Endpoints

ROOT: Final = Path(__file__).resolve().parents[1]
EXPORT_INTERVAL_MS: Final = 2000
EVENT_DELAY_MS: Final = 500
DIRECTORY_INTERVAL: Final = "1"
"""Seconds between two looks at the directory: so often only because a demo has no time."""


RUN: Final = f"run-{uuid.uuid4().hex[:8]}"
"""The `service.namespace` of all that this process starts, by which the stores tell this run from every other."""


class Service:
    """One running process; a context manager. Leaving it lets the process send its last telemetry before it ends.

    `instance` becomes its `service.instance.id`.
    """

    def __init__(self, name: str, directory: Path, endpoints: Endpoints, environment: Mapping[str, str]) -> None:
        self.name = name
        self.instance = str(uuid.uuid4())
        self._endpoints = endpoints
        self._own = environment
        self._port = free_port()
        self._child = ChildProcess(f"the {name}", directory / f"{name}.log")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def command(self) -> Sequence[str | Path]:
        """Return what to run."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        command = self.command()
        self._child.start(command, lambda: answers_ok(self._port, "/health"), env=self._environment(), cwd=ROOT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()

    def log_tail(self) -> str:
        """Return the last lines that it has logged."""
        return self._child.log_tail()

    def _environment(self) -> dict[str, str]:
        """Return this process's environment, with OpenTelemetry set up for the demo and nothing else."""
        return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {
            "OTEL_DYNABASE_DIRECTORY_INTERVAL": DIRECTORY_INTERVAL,
            "OTEL_SERVICE_NAME": self.name,
            "OTEL_RESOURCE_ATTRIBUTES": f"service.namespace={RUN},service.instance.id={self.instance}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._endpoints.otlp_grpc,
            "OTEL_EXPORTER_OTLP_HEADERS": self._endpoints.otlp_headers,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_METRIC_EXPORT_INTERVAL": str(EXPORT_INTERVAL_MS),
            "OTEL_BLRP_SCHEDULE_DELAY": str(EVENT_DELAY_MS),
            **self._own,
        }


class WebService(Service):
    """An ASGI application, `module:name`, under `opentelemetry-instrument`: its code is not changed."""

    def __init__(
        self, name: str, application: str, directory: Path, endpoints: Endpoints, environment: Mapping[str, str]
    ) -> None:
        # uvicorn ends itself by SIGTERM
        super().__init__(name, directory, endpoints, {"OTEL_DYNABASE_FLUSH_ON_SIGTERM": "true", **environment})
        self._application = application

    def command(self) -> Sequence[str | Path]:
        """Return what to run."""
        server = ["uvicorn", self._application, "--port", str(self._port), "--log-level", "warning"]
        program = installed("opentelemetry-instrument")
        return [program, sys.executable, "-m", *server, "--timeout-graceful-shutdown", "10"]


class Observer(Service):
    """`otel-dynabase observe`."""

    def command(self) -> Sequence[str | Path]:
        """Return what to run."""
        return [installed("otel-dynabase"), "observe"]

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"OTEL_DYNABASE_OBSERVE_HEALTH": f"127.0.0.1:{self._port}"}


def installed(program: str) -> str:
    """Return the path of a program that belongs to this Python; raises StartError without one."""
    here = str(Path(sys.executable).parent)
    found = shutil.which(program, path=os.pathsep.join((here, os.environ.get("PATH", os.defpath))))
    if found is None:
        raise StartError(f"{program} is missing: pip install -e '.[all]'")
    return found
