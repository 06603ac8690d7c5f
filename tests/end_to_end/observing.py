"""An observer beside the test: started, killed, asked how it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from examples.stack.process import free_port
from tests.end_to_end.running import ROOT, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from examples.stack.stack import Stack


class Observing:
    """`otel-dynabase observe`, again and again under one name; what it says is added to one file."""

    def __init__(self, stack: Stack, name: str, folder: Path, **env: str) -> None:
        self.log = folder / f"{name}-{free_port()}.log"
        self._port = free_port()
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OTEL_SERVICE_NAME": name,
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.endpoints.otlp_grpc,
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
            "OTEL_BLRP_SCHEDULE_DELAY": "200",
            "OTEL_DYNABASE_SHUTDOWN_TIMEOUT": "20",
            "OTEL_DYNABASE_OBSERVE_INTERVAL": "0.1",
            "OTEL_DYNABASE_OBSERVE_HEALTH": f"127.0.0.1:{self._port}",
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "otel_dynabase.cli", "observe"]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(command, env=self._environment, stderr=log, cwd=ROOT)

    def health(self) -> tuple[int, dict[str, Any]]:
        """Ask how it is: the HTTP status and what it says; 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=2) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def becomes(self, role: str) -> None:
        """Wait until it is well in a role."""
        seen = eventually(self.health, lambda seen: seen[0] == 200 and seen[1]["role"] == role, 20)
        assert (seen[0], seen[1].get("role")) == (200, role), (seen, self.log.read_text())

    def kill(self) -> None:
        self._process.kill()
        assert self._process.wait(10) == -signal.SIGKILL, self.log.read_text()

    def end(self) -> str:
        """Tell it to end, and wait for a good end; return what was logged."""
        self._process.terminate()
        assert self._process.wait(60) == 0, self.log.read_text()
        return self.log.read_text()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
