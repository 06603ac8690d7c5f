"""Settings as arguments of a command: the same table, the same words, the same checks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from otel_dynabase.config import Dsn

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.config import Setting


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
