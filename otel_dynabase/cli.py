"""The command `otel-dynabase`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from otel_dynabase.commands import COMMANDS
from otel_dynabase.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C, as shells have it."""


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
    try:
        code = int(given.command(given))
        sys.stdout.flush()  # a pipe that is broken is broken here
    except BrokenPipeError:  # who was reading has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor is there anything to say at the end
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


if __name__ == "__main__":
    sys.exit(main())
