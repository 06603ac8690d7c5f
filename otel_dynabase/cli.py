"""The command `otel-dynabase`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from otel_dynabase.commands import COMMANDS
from otel_dynabase.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="otel-dynabase", description="OpenTelemetry for multi-tenant PostgreSQL: what is more than a library."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(commands)
    given = parser.parse_args(arguments)
    return int(given.command(given))


if __name__ == "__main__":
    sys.exit(main())
