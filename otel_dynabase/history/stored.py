"""One event as it is stored; attributes are read as what the catalogue says they are."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from otel_dynabase.catalog.fields import FIELDS, IDENTITY, METADATA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KINDS = {field.name: field.kind for field in (*IDENTITY, METADATA, *FIELDS.values())}


@dataclass(frozen=True, slots=True)
class Stored:
    """An event. `attributes` are text, as the collector writes them; lists and mappings are JSON."""

    time_ns: int
    event_type: str
    event_id: str
    event_seq: int
    trace_id: str
    span_id: str
    service_name: str
    service_instance_id: str
    attributes: Mapping[str, str]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Stored:
        """Take a row of the queries `timeline` or `export`."""
        return cls(**{**row, "event_id": str(row["event_id"])})

    @property
    def when(self) -> datetime:
        """Return when it happened, in UTC, to the microsecond."""
        return datetime.fromtimestamp(self.time_ns // 1_000_000_000, UTC).replace(
            microsecond=self.time_ns % 1_000_000_000 // 1000
        )

    def get(self, name: str) -> Any:
        """Return an attribute's value, or None where it is absent or is not what it should be."""
        text = self.attributes.get(name, "")
        return None if text == "" else READ[KINDS.get(name, "text")](text)


def rfc3339(time_ns: int) -> str:
    """Write nanoseconds since the epoch as 2025-11-21T20:45:32.123Z, with as many digits as there are, by three."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    digits = f"{fraction:09d}"
    while digits.endswith("000") and len(digits) > 3:  # noqa: PLR2004  # milliseconds at least
        digits = digits[:-3]
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{digits}Z"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _facts(text: str) -> dict[str, Any] | None:
    """Read JSON, in which every number must be one that JSON can write again."""
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _moment(text: str) -> str | None:
    try:
        moment = datetime.fromisoformat(text)
        return rfc3339(round(moment.timestamp() * 1000) * 1_000_000) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


READ: dict[str, Callable[[str], Any]] = {
    "text": str,
    "number": _number,
    "whole": _whole,
    "truth": {"true": True, "false": False}.get,
    "moment": _moment,
    "facts": _facts,
}
"""What makes a value of stored text, by kind; None where the text is no such value."""
