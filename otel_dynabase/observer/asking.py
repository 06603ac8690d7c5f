"""A round of asking: whom, what became of it, and which reading belongs to which project."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_dynabase.observer.addresses import Addresses, address, awake, database_of, owners
from otel_dynabase.observer.expensive import Expensive
from otel_dynabase.observer.postgres import ABSENT, ask, reason_of
from otel_dynabase.observer.rounds import Asked, Schedule, Target, ask_all

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping

    from otel_dynabase.directory import Tenant
    from otel_dynabase.observer.postgres import Answer
    from otel_dynabase.observer.reading import Reading
    from otel_dynabase.observer.settings import ObserverConfig

    Owner = Callable[[str], str | None]

logger = logging.getLogger("otel_dynabase")

EXPECTED: Final = frozenset({"statements", "buffers"})
"""Extensions that not every server has: that one is not there is counted, and no reason to warn."""


@dataclass(slots=True)
class Answers:
    """What a round brought."""

    asked: list[Asked] = field(default_factory=list)
    late: int = 0
    """Targets that were due and had no turn."""
    failed: Exception | None = None
    """Why the addresses could not be read."""
    names: set[str] = field(default_factory=set)
    """All targets that there are."""
    asleep: set[str] = field(default_factory=set)
    """Projects with an address of their own that were left alone."""


@dataclass(slots=True)
class Sorted:
    """The same by project."""

    readings: dict[str, Reading] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    """Where each of them comes from."""
    silent: set[str] = field(default_factory=set)
    """Projects whose server was asked in vain."""
    lost: set[str] = field(default_factory=set)
    """Projects whose database is no longer where it was."""


class Asking:
    """Asks every server that is due. What is known between rounds changes in `sort` only."""

    def __init__(self, config: ObserverConfig, pattern: re.Pattern[str] | None, clock: Callable[[], float]) -> None:
        self._config = config
        self._pattern = pattern
        self._clock = clock
        self._addresses = Addresses(config)
        grain = min(config.observe_interval, config.observe_usage_interval) / 2
        self._schedule = Schedule(config.observe_usage_interval, grain, clock)
        self._expensive = Expensive(config.observe_size_interval, config.observe_buffers_interval, clock)
        self._located: dict[str, set[str]] = {}
        """The projects whose databases a target has, by the target's name."""
        self._said: set[str] = set()

    async def gather(self, tenants: Mapping[str, Tenant]) -> Answers:
        """Ask shared servers first, then the addresses of projects that are on none of them."""
        end = self._clock() + self._config.observe_interval
        try:
            servers, template = self._addresses.servers(), self._addresses.template()
        except Exception as error:
            self.say("addresses", "the databases' addresses cannot be read: %s: %s", type(error).__name__, error)
            return Answers(failed=error)
        answers = Answers(names={target.name for target in servers})
        owner = owners(tenants, self._pattern)
        await self._ask(self._schedule.due(servers), answers, owner, end)
        if template is not None:
            own = self._own(answers, tenants, owner)
            targets = [address(template, tenant) for tenant in own if awake(tenant)]
            answers.asleep = {tenant.project_id for tenant in own if not awake(tenant)}
            answers.names |= {target.name for target in targets}
            await self._ask(self._schedule.due(targets), answers, owner, end)
        return answers

    def _own(self, answers: Answers, tenants: Mapping[str, Tenant], owner: Owner) -> list[Tenant]:
        """Return the tenants that are on no shared server, as far as is known."""
        shared: set[str] = set()
        for name in answers.names:
            shared |= self._located.get(name, set())
        for asked in answers.asked:
            shared |= _found(asked, tenants, owner).keys()
        return [tenant for project, tenant in tenants.items() if project not in shared]

    async def _ask(self, targets: list[Target], answers: Answers, owner: Owner, end: float) -> None:
        async def one(target: Target) -> Asked:
            return await self._ask_one(target, owner)

        deadline = end - self._clock()
        done, late = await ask_all(targets, one, concurrency=self._config.observe_concurrency, deadline=deadline)
        answers.asked += done
        answers.late += late

    async def _ask_one(self, target: Target, owner: Owner) -> Asked:
        at = self._clock()

        def relevant(database: str) -> bool:
            return target.project is not None or owner(database) is not None

        try:
            answer = await ask(target.dsn, self._expensive.want(target, relevant), self._config.observe_timeout)
        except Exception as error:
            reason = reason_of(error)
            self.say(f"asking: {reason}", "%s cannot be asked: %s: %s", target.name, type(error).__name__, error)
            return Asked(target, at, failure=reason)
        for what, why in answer.unreadable.items():
            if what not in EXPECTED or why != ABSENT:
                self.say(f"reading: {what}", "%s of %s cannot be read: %s", what, target.name, why)
        return Asked(target, at, answer)

    def say(self, what: str, message: str, *args: object) -> None:
        """Warn of something once."""
        if what not in self._said:
            self._said.add(what)
            logger.warning(f"otel-dynabase observe: {message} (further ones are only counted)", *args)  # noqa: G004  # our own constant

    def sort(self, answers: Answers, tenants: Mapping[str, Tenant]) -> Sorted:
        """Find each project's reading, and take note of who answered and who did not."""
        result, owner = Sorted(), owners(tenants, self._pattern)
        for asked in answers.asked:
            self._schedule.done(asked)
            self._expensive.done(asked)
            were_there = self._located.get(asked.target.name, set())
            if asked.target.project is not None:  # known from its name, even where nobody has answered yet
                were_there = {asked.target.project}
            if asked.answer is None:
                result.silent |= were_there
                continue
            found = _found(asked, tenants, owner)
            result.lost |= were_there - found.keys()
            new = {project: reading for project, reading in found.items() if project not in result.readings}
            result.readings |= new
            result.answers |= dict.fromkeys(new, asked.answer)
            self._located[asked.target.name] = set(new)
        if answers.failed is None:
            self._schedule.keep(answers.names)
            self._expensive.keep(answers.names)
            self._located = {name: found for name, found in self._located.items() if name in answers.names}
        result.lost -= result.readings.keys()
        result.silent -= result.readings.keys()
        return result


def _found(asked: Asked, tenants: Mapping[str, Tenant], owner: Owner) -> dict[str, Reading]:
    """Return the readings of a server's answer that belong to projects.

    At a project's own address it is the database that the directory names, or the one that was connected to.
    """
    readings = asked.answer.readings if asked.answer is not None else []
    project = asked.target.project
    if project is None:
        owned = ((owner(reading.database), reading) for reading in readings)
        return {project_id: reading for project_id, reading in owned if project_id is not None}
    if project not in tenants:
        return {}
    name = database_of(tenants[project])
    named = [one for one in readings if one.database == name] or [one for one in readings if one.here]
    return {project: named[0]} if named else {}
