"""`--type`: which events an answer is about."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.events import STORED

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAMES: Final = tuple(event.name for event in STORED)


def add(parser: ArgumentParser) -> None:
    """Add the argument."""
    parser.add_argument(
        "--type",
        action="append",
        dest="types",
        type=_names,
        metavar="TYPE",
        help=f"only these; again, or separated by commas: {', '.join(NAMES)}",
    )


def given(arguments: Namespace) -> list[str]:
    """Return all the types that were given."""
    return [name for some in arguments.types or () for name in some]


def _names(text: str) -> list[str]:
    """Read names of event types; one that this version does not know may still be stored."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise argparse.ArgumentTypeError(f"{name!r} is no event type; there are: {', '.join(NAMES)}")
    return names
