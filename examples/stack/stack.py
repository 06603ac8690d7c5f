"""The whole stack: PostgreSQL, ClickHouse, Alertmanager, Prometheus and the collector, in one directory."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples.stack import build
from examples.stack.alertmanager import Alertmanager
from examples.stack.clickhouse import ClickHouse
from examples.stack.collector import CONFIG, Collector, CollectorPorts, remembered_token
from examples.stack.postgres import Postgres
from examples.stack.process import free_port, is_free
from examples.stack.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from examples.stack.part import Part

RULES: Final = Path(__file__).resolve().parents[2] / "collector/prometheus"
PREFIX: Final = "OTEL_DYNABASE_STACK_"
EXISTING: Final = {
    f"{PREFIX}POSTGRES": "postgresql://user:password@host:5432/postgres, a superuser",
    f"{PREFIX}CLICKHOUSE": "http://user:password@host:8123",
    f"{PREFIX}PROMETHEUS": "http://host:9090, with its OTLP receiver switched on",
    f"{PREFIX}ALERTMANAGER": "http://host:9093",
    f"{PREFIX}COLLECTOR": "http://host:4317,http://host:13133: OTLP over gRPC, and the health check",
}
"""Environment variables that put a server of your own in a part's place."""


def needed(environ: Mapping[str, str]) -> list[build.Program]:
    """Return the programs that a stack must have built, which are fewer where servers exist already."""
    programs = {
        "COLLECTOR": build.collector(),
        "PROMETHEUS": build.prometheus(),
        "ALERTMANAGER": build.alertmanager(),
    }
    return [program for name, program in programs.items() if not environ.get(PREFIX + name)]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where everything is: URLs, and a DSN of PostgreSQL.

    `otlp_headers` is what OTEL_EXPORTER_OTLP_HEADERS must be, with the token; empty where none is asked for.
    `notifications` is where what Alertmanager tells can be read; empty where Alertmanager is not the stack's own.
    """

    postgres: str
    clickhouse: str
    prometheus: str
    otlp_grpc: str
    otlp_http: str
    collector_health: str
    collector_metrics: str
    otlp_headers: str
    alertmanager: str
    notifications: str

    def to_json(self) -> str:
        """Return a JSON object with the same names."""
        return json.dumps(asdict(self))

    def environment(self) -> dict[str, str]:
        """Return variables: where SDKs send to, where the servers are, and where `otel-dynabase` asks."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp_grpc,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_HEADERS": self.otlp_headers,
            "POSTGRES": self.postgres,
            "CLICKHOUSE": self.clickhouse,
            "PROMETHEUS": self.prometheus,
            "ALERTMANAGER": self.alertmanager,
            "OTEL_DYNABASE_CLICKHOUSE_URL": self.clickhouse,
            "OTEL_DYNABASE_PROMETHEUS_URL": self.prometheus,
            "OTEL_DYNABASE_COLLECTOR_HEALTH_URL": self.collector_health,
            "OTEL_DYNABASE_COLLECTOR_METRICS_URL": self.collector_metrics,
        }


