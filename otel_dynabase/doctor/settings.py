"""Where the doctor looks: a table of settings beside `config.SETTINGS`, read in the same way."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_dynabase.config import TEXT, Kind, Setting, read, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

OFF: Final = "off"


def _place(value: object) -> str:
    text = str(TEXT.parse(value))
    if text.lower() == OFF:
        return OFF
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        raise ValueError("no such address")
    return text.rstrip("/")


PLACE: Final = Kind("http://host:port or https://host:port, without user and password; or off", _place)

DOCTOR_SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("prometheus_url", PLACE, "http://127.0.0.1:9090", "Where Prometheus answers; `off`: do not ask it."),
    Setting(
        "collector_health_url",
        PLACE,
        None,
        "The collector's health check; by default port 13133 of the host that OTLP goes to.",
    ),
    Setting(
        "collector_metrics_url",
        PLACE,
        None,
        "The collector's own metrics; by default port 8888 of the host that OTLP goes to, /metrics.",
    ),
    Setting("doctor_timeout", seconds(0.1, 3600), 10.0, "Longest time that `otel-dynabase doctor` waits at each hop."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorConfig:
    """The settings, by name, typed. Durations in seconds."""

    prometheus_url: str
    collector_health_url: str | None
    collector_metrics_url: str | None
    doctor_timeout: float

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, /, **overrides: object) -> DoctorConfig:
        """Read the settings as `Config.load` does: never raises, warns of what cannot be used."""
        return cls(**read(DOCTOR_SETTINGS, os.environ if environ is None else environ, overrides))
