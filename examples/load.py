"""The load: requests whose effect on limits is known beforehand, because they make it happen.

Every request says which answer it must get and what it causes (`Effect`). Waiting, timeouts and refusals are arranged,
not hoped for: PostgreSQL itself confirms that a tenant's connections are all busy before the next request is sent. An
answer other than the expected one ends the load with `UnexpectedError`: then the demo went wrong, not the telemetry.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx

from examples.app import BREAKER_REST, EXPORT_BATCH, PLAN_LIMITS
from examples.controlplane import JUDGED
from examples.ledger import (
    BREAKERS,
    CACHE,
    CACHE_ALERTS,
    COLD_STARTS,
    ERRORS,
    LIMIT_HITS,
    OPENINGS,
    PLAN_CHANGES,
    QUERIES,
    REJECTIONS,
    SCALED,
    TRANSITIONS,
    Entry,
    Ledger,
)
from examples.tenants import CONNECTION_LIMITED, LOCKED_OUT, ROLE_CONNECTIONS, SLEEPER, Tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import asyncpg

    Say = Callable[[str, str], None]
    """Takes a project and what happens to it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The answer that a request must get, and what it causes: how often, by kind and detail."""

    status: int
    causes: Mapping[tuple[str, str], int]


ONE_QUERY: Final = Effect(200, {(QUERIES, "ok"): 1})
PLACED: Final = Effect(201, {(QUERIES, "ok"): 2})
DUPLICATE: Final = Effect(409, {(QUERIES, "error"): 1, (ERRORS, "integrity_constraint_violation"): 1})
QUEUED: Final = Effect(200, {(QUERIES, "ok"): 1, (LIMIT_HITS, "max_pool_size queued"): 1})
NO_CONNECTION: Final = Effect(
    503,
    {(LIMIT_HITS, "connection_timeout rejected"): 1, (REJECTIONS, "pool_exhausted"): 1, (ERRORS, "timeout"): 1},
)
TOO_SLOW: Final = Effect(
    504,
    {(QUERIES, "error"): 1, (LIMIT_HITS, "query_timeout rejected"): 1, (ERRORS, "operator_intervention"): 1},
)
TOO_MANY: Final = Effect(
    503,
    {
        (LIMIT_HITS, "max_concurrent rejected"): 1,
        (REJECTIONS, "tier_limit_exceeded"): 1,
        (ERRORS, "insufficient_resources"): 1,
    },
)
REFUSED: Final = Effect(502, {(REJECTIONS, "auth_failure"): 1, (ERRORS, "invalid_authorization_specification"): 1})
ASLEEP: Final = Effect(503, {(ERRORS, "connection"): 1})
LAST_STRAW: Final = Effect(503, {(ERRORS, "connection"): 1, (OPENINGS, ""): 1, (BREAKERS, "open"): 1})
NOT_TRIED: Final = Effect(503, {(REJECTIONS, "circuit_open"): 1})
WOKEN: Final = Effect(
    200,
    {(QUERIES, "ok"): 1, (COLD_STARTS, "WARM"): 1, (BREAKERS, "half_open"): 1, (BREAKERS, "closed"): 1},
)

RATES: Final = {"free": 3.0, "starter": 4.0, "pro": 6.0, "enterprise": 10.0}
"""Everyday requests of one tenant per second, one after the other: they never wait for each other."""
HOLD: Final = 1.6
"""Seconds that a report holds its connection while others queue: less than any plan waits for one."""
MARGIN: Final = 2.5
"""Seconds that connections stay busy after those who wait have given up, or while others are refused."""
SETTLE: Final = 0.25
"""Seconds for requests on the same machine to arrive, or a closed connection to be noticed."""
LATELY: Final = 5.0
"""Seconds that the platform looks back when it judges a tenant's tier."""
HOT_FROM: Final = 10
"""Requests in LATELY that it keeps a tenant HOT for: about half of what any paid plan's everyday traffic is."""
NOTICED: Final = 3.0
"""Seconds until a change of the directory has been seen by everybody who reads it."""
BUSY: Final = "the machine is too busy for what was arranged: try again when less runs beside it"


class UnexpectedError(RuntimeError):
    """The service answered something else than was arranged."""


