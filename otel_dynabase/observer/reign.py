"""What is done while the lock is held: round after round, over a store of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase import faults
from otel_dynabase.background import Background
from otel_dynabase.catalog.metrics import (
    SELF_BACKLOG,
    SELF_DIRECTORY_AGE,
    SELF_FAILURES,
    SELF_FAULTS,
    SELF_ROUND_DURATION,
    SELF_ROUNDS,
    SELF_SERIES,
)
from otel_dynabase.events import EventLog, burst
from otel_dynabase.observer import sdk, snapshot
from otel_dynabase.observer.census import Census
from otel_dynabase.observer.snapshot import Snapshot
from otel_dynabase.observer.state import NotSavedError
from otel_dynabase.observer.troubles import reason
from otel_dynabase.probes.tenants import is_outdated
from otel_dynabase.producer import Bridge, Producer
from otel_dynabase.store import GRACE, RETIRING, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_dynabase.catalog.kinds import Key, Metric
    from otel_dynabase.config import Config
    from otel_dynabase.directory import Directory
    from otel_dynabase.observer.part import Observation, Part
    from otel_dynabase.observer.state import State
    from otel_dynabase.observer.troubles import Bench, Troubles

logger = logging.getLogger("otel_dynabase")

GATHERING: Final = 60.0
"""Seconds that a part may take to ask the outside world."""


class UndoneError(Exception):
    """A part failed to account for what it heard: what it had begun is not to be seen."""

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part


@dataclass(frozen=True, slots=True)
class Round:
    """What came of one round."""

    tenants: int
    events: int
    backlog: int
    seconds: float
    saved: bool
    failures: dict[str, str] = field(default_factory=dict)


class Reign:
    """A store, the parts that fill it, and what hands it to the SDK.

    It begins with what was saved last and ends with the process, with the lock, or with a part's failure in the middle
    of a round; whatever has been begun and not saved by then is seen by nobody.
    """

    def __init__(
        self,
        config: Config,
        *,
        state: State,
        directory: Directory,
        troubles: Troubles,
        parts: Callable[[Store, EventLog], list[Part]],
        document: str | None,
        saved: str | None,
        bench: Bench,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._directory = directory
        self._troubles = troubles
        self._clock = clock
        self._timeout = config.shutdown_timeout
        self.store = Store()
        self._background = Background({"sending events": self._send}, prompt="sending events")
        self.events = EventLog(self.store, capacity=config.event_queue, burst=burst(), wake=self._background.wake)
        self._parts = parts(self.store, self.events)
        self._census = Census()
        self._producer = Producer(self.store, config.metrics)
        self._bridge = Bridge(self._producer)
        self._retired = float("-inf")
        self._seconds = 0.0
        self._bench = bench
        self.document = document
        """The state as others may have seen it."""
        self.saved = saved
        """The state as it was saved last."""
        self.instance_id = self._load()
        for observer in (self._observe, *(part.observe for part in self._parts)):
            self.store.observe(observer)

    def _load(self) -> str:
        """Go on from the document. Raises UnusableStateError."""
        if self.document is None:
            return sdk.instance()
        found = snapshot.read(self.document)
        try:
            if misfits := self.store.load(found.store):
                logger.warning("%d series of an earlier version are not kept any more.", misfits)
            self.events.load(found.events)
            self._census.load(found.census)
            for part in self._parts:
                if part.name in found.parts:
                    part.load(found.parts[part.name])
        except Exception as error:
            raise snapshot.UnusableStateError(reason(error)) from error
        return found.instance_id

    # --- beginning and end --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Hand the store to the SDK. Raises OtherInstanceError."""
        sdk.configure(self.instance_id)
        self._patches = sdk.watch_exporters(self.events)
        self._bridge.connect()
        self._background.start()

    def mute(self) -> None:
        """Let nobody see anything any more."""
        self._producer.mute()
        self.events.hold()

    def end(self) -> None:
        """Take everything back."""
        self.mute()
        self._background.stop(timeout=1.0)
        self._bridge.disconnect()
        self._patches.revert()

    async def finish(self) -> int:
        """Send what is left, and save what remains; return how many events that is."""
        self._background.stop(timeout=1.0)
        left = await asyncio.to_thread(self.events.drain, self._timeout)
        with self._producer.paused():
            await self._save()
        return left

    def _send(self) -> float:
        return self.events.flush()

    # --- rounds -------------------------------------------------------------------------------------------------------

    async def ask(self) -> dict[str, Any]:
        """Ask the directory, and then all parts at once; return the answers of those that have one."""
        if await asyncio.to_thread(self._directory.refresh):
            self._census.take(self._directory.tenants)
            self._troubles.worked("directory")
        else:
            self._troubles.failed("directory", "it cannot be read")
        asked = [part for part in self._parts if part.name not in self._bench]
        answers = await asyncio.gather(*map(self._gather, asked))
        return {part.name: answer for part, answer in zip(asked, answers, strict=True) if answer is not FAILED}

    async def _gather(self, part: Part) -> Any:
        try:
            async with asyncio.timeout(GATHERING):
                return await part.gather(self._census.tenants)
        except Exception as error:
            self._troubles.failed(part.name, reason(error), "It is tried again in the next round.")
            return FAILED

    async def account(self, answers: dict[str, Any], began: float) -> Round:
        """Account for the answers and save that, before anybody sees it. `began` is on the monotonic clock.

        Raises UndoneError or LostError, after which nothing of it is seen and the reign is over.
        """
        before = self.events.sequence
        with self._producer.paused():
            try:
                self.events.hold()
                self._apply(answers)
                saved = await self._save()
            except BaseException:
                self.mute()
                raise
        self.events.release()
        failures = dict(self._troubles.present)
        self.store.sum(SELF_ROUNDS, ("partial" if failures else "complete",)).add()
        self._seconds = time.monotonic() - began
        return Round(
            len(self._census.tenants),
            self.events.sequence - before,
            self.events.backlog,
            self._seconds,
            saved,
            failures,
        )

    def _apply(self, answers: dict[str, Any]) -> None:
        now = self._clock()
        for part in self._parts:
            if part.name in answers:
                try:
                    part.apply(answers[part.name], self._census.tenants, now)
                except Exception as error:
                    raise UndoneError(part.name) from error
                self._troubles.worked(part.name)
        self._bench.played()
        if abs(now - self._retired) >= RETIRING:
            self._retired = now
            self.store.retire(self._is_outdated, now, GRACE)

    async def _save(self) -> bool:
        """Save the state if there is news; False if that failed and is at risk until it works again."""
        self.document = snapshot.write(
            Snapshot(
                self.instance_id,
                self.store.dump(),
                self.events.dump(),
                self._census.dump(),
                {part.name: part.dump() for part in self._parts},
            )
        )
        if self.document != self.saved:
            try:
                await self._state.save(self.document)
            except NotSavedError as error:
                self._troubles.failed("state", str(error), AT_RISK)
                return False
            self.saved = self.document
        self._troubles.worked("state")
        return True

    def _is_outdated(self, metric: Metric, key: Key) -> bool:
        return is_outdated(metric, key, self._census.tenants.get(str(key[0])) if key else None)

    def _observe(self) -> Iterator[Observation]:
        yield SELF_SERIES, (), len(self.store)
        yield SELF_BACKLOG, (), self.events.backlog
        yield SELF_ROUND_DURATION, (), self._seconds
        for place, count in list(faults.counts.items()):
            yield SELF_FAULTS, (place,), count
        for place, count in list(self._troubles.counts.items()):
            yield SELF_FAILURES, (place,), count
        age = self._directory.stats().age
        if age is not None:
            yield SELF_DIRECTORY_AGE, (), age


FAILED: Final = object()
"""The answer of a part that has none."""
AT_RISK: Final = (
    "Measuring goes on; if the observer ends before it can save, what happened since the last time is counted again."
)
