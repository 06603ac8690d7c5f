"""How the observer is doing, for whoever asks: GET /health."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.observer.reign import Round
    from otel_dynabase.observer.troubles import Troubles

logger = logging.getLogger("otel_dynabase")

STALE: Final = 3.0
"""Intervals without a finished round after which the observer counts as stuck."""
LEAST: Final = 60.0
"""Seconds that it may take in any case."""
PATIENCE: Final = 5.0
"""Seconds that a client may take to ask."""


@dataclass(slots=True)
class Health:
    """What is known of the observer's state; times are on the monotonic clock."""

    interval: float
    troubles: Troubles
    clock: Callable[[], float] = time.monotonic
    role: Literal["starting", "standby", "active"] = "starting"
    since: float = field(init=False)
    round: Round | None = None
    at: float | None = None

    def __post_init__(self) -> None:
        self.since = self.clock()

    def became(self, role: Literal["standby", "active"]) -> None:
        """Take note of a new role."""
        if role != self.role:
            self.role, self.since, self.round, self.at = role, self.clock(), None, None

    def finished(self, done: Round) -> None:
        """Take note of a round."""
        self.round, self.at = done, self.clock()

    def report(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """Say how things are: all is well as a stand-by, or with a round that is not too old."""
        now = self.clock()
        age = now - (self.since if self.at is None else self.at)
        stale = self.role != "standby" and age > max(LEAST, STALE * self.interval)
        well = not stale and (self.role == "standby" or self.round is not None)
        report: dict[str, Any] = {"status": "ok" if well else "stale" if stale else "starting", "role": self.role}
        if self.round is not None:
            report |= {
                "round_age_seconds": round(age, 3),
                "round_seconds": round(self.round.seconds, 3),
                "tenants": self.round.tenants,
                "backlog": self.round.backlog,
                "saved": self.round.saved,
            }
        report |= {"failing": self.troubles.present, "failures": dict(self.troubles.counts)}
        return HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE, report


async def serve(health: Health, address: tuple[str, int]) -> asyncio.Server | None:
    """Answer at an address; without it if it is taken, as it is for a stand-by on the same machine."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await _answer(health, reader, writer)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client's own affair
        finally:
            writer.close()

    try:
        return await asyncio.start_server(answer, *address, limit=8192)
    except OSError as error:
        logger.warning("GET http://%s:%d/health is not answered: %s", *address, error.strerror or error)
        return None


async def _answer(health: Health, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, path, _ = head.split("\r\n", 1)[0].split(" ", 2)
    status, body = health.report()
    if path.partition("?")[0] != "/health":
        status, body = HTTPStatus.NOT_FOUND, {"error": "there is only /health"}
    elif method not in {"GET", "HEAD"}:
        status, body = HTTPStatus.METHOD_NOT_ALLOWED, {"error": "GET or HEAD"}
    content = json.dumps(body).encode() + b"\n"
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Connection: close",
        "\r\n",
    )
    writer.write("\r\n".join(lines).encode() + (b"" if method == "HEAD" else content))
    await writer.drain()
