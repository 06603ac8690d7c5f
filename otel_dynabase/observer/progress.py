"""What the observer says: one line for what is new, on standard error; one JSON object a round on standard output."""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from otel_dynabase.observer.reign import Round

logger = logging.getLogger("otel_dynabase")

COLOURS: Final = {logging.WARNING: "\033[33m", logging.ERROR: "\033[31m"}
PLAIN: Final = "\033[0m"


class Lines(logging.Formatter):
    """The time, and the message; in colour on a terminal, unless NO_COLOR says otherwise."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__("%(asctime)s  %(message)s", "%H:%M:%S")
        self._colour = stream.isatty() and not os.environ.get("NO_COLOR")

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        line = super().format(record)
        colour = COLOURS.get(record.levelno) if self._colour else None
        return f"{colour}{line}{PLAIN}" if colour else line


def speak(stream: TextIO = sys.stderr) -> None:
    """Have our messages, and other people's warnings, written to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(stream))
    logging.getLogger().addHandler(handler)
    logger.setLevel(logging.INFO)


class Progress:
    """Says what came of rounds: the first one, and those with news."""

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._last: Round | None = None

    def told(self, done: Round) -> None:
        """Take note of a round."""
        last, self._last = self._last, done
        if self._as_json:
            print(json.dumps(asdict(done)), flush=True)  # noqa: T201  # what the command is for
        elif last is None or done.events or done.tenants != last.tenants or done.failures != last.failures:
            logger.info("%s", _line(done))


def _line(done: Round) -> str:
    parts = [f"{_many(done.tenants, 'tenant')}, {_many(done.events, 'event')}, {done.seconds:.1f} s"]
    if done.backlog:
        parts.append(f"{done.backlog:,} on the way")
    if done.failures:
        parts.append(f"without {', '.join(sorted(done.failures))}")
    return "; ".join(parts)


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
