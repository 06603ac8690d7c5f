"""The Prometheus of the stack: takes metrics over OTLP, scrapes the collector's own, and answers queries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import yaml

from examples.stack import build
from examples.stack.part import Part
from examples.stack.process import ChildProcess, answers_ok, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self


QUERY_TIMEOUT: Final = 30.0
# A counter's first sample gives no increase: Prometheus is told to make a zero sample of the OTLP start time.
FEATURES: Final = "created-timestamp-zero-ingestion,exemplar-storage"


class PrometheusError(RuntimeError):
    """Prometheus refused a query."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series' value at one time."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Measured:
    """An expression's result: the labels of its series; how many series and samples were read for it."""

    series: list[dict[str, str]]
    touched: int
    samples: int


class Prometheus(Part):
    """One Prometheus server on loopback; the port stays the same over restarts.

    `scrape` are `host:port` of the collector's own metrics; `rules` are rule files, `alertmanager` the URL of who gets
    their alerts; `interval` is how often it scrapes and evaluates, in seconds.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        scrape: Sequence[str] = (),
        rules: Sequence[Path] = (),
        alertmanager: str = "",
        interval: int = 5,
    ) -> None:
        self.directory = directory.absolute()
        self.scrape = tuple(scrape)
        self.rules = tuple(rules)
        self.alertmanager = alertmanager
        self.interval = interval
        super().__init__("Prometheus", ChildProcess("Prometheus", self.directory / "prometheus.log"))
        self._connect(f"http://127.0.0.1:{port or free_port()}")

    def _connect(self, url: str) -> None:
        self.url = url.rstrip("/")
        # an idle connection would outlive a killed server
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=self.url, timeout=QUERY_TIMEOUT, limits=limits, trust_env=False)

    @classmethod
    def existing(cls, url: str) -> Self:
        """Return a server that runs already; it must have its OTLP receiver switched on."""
        part = cls(Path())
        part.child = None
        part._connect(url)
        return part

    def is_ready(self) -> bool:
        """Say whether it has read its write-ahead log and serves."""
        if self.child is not None:
            return answers_ok(httpx.URL(self.url).port or 0, "/-/ready")
        try:
            return self._http.get("/-/ready").is_success
        except httpx.HTTPError:
            return False

    def _launch(self, child: ChildProcess) -> None:
        program = build.prometheus().ensure()
        config = self.directory / "prometheus.yaml"
        self.directory.mkdir(parents=True, exist_ok=True)
        config.write_text(yaml.safe_dump(self._configuration()))
        arguments = [
            f"--config.file={config}",
            f"--storage.tsdb.path={self.directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{httpx.URL(self.url).port}",
            "--web.enable-otlp-receiver",
            "--web.enable-lifecycle",
            f"--enable-feature={FEATURES}",
        ]
        child.start([program, *arguments], self.is_ready)

    def _configuration(self) -> dict[str, Any]:
        interval = f"{self.interval}s"
        return {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
            },
            "alerting": {"alertmanagers": [_alertmanager(self.alertmanager)] if self.alertmanager else []},
            "rule_files": [str(rule.absolute()) for rule in self.rules],
            "scrape_configs": [{"job_name": "collector", "static_configs": [{"targets": list(self.scrape)}]}],
            "otlp": {
                "translation_strategy": "UnderscoreEscapingWithSuffixes",
                # nothing of a resource becomes a label but job and instance: a tenant there would get past the folding
                "promote_resource_attributes": [],
            },
            # batches that waited in the collector's queue are older than what came after them
            "storage": {"tsdb": {"out_of_order_time_window": "30m"}, "exemplars": {"max_exemplars": 100_000}},
        }

    def _get(self, path: str, **parameters: str | list[str]) -> Any:
        answer = self._http.get(f"/api/v1/{path}", params=parameters)
        body = answer.json()
        if body["status"] != "success":
            raise PrometheusError(f"{body['errorType']}: {body['error']}")
        return body["data"]

    def query(self, promql: str, *, at: float | None = None) -> list[Sample]:
        """Evaluate an instant query, now or at a time in Unix seconds; a scalar is one sample without labels.

        Raises PrometheusError when the expression is refused.
        """
        parameters: dict[str, str | list[str]] = {"query": promql}
        if at is not None:
            parameters["time"] = str(at)
        data = self._get("query", **parameters)
        if data["resultType"] in {"scalar", "string"}:
            return [Sample({}, float(data["result"][1]))]
        return [Sample(row["metric"], float(row["value"][1])) for row in data["result"]]

    def measured(self, promql: str, *, start: float, end: float, step: float = 0) -> Measured:
        """Evaluate an expression every `step` seconds, or only at the end without, and say what that took.

        Raises PrometheusError when the expression is refused.
        """
        times = {"start": str(start), "end": str(end), "step": str(step)} if step else {"time": str(end)}
        data = self._get("query_range" if step else "query", query=promql, stats="all", **times)
        samples = data["stats"]["samples"]
        scalar = data["resultType"] in {"scalar", "string"}
        series = [{}] if scalar else [row["metric"] for row in data["result"]]
        return Measured(series, samples["seriesTouched"], samples["samplesRead"])

    def series(self, *selectors: str) -> list[dict[str, str]]:
        """Return the labels of every series that one of the selectors matches."""
        found: list[dict[str, str]] = self._get("series", **{"match[]": list(selectors)})
        return found

    def exemplars(self, promql: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return the exemplars of an expression's series between two times in Unix seconds."""
        found: list[dict[str, Any]] = self._get("query_exemplars", query=promql, start=str(start), end=str(end))
        return found

    def reload(self) -> None:
        """Read configuration and rule files again; raises PrometheusError when they are wrong."""
        answer = self._http.post("/-/reload")
        if not answer.is_success:
            raise PrometheusError(answer.text.strip())


def _alertmanager(url: str) -> dict[str, Any]:
    """Return an Alertmanager's address as Prometheus' configuration has it."""
    at = httpx.URL(url)
    targets = [at.netloc.decode()]
    return {"scheme": at.scheme, "path_prefix": at.path, "static_configs": [{"targets": targets}]}
