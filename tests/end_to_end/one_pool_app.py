"""An HTTP service on one pool with one connection, which knows nothing of telemetry and nothing of tenants."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request


async def work(request: Request) -> PlainTextResponse:
    await request.app.state.pool.fetchval("SELECT pg_sleep(0.1)")
    return PlainTextResponse("done")


async def health(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("fine")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DSN"], min_size=1, max_size=1) as app.state.pool:
        yield


app = Starlette(routes=[Route("/work", work), Route("/health", health)], lifespan=lifespan)
