"""When to ask for what is expensive: sizes walk over every file, pg_buffercache over every buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_dynabase.observer.postgres import Want

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_dynabase.observer.rounds import Asked, Target

BATCH: Final = 50
"""Databases of one server whose size is asked for in one round."""
NEVER: Final = float("-inf")


class Expensive:
    """Spreads them over rounds; what failed waits for as long as what succeeded."""

    def __init__(self, sizes_every: float, buffers_every: float, clock: Callable[[], float]) -> None:
        self._sizes_every = sizes_every
        self._buffers_every = buffers_every
        self._clock = clock
        self._sized: dict[tuple[str, int], float] = {}
        self._failed: dict[str, float] = {}
        self._buffered: dict[str, float] = {}

    def want(self, target: Target, relevant: Callable[[str], bool]) -> Want:
        """Choose what to ask a server for now, of the databases whose name is `relevant`."""
        now = self._clock()
        failed = self._failed.get(target.name, NEVER)

        def sizes(databases: Iterable[tuple[str, int]]) -> list[int]:
            if now - failed < self._sizes_every:
                return []
            ages = {oid: self._sized.get((target.name, oid), NEVER) for name, oid in databases if relevant(name)}
            due = sorted((oid for oid in ages if now - ages[oid] >= self._sizes_every), key=ages.__getitem__)
            return due[:BATCH]

        buffers = 0 < self._buffers_every <= now - self._buffered.get(target.name, NEVER)
        return Want(sizes, buffers=buffers)

    def done(self, asked: Asked) -> None:
        """Take note of what was measured."""
        if asked.answer is None:
            return
        name = asked.target.name
        for reading in asked.answer.readings:
            if reading.size is not None:
                self._sized[name, reading.counters.oid] = asked.at
        if "size" in asked.answer.unreadable:
            self._failed[name] = asked.at
        if "buffers" in asked.answer.asked:
            self._buffered[name] = asked.at

    def keep(self, names: Iterable[str]) -> None:
        """Forget all other targets."""
        kept = set(names)
        self._sized = {key: at for key, at in self._sized.items() if key[0] in kept}
        self._failed = {name: at for name, at in self._failed.items() if name in kept}
        self._buffered = {name: at for name, at in self._buffered.items() if name in kept}
