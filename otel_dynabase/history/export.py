"""An event in the ticket's shape, and the JSON Schema of that shape, both out of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.catalog.events import STORED, Event
from otel_dynabase.catalog.fields import FIELDS, IDENTITY, METADATA, Field
from otel_dynabase.history.stored import rfc3339

if TYPE_CHECKING:
    from otel_dynabase.history.stored import Stored

BY_NAME: Final = {event.name: event for event in STORED}
SCHEMA_ID: Final = "urn:otel-dynabase:event:1"
TYPES: Final = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "whole": {"type": "integer"},
    "truth": {"type": "boolean"},
    "moment": {"type": "string", "format": "date-time"},
    "facts": {"type": "object"},
}
HEAD: Final[dict[str, dict[str, Any]]] = {
    "timestamp": {"type": "string", "format": "date-time", "description": "When it happened, in UTC."},
    "event_type": {"type": "string", "description": "Which kind of event."},
    "event_id": {"type": "string", "format": "uuid", "description": "The same for ever: what tells two events apart."},
    "event_seq": {"type": "integer", "minimum": 0, "description": "Counts up in each service_instance_id; 0: unknown."},
}
ORIGIN: Final[dict[str, dict[str, Any]]] = {
    "trace_id": {"type": ["string", "null"], "pattern": "^[0-9a-f]{32}$", "description": "The trace it happened in."},
    "span_id": {"type": ["string", "null"], "pattern": "^[0-9a-f]{16}$", "description": "The span it happened in."},
    "service_name": {"type": ["string", "null"], "description": "Which service told it."},
    "service_instance_id": {"type": ["string", "null"], "description": "Which process of that service."},
}


def exported(event: Stored) -> dict[str, Any]:
    """Return an event in the ticket's shape: every key that its type has, null where nothing is known.

    What is malformed, or a value that its type does not have, is null too; an unknown type has its attributes as text.
    """
    known = BY_NAME.get(event.event_type)
    critical = {name: _value(event, FIELDS[name]) for name in known.attributes} if known else _others(event)
    return {
        "timestamp": rfc3339(event.time_ns),
        "event_type": event.event_type,
        "event_id": event.event_id,
        "event_seq": event.event_seq,
        **{field.name: _value(event, field) for field in IDENTITY},
        **critical,
        "metadata": event.get("metadata") or {},
        "trace_id": event.trace_id or None,
        "span_id": event.span_id or None,
        "service_name": event.service_name or None,
        "service_instance_id": event.service_instance_id or None,
    }


def _value(event: Stored, field: Field) -> Any:
    value = event.get(field.name)
    return None if field.values and value not in field.values else value


def _others(event: Stored) -> dict[str, str]:
    taken = {*HEAD, *ORIGIN, "metadata", "event.name", "event_revision", *(field.name for field in IDENTITY)}
    return {name: value for name, value in event.attributes.items() if name not in taken}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one exported line."""
    common = {**HEAD, **{field.name: _property(field) for field in IDENTITY}, "metadata": _property(METADATA), **ORIGIN}
    common["metadata"]["type"] = "object"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "An event of otel-dynabase",
        "description": "One line of `otel-dynabase events export --format jsonl`.",
        "type": "object",
        "required": list(common),
        "properties": common,
        "oneOf": [*map(_of_type, STORED), _of_no_known_type()],
    }


def _of_type(event: Event) -> dict[str, Any]:
    return {
        "title": event.name,
        "description": event.what,
        "required": list(event.attributes),
        "properties": {
            "event_type": {"const": event.name},
            **{name: _property(FIELDS[name]) for name in event.attributes},
        },
    }


def _of_no_known_type() -> dict[str, Any]:
    return {
        "title": "any other",
        "description": "A type that this version does not know: its attributes as text.",
        "properties": {"event_type": {"not": {"enum": list(BY_NAME)}}},
    }


def _property(field: Field) -> dict[str, Any]:
    kind = TYPES[field.kind]
    described: dict[str, Any] = {**kind, "type": [kind["type"], "null"], "description": field.what}
    if field.values:
        described["enum"] = [*field.values, None]
    return described
