"""What goes wrong around the observer: said once when it begins and once when it is over, and counted."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

logger = logging.getLogger("otel_dynabase")


class Troubles:
    """Failures by place: a part's name, `directory`, `state`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Failures so far."""
        self.present: dict[str, str] = {}
        """What does not work now, and why."""
        self._said: set[str] = set()

    def failed(self, place: str, why: str, consequence: str | None = None) -> None:
        """Take note of a failure, and say it if it is new; without a `consequence` somebody else has said it."""
        self.counts[place] += 1
        if consequence is not None and self.present.get(place) != why:
            logger.warning("%s: %s. %s", place, why.rstrip("."), consequence)
            self._said.add(place)
        self.present[place] = why

    def worked(self, place: str) -> None:
        """Take note of what works, again or still."""
        self.present.pop(place, None)
        if place in self._said:
            self._said.discard(place)
            logger.info("%s: works again.", place)


LONGEST: Final = 64
"""Most rounds that a part sits out."""


class Bench:
    """Parts that failed to account for what they heard: they sit rounds out, twice as many each time."""

    def __init__(self) -> None:
        self._sitting: dict[str, int] = {}
        self._following: dict[str, int] = {}

    def __contains__(self, part: object) -> bool:
        return part in self._sitting

    def put(self, part: str) -> int:
        """Have a part sit out; return how many rounds."""
        rounds = self._sitting[part] = self._following.get(part, 1)
        self._following[part] = min(2 * rounds, LONGEST)
        return rounds

    def played(self) -> None:
        """Take note of a round."""
        self._sitting = {part: rounds - 1 for part, rounds in self._sitting.items() if rounds > 1}


def reason(error: BaseException) -> str:
    """Say on one line what an error says."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