@dataclass(slots=True)
class Servers:
    """What the load may do to the world behind the service: stop SLEEPER's server, and start it."""

    sleep: Callable[[], Awaitable[None]]
    wake: Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Load:
    """One run. `seconds` is how long each tenant's everyday traffic takes, incidents not included.

    `http` talks to the service, `platform` to the control plane.
    `watch` asks the server that all tenants but SLEEPER share, as somebody who sees all its connections.
    """

    http: httpx.AsyncClient
    platform: httpx.AsyncClient
    watch: asyncpg.Pool
    servers: Servers
    seed: int
    seconds: float
    say: Say
    caused: Ledger = field(default_factory=Ledger)
    requests: int = 0
    sent: dict[str, list[float]] = field(default_factory=dict)
    """When each project's requests were sent."""
    tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    """All that is under way: the first failure ends the others too."""

    async def run(self, tenants: Sequence[Tenant]) -> None:
        """Drive all tenants at once; raises UnexpectedError as soon as one gets another answer than arranged."""
        try:
            async with asyncio.TaskGroup() as self.tasks:
                for tenant in tenants:
                    self.tasks.create_task(self._live(tenant))
        except* (UnexpectedError, httpx.HTTPError) as errors:
            first: BaseException = errors
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise UnexpectedError(str(first) or type(first).__name__) from first

    async def _live(self, tenant: Tenant) -> None:
        """Everyday traffic, the tenant's incident somewhere in the middle, and everyday traffic again."""
        chance = random.Random(f"{self.seed} {tenant.project_id}")  # noqa: S311  # repeatable, not secret
        incident = INCIDENTS.get(tenant.project_id)
        requests = 0 if tenant.project_id == LOCKED_OUT else round(RATES[tenant.plan] * self.seconds)
        before = round(requests * chance.uniform(0.2, 0.6)) if incident is not None else requests
        await self._everyday(tenant, chance, before)
        if incident is not None:
            await incident(self, tenant)
            await self._everyday(tenant, chance, requests - before)
        if tenant.project_id in EVENINGS:
            await asyncio.sleep(NOTICED)  # what it did until now is measured under what it was
            await EVENINGS[tenant.project_id](self, tenant)

    async def _everyday(self, tenant: Tenant, chance: random.Random, requests: int) -> None:
        began, pause = time.monotonic(), 1 / RATES[tenant.plan]
        for number in range(requests):
            await asyncio.sleep(began + (number + chance.random()) * pause - time.monotonic())
            await self._one(tenant, chance.random())

    async def _one(self, tenant: Tenant, die: float) -> None:
        share_of_slow = 0.3 if tenant.project_id == SLOW_BY_DESIGN else 0.0
        if die < share_of_slow:
            await self._report(tenant, 0.15, ONE_QUERY)
        elif die < 0.75:  # noqa: PLR2004  # shares of the mix: most requests read
            await self._send(tenant, ONE_QUERY, "orders")
        elif die < 0.95:  # noqa: PLR2004
            await self._place(tenant, PLACED, f"new-{die:.15f}")
        else:
            await self._export(tenant)

    # --- requests -----------------------------------------------------------------------------------------------------

    async def _send(self, tenant: Tenant, effect: Effect, path: str, **request: Any) -> httpx.Response:
        """Send one request, hold the answer against the expected one, and write down what it caused."""
        self.requests += 1
        self.sent.setdefault(tenant.project_id, []).append(time.monotonic())
        method = "POST" if "json" in request else "GET"
        answer = await self.http.request(method, f"/{tenant.project_id}/{path}", **request)
        if answer.status_code != effect.status:
            what = f"{method} /{tenant.project_id}/{path} {request or ''}".rstrip()
            raise UnexpectedError(f"{what}: expected {effect.status}, got {answer.status_code} {answer.text}")
        for (kind, detail), count in effect.causes.items():
            self.caused[Entry(tenant.plan, tenant.project_id, kind, detail)] += count
        return answer

    async def _report(self, tenant: Tenant, seconds: float, effect: Effect) -> None:
        await self._send(tenant, effect, "report", params={"seconds": seconds})

    async def _place(self, tenant: Tenant, effect: Effect, reference: str) -> None:
        await self._send(tenant, effect, "orders", json={"reference": reference, "cents": 100})

    async def _export(self, tenant: Tenant) -> None:
        """Export; every trip of the cursor to the server is a query, and the last one finds less than was asked for."""
        rows = len((await self._send(tenant, ONE_QUERY, "export")).text.splitlines()) - 1
        self.caused[Entry(tenant.plan, tenant.project_id, QUERIES, "ok")] += rows // EXPORT_BATCH

    async def _hold(self, tenant: Tenant, connections: int, seconds: float) -> list[asyncio.Task[None]]:
        """Occupy connections with long reports; return when PostgreSQL says that all of them run."""
        reports = [self.tasks.create_task(self._report(tenant, seconds, ONE_QUERY)) for _ in range(connections)]
        running = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event = 'PgSleep'"
        while await self.watch.fetchval(running, tenant.database) < connections:
            if any(report.done() for report in reports):
                await asyncio.gather(*reports)
                raise UnexpectedError(
                    f"{tenant.project_id}: {connections} reports did not run at the same time; {BUSY}"
                )
            await asyncio.sleep(0.02)
        return reports

    async def _against(
        self, tenant: Tenant, reports: list[asyncio.Task[None]], requests: int, effect: Effect, *, outlast: bool
    ) -> None:
        """Send requests while reports hold connections; with `outlast` the reports must still run when all is over."""
        waiting = [self.tasks.create_task(self._send(tenant, effect, "orders")) for _ in range(requests)]
        if outlast:
            await asyncio.gather(*waiting)
        else:
            await asyncio.sleep(SETTLE)
        if any(report.done() for report in reports):
            raise UnexpectedError(f"{tenant.project_id}: reports ended before others queued; {BUSY}")
        await asyncio.gather(*waiting, *reports)

    # --- incidents ----------------------------------------------------------------------------------------------------

    async def saturate(self, tenant: Tenant) -> None:
        """All connections busy for a moment: whoever comes waits, and is served."""
        limits = PLAN_LIMITS[tenant.plan]
        reports = await self._hold(tenant, limits.connections, HOLD)
        waiting = 3 * limits.connections
        self.say(tenant.project_id, f"all {limits.connections} connections are busy: {waiting} requests queue")
        await self._against(tenant, reports, waiting, QUEUED, outlast=False)

    async def exhaust(self, tenant: Tenant) -> None:
        """All connections busy for so long that those who wait give up."""
        limits = PLAN_LIMITS[tenant.plan]
        reports = await self._hold(tenant, limits.connections, limits.acquire_timeout + MARGIN)
        self.say(tenant.project_id, f"no connection within {limits.acquire_timeout:g} s: 5 requests are turned away")
        await self._against(tenant, reports, 5, NO_CONNECTION, outlast=True)

    async def overrun(self, tenant: Tenant) -> None:
        """Statements that take longer than the plan allows."""
        limit = PLAN_LIMITS[tenant.plan].statement_timeout
        self.say(tenant.project_id, f"3 reports run into the statement timeout of {limit:g} s")
        for _ in range(3):
            await self._report(tenant, 30, TOO_SLOW)

    async def crowd(self, tenant: Tenant) -> None:
        """More connections than PostgreSQL grants the role: it refuses, and the pool was not even full."""
        reports = await self._hold(tenant, ROLE_CONNECTIONS, MARGIN)
        self.say(tenant.project_id, f"its role's {ROLE_CONNECTIONS} connections are in use: 4 more are refused (53300)")
        await self._against(tenant, reports, 4, TOO_MANY, outlast=True)

    async def sleep(self, tenant: Tenant) -> None:
        """Its server stops; requests fail, until its circuit opens; it starts again, and the next request is served."""
        await self.servers.sleep()
        self.say(tenant.project_id, "its server has gone to sleep: 3 requests fail, and its circuit opens")
        for effect in (ASLEEP, ASLEEP, LAST_STRAW):
            await asyncio.sleep(SETTLE)
            await self._send(tenant, effect, "orders")
        opened = time.monotonic()
        for _ in range(2):
            await self._send(tenant, NOT_TRIED, "orders")
        await self.servers.wake()
        await asyncio.sleep(opened + BREAKER_REST + SETTLE - time.monotonic())
        await self._send(tenant, WOKEN, "orders")
        self.say(tenant.project_id, "its server is up again: the next request is served, and its circuit closes")

    async def locked_out(self, tenant: Tenant) -> None:
        """Use a password that is no longer right."""
        self.say(tenant.project_id, "its password is wrong: 4 requests fail")
        for _ in range(4):
            await asyncio.sleep(SETTLE)
            await self._send(tenant, REFUSED, "orders")

    async def repeat_itself(self, tenant: Tenant) -> None:
        """Place orders that exist: an error of the customer's, no limit."""
        self.say(tenant.project_id, "places 2 orders that exist already: its own mistake, nobody's limit")
        for reference in ("old-1", "old-2"):
            await self._place(tenant, DUPLICATE, reference)

    # --- what the platform does ---------------------------------------------------------------------------------------

    async def _decree(self, tenant: Tenant, what: str, causes: Mapping[tuple[str, str], int], **wanted: Any) -> None:
        """Have the control plane change a tenant, and wait until everybody must have seen it."""
        answer = await self.platform.put(f"/{tenant.project_id}/{what}", json=wanted)
        if not answer.is_success:
            raise UnexpectedError(f"PUT /{tenant.project_id}/{what}: {answer.status_code} {answer.text}")
        plan = wanted.get("plan", tenant.plan)
        for (kind, detail), count in causes.items():
            self.caused[Entry(plan, tenant.project_id, kind, detail)] += count
        await asyncio.sleep(NOTICED)

    async def _move(self, tenant: Tenant, source: str, target: str, reason: str, **why: float) -> None:
        causes = {(TRANSITIONS, f"{source} {target} {reason}"): 1}
        if target == "COLD":
            causes[SCALED, "idle_timeout"] = 1
        await self._decree(tenant, "tier", causes, tier=target, reason=reason, conditions=why)

    async def _judge(self, tenant: Tenant, source: str, target: str, reason: str) -> None:
        now = time.monotonic()
        lately = sum(when > now - LATELY for when in self.sent[tenant.project_id])
        why = {f"request_count_{LATELY:.0f}s": lately, "threshold_for_hot": HOT_FROM}
        await self._move(tenant, source, target, reason, **why)

    async def promote(self, tenant: Tenant) -> None:
        """More requests than its tier is for: it gets a larger one."""
        self.say(tenant.project_id, "is promoted from WARM to HOT")
        await self._judge(tenant, "WARM", "HOT", "automatic_promotion")

    async def overrun_and_demote(self, tenant: Tenant) -> None:
        """While its statements hang until they time out it asks for little else: the platform takes it for idle."""
        await self.overrun(tenant)
        self.say(tenant.project_id, "is demoted from HOT to WARM")
        await self._judge(tenant, "HOT", "WARM", "automatic_demotion")

    async def fall_asleep(self, tenant: Tenant) -> None:
        """Its day is over: its compute is given up."""
        self.say(tenant.project_id, "is idle: its compute is scaled to zero")
        idle = time.monotonic() - self.sent[tenant.project_id][-1]
        await self._move(tenant, "WARM", "COLD", "scale_to_zero", idle_seconds=round(idle, 1))

    async def pay_more(self, tenant: Tenant) -> None:
        """Its customer buys a larger plan, when its day is over."""
        self.say(tenant.project_id, "upgrades from free to starter")
        await self._decree(tenant, "plan", {(PLAN_CHANGES, "free starter upgrade"): 1}, plan="starter")

    async def read_again(self, tenant: Tenant) -> None:
        """Pages that a cache is for: two again and again, and two older ones."""
        self.say(tenant.project_id, "reads a few pages again and again: its cache answers")
        await self._read(tenant, [1, 2] * 6 + [3, 4, 1])

    async def read_all(self, tenant: Tenant) -> None:
        """Pages that no cache helps with: each once, and then the first again."""
        self.say(tenant.project_id, "reads every page once: its cache is no use")
        self.caused[Entry(tenant.plan, tenant.project_id, CACHE_ALERTS, "L3")] += 1
        await self._read(tenant, [*range(JUDGED), 0])

    async def _read(self, tenant: Tenant, pages: Sequence[int]) -> None:
        for page in pages:
            answer = await self.platform.get(f"/{tenant.project_id}/pages/{page}")
            self.caused[Entry(tenant.plan, tenant.project_id, CACHE, answer.json()["level"])] += 1


SLOW_BY_DESIGN: Final = "proj_juniper"
"""Nearly every third request of this tenant is a report that takes 150 ms."""

INCIDENTS: Final[Mapping[str, Callable[[Load, Tenant], Awaitable[None]]]] = {
    "proj_birch": Load.saturate,
    "proj_cedar": Load.exhaust,
    "proj_dune": Load.repeat_itself,
    "proj_ember": Load.overrun_and_demote,
    SLEEPER: Load.sleep,
    "proj_heron": Load.saturate,
    LOCKED_OUT: Load.locked_out,
    CONNECTION_LIMITED: Load.crowd,
    "proj_kelp": Load.promote,
    "proj_maple": Load.read_again,
    "proj_north": Load.read_all,
}
"""What happens to whom in the middle of its day."""

EVENINGS: Final[Mapping[str, Callable[[Load, Tenant], Awaitable[None]]]] = {
    "proj_acorn": Load.fall_asleep,
    "proj_dune": Load.pay_more,
}
"""What happens to whom when its traffic is over."""
