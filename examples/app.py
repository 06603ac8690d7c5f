"""A multi-tenant order service: a PostgreSQL database and a pool of its own for every project.

    TENANTS=tenants.yaml DATABASES=databases.json OTEL_DYNABASE_DIRECTORY=tenants.yaml \
        OTEL_DYNABASE_FLUSH_ON_SIGTERM=true opentelemetry-instrument uvicorn examples.app:app

TENANTS says what each project pays for (`tenants.yaml`), DATABASES where its database is: JSON, `{project_id: dsn}`, a
secret. Nothing here imports OpenTelemetry or otel-dynabase: which tenant a query belongs to follows from its database.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import yaml
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from starlette.requests import Request
    from starlette.responses import Response

EXPORT_BATCH: Final = 50
LONGEST_REPORT: Final = 60.0
CONNECT_TIMEOUT: Final = 5.0
SHUTDOWN_TIMEOUT: Final = 5.0
BREAKER_FAILURES: Final = 3
BREAKER_REST: Final = 1.0
"""A project's circuit opens when so many connects in a row found nobody, and tries again after so many seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan may use at once: connections, seconds to wait for one, seconds that a statement may take.

    Times are shorter than a real platform's, so that the demo reaches them within seconds.
    """

    connections: int
    acquire_timeout: float
    statement_timeout: float


PLAN_LIMITS: Final[Mapping[str, Limits]] = {
    "free": Limits(connections=2, acquire_timeout=2.5, statement_timeout=8.0),
    "starter": Limits(connections=3, acquire_timeout=4.0, statement_timeout=1.5),
    "pro": Limits(connections=5, acquire_timeout=6.0, statement_timeout=10.0),
    "enterprise": Limits(connections=10, acquire_timeout=10.0, statement_timeout=30.0),
}


def _somebody_was_there(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or not isinstance(error, OSError)


FAILURES: Final[Mapping[type[Exception], tuple[int, str]]] = {
    TimeoutError: (503, "all connections of your plan are busy"),
    asyncpg.TooManyConnectionsError: (503, "your database takes no more connections"),
    asyncpg.CannotConnectNowError: (503, "your database is starting"),
    OSError: (503, "your database is asleep"),
    OpenedState: (503, "your database does not answer; we try again in a second"),
    asyncpg.PostgresConnectionError: (503, "the connection to your database was lost"),
    asyncpg.InvalidAuthorizationSpecificationError: (502, "your database refused our credentials"),
    asyncpg.QueryCanceledError: (504, "the statement took longer than your plan allows"),
    asyncpg.DataError: (400, "that is no amount an order can have"),
    asyncpg.UniqueViolationError: (409, "there is an order with that reference"),
}
"""The HTTP status and the message for what a database does to a request; the nearest class counts."""


class Pools:
    """One pool for each project, opened when the project is first asked for and limited by its plan."""

    def __init__(self, dsns: Mapping[str, str], plans: Mapping[str, str]) -> None:
        self._dsns = dsns
        self._plans = plans
        self._open: dict[str, asyncpg.Pool] = {}
        self._breakers = AsyncCircuitBreakerFactory(
            BREAKER_FAILURES, BREAKER_REST, exclude=[(BaseException, _somebody_was_there)]
        )

    @asynccontextmanager
    async def connection(self, project: str) -> AsyncIterator[Any]:
        """Lend a connection; raises HTTPException for a project that is not known, and whatever keeps it from us."""
        pool = await self._pool(project)
        async with await self._breakers.get_breaker(project):
            connection = await pool.acquire(timeout=PLAN_LIMITS[self._plans[project]].acquire_timeout)
        try:
            yield connection
        finally:
            await pool.release(connection)

    async def _pool(self, project: str) -> asyncpg.Pool:
        if project not in self._dsns:
            raise HTTPException(404, "no such project")
        limits = PLAN_LIMITS[self._plans[project]]
        pool = self._open.get(project)
        if pool is None:
            # min_size=0: nothing connects here, so nobody can come in between
            pool = self._open[project] = asyncpg.create_pool(
                self._dsns[project],
                min_size=0,
                max_size=limits.connections,
                timeout=CONNECT_TIMEOUT,
                server_settings={"statement_timeout": f"{limits.statement_timeout * 1000:.0f}"},
            )
        return await pool

    async def close(self) -> None:
        """Close all pools; connections that are still out after SHUTDOWN_TIMEOUT seconds are cut."""
        try:
            async with asyncio.timeout(SHUTDOWN_TIMEOUT):
                await asyncio.gather(*(pool.close() for pool in self._open.values()))
        except TimeoutError:
            for pool in self._open.values():
                pool.terminate()


async def list_orders(request: Request) -> Response:
    """GET /{project}/orders: the latest ones. One statement."""
    async with _connection(request) as connection:
        rows = await connection.fetch("SELECT reference, cents FROM orders ORDER BY id DESC LIMIT 20")
    return JSONResponse([dict(row) for row in rows])


async def place_order(request: Request) -> Response:
    """POST /{project}/orders, JSON with `reference` and `cents`. Two statements; 409 if the reference exists."""
    try:
        order = await request.json()
        reference, cents = str(order["reference"]), int(order["cents"])
    except (ValueError, TypeError, KeyError) as error:
        raise HTTPException(400, "an order is a JSON object with `reference` and `cents`") from error
    async with _connection(request) as connection, connection.transaction():
        placed = await connection.fetchval(
            "INSERT INTO orders (reference, cents) VALUES ($1, $2) RETURNING id", reference, cents
        )
        await connection.execute("INSERT INTO ledger (order_id, cents) VALUES ($1, $2)", placed, cents)
    return JSONResponse({"id": placed}, 201)


async def export_orders(request: Request) -> Response:
    """GET /{project}/export: all orders as CSV, read with a cursor, EXPORT_BATCH rows a trip."""
    async with _connection(request) as connection, connection.transaction():
        cursor = connection.cursor("SELECT reference, cents FROM orders ORDER BY id", prefetch=EXPORT_BATCH)
        lines = [f"{row['reference']},{row['cents']}" async for row in cursor]
    return PlainTextResponse("\n".join(["reference,cents", *lines]), media_type="text/csv")


async def report(request: Request) -> Response:
    """GET /{project}/report?seconds=…: a sum over all orders that takes its time. One statement."""
    try:
        seconds = float(request.query_params.get("seconds", "0"))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_REPORT:
        raise HTTPException(400, f"seconds must be a number from 0 to {LONGEST_REPORT:g}")
    async with _connection(request) as connection:
        row = await connection.fetchrow(
            "SELECT count(*) AS orders, sum(cents) AS cents FROM orders, pg_sleep($1)", seconds
        )
    return JSONResponse(dict(row))


async def health(_request: Request) -> Response:
    """GET /health: whether this process serves; no database is asked."""
    return PlainTextResponse("ok")


def _connection(request: Request) -> AbstractAsyncContextManager[Any]:
    pools: Pools = request.app.state.pools
    return pools.connection(request.path_params["project"])


async def _failed(_request: Request, error: Exception) -> Response:
    status, message = next(FAILURES[kind] for kind in type(error).__mro__ if kind in FAILURES)
    return JSONResponse({"error": message}, status)


def _pools() -> Pools:
    tenants = yaml.safe_load(Path(os.environ["TENANTS"]).read_text())["tenants"]
    dsns = json.loads(Path(os.environ["DATABASES"]).read_text())
    return Pools(dsns, {tenant["project_id"]: tenant["plan"] for tenant in tenants})


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Read who the tenants are; close what was opened for them."""
    app.state.pools = _pools()
    yield
    await app.state.pools.close()


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/{project}/orders", list_orders),
        Route("/{project}/orders", place_order, methods=["POST"]),
        Route("/{project}/export", export_orders),
        Route("/{project}/report", report),
    ],
    exception_handlers=dict.fromkeys(FAILURES, _failed),
    lifespan=lifespan,
)
