"""One plan's application, for `benchmarks.detection`: a few tenants, each with a pool, and constant traffic.

DATABASES='{"project": "postgresql://…", …}' opentelemetry-instrument python -m benchmarks.detection.app
    READY RATE PATIENCE [SLEEPER]

READY is a file that appears when all pools are open; RATE are statements a second of all tenants, sent whether or not
the last ones have been answered; PATIENCE is for how many seconds one waits. At SIGUSR1 comes the first request for the
tenant whose database is SLEEPER, and is tried again until it is answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import asyncpg

POOL = 20
STATEMENT = "SELECT pg_sleep(CASE WHEN random() < share THEN seconds ELSE 0 END) FROM pace"
AGAIN = 0.1
"""Seconds between two tries to reach a tenant that is waking up."""


async def ask(pool: asyncpg.Pool, patience: float) -> None:
    """Send one statement; whatever fails is for telemetry to tell."""
    with suppress(Exception):
        async with pool.acquire(timeout=patience) as connection:
            await connection.fetchval(STATEMENT, timeout=patience)


async def wake(pool: asyncpg.Pool) -> None:
    """Send the first request of a tenant that is asleep."""
    while True:
        with suppress(OSError, asyncpg.PostgresError):
            await pool.fetchval("SELECT 1")
            return
        await asyncio.sleep(AGAIN)


async def main(ready: str, rate: float, patience: float, sleeper: str = "") -> None:
    """Send statements until killed."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        databases = json.loads(os.environ["DATABASES"]).values()
        pools = [
            await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=1, max_size=POOL, timeout=patience))
            for dsn in databases
        ]
        if sleeper:
            asleep = await stack.enter_async_context(asyncpg.create_pool(sleeper, min_size=0))
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGUSR1, lambda: group.create_task(wake(asleep)) and None
            )
        await asyncio.to_thread(Path(ready).touch)
        while True:
            for pool in pools:
                group.create_task(ask(pool, patience))
                await asyncio.sleep(1 / rate)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]))
