"""An application beside the test, and what the stores say of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.stack.clickhouse import ClickHouse
    from examples.stack.postgres import Postgres
    from examples.stack.prometheus import Prometheus
    from examples.stack.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")


@dataclass(frozen=True, slots=True)
class AfterSignals:
    """What `examples.signals` has printed, and the stores with all that it left there; its processes have ended.

    `environment` is that of a shell that asks them.
    """

    done: subprocess.CompletedProcess[str]
    postgres: Postgres
    clickhouse: ClickHouse
    prometheus: Prometheus
    environment: dict[str, str]


def eventually(look: Callable[[], Any], wanted: Callable[[Any], bool], within: float = 60.0) -> Any:
    """Look until what is seen is wanted; return the last look either way, for the caller to assert on."""
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if wanted(seen) or time.monotonic() >= deadline:
            return seen
        time.sleep(0.5)


class App:
    """An instrumented application in a process of its own."""

    def __init__(
        self, stack: Stack, name: str, directory: Path, what: str, targets: dict[str, str], **env: str
    ) -> None:
        self.name = name
        self.log = directory.parent / f"{name}.log"
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OTEL_SERVICE_NAME": name,
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.endpoints.otlp_grpc,
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "OTEL_BLRP_SCHEDULE_DELAY": "500",
            "OTEL_DYNABASE_DIRECTORY": str(directory),
            "OTEL_DYNABASE_EVENT_WINDOW": "0.2",
            "OTEL_DYNABASE_SHUTDOWN_TIMEOUT": "20",
            **env,
        }
        command = [str(INSTRUMENT), sys.executable, "-m", "tests.end_to_end.tenants_app", what, json.dumps(targets)]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
            )

    def said(self) -> dict[str, Any]:
        """Wait for the application's next word."""
        line = self._process.stdout.readline()
        assert line, self.log.read_text()
        return json.loads(line)

    def go_on(self) -> None:
        self._process.stdin.write("go on\n")
        self._process.stdin.flush()

    def ended(self) -> str:
        """Wait for a good end; return what was logged."""
        assert self._process.wait(60) == 0, self.log.read_text()
        return self.log.read_text()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def by(stack: Stack, promql: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Ask Prometheus, and return the values by these labels."""
    samples = stack.prometheus.query(promql)
    return {tuple(sample.labels.get(label, "") for label in labels): sample.value for sample in samples}
