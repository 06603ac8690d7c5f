"""The demo's service as a process: `examples.app` under `opentelemetry-instrument`, sending to a collector."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples import tenants
from examples.stack.process import ChildProcess, StartError, answers_ok, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

ROOT: Final = Path(__file__).resolve().parents[1]
NAME: Final = "orders"
EXPORT_INTERVAL_MS: Final = 2000
EVENT_DELAY_MS: Final = 500


class Service:
    """The running service; a context manager. Leaving it lets the service send its last telemetry before it ends.

    `dsns` says where each project's database is; `instance` becomes its `service.instance.id`, by which the stores tell
    this run from every other.
    """

    def __init__(self, directory: Path, otlp: str, dsns: Mapping[str, str]) -> None:
        self.instance = str(uuid.uuid4())
        self._directory = directory
        self._otlp = otlp
        self._dsns = dsns
        self._port = free_port()
        self._child = ChildProcess("the service", directory / "service.log")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        databases = self._directory / "databases.json"
        tenants.write_secrets(databases, self._dsns)
        server = ["uvicorn", "examples.app:app", "--port", str(self._port), "--log-level", "warning"]
        command = [_instrument(), sys.executable, "-m", *server, "--timeout-graceful-shutdown", "10"]
        self._child.start(
            command,
            lambda: answers_ok(self._port, "/health"),
            env=self._environment(databases),
            cwd=ROOT,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.stop()

    def log_tail(self) -> str:
        """Return the last lines that the service has logged."""
        return self._child.log_tail()

    def _environment(self, databases: Path) -> dict[str, str]:
        """Return this process's environment, with OpenTelemetry set up for the demo and nothing else."""
        return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {
            "TENANTS": str(tenants.DIRECTORY),
            "DATABASES": str(databases),
            "OTEL_DYNABASE_DIRECTORY": str(tenants.DIRECTORY),
            "OTEL_DYNABASE_FLUSH_ON_SIGTERM": "true",  # uvicorn ends itself by that signal
            "OTEL_SERVICE_NAME": NAME,
            "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={self.instance}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._otlp,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_METRIC_EXPORT_INTERVAL": str(EXPORT_INTERVAL_MS),
            "OTEL_BLRP_SCHEDULE_DELAY": str(EVENT_DELAY_MS),
        }


def _instrument() -> str:
    """Return the `opentelemetry-instrument` that belongs to this Python; raises StartError without one."""
    here = str(Path(sys.executable).parent)
    found = shutil.which("opentelemetry-instrument", path=os.pathsep.join((here, os.environ.get("PATH", os.defpath))))
    if found is None:
        raise StartError("opentelemetry-instrument is missing: pip install -e '.[asyncpg]'")
    return found
