"""`python -m otel_dynabase.render [--check] [FILE …]`: write derived blocks, or say which are stale."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from otel_dynabase.render import BLOCKS, WHOLE, rendered, runbooks

FILES = (
    "docs/signals.md",
    "docs/configuration.md",
    "docs/slo.md",
    "otelcol-config.yaml",
    "collector/otelcol-contrib.yaml",
    *runbooks.FILES,
    *WHOLE,
)


def main() -> int:
    """Render every file; return 1 if `--check` found a stale one."""
    parser = argparse.ArgumentParser(
        prog="python -m otel_dynabase.render",
        description=f"Write the derived blocks ({', '.join(BLOCKS)}) of documents, and {', '.join(WHOLE)}.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a block is stale")
    parser.add_argument("files", nargs="*", type=Path, default=[Path(name) for name in FILES], metavar="FILE")
    arguments = parser.parse_args()
    stale = [file for file in arguments.files if rendered(_text(file), str(file)) != _text(file)]
    for file in stale:
        if arguments.check:
            print(f"{file} is stale: run python -m otel_dynabase.render", file=sys.stderr)  # noqa: T201  # a command
        else:
            file.write_text(rendered(_text(file), str(file)))
    return 1 if stale and arguments.check else 0


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
