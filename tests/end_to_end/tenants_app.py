"""An application that causes known things at its database, and knows nothing of telemetry.

Run under `opentelemetry-instrument`. It gets its targets as one JSON argument, tells what it did as JSON lines on its
standard output, and takes one line on its standard input wherever it waits for the test.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import asyncpg


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


async def told() -> str:
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return line.strip()


async def saturate(dsn: str, size: int, queued: int) -> None:
    """Hold every connection of a pool while `queued` more ask for one; each gets its turn."""
    async with asyncpg.create_pool(dsn, min_size=size, max_size=size) as pool:
        held = [await pool.acquire() for _ in range(size)]

        async def ask() -> None:
            async with pool.acquire() as connection:
                await connection.fetchval("SELECT 1")

        asking = [asyncio.create_task(ask()) for _ in range(queued)]
        await asyncio.sleep(0.2)
        for connection in held:
            await pool.release(connection)
        await asyncio.gather(*asking)


async def time_out(dsn: str, times: int) -> None:
    """Hold a pool's only connection while `times` acquires run out of time."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool, pool.acquire():
        waits = [pool.acquire(timeout=0.1) for _ in range(times)]
        results = await asyncio.gather(*(_await(wait) for wait in waits), return_exceptions=True)
        assert all(isinstance(result, TimeoutError) for result in results), results


async def _await(awaitable: Any) -> Any:
    return await awaitable


async def refused(dsn: str, times: int, error: type[Exception]) -> None:
    """Ask a pool `times` for a connection that the server refuses."""
    async with asyncpg.create_pool(dsn, min_size=0, max_size=1) as pool:
        for _ in range(times):
            try:
                await pool.acquire()
            except error:
                continue
            raise AssertionError(f"{error.__name__} was expected")


async def too_many(dsn: str, times: int) -> None:
    """Use up a role's connection limit of one, then ask for more."""
    connection = await asyncpg.connect(dsn)
    try:
        await refused(dsn, times, asyncpg.TooManyConnectionsError)
    finally:
        await connection.close()


async def statements_out_of_time(dsn: str, times: int) -> None:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1, server_settings={"statement_timeout": "50"}) as pool:
        for _ in range(times):
            try:
                await pool.fetchval("SELECT pg_sleep(5)")
            except asyncpg.QueryCanceledError:
                continue
            raise AssertionError("a statement timeout was expected")


async def cold_start(dsn: str, failures: int) -> None:
    """Find the tenant's server asleep, `failures` times; then awake."""
    async with asyncpg.create_pool(dsn, min_size=0, max_size=2) as pool:
        for _ in range(failures):
            try:
                await pool.acquire()
            except OSError:
                continue
            raise AssertionError("the server should be asleep")
        tell(asleep=failures)
        await told()
        async with pool.acquire() as connection:
            # by keyword: the official instrumentation, which comes with ours, would raise IndexError if left alone
            assert await connection.fetchval(query="SELECT 42") == 42


async def causes(targets: dict[str, str]) -> None:
    await saturate(targets["saturated"], size=2, queued=5)
    await time_out(targets["timed_out"], times=3)
    await too_many(targets["limited"], times=2)
    await statements_out_of_time(targets["slow"], times=4)
    await refused(targets["wrong_password"], times=3, error=asyncpg.InvalidPasswordError)
    await cold_start(targets["sleeper"], failures=2)
    for project in ("free_1", "free_2"):
        await saturate(targets[project], size=1, queued=2)
    tell(queued=5, timed_out=3, too_many=2, slow=4, wrong_password=3, cold_starts=1, free_queued=4)


async def asked(targets: dict[str, str]) -> None:
    """Have everybody wait, and the first run out of time."""
    for dsn in targets.values():
        await saturate(dsn, size=2, queued=5)
    first = next(iter(targets))
    await statements_out_of_time(targets[first], times=2)
    tell(statements=dict.fromkeys(targets, 5) | {first: 7}, queued=dict.fromkeys(targets, 5))


async def steady(targets: dict[str, str]) -> None:
    """Query and saturate until told to stop; then tell the totals."""
    queries = dict.fromkeys(targets, 0)
    hits = dict.fromkeys(targets, 0)
    stop = asyncio.create_task(told())
    pools = {project: await asyncpg.create_pool(dsn, min_size=1, max_size=1) for project, dsn in targets.items()}

    async def ask(project: str) -> None:
        await pools[project].fetchval("SELECT pg_sleep(0.01)")
        queries[project] += 1

    tell(started=True)
    while not stop.done():
        for project in targets:
            held = await pools[project].acquire()
            asking = [asyncio.create_task(ask(project)) for _ in range(3)]
            await asyncio.sleep(0.02)
            await pools[project].release(held)
            await asyncio.gather(*asking)
            hits[project] += 3
        await asyncio.sleep(0.05)
    for pool in pools.values():
        await pool.close()
    tell(queries=queries, hits=hits)


if __name__ == "__main__":
    asyncio.run({"causes": causes, "asked": asked, "steady": steady}[sys.argv[1]](json.loads(sys.argv[2])))
