"""Whom to ask in a round, and how long to leave alone who did not answer."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from otel_dynabase.observer.postgres import Answer

LONGEST_PAUSE: Final = 600.0
"""Seconds after which even what never answers is asked again."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address to ask; `project` where it serves only one."""

    name: str
    """Which it is, for good; no secret."""
    dsn: str = field(repr=False)
    project: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of asking: an answer, or the reason why there is none. `at` is on the schedule's clock."""

    target: Target
    at: float
    answer: Answer | None = None
    failure: str = ""


class Schedule:
    """When each target is due: an interval after it was asked last, later and later while it does not answer.

    Rounds come when they come: who is due within `grain` seconds is due now.
    """

    def __init__(self, interval: float, grain: float, clock: Callable[[], float]) -> None:
        self._interval = interval
        self._grain = grain
        self._clock = clock
        self._asked: dict[str, tuple[int, float]] = {}

    def due(self, targets: Iterable[Target]) -> list[Target]:
        """Choose who is due: who answered before those who did not, and of them the longest unasked first."""
        now = self._clock() + self._grain
        waiting = {target: self._asked.get(target.name, (0, float("-inf"))) for target in targets}
        return sorted((one for one in waiting if self._when(*waiting[one]) <= now), key=waiting.__getitem__)

    def _when(self, failures: int, at: float) -> float:
        pause = self._interval * 2.0 ** min(failures, 16)
        return at + max(self._interval, min(pause, LONGEST_PAUSE))

    def done(self, asked: Asked) -> None:
        """Take note of who was asked."""
        failures = 0 if asked.answer is not None else self._asked.get(asked.target.name, (0, 0.0))[0] + 1
        self._asked[asked.target.name] = (failures, asked.at)

    def keep(self, names: Iterable[str]) -> None:
        """Forget all other targets."""
        self._asked = {name: self._asked[name] for name in names if name in self._asked}


async def ask_all(
    targets: Iterable[Target], ask: Callable[[Target], Awaitable[Asked]], *, concurrency: int, deadline: float
) -> tuple[list[Asked], int]:
    """Ask targets, some at a time, for `deadline` seconds; return what became of it, and how many had no turn.

    One that is slow holds one place, and no longer than its own timeout.
    """
    waiting, done = deque(targets), []
    number = len(waiting)

    async def work() -> None:
        while waiting:
            done.append(await ask(waiting.popleft()))

    try:
        async with asyncio.timeout(max(0.0, deadline)), asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, number)):
                group.create_task(work())
    except TimeoutError:
        pass  # who is late is due in the next round
    return done, number - len(done)