@dataclass(frozen=True, slots=True)
class Ports:
    """A loopback port for everything that listens."""

    postgres: int
    clickhouse: int
    prometheus: int
    grpc: int
    http: int
    health: int
    metrics: int
    alertmanager: int
    notifications: int

    @classmethod
    def free(cls) -> Self:
        """Return ports that nothing listens on, each different."""
        chosen: set[int] = set()
        while len(chosen) < len(cls.__slots__):
            chosen.add(free_port())
        return cls(*chosen)

    @classmethod
    def remembered(cls, file: Path) -> Self:
        """Return the ports that this file names, if all are free now; otherwise choose, and write them there."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            ports = cls(**json.loads(file.read_text()))
            if all(map(is_free, asdict(ports).values())):
                return ports
        ports = cls.free()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(ports)))
        return ports


class Stack:
    """All parts, connected; a context manager that starts and stops them.

    Directories, ports and the token stay the same over a restart, of a part or of the whole. Without `authenticate` the
    collector asks for no token; `collector` sets variables of `otelcol-config.yaml`, and `configs` are merged over it.
    A part that the environment replaces (`EXISTING`) is used but neither started nor stopped. Each part may be started,
    stopped, killed, paused and resumed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ports: Ports | None = None,
        authenticate: bool = False,
        collector: Mapping[str, str] | None = None,
        configs: Sequence[Path] = (),
        environ: Mapping[str, str] = os.environ,
        on_ready: Callable[[str, float], None] = lambda _name, _seconds: None,
    ) -> None:
        self.directory = directory.absolute()
        self.ports = ports or Ports.remembered(self.directory / "ports.json")
        self._authenticate = authenticate
        self._environ = environ
        self._on_ready = on_ready
        self.postgres = self._postgres()
        self.clickhouse = self._clickhouse()
        self.alertmanager = self._alertmanager()
        self.prometheus = self._prometheus()
        self.collector = self._collector(collector or {}, configs)

    def _existing(self, name: str) -> str:
        return self._environ.get(PREFIX + name, "")

    def _postgres(self) -> Postgres:
        if dsn := self._existing("POSTGRES"):
            return Postgres.existing(dsn)
        return Postgres(self.directory / "postgres", port=self.ports.postgres)

    def _clickhouse(self) -> ClickHouse:
        if url := self._existing("CLICKHOUSE"):
            return ClickHouse.existing(url)
        return ClickHouse(self.directory / "clickhouse", port=self.ports.clickhouse)

    def _alertmanager(self) -> Alertmanager:
        if url := self._existing("ALERTMANAGER"):
            return Alertmanager.existing(url)
        ports, directory = self.ports, self.directory / "alertmanager"
        return Alertmanager(directory, port=ports.alertmanager, notifications_port=ports.notifications)

    def _prometheus(self) -> Prometheus:
        if url := self._existing("PROMETHEUS"):
            return Prometheus.existing(url)
        scrape = [] if self._existing("COLLECTOR") else [f"127.0.0.1:{self.ports.metrics}"]
        return Prometheus(
            self.directory / "prometheus",
            port=self.ports.prometheus,
            scrape=scrape,
            rules=sorted(RULES.glob("*.yml")),
            alertmanager=self.alertmanager.url,
        )

    def _collector(self, settings: Mapping[str, str], configs: Sequence[Path]) -> Collector:
        if value := self._existing("COLLECTOR"):
            grpc, _, health = value.partition(",")
            if not health:
                raise ValueError(f"{PREFIX}COLLECTOR must be {EXISTING[PREFIX + 'COLLECTOR']}; it is {value!r}")
            return Collector.existing(grpc, health)
        ports, directory = self.ports, self.directory / "collector"
        return Collector(
            directory,
            token=remembered_token(directory) if self._authenticate else "",
            clickhouse=self.clickhouse.url,
            prometheus=self.prometheus.url,
            ports=CollectorPorts(ports.grpc, ports.http, ports.health, ports.metrics),
            config=(CONFIG, *configs),
            env=settings,
        )

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, in the order of starting: whoever sends comes after those that it sends to."""
        return (self.postgres, self.clickhouse, self.alertmanager, self.prometheus, self.collector)

    @property
    def endpoints(self) -> Endpoints:
        """Where everything is; PostgreSQL must have been started once, since its password is made then."""
        return Endpoints(
            postgres=self.postgres.dsn(),
            clickhouse=self.clickhouse.url,
            prometheus=self.prometheus.url,
            otlp_grpc=self.collector.otlp_grpc,
            otlp_http=self.collector.otlp_http,
            collector_health=self.collector.health,
            collector_metrics=self.collector.metrics_url,
            otlp_headers=self.collector.otlp_headers,
            alertmanager=self.alertmanager.url,
            notifications=self.alertmanager.notifications.url if self.alertmanager.notifications else "",
        )

    def start(self) -> None:
        """Start all parts and create ClickHouse's tables; if one fails, stop the others and raise its StartError."""
        try:
            for part in self.parts:
                began = time.monotonic()
                part.start()
                if part is self.clickhouse:
                    self.clickhouse.apply()
                self._on_ready(part.name, time.monotonic() - began)
        except BaseException:  # Ctrl-C too must leave nothing behind
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all parts, the collector first: it delivers what it holds while the stores still run."""
        for part in reversed(self.parts):
            part.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
