"""What became of each test, and where two runs disagree."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One run of pytest: outcomes by test, reasons of failures, and what else the instrumentation did wrong."""

    outcomes: dict[str, str]
    reasons: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Run:
        """Read what the plugin has written."""
        return cls(**json.loads(path.read_text()))

    def count(self, outcome: str) -> int:
        """Count the tests that ended so."""
        return sum(ended == outcome for ended in self.outcomes.values())

    def __str__(self) -> str:
        return ", ".join(f"{self.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped"))


@dataclass(frozen=True, slots=True)
class Difference:
    """One test that ended differently."""

    test: str
    plain: str
    other: str
    reason: str = ""


def differences(plain: Run, other: Run) -> list[Difference]:
    """List the tests that did not end alike; one that did not run at all ended as `missing`."""
    found = []
    for test in sorted(plain.outcomes.keys() | other.outcomes.keys()):
        before, after = (run.outcomes.get(test, "missing") for run in (plain, other))
        if before != after:
            found.append(Difference(test, before, after, other.reasons.get(test) or plain.reasons.get(test, "")))
    return found
