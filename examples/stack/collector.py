"""The collector of the stack: our build with the configuration that users deploy, `otelcol-config.yaml`."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from examples.stack import build
from examples.stack.part import Part
from examples.stack.process import ROOT, ChildProcess, answers_ok, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

CONFIG: Final = ROOT / "otelcol-config.yaml"
NO_TOKEN: Final = ROOT / "collector" / "no-token.yaml"
SAMPLE: Final = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
TIMEOUT: Final = 10.0
INTERVAL: Final = "500ms"
"""How often tenants' series are sent: so often only because a demo has no time."""
TOKENS: Final = "tokens"
"""The file of tokens in a collector's directory."""


@dataclass(frozen=True, slots=True)
class CollectorPorts:
    """Where the collector listens on loopback."""

    grpc: int
    http: int
    health: int
    metrics: int

    @classmethod
    def free(cls) -> Self:
        """Return ports that nothing listens on."""
        return cls(free_port(), free_port(), free_port(), free_port())


class Collector(Part):
    """One collector with a queue directory of its own.

    It accepts what comes with the `token`, or, without one, from everybody on the machine. `env` is added to its
    environment: the variables that `otelcol-config.yaml` explains. `config` may name further files, which are merged
    over the first.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clickhouse: str,
        prometheus: str,
        ports: CollectorPorts | None = None,
        token: str = "",
        config: Sequence[Path] = (CONFIG,),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.ports = ports or CollectorPorts.free()
        self.token = token
        self.tokens = self.directory / TOKENS
        self.config = (*config, *([] if token else [NO_TOKEN]))
        self.env = {**self._environment(clickhouse, prometheus), **(env or {})}
        super().__init__("collector", ChildProcess("the collector", self.directory / "collector.log"))
        self.otlp_grpc = f"http://127.0.0.1:{self.ports.grpc}"
        self.otlp_http = f"http://127.0.0.1:{self.ports.http}"
        self.otlp_headers = f"authorization=Bearer%20{token}" if token else ""
        self.health = f"http://127.0.0.1:{self.ports.health}"
        self.metrics_url = f"http://127.0.0.1:{self.ports.metrics}/metrics"

    @classmethod
    def existing(cls, otlp_grpc: str, health: str) -> Self:
        """Return a collector that runs already: its OTLP/gRPC endpoint and its health check's URL.

        OTLP over HTTP and its own metrics are expected on the same host's default ports, and its token, if it asks for
        one, in OTEL_EXPORTER_OTLP_HEADERS, as SDKs take it.
        """
        part = cls(Path(), clickhouse="", prometheus="", ports=CollectorPorts(4317, 4318, 13133, 8888))
        part.child = None
        host = httpx.URL(otlp_grpc).host
        part.otlp_grpc, part.health = otlp_grpc, health
        part.otlp_headers = os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
        part.otlp_http, part.metrics_url = f"http://{host}:4318", f"http://{host}:8888/metrics"
        return part

    def is_ready(self) -> bool:
        """Say whether the health check is content: every component has started."""
        if self.child is not None:
            return answers_ok(self.ports.health, "/")
        try:
            return httpx.get(self.health, timeout=TIMEOUT, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _launch(self, child: ChildProcess) -> None:
        program = build.collector().ensure()
        if self.token:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.tokens.touch(mode=0o600)
            self.tokens.write_text(f"{self.token}\n")
        config = [f"--config={file}" for file in self.config]
        child.start([program, *config], self.is_ready, env={**os.environ, **self.env})

    def _environment(self, clickhouse: str, prometheus: str) -> dict[str, str]:
        """Return the variables of `otelcol-config.yaml` for this collector's ports and these stores."""
        store = httpx.URL(clickhouse)
        return {
            "OTELCOL_TOKENS_FILE": str(self.tokens),
            "OTELCOL_OTLP_GRPC_ENDPOINT": f"127.0.0.1:{self.ports.grpc}",
            "OTELCOL_OTLP_HTTP_ENDPOINT": f"127.0.0.1:{self.ports.http}",
            "OTELCOL_HEALTH_ENDPOINT": f"127.0.0.1:{self.ports.health}",
            "OTELCOL_METRICS_PORT": str(self.ports.metrics),
            "OTELCOL_INTERVAL": INTERVAL,
            "OTELCOL_QUEUE_DIRECTORY": str(self.directory / "queue"),
            "OTELCOL_PROMETHEUS_OTLP_URL": f"{prometheus}/api/v1/otlp",
            "OTELCOL_CLICKHOUSE_URL": str(store.copy_with(username=None, password=None)),
            "OTELCOL_CLICKHOUSE_USER": store.username or "default",
            "OTELCOL_CLICKHOUSE_PASSWORD": store.password,
        }

    def metrics(self, name: str) -> dict[str, float]:
        """Return the samples of one of the collector's own metrics, by their labels as Prometheus writes them.

        A counter that has not counted yet is absent, so the result may be empty.
        """
        text = httpx.get(self.metrics_url, timeout=TIMEOUT, trust_env=False).raise_for_status().text
        samples = (SAMPLE.fullmatch(line) for line in text.splitlines())
        return {found["labels"] or "": float(found["value"]) for found in samples if found and found["name"] == name}


def remembered_token(directory: Path) -> str:
    """Return the token of the collector in this directory, or a new one if it has never run."""
    try:
        return (directory / TOKENS).read_text().split()[0]
    except (OSError, IndexError):
        return secrets.token_urlsafe()
