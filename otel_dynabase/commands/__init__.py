"""The commands of `otel-dynabase`, one module each: `register` adds a parser whose default `command` runs it."""

from otel_dynabase.commands import cold_starts, customer, events, migrate, observe, timeline, upsell

COMMANDS = (observe, timeline, upsell, cold_starts, events, migrate, customer)
"""In the order of `--help`."""
