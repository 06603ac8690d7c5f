"""What an application in this environment would do: whether it has an SDK, us in it, and knows its tenants."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from typing import TYPE_CHECKING, Final

from opentelemetry.instrumentation.dependencies import get_dependency_conflicts

from otel_dynabase.config import SETTINGS, Config, read
from otel_dynabase.directory import Directory, directory_of
from otel_dynabase.doctor.check import Check, Wrong
from otel_dynabase.observer.settings import OBSERVER_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PART: Final = "application"
DRIVERS: Final = ("asyncpg", "psycopg")
EXPORTED: Final = {"OTEL_METRICS_EXPORTER": "metrics", "OTEL_LOGS_EXPORTER": "events"}
DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


def checks(environ: Mapping[str, str], timeout: float) -> Iterator[Check]:
    """Return what is looked at in this process's environment."""
    yield Check(PART, "environment", lambda: environment(environ), timeout)
    yield Check(PART, "packages", lambda: packages(environ), timeout)
    yield Check(PART, "settings", lambda: settings(environ), timeout)
    yield Check(PART, "directory", lambda: directory(environ), timeout)


def environment(environ: Mapping[str, str]) -> str:
    """Look at the SDK's own variables."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        raise Wrong("OTEL_SDK_DISABLED=true: nothing is measured", "unset it")
    for variable, what in EXPORTED.items():
        exporters = {name.strip() for name in environ.get(variable, "").split(",")} - {""}
        if exporters and not any(name.startswith("otlp") for name in exporters):
            raise Wrong(f"{variable}={','.join(sorted(exporters))}: no {what} leave by OTLP", f"set {variable}=otlp")
    name = environ.get("OTEL_SERVICE_NAME", "").strip()
    if not name and "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        raise Wrong("the service has no name: its series are those of every unknown_service", "set OTEL_SERVICE_NAME")
    return f"service {name or 'of OTEL_RESOURCE_ATTRIBUTES'}"


def packages(environ: Mapping[str, str]) -> str:
    """Look at what is installed: a distribution that configures the SDK, ourselves, and drivers that we know."""
    if not list(entry_points(group="opentelemetry_distro")):
        raise Wrong("without a distribution no SDK is configured", "pip install opentelemetry-distro")
    ours = [each for each in entry_points(group="opentelemetry_instrumentor") if each.name == "dynabase"]
    if not ours:
        raise Wrong("opentelemetry-instrument does not find otel-dynabase", "install it with pip")
    ours[0].load()
    if "dynabase" in {name.strip() for name in environ.get(DISABLED, "").split(",")}:
        raise Wrong(f"{DISABLED} has dynabase: nothing is measured", "take it out")
    for requirement in requires("otel-dynabase") or ():
        conflict = get_dependency_conflicts([requirement])
        if conflict is not None and (conflict.found or "extra ==" not in requirement):
            needed = requirement.partition(";")[0].strip()
            raise Wrong(
                f"{conflict.found or 'nothing'} is installed where {needed} is needed", f'pip install "{needed}"'
            )
    drivers = [f"{name} {found}" for name in DRIVERS if (found := _version(name)) is not None]
    if not drivers:
        raise Wrong("there is no driver that could be measured", 'pip install "otel-dynabase[asyncpg]", or [psycopg]')
    return ", ".join(drivers)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


class _Warnings(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def settings(environ: Mapping[str, str]) -> str:
    """Read every setting as the application would; a warning of its is a fault here."""
    logger, kept = logging.getLogger("otel_dynabase"), _Warnings()
    logger.addHandler(kept)
    try:
        values = read((*SETTINGS, *OBSERVER_SETTINGS), environ, {})
    finally:
        logger.removeHandler(kept)
    if kept.said:
        raise Wrong(kept.said[0], "give it a value that is allowed")
    if not values["enabled"]:
        raise Wrong("OTEL_DYNABASE_ENABLED switches it off: nothing is measured", "unset it")
    given = sum(setting.variable in environ for setting in SETTINGS)
    return f"{given} given, all can be used"


def directory(environ: Mapping[str, str]) -> str:
    """Ask the tenant directory once."""
    config = Config.load(environ)
    if config.directory is None and config.directory_dsn_file is None:
        raise Wrong("there is no tenant directory: every plan and tier is unknown", "set OTEL_DYNABASE_DIRECTORY")
    found: Directory = directory_of(config)
    logger, kept = logging.getLogger("otel_dynabase"), _Warnings()
    logger.addHandler(kept)
    try:
        read_well = found.refresh()
    finally:
        logger.removeHandler(kept)
    if not read_well:
        raise Wrong(kept.said[0] if kept.said else "it cannot be read", "see OTEL_DYNABASE_DIRECTORY")
    stats = found.stats()
    if kept.said:  # rows that were skipped or mended
        raise Wrong(kept.said[0], "mend these rows")
    if not stats.entries:
        raise Wrong("the tenant directory is empty: every plan and tier is unknown", "see OTEL_DYNABASE_DIRECTORY")
    return f"{stats.entries:,} tenant{'s' * (stats.entries != 1)}"
