"""The run: processes that export and are replaced, and a collector that is stopped and killed."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from typing import TYPE_CHECKING, Final

import httpx
import yaml

from benchmarks.cardinality.load import Process, Truth, population

if TYPE_CHECKING:
    from pathlib import Path

    from examples.stack.collector import Collector

PROCESSES: Final = 6
DELTA: Final = 2
"""How many of them send deltas."""
EXPORT: Final = 5.0
"""Seconds between two exports of a process."""
STATEMENTS: Final = 4000
"""Of a process between two exports."""
SHIFTS: Final = 40.0
"""Seconds after which other tenants are the heaviest."""
REPLACE: Final = 45.0
"""Seconds after which one of the processes is replaced."""
INTERVAL: Final = 10.0
"""Seconds between two flushes of the collector, as it is deployed."""
STALE: Final = 60.0
"""Seconds after which gauges of a silent process stop counting."""
REST: Final = STALE + 3 * INTERVAL
"""Seconds at the end in which nobody works."""
TREATMENTS: Final = ("stopped", "killed", "stopped", "killed", "stopped", "killed")
"""What happens to the collector, evenly over the run."""
DOWN: Final = 3.0
"""Seconds that it stays away."""


class Load:
    """The processes, each exporting on its own; what one exports is sent until it is accepted."""

    def __init__(self, tenants: int, url: str, seed: int) -> None:
        self._url = f"{url}/v1/metrics"
        self._seed = seed
        everybody = population(tenants)
        halves = [{plan: some[half::2] for plan, some in everybody.items()} for half in (0, 1)]
        self._tenants = [halves[slot % 2] for slot in range(PROCESSES)]
        self._began = time.monotonic()
        self._replace: set[int] = set()
        self.truth = Truth()
        self.lives = 0
        self.quiet = asyncio.Event()
        """Nobody works any more; all go on exporting."""
        self.careful = asyncio.Event()
        """What the collector may forget when it is killed is not sent now: deltas, and a process' last export."""
        self.over = asyncio.Event()

    @property
    def age(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    async def work(self) -> None:
        """Run all processes, and replace one from time to time, until it is over."""
        async with asyncio.TaskGroup() as group:
            for slot in range(PROCESSES):
                group.create_task(self._slot(slot))
            turn = 0
            while not await passed(self.over, REPLACE):
                if not self.quiet.is_set():
                    self._replace.add(PROCESSES - 1 - turn % PROCESSES)
                    turn += 1

    async def _slot(self, slot: int) -> None:
        chance = random.Random(f"{self._seed} {slot}")  # noqa: S311  # must be repeatable
        delta = slot < DELTA
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            await passed(self.over, EXPORT * slot / PROCESSES)
            process = self._born(slot, chance, delta=delta)
            while not await passed(self.over, EXPORT):
                if not self.quiet.is_set():
                    process.run(STATEMENTS, int(self.age / SHIFTS))
                if self.careful.is_set() and delta:
                    continue
                await self._send(client, process.export())
                if slot in self._replace and not self.careful.is_set():
                    self._replace.discard(slot)
                    self.truth.gauges.pop(process.instance, None)
                    process = self._born(slot, chance, delta=delta)

    def _born(self, slot: int, chance: random.Random, *, delta: bool) -> Process:
        self.lives += 1
        return Process(self._tenants[slot], self.truth, chance, delta=delta)

    async def _send(self, client: httpx.AsyncClient, request: bytes) -> None:
        headers = {"content-type": "application/x-protobuf"}
        while not self.over.is_set():
            try:
                if (await client.post(self._url, content=request, headers=headers)).is_success:
                    return
            except httpx.HTTPError:
                pass
            await passed(self.over, 1)


async def passed(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, so many seconds at most; say whether it has come."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def overlay(work: Path) -> Path:
    """Write what differs from the deployed configuration: a ranking that moves within minutes, and forgets as fast."""
    rank = {"half_life": "60s", "min_stay": "30s"}
    processor = {"interval": f"{INTERVAL:g}s", "stale_after": f"{STALE:g}s", "rank": rank}
    file = work / "fast.yaml"
    file.write_text(yaml.safe_dump({"processors": {"tenant_cardinality": processor}}))
    return file


async def mistreat(collector: Collector, load: Load, seconds: float) -> None:
    """Stop and kill the collector, evenly over the run."""
    for number, treatment in enumerate(TREATMENTS, 1):
        killed = treatment == "killed"
        quiet = INTERVAL + EXPORT if killed else 0
        await asyncio.sleep(seconds * number / (len(TREATMENTS) + 1) - quiet - load.age)
        if killed:
            load.careful.set()
            await asyncio.sleep(quiet)
        print(f"{load.age:6.0f} s  the collector is {treatment}", file=sys.stderr)
        await asyncio.to_thread(collector.kill if killed else collector.stop)
        await asyncio.sleep(DOWN)
        await asyncio.to_thread(collector.start)
        load.careful.clear()
    await asyncio.sleep(seconds - load.age)


async def settle(load: Load, seconds: float) -> None:
    """Let all go on exporting without working: what is left arrives, silent processes are forgotten."""
    load.quiet.set()
    print(f"{load.age:6.0f} s  nobody works any more", file=sys.stderr)
    await asyncio.sleep(seconds)
    load.over.set()
