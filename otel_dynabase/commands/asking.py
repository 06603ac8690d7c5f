"""What the commands that ask ClickHouse share: their arguments, one connection, one line when it does not work."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.clickhouse.connection import ClickHouseError, Connection
from otel_dynabase.clickhouse.explained import explained
from otel_dynabase.clickhouse.settings import CLICKHOUSE_SETTINGS, ClickHouseConfig
from otel_dynabase.commands import flags, ranges
from otel_dynabase.output.answer import FORMS, write
from otel_dynabase.output.harmless import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from otel_dynabase.commands.ranges import Range
    from otel_dynabase.output.answer import Answer

FOUND, NOTHING, UNUSABLE = 0, 1, 2
"""Exit codes."""
CODES: Final = (
    "exit codes: 0 there is an answer, 1 there is nothing to show, 2 it could not be asked (one line says why)"
)
PASSWORDS: Final = (
    "Where ClickHouse is may also come from the environment, as the help of each argument says;\n"
    "its password comes only from there: OTEL_DYNABASE_CLICKHOUSE_PASSWORD or OTEL_DYNABASE_CLICKHOUSE_PASSWORD_FILE."
)


def add(parser: ArgumentParser, run: Callable[[Namespace], int], *, since: str, forms: tuple[str, ...] = FORMS) -> None:
    """Add the arguments that every question has, and what answers it."""
    ranges.add(parser, since)
    parser.add_argument(
        "--format", choices=forms, default=forms[0], help=f"how to write the answer (default: {forms[0]})"
    )
    add_clickhouse(parser)
    parser.set_defaults(command=run)


def add_clickhouse(parser: ArgumentParser) -> None:
    """Add the settings of the connection, as far as they are no secrets."""
    group = parser.add_argument_group("ClickHouse")
    for setting in CLICKHOUSE_SETTINGS:
        if not setting.secret:
            flags.add(group, setting, setting.name)


def parser_of(commands: Any, name: str, what: str, description: str, examples: str) -> ArgumentParser:
    """Add a command whose help teaches by examples."""
    return flags.command(commands, name, what, description, f"{examples}\n{PASSWORDS}\n\n{CODES}\n")


def config_of(given: Namespace) -> ClickHouseConfig:
    """Return the settings of the connection: arguments win over the environment."""
    names = {setting.name for setting in CLICKHOUSE_SETTINGS}
    return ClickHouseConfig.load(None, **{name: value for name, value in vars(given).items() if name in names})


def connect(config: ClickHouseConfig) -> Connection:
    """Connect. Raises ClickHouseError, which says all that the driver would log beside."""
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
    return Connection(config)


def ask(given: Namespace, question: Callable[[Connection, Range], int]) -> int:
    """Run a question over one connection; say in one line what does not work, and what to do."""
    try:
        asked = ranges.given(given, datetime.now(UTC))
        with connect(config_of(given)) as connection:
            return question(connection, asked)
    except (ClickHouseError, ValueError) as error:
        return unusable(explained(error) if isinstance(error, ClickHouseError) else str(error))


def answered(given: Namespace, answer: Answer) -> int:
    """Write an answer in the form that was asked for; return the exit code."""
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    write(answer, given.format, sys.stdout, sys.stderr, coloured=coloured)
    return FOUND if answer.rows else NOTHING


def unusable(why: str) -> int:
    """Say why there is no answer; return the exit code."""
    print(f"otel-dynabase: {printable(why)}", file=sys.stderr)  # noqa: T201  # a command
    return UNUSABLE
