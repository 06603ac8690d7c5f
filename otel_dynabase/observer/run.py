"""The observer as a process: stand by, reign, end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.directory import Directory, source_of
from otel_dynabase.observer import sdk
from otel_dynabase.observer.ceilings import load_limits
from otel_dynabase.observer.facts import Noticing
from otel_dynabase.observer.health import Health, serve
from otel_dynabase.observer.parts import parts_of
from otel_dynabase.observer.reign import Reign, UndoneError
from otel_dynabase.observer.snapshot import UnusableStateError
from otel_dynabase.observer.state import LostError, UnreachableError
from otel_dynabase.observer.troubles import Bench, Troubles, reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.config import Config
    from otel_dynabase.events import EventLog
    from otel_dynabase.observer.part import Part
    from otel_dynabase.observer.reign import Round
    from otel_dynabase.observer.settings import ObserverConfig
    from otel_dynabase.observer.state import State
    from otel_dynabase.store import Store

logger = logging.getLogger("otel_dynabase")

AGAIN: Final = 1.0
"""Seconds between two tries to get the lock."""
OK, INCOMPLETE, UNUSABLE, NOT_ACTIVE, START_AGAIN = 0, 1, 2, 3, 75
"""What the process ends with."""


class Observer:
    """One `otel-dynabase observe`.

    Raises OSError or UnusableError for a file with limits that cannot be read.
    """

    def __init__(
        self,
        config: Config,
        settings: ObserverConfig,
        state: State,
        *,
        once: bool = False,
        told: Callable[[Round], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._settings = settings
        self._limits = load_limits(settings.observe_limits)
        self._state = state
        self._once = once
        self._told = told
        source = source_of(config)
        self._noticing = Noticing(source) if source is not None else None
        self._directory = Directory(self._noticing, interval=settings.observe_interval)
        self._troubles = Troubles()
        self.health = Health(settings.observe_interval, self._troubles)
        self._stop = asyncio.Event()
        self._bench = Bench()
        self._outcome = OK

    async def run(self) -> int:
        """Observe until the process is told to end; return its exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_end, loop)
        server = None
        if self._settings.observe_health is not None and not self._once:
            server = await serve(self.health, self._settings.observe_health)
        try:
            return await self._run()
        except UnusableStateError as error:
            logger.error("The state in %s cannot be used: %s. Put it aside to begin anew.", self._state.name, error)  # noqa: TRY400  # said, not traced
            return UNUSABLE
        except sdk.OtherInstanceError as error:
            logger.error("Start the observer again: %s.", error)  # noqa: TRY400  # said, not traced
            return START_AGAIN
        finally:
            await self._state.release()
            if server is not None:
                server.close()

    def _told_to_end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):  # whoever asks twice does not want to wait
            loop.remove_signal_handler(number)

    async def _run(self) -> int:
        while not self._stop.is_set():
            if not await self._acquired():
                return NOT_ACTIVE if self._once else OK
            try:
                await self._reign(await self._state.load())
                break
            except (LostError, UnreachableError) as error:
                logger.warning(
                    "The lock on %s is lost: %s. Standing by; nothing is published.", self._state.name, error
                )
                await self._state.release()
                await self._pause(AGAIN)
        return self._outcome

    # --- standing by --------------------------------------------------------------------------------------------------

    async def _acquired(self) -> bool:
        """Wait for the lock; False if the process is told to end first, or does not want to wait."""
        while not self._stop.is_set():
            try:
                if await self._state.acquire():
                    self._troubles.worked("state")
                    return True
            except UnreachableError as error:
                self._troubles.failed("state", str(error), "Standing by until it can be asked.")
            else:
                self._troubles.worked("state")
                if self.health.role != "standby":
                    logger.info("Another observer is active (%s): standing by.", self._state.name)
            self.health.became("standby")
            if self._once:
                return False
            await self._pause(AGAIN)
        return False

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), max(0.0, seconds))

    # --- reigning -----------------------------------------------------------------------------------------------------

    async def _reign(self, document: str | None) -> None:
        """Observe as the active one, beginning anew from the last snapshot whenever a part fails in mid-account."""
        saved = document
        while True:
            reign = Reign(
                self._config,
                state=self._state,
                directory=self._directory,
                troubles=self._troubles,
                parts=self._parts,
                document=document,
                saved=saved,
                bench=self._bench,
            )
            reign.begin()
            self.health.became("active")
            try:
                await self._unless_lost(reign)
            except UndoneError as error:
                self._put_on_bench(error)
                document, saved = reign.document, reign.saved
            else:
                return
            finally:
                reign.end()

    def _parts(self, store: Store, events: EventLog) -> list[Part]:
        noticing = self._noticing
        return parts_of(
            store,
            events,
            config=self._config,
            settings=self._settings,
            limits=self._limits,
            facts=(lambda: noticing.facts) if noticing is not None else dict,
        )

    def _put_on_bench(self, error: UndoneError) -> None:
        rounds = self._bench.put(error.part)
        logger.warning("What %s heard cannot be accounted for.", error.part, exc_info=error.__cause__)
        self._troubles.failed(
            error.part, reason(error.__cause__ or error), f"The round is undone; rounds it sits out: {rounds}."
        )

    async def _unless_lost(self, reign: Reign) -> None:
        """Do round after round, and then what the end asks for. Raises LostError as soon as the lock is lost."""
        work = asyncio.ensure_future(self._rounds(reign))
        lost = asyncio.ensure_future(self._state.lost())
        try:
            await asyncio.wait((work, lost), return_when=asyncio.FIRST_COMPLETED)
            if lost.done() and not work.done():
                reign.mute()
                raise LostError(lost.result())
            await work
        finally:
            for task in (work, lost):
                task.cancel()
            await asyncio.gather(work, lost, return_exceptions=True)

    async def _rounds(self, reign: Reign) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            answers = await self._asked(reign)
            if answers is None:
                break
            done = await reign.account(answers, began)
            self.health.finished(done)
            self._told(done)
            if self._once:
                self._outcome = INCOMPLETE if done.failures else OK
                break
            await self._pause(began + self._settings.observe_interval - time.monotonic())
        left = await reign.finish()
        await asyncio.to_thread(sdk.shutdown)
        if left:
            self._outcome = INCOMPLETE if self._once else OK
        logger.info("Ended%s.", f"; {left:,} events are not acknowledged, and sent again by the next" if left else "")

    async def _asked(self, reign: Reign) -> dict[str, Any] | None:
        """Ask around; None if the process is told to end meanwhile."""
        asking = asyncio.ensure_future(reign.ask())
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((asking, stopping), return_when=asyncio.FIRST_COMPLETED)
            return await asking if asking.done() else None
        finally:
            for task in (asking, stopping):
                task.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)
