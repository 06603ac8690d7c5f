"""What a directory may say of a project beside plan and tier: columns that only the observer reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from otel_dynabase.catalog.attributes import CHANGE_TYPE, SCALE_REASON, TRANSITION
from otel_dynabase.directory import Source, Versioned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_dynabase.directory.source import AnySource


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a project's last change; None where the directory does not say."""

    since: float | None = None
    """When the project came to its tier: unix seconds."""
    tier_reason: str | None = None
    scale_reason: str | None = None
    change_type: str | None = None


NO_FACTS = Facts()
REASONS = {"tier_reason": TRANSITION, "scale_reason": SCALE_REASON, "change_type": CHANGE_TYPE}


def facts_of(row: Mapping[Any, Any], since: str = "tier_since") -> Facts:
    """Read a row's optional columns; `since` names the one with the time. What is not valid is not said."""
    reasons = {name: row[name] for name, attribute in REASONS.items() if row.get(name) in attribute.values}
    moment = unix_seconds(row.get(since))
    return Facts(moment, **reasons) if reasons or moment is not None else NO_FACTS


def unix_seconds(value: object) -> float | None:
    """Read a moment: a date, a time (UTC where it does not say), ISO 8601 text or unix seconds."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    if isinstance(value, datetime):
        value = (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        return float(value)
    return None


class Noticing:
    """A source that passes its rows on, and keeps what the directory does not."""

    def __init__(self, source: AnySource) -> None:
        self._load = source.load if isinstance(source, Source) else source
        self.name = getattr(source, "name", "function")
        self.facts: Mapping[str, Facts] = {}
        if isinstance(source, Versioned):
            self.version = source.version

    def load(self) -> Iterable[Mapping[str, object]]:
        """Return the source's rows."""
        facts: dict[str, Facts] = {}
        yield from self._noticed(facts)
        self.facts = facts

    def _noticed(self, facts: dict[str, Facts]) -> Iterator[Mapping[str, object]]:
        for row in self._load():
            if isinstance(row, Mapping) and isinstance(project_id := row.get("project_id"), str):
                told = facts_of(row)
                if told is not NO_FACTS:
                    facts.setdefault(project_id, told)
            yield row
