"""The package's version and the name under which its telemetry travels."""

__version__ = "0.1.0"
SCOPE = "otel_dynabase"
"""Instrumentation scope of every metric and event; the collector knows our events by it."""
SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
