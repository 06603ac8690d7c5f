"""Prometheus: whether it answers, takes OTLP and late samples, sees first increments, has the rules, got the point."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import yaml

from otel_dynabase.catalog.kinds import Recorded
from otel_dynabase.catalog.metrics import METRICS, SELF_MARKER
from otel_dynabase.doctor.check import Check, Unknown, Wrong
from otel_dynabase.doctor.clickhouse import ARRIVES, POLL, SKEW
from otel_dynabase.doctor.http import Refused, get_json
from otel_dynabase.doctor.marker import SERVICE
from otel_dynabase.doctor.settings import OFF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_dynabase.doctor.marker import Marker
    from otel_dynabase.doctor.settings import DoctorConfig

PART: Final = "Prometheus"
FEATURE: Final = "created-timestamp-zero-ingestion"
RULES: Final = frozenset(metric.prometheus for metric in METRICS if isinstance(metric, Recorded))
UNREACHABLE: Final = "is it running? set OTEL_DYNABASE_PROMETHEUS_URL, or off"


class Prometheus:
    """Prometheus' checks; a store that speaks only its query language leaves the others unsaid."""

    def __init__(self, config: DoctorConfig, marker: Marker) -> None:
        self._url = config.prometheus_url
        self._timeout = config.doctor_timeout
        self._marker = marker
        self._answers = False

    def checks(self) -> Iterator[Check]:
        """Return what is looked at."""
        patience = self._timeout * 1.5
        yield Check(PART, "answers", self.answers, patience)
        yield Check(PART, "takes OTLP", self.receiver, patience)
        yield Check(PART, "first increments", self.zeros, patience)
        yield Check(PART, "late samples", self.late, patience)
        yield Check(PART, "rules", self.rules, patience)
        yield Check(PART, "point arrived", self.arrived, ARRIVES + patience)

    def _api(self, path: str, **parameters: str) -> Any:
        """Ask its API. Raises Unknown where it has no such thing, as stores that only take its queries."""
        if self._url == OFF:
            raise Unknown("switched off")
        if path != "query" and not self._answers:
            raise Unknown("not asked: Prometheus does not answer")
        try:
            body = get_json(f"{self._url}/api/v1/{path}", self._timeout, UNREACHABLE, **parameters)
        except Refused as refused:
            if refused.status == 404:  # noqa: PLR2004  # HTTP
                raise Unknown("it has no such interface: it is no Prometheus, see its own documentation") from None
            raise Wrong(str(refused), "see its log, or what is in front of it") from None
        if body.get("status") != "success":
            raise Wrong(str(body.get("error")), "see its log")
        return body["data"]

    def answers(self) -> str:
        """Have something computed, and compare the clocks."""
        before = time.time()
        clock = float(self._api("query", query="time()")["result"][1])
        skew = clock - (before + time.time()) / 2
        self._answers = True
        if abs(skew) > SKEW:
            raise Wrong(f"its clock is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}", "keep both by NTP")
        return "it computes, its clock agrees"

    def receiver(self) -> str:
        """See that its OTLP receiver is on."""
        if self._api("status/flags").get("web.enable-otlp-receiver") != "true":
            raise Wrong("its OTLP receiver is off", "start it with --web.enable-otlp-receiver")
        return "its OTLP receiver is on"

    def zeros(self) -> str:
        """See that a counter's first value is an increase."""
        if FEATURE not in self._api("status/flags").get("enable-feature", "").split(","):
            raise Wrong("the first increment of every counter is missed", f"start it with --enable-feature={FEATURE}")
        return f"{FEATURE} is on"

    def late(self) -> str:
        """See that what waited in the collector's queue is taken."""
        config = yaml.safe_load(self._api("status/config")["yaml"]) or {}
        window = ((config.get("storage") or {}).get("tsdb") or {}).get("out_of_order_time_window")
        if not window or str(window) in {"0s", "0"}:
            raise Wrong(
                "samples that waited in the collector's queue are refused",
                "set storage.tsdb.out_of_order_time_window: 30m in its configuration",
            )
        return f"samples may be {window} late"

    def rules(self) -> str:
        """See that the rules of the objectives are loaded, and work."""
        groups = self._api("rules")["groups"]
        found = {rule["name"]: rule for group in groups for rule in group["rules"]}
        if missing := sorted(RULES - found.keys()):
            raise Wrong(f"not loaded: {', '.join(missing)}", "add collector/prometheus/*.yml to its rule_files")
        for name, rule in sorted(found.items()):
            if rule.get("health") == "err":
                raise Wrong(f"the rule {name} fails: {rule.get('lastError')}", "see collector/prometheus")
        return f"{len(RULES)} objectives are recorded"

    def arrived(self) -> str:
        """Look for the marker's point until it is there, and for the zero in front of it."""
        if "metrics" not in self._marker.sent:
            raise Unknown("not looked for: no point was taken by the collector")
        if not self._answers:
            raise Unknown("not asked: Prometheus does not answer")
        deadline = time.monotonic() + ARRIVES
        while self._marker.value not in (values := self._values()):
            if time.monotonic() > deadline:
                advice = (
                    "see the collector's log for its exporter otlp_http/prometheus, and OTELCOL_PROMETHEUS_OTLP_URL"
                )
                raise Wrong(f"the point has not arrived within {ARRIVES:g} s", advice)
            time.sleep(POLL)
        if values[max(values.index(self._marker.value) - 1, 0)] != 0:
            raise Wrong("the point is stored without a zero before it", f"start it with --enable-feature={FEATURE}")
        return "the point is stored, and a zero before it"

    def _values(self) -> list[float]:
        """Return the last samples of the marker's series, in order."""
        labels = f'job="{SERVICE}",instance="{self._marker.instance}"'
        found = self._api("query", query=f"{SELF_MARKER.prometheus}{{{labels}}}[5m]")["result"]
        return [float(value) for series in found for _, value in series["values"]]
