"""The collector: whether it is up, takes what is sent, refuses who has no token, and loses nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_dynabase.doctor.check import Check, Unknown, Wrong
from otel_dynabase.doctor.http import Refused, get
from otel_dynabase.doctor.marker import HEADERS, MODULES, Marker, endpoint, protocol, without_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_dynabase.doctor.settings import DoctorConfig

PART: Final = "collector"
HEALTH_PORT, METRICS_PORT = 13133, 8888
DENIED: Final = ("UNAUTHENTICATED", "Unauthenticated", "401")
SAMPLE: Final = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
STATUS: Final = re.compile(r"StatusCode\.([A-Z_]+)")
BECAUSE: Final = re.compile(r"(Connection refused|[Nn]ame or service not known|[Tt]imed out|CERTIFICATE_VERIFY_FAILED)")
LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
LOST: Final = re.compile(
    r"otelcol_exporter_send_failed_.*"
    r"|otelcol_processor_tenant_cardinality_(points.*outcome=\"refused\"|events.*outcome=\"dropped\").*"
)
"""What is gone for good, since the collector started."""
REFUSED: Final = re.compile(
    r"otelcol_(receiver_(refused|failed)|exporter_enqueue_failed|processor_memory_limiter_refused"
    r"|processor_tenant_cardinality_failed_(sends|checkpoints))_?\w*"
)
"""What somebody else has kept and tries again; wrong while it goes on."""
STRANGE: Final = "otelcol_processor_filter_datapoints_filtered"
"""Points of metrics that are not in the catalogue: left out as configured, which whoever sends them may not know."""
FULL: Final = 0.5
"""Share of its capacity that a queue is not filled to where the store behind it keeps up."""

Samples = list[tuple[str, str, float]]
"""Name, labels as they are written, value."""


class Collector:
    """The collector's checks; they share one first look at its own metrics, to tell what goes on from what was."""

    def __init__(self, config: DoctorConfig, environ: Mapping[str, str], marker: Marker) -> None:
        self._timeout = config.doctor_timeout
        self._environ = environ
        self._marker = marker
        host, _ = host_and_port(endpoint("logs", environ))
        self._health = config.collector_health_url or f"http://{host}:{HEALTH_PORT}"
        self._metrics = config.collector_metrics_url or f"http://{host}:{METRICS_PORT}/metrics"
        self._before: Samples = []

    def checks(self) -> Iterator[Check]:
        """Return what is looked at before the stores are."""
        patience = self._timeout * 1.5  # the transport's own time runs out first, and says more
        yield Check(PART, "health", self.health, patience)
        yield Check(PART, "events by OTLP", lambda: self.sent("logs"), patience)
        yield Check(PART, "metrics by OTLP", lambda: self.sent("metrics"), patience)
        yield Check(PART, "authentication", self.authentication, patience)

    def last(self) -> Check:
        """Return what is looked at when the stores had their time."""
        return Check(PART, "losses and queues", self.losses, self._timeout * 1.5)

    def health(self) -> str:
        """Ask the health check."""
        self._before = self._own_metrics()
        try:
            get(self._health, self._timeout, "is it running? set OTEL_DYNABASE_COLLECTOR_HEALTH_URL, or off")
        except Refused as refused:
            raise Wrong(f"it is not ready: {refused}", "see the collector's log") from None
        return "it is up"

    def _own_metrics(self) -> Samples:
        try:
            return samples(get(self._metrics, self._timeout, ""))
        except (Refused, Unknown, Wrong):
            return []

    def sent(self, signal: str) -> str:
        """Send the marker as an application in this environment sends."""
        where, how = shown(endpoint(signal, self._environ)), protocol(signal, self._environ)
        if how not in MODULES:
            raise Wrong(f"there is no protocol {how!r}", f"set OTEL_EXPORTER_OTLP_PROTOCOL to {' or '.join(MODULES)}")
        refusal = self._marker.send(signal, self._timeout)
        if not refusal:
            return f"{where} over {how} takes them"
        if any(word in refusal for word in DENIED):
            advice = 'set OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20<token>", a token of OTELCOL_TOKENS_FILE'
            raise Wrong(f"{where} wants a token, or another one", advice)
        raise Wrong(
            f"{where} over {how} does not take them: {brief(refusal)}", "set OTEL_EXPORTER_OTLP_ENDPOINT and _PROTOCOL"
        )

    def authentication(self) -> str:
        """See that who has no token is refused, if this environment has one."""
        if "logs" not in self._marker.sent:
            raise Unknown("it took nothing with the token either")
        given = any(self._environ.get(name, "").strip() for name in HEADERS)
        with without_token():
            refusal = Marker(self._marker.time_ns).send("logs", self._timeout)
        if any(word in refusal for word in DENIED):
            return "without the token nothing is taken"
        if refusal:
            raise Unknown(f"without the token: {brief(refusal)}")
        if given:
            raise Wrong("it takes what comes without the token too", "see the receivers' auth in otelcol-config.yaml")
        raise Unknown("it takes what comes without any token: for a loopback that you alone can reach")

    def losses(self) -> str:
        """Look at what the collector says of itself: what it lost, what it refuses now, how full its queues are."""
        advice = "is it running? set OTEL_DYNABASE_COLLECTOR_METRICS_URL, or off"
        try:
            now = samples(get(self._metrics, self._timeout, advice))
        except Refused as refused:
            raise Wrong(f"its own metrics: {refused}", advice) from None
        before = {(name, labels): value for name, labels, value in self._before}
        for name, labels, value in now:
            said = f"{name}{{{_brief(labels)}}}"
            if LOST.fullmatch(said) and value > 0:
                raise Wrong(f"{value:,.0f} lost since it started: {said}", "see the collector's log")
            if REFUSED.fullmatch(name) and value > before.get((name, labels), value):
                raise Wrong(f"it refuses at this moment: {said}", "is a store away, or memory or a queue full?")
        fullest, share = fullest_queue(now)
        if share >= FULL:
            raise Wrong(f"the queue of {fullest} is {share:.0%} full", "is the store behind it away, or too slow?")
        strange = sum(value for name, _, value in now if name.startswith(STRANGE))
        left_out = f"; {strange:,.0f} points of unknown metrics left out" if strange else ""
        return f"nothing lost, nothing refused, fullest queue {share:.0%}{left_out}"


