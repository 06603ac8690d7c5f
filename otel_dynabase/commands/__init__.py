"""The commands of `otel-dynabase`, one module each: `register` adds a parser whose default `command` runs it."""

from otel_dynabase.commands import observe

COMMANDS = (observe,)
"""In the order of `--help`."""
