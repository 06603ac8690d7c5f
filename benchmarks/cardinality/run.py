"""The run: processes that export and are replaced, and a collector that is stopped and killed."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import dataclass
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
DOWN: Final = 3.0
"""Seconds that the collector stays away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast everything goes; in seconds, but for statements and treatments."""

    export: float = 5.0
    """Between two exports of a process."""
    statements: int = 4000
    """Of a process between two exports."""
    shift: float = 40.0
    """After which other tenants are the heaviest."""
    replace: float = 45.0
    """After which one of the processes is replaced."""
    interval: float = 10.0
    """Between two flushes of the collector: 10 s, as it is deployed."""
    stay: float = 30.0
    """For which a named tenant keeps its name at least; its weight halves in twice that."""
    stale: float = 60.0
    """After which gauges of a silent process stop counting."""

    treatments: tuple[str, ...] = ("stopped", "killed") * 3
    """What happens to the collector, evenly over the run."""

    @property
    def rest(self) -> float:
        """At the end, in which nobody works."""
        return self.stale + 3 * self.interval


class Load:
    """The processes, each exporting on its own; what one exports is sent until it is accepted."""

    def __init__(self, tenants: int, url: str, seed: int, pace: Pace) -> None:
        self._url = f"{url}/v1/metrics"
        self._seed = seed
        self._pace = pace
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
            while not await passed(self.over, self._pace.replace):
                if not self.quiet.is_set():
                    self._replace.add(PROCESSES - 1 - turn % PROCESSES)
                    turn += 1

    async def _slot(self, slot: int) -> None:
        chance = random.Random(f"{self._seed} {slot}")  # noqa: S311  # must be repeatable
        delta = slot < DELTA
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            await passed(self.over, self._pace.export * slot / PROCESSES)
            process = self._born(slot, chance, delta=delta)
            while not await passed(self.over, self._pace.export):
                if not self.quiet.is_set():
                    process.run(self._pace.statements, int(self.age / self._pace.shift))
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


def overlay(work: Path, pace: Pace) -> Path:
    """Write what differs from the deployed configuration: a ranking that moves within minutes, and forgets as fast."""
    rank = {"half_life": f"{2 * pace.stay:g}s", "min_stay": f"{pace.stay:g}s"}
    processor = {"interval": f"{pace.interval:g}s", "stale_after": f"{pace.stale:g}s", "rank": rank}
    file = work / "fast.yaml"
    file.write_text(yaml.safe_dump({"processors": {"tenant_cardinality": processor}}))
    return file


async def mistreat(collector: Collector, load: Load, seconds: float, pace: Pace) -> None:
    """Stop and kill the collector, evenly over the run."""
    for number, treatment in enumerate(pace.treatments, 1):
        killed = treatment == "killed"
        quiet = pace.interval + pace.export if killed else 0
        await asyncio.sleep(seconds * number / (len(pace.treatments) + 1) - quiet - load.age)
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
