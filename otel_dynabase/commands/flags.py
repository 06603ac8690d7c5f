"""Commands and their arguments: help that teaches, and settings under the same words and checks as elsewhere."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from otel_dynabase.config import Dsn

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.config import Setting


def command(commands: Any, name: str, what: str, description: str, examples: str) -> argparse.ArgumentParser:
    """Add a command whose help ends with examples, as they are written."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add(group: Any, setting: Setting, name: str) -> None:
    """Add `--name` for a setting; its environment variable is said in the help."""
    doc = f"{setting.doc} ({setting.variable})".replace("%", "%%")
    group.add_argument("--" + name.replace("_", "-"), dest=setting.name, type=_checked(setting), metavar="…", help=doc)


def _checked(setting: Setting) -> Callable[[str], str]:
    """Refuse a value that cannot be used, and an address, whose password everybody could read."""

    def check(text: str) -> str:
        try:
            value = setting.kind.parse(text)
        except Exception:
            raise argparse.ArgumentTypeError(f"{text!r} cannot be used; allowed: {setting.kind.allowed}") from None
        if isinstance(value, Dsn):
            raise argparse.ArgumentTypeError(f"an address may contain a password: give it in {setting.variable}")
        return text

    return check
