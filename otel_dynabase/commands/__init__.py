"""The commands of `otel-dynabase`, one module each: `register` adds a parser whose default `command` runs it."""

from otel_dynabase.commands import cold_starts, customer, doctor, events, migrate, noisy, observe, timeline, upsell

COMMANDS = (observe, timeline, upsell, cold_starts, noisy, events, doctor, migrate, customer)
"""In the order of `--help`."""
