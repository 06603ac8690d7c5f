"""The load: tenants who share one pool, and a few with a database and a pool each.

Runs under opentelemetry-instrument; prints a line after each round over all tenants, until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import asyncpg

from otel_dynabase import tenant

CONNECTIONS = 4
STATEMENTS = (
    "SELECT count(*) FROM orders",
    "INSERT INTO orders VALUES (1)",
    "UPDATE orders SET amount = 2 WHERE amount = 1",
)


async def work(pool: asyncpg.Pool[Any]) -> None:
    """Do one request's work."""
    async with pool.acquire() as connection:
        for statement in STATEMENTS:
            await connection.execute(statement)


async def main(shared: str, tenants: list[str], own: list[str]) -> None:
    """Go round and round."""
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    pools = [await asyncpg.create_pool(dsn, min_size=1, max_size=CONNECTIONS) for dsn in (shared, *own)]
    for pool in pools:
        await pool.execute("CREATE TABLE IF NOT EXISTS orders (amount int)")
        await pool.execute("TRUNCATE orders")
    while not ended.done():
        for project in tenants:
            async with tenant(project):
                await work(pools[0])
        for pool in pools[1:]:
            await work(pool)
        await pools[0].execute("TRUNCATE orders")
        print("round", flush=True)
        await asyncio.sleep(1)
    for pool in pools:
        await pool.close()


asyncio.run(main(**json.loads(sys.argv[1])))
