"""Faults at random: who is killed or paused when, for how long; and doing that to real processes."""

from __future__ import annotations

import random
import sys
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PAUSE_SHARE = 2 / 3
"""How much of its slot a pause takes."""
DOWN_SHARE = 1 / 6
"""How much of its slot a killed process stays away, at most."""


class Victim(Protocol):
    """Something that can be killed, started again, paused and resumed."""

    def start(self) -> None:
        """Start it; return when it works."""

    def kill(self) -> None:
        """End it by SIGKILL."""

    def pause(self) -> None:
        """Stop it by SIGSTOP."""

    def resume(self) -> None:
        """Let it go on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to happen to one victim: `at` and `seconds` away, from the beginning of the run."""

    victim: str
    kind: str
    at: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.victim} {self.kind}, away for {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Outage:
    """When a victim was away, in Unix nanoseconds."""

    fault: Fault
    began: int
    ended: int


def schedule(victims: Sequence[str], seconds: float, kills: int, seed: int) -> list[list[Fault]]:
    """Return each victim's faults: so many kills and one pause, in random order at random moments.

    A victim's faults do not overlap; those of different victims may.
    """
    chance = random.Random(seed)  # noqa: S311  # must be repeatable
    slot = seconds / (kills + 1)
    plans = []
    for victim in victims:
        kinds = ["killed"] * kills + ["paused"]
        chance.shuffle(kinds)
        plans.append([_fault(chance, victim, kind, slot * n, slot) for n, kind in enumerate(kinds)])
    return plans


def _fault(chance: random.Random, victim: str, kind: str, begin: float, slot: float) -> Fault:
    away = slot * (PAUSE_SHARE if kind == "paused" else chance.uniform(0, DOWN_SHARE))
    return Fault(victim, kind, begin + chance.uniform(0, (slot - away) * 0.9), away)


class Storm:
    """Does what is scheduled, each victim's faults on a thread of their own."""

    def __init__(self, victims: Mapping[str, Victim], plans: Sequence[Sequence[Fault]]) -> None:
        self._victims = victims
        self._plans = plans
        self._over = threading.Event()
        self._began = time.monotonic()
        self.outages: list[Outage] = []
        """What has happened."""

    def rage(self, meanwhile: Callable[[], None]) -> None:
        """Return when everything has happened; call `meanwhile` every second."""
        with ThreadPoolExecutor(len(self._plans), "faults") as threads:
            try:
                running = [threads.submit(self._suffer, plan) for plan in self._plans]
                while wait(running, 1, FIRST_EXCEPTION).not_done:
                    if any(each.done() and each.exception() for each in running):
                        break
                    meanwhile()
                for each in running:
                    each.result()
            finally:
                self._over.set()

    def _suffer(self, plan: Sequence[Fault]) -> None:
        for fault in plan:
            if not self._over.wait(self._began + fault.at - time.monotonic()):
                self._happen(fault)

    def _happen(self, fault: Fault) -> None:
        victim = self._victims[fault.victim]
        print(f"{time.monotonic() - self._began:6.0f} s  {fault}", file=sys.stderr)
        began = time.time_ns()
        (victim.pause if fault.kind == "paused" else victim.kill)()
        over = self._over.wait(fault.seconds)
        if fault.kind == "paused":
            victim.resume()
        elif not over:
            victim.start()
        self.outages.append(Outage(fault, began, time.time_ns()))
