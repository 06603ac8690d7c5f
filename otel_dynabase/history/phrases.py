"""An event in words: one readable phrase for each type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_dynabase.history.stored import Stored

COUNTED: Final = re.compile(r"(?P<what>[a-z]+)_count_(?P<number>\d+)(?P<unit>[smhd])")
"""`query_count_4h`: 145 queries in 4 h."""
TIMED: Final = re.compile(r"(?P<what>\w+)_(?P<unit>hours|minutes|seconds|sec|ms)")
UNITS: Final = {"hours": "h", "minutes": "min", "seconds": "s", "sec": "s", "ms": "ms", "m": "min"}
PLURALS: Final = {"query": "queries"}
TIMES: Final = "\u00d7"
MINUTE, HOUR = 60.0, 3600.0


def phrase(event: Stored) -> str:
    """Say in one line what an event tells; of a type that is not known, its attributes as they are."""
    return PHRASES.get(event.event_type, _unknown)(event)


def duration(seconds: float) -> str:
    """Write a duration for people: 12 ms, 1.9 s, 35 min, 4.2 h."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 2 * MINUTE:
        return f"{seconds:.3g} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def fact(name: str, value: Any) -> str:
    """Write one of the platform's own figures: `query_count_4h: 145` is 145 queries in 4 h."""
    if isinstance(value, bool):
        return _words(name) if value else f"no {_words(name)}"
    if found := COUNTED.fullmatch(name):
        unit = UNITS.get(found["unit"], found["unit"])
        what = found["what"] if value == 1 else PLURALS.get(found["what"], found["what"] + "s")
        return f"{value} {what} in {found['number']} {unit}"
    if found := TIMED.fullmatch(name):
        return f"{_words(found['what'])} {value} {UNITS[found['unit']]}"
    return f"{_words(name)} {value}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _facts(values: Mapping[str, Any] | None) -> str:
    return ", ".join(fact(name, value) for name, value in (values or {}).items())


def conditions(event: Stored) -> str:
    """Say what made the platform decide to change a tier; nothing where it did not say."""
    return _facts(event.get("trigger_conditions"))


def _listed(head: str, parts: Iterator[str]) -> str:
    """Put what else there is to say behind the head of a phrase."""
    rest = "; ".join(filter(None, parts))
    return f"{head} ({rest})" if rest else head


def _milliseconds(event: Stored, name: str) -> str:
    value = event.get(name)
    return "" if value is None else duration(value / 1000)


def _change(event: Stored, source: str, target: str) -> str:
    return f"{event.get(source) or '?'} → {event.get(target) or '?'}"


def _tier_transition(event: Stored) -> str:
    head = f"{_change(event, 'source_tier', 'target_tier')}, {event.get('reason') or 'no reason given'}"
    why = conditions(event)
    return f"{head}: {why}" if why else head


def _limit_hit(event: Stored) -> str:
    hits = event.get("hit_count") or 1
    head = f"{event.get('limit_type') or 'a limit'}, {event.get('action') or 'hit'} {TIMES}{hits}"

    def parts() -> Iterator[str]:
        if waited := _milliseconds(event, "queue_duration_ms"):
            yield f"worst {waited}" if hits > 1 else waited
        if depth := event.get("queue_depth"):
            yield f"queue of {depth}"

    return _listed(head, parts())


def _scale_to_zero(event: Stored) -> str:
    idle = event.get("idle_duration_sec")

    def parts() -> Iterator[str]:
        yield "" if idle is None else f"idle for {duration(idle)}"
        if last := event.get("last_query_timestamp"):
            yield f"last query {last}"

    return _listed(f"compute given up, {event.get('reason') or 'no reason given'}", parts())


def _cold_start(event: Stored) -> str:
    head = f"from {event.get('source_tier') or '?'} in {_milliseconds(event, 'startup_duration_ms') or '?'}"

    def parts() -> Iterator[str]:
        level = event.get("cache_level")
        yield "" if level in {None, "unknown"} else level
        phases = event.get("phases") or {}
        yield ", ".join(f"{name} {_spent(spent)}" for name, spent in phases.items())
        if first := _milliseconds(event, "first_query_latency_ms"):
            yield f"first query {first}"

    return _listed(head, parts())


def _spent(milliseconds: Any) -> str:
    return duration(milliseconds / 1000) if isinstance(milliseconds, int | float) else str(milliseconds)


def _plan_change(event: Stored) -> str:
    head = f"{_change(event, 'from_tier', 'to_tier')}, {event.get('change_type') or 'of no known kind'}"
    effective = event.get("effective_timestamp")
    # what takes effect at once says nothing that the time in front of it does not
    later = effective is not None and not effective.startswith(f"{event.when:%Y-%m-%dT%H:%M}")
    return f"{head}, as of {effective}" if later else head


def _ceiling_hit(event: Stored) -> str:
    facts = event.get("metadata") or {}

    def parts() -> Iterator[str]:
        if hits := event.get("hit_count_24h"):
            yield f"{hits} {TIMES} in 24 h"
        if larger := facts.get("larger_plan"):
            yield f"{larger} grants more"
        elif event.get("upgrade_suggested"):
            yield "a larger plan grants more"

    return _listed(f"{event.get('resource_type') or 'a resource'} at the limit of its plan", parts())


def _breaker(event: Stored) -> str:
    facts = event.get("metadata") or {}
    threshold, volume = event.get("error_threshold"), event.get("volume")

    def parts() -> Iterator[str]:
        yield str(facts.get("breaker") or "")
        yield "" if threshold is None else f"opens at {threshold:g}"
        yield "" if volume is None else f"{volume} calls judged"

    return _listed(f"circuit {_words(event.get('state') or '?')}", parts())


def _cache_alert(event: Stored) -> str:
    rate, expected = event.get("hit_rate"), event.get("expected_rate")
    said = ("" if rate is None else f"{rate:.0%} hits", "" if expected is None else f"expected {expected:.0%}")
    return f"{event.get('cache_level') or 'a cache'}: {', '.join(filter(None, said)) or 'not as expected'}"


def _series(verb: str) -> Callable[[Stored], str]:
    def say(event: Stored) -> str:
        other, weight, error = event.get("counterpart_project_id"), event.get("weight"), event.get("weight_error")

        def parts() -> Iterator[str]:
            if weight is not None:
                yield f"weight {weight:.6g}" + (f", at most {error:.3g} too high" if error else "")
            yield f"instead of {other}" if other else ""

        return _listed(f"{verb}, {event.get('reason') or 'no reason given'}", parts())

    return say


def _unknown(event: Stored) -> str:
    known = {
        "event_id",
        "event_seq",
        "event_revision",
        "event.name",
        "project_id",
        "tenant_id",
        "plan",
        "tier",
        "metadata",
    }
    return ", ".join(f"{name}={value}" for name, value in sorted(event.attributes.items()) if name not in known)


PHRASES: Final[Mapping[str, Callable[[Stored], str]]] = {
    "tier_transition": _tier_transition,
    "limit_hit": _limit_hit,
    "scale_to_zero": _scale_to_zero,
    "cold_start": _cold_start,
    "plan_change": _plan_change,
    "tier_ceiling_hit": _ceiling_hit,
    "circuit_breaker_event": _breaker,
    "cache_efficiency_alert": _cache_alert,
    "tenant_series_named": _series("series of its own in Prometheus"),
    "tenant_series_folded": _series("folded into _other in Prometheus"),
}