def samples(text: str) -> Samples:
    """Read Prometheus' text format."""
    found = (SAMPLE.fullmatch(line) for line in text.splitlines())
    return [(each["name"], each["labels"] or "", float(each["value"])) for each in found if each]


def fullest_queue(found: Samples) -> tuple[str, float]:
    """Return whose queue is fullest, and how full as a share."""
    size = {labels: value for name, labels, value in found if name == "otelcol_exporter_queue_size"}
    room = {labels: value for name, labels, value in found if name == "otelcol_exporter_queue_capacity"}
    shares = {labels: value / room[labels] for labels, value in size.items() if room.get(labels)}
    if not shares:
        return "nobody", 0.0
    fullest = max(shares, key=lambda labels: shares[labels])
    return dict(LABEL.findall(fullest)).get("exporter", fullest), shares[fullest]


def brief(refusal: str) -> str:
    """Return what matters of what an exporter says over several lines: a code, a reason, or else its last word."""
    code, because = STATUS.search(refusal), BECAUSE.search(refusal)
    found = [each[1] for each in (code, because) if each]
    return ", ".join(found) or refusal.rpartition("\n")[2]


def host_and_port(address: str) -> tuple[str, int | None]:
    """Return an address without what may be secret in it: a URL's, or host:port."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    host = parts.hostname or "localhost"
    return f"[{host}]" if ":" in host else host, parts.port


def shown(address: str) -> str:
    """Write an address without what may be secret in it."""
    host, port = host_and_port(address)
    return host if port is None else f"{host}:{port}"


def _brief(labels: str) -> str:
    """Leave out the labels that are the same for the whole process."""
    kept = [f'{name}="{value}"' for name, value in LABEL.findall(labels) if not name.startswith("service_")]
    return ",".join(kept)
