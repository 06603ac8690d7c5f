"""The platform behind the demo's tenants: a control plane that keeps their directory, and a cache for their pages.

    DIRECTORY=tenants.yaml PAGES=pages OTEL_DYNABASE_DIRECTORY=tenants.yaml OTEL_DYNABASE_FLUSH_ON_SIGTERM=true \
        opentelemetry-instrument uvicorn examples.controlplane:app

What only it knows it reports itself, with `otel_dynabase.report`: which level of its cache answered, what that gave up,
and what made it change a tier. Changes of plan it just writes into the directory: `otel-dynabase observe` sees them
there, and leaves those of tiers to us (OTEL_DYNABASE_OBSERVE_TELLS).
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from otel_dynabase import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from otel_dynabase.report import Cache

L1_PAGES: Final = 2
L2_PAGES: Final = 4
PAGE_BYTES: Final = 8192
JUDGED: Final = 10
"""Accesses after which a tenant's hit rate is judged, and judging begins anew."""
EXPECTED_RATE: Final = 0.5


@dataclass(slots=True)
class PageCache:
    """One tenant's cache: two levels in memory, the third on disk. What is in none is made."""

    project: str
    directory: Path
    first: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    second: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    recent: deque[Cache] = field(default_factory=deque)

    def read(self, key: str) -> Cache:
        """Read one page; return the level that had it."""
        began = time.perf_counter()
        level, page = self._find(key)
        report.cache_access(self.project, level=level, latency=time.perf_counter() - began)
        self._keep(self.first, "L1", L1_PAGES, key, page)
        self._keep(self.second, "L2", L2_PAGES, key, page)
        self._judge(level)
        return level

    def _find(self, key: str) -> tuple[Cache, bytes]:
        if key in self.first:
            return "L1", self.first[key]
        if key in self.second:
            return "L2", self.second[key]
        file = self.directory / f"{self.project}-{key}"
        if file.exists():
            return "L3", file.read_bytes()
        page = key.encode().ljust(PAGE_BYTES, b".")
        file.write_bytes(page)
        return "L4_miss", page

    def _keep(self, pages: OrderedDict[str, bytes], level: Cache, most: int, key: str, page: bytes) -> None:
        pages[key] = page
        pages.move_to_end(key)
        if len(pages) > most:
            pages.popitem(last=False)
            report.cache_eviction(self.project, level=level, reason="lru")
        report.cache_memory(self.project, level=level, size=sum(map(len, pages.values())))

    def _judge(self, level: Cache) -> None:
        self.recent.append(level)
        if len(self.recent) == JUDGED:
            rate = sum(level != "L4_miss" for level in self.recent) / JUDGED
            self.recent.clear()
            if rate < EXPECTED_RATE:
                report.cache_efficiency(self.project, level="L3", hit_rate=rate, expected_rate=EXPECTED_RATE)


class Control:
    """The control plane: decides what each project runs on and pays for, and writes it into the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def change(self, project: str, **fields: str) -> dict[str, Any]:
        """Change a project's row, for every reader at once; return it as it was.

        Raises HTTPException for a project that is not there.
        """
        content = yaml.safe_load(self._directory.read_text())
        rows = [row for row in content["tenants"] if row["project_id"] == project]
        if not rows:
            raise HTTPException(404, "no such project")
        before = dict(rows[0])
        rows[0].update(fields)
        draft = self._directory.with_suffix(".new")
        draft.write_text(yaml.safe_dump(content))
        draft.replace(self._directory)
        return before


async def change_tier(request: Request) -> Response:
    """PUT /{project}/tier, JSON with `tier`, `reason` and `conditions`: start, resize or give up its compute."""
    project, wanted = request.path_params["project"], await request.json()
    tier, reason = wanted["tier"], wanted["reason"]
    before = request.app.state.control.change(project, tier=tier, tier_reason=reason)
    report.tier_transition(
        project, source=before["tier"], target=tier, reason=reason, trigger_conditions=wanted["conditions"]
    )
    return JSONResponse({"tier": tier})


async def change_plan(request: Request) -> Response:
    """PUT /{project}/plan, JSON with `plan`: what the customer has bought."""
    fields = {"plan": (await request.json())["plan"]}
    request.app.state.control.change(request.path_params["project"], **fields)
    return JSONResponse(fields)


async def read_page(request: Request) -> Response:
    """GET /{project}/pages/{key}: a page, and the level of the cache that had it."""
    project, caches = request.path_params["project"], request.app.state.caches
    if project not in caches:
        caches[project] = PageCache(project, request.app.state.pages)
    return JSONResponse({"level": caches[project].read(str(request.path_params["key"]))})


async def health(_request: Request) -> Response:
    """GET /health: whether this process serves."""
    return PlainTextResponse("ok")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Read where everything is."""
    app.state.pages = Path(os.environ["PAGES"])
    app.state.pages.mkdir(parents=True, exist_ok=True)
    app.state.control = Control(Path(os.environ["DIRECTORY"]))
    app.state.caches = {}
    yield


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/{project}/tier", change_tier, methods=["PUT"]),
        Route("/{project}/plan", change_plan, methods=["PUT"]),
        Route("/{project}/pages/{key:int}", read_page),
    ],
    lifespan=lifespan,
)
