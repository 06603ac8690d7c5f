"""Everything that the observer must not lose, as one document."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

FORMAT: Final = 1


class UnusableStateError(Exception):
    """What was saved cannot be gone on from; the message says why."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Totals, events on their way, tenants and each part's state after one round, and whose they are."""

    instance_id: str
    """The `service.instance.id` under which the totals are known."""
    store: dict[str, Any] = field(default_factory=dict)
    events: dict[str, Any] = field(default_factory=lambda: {"sequence": 0, "waiting": []})
    census: list[Any] = field(default_factory=list)
    parts: dict[str, Any] = field(default_factory=dict)


def write(snapshot: Snapshot) -> str:
    """Return a snapshot as JSON."""
    return json.dumps({"format": FORMAT} | _fields(snapshot), separators=(",", ":"), ensure_ascii=False)


def _fields(snapshot: Snapshot) -> dict[str, Any]:
    return {name: getattr(snapshot, name) for name in Snapshot.__slots__}


def read(document: str) -> Snapshot:
    """Return a snapshot that `write` returned. Raises UnusableStateError."""
    try:
        found = json.loads(document)
        version = found.pop("format")
    except (ValueError, LookupError, AttributeError, TypeError):
        raise UnusableStateError("it is not a state of the observer's") from None
    if version != FORMAT:
        raise UnusableStateError(f"it has format {version}, and this version reads format {FORMAT}")
    try:
        return Snapshot(**found)
    except TypeError as error:
        raise UnusableStateError(str(error)) from None
