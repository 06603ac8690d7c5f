"""pybreaker: what its circuit breakers do, told to the probes.

Listeners would be seen in `breaker.listeners`, so nothing listens: `open`, `half_open` and `close` are where a breaker
changes its state. A change that another process made through a shared storage arrives by another way and is shown, not
counted: that process counts it. A storage is never asked, since it may be a server.
"""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pybreaker import CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage

from otel_dynabase import faults
from otel_dynabase.adapters.patches import Patch
from otel_dynabase.probes.breaker import Breaker

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_dynabase.probes import Probes
    from otel_dynabase.probes.breaker import Breakers, State

    Function = Callable[..., Any]

__all__ = ["TOUCHPOINTS", "bind", "patches", "release"]

TOUCHPOINTS = (
    "CircuitBreaker._lock",
    "CircuitBreaker._state",
    "CircuitBreaker._state_storage",
    "CircuitOpenState._breaker",
)
"""The private attributes of pybreaker's objects that this package relies on."""

PROBE = "_otel_dynabase_probe"
PROJECT = "_otel_dynabase_project"
"""Attributes of a breaker."""

STATES: dict[str, State] = {"closed": "closed", "half-open": "half_open", "open": "open"}

_watched: weakref.WeakSet[CircuitBreaker] = weakref.WeakSet()


def bind(breaker: Any, project_id: str) -> bool:
    """Say whose breaker this is; False if it is none of pybreaker's."""
    if not isinstance(breaker, CircuitBreaker):
        return False
    setattr(breaker, PROJECT, project_id)
    probe: Breaker | None = vars(breaker).get(PROBE)
    if probe is not None:
        probe.bind(project_id)
    return True


def release() -> None:
    """Take back what was put on breakers that are still in use."""
    for breaker in list(_watched):
        vars(breaker).pop(PROBE, None)
        _watched.discard(breaker)


class _Wrappers:
    """Wrappers of what breakers do."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers

    def probe(self, breaker: Any) -> Breaker:
        """Return a breaker's probe, from its first call or change on."""
        attributes = vars(breaker)
        probe: Breaker | None = attributes.get(PROBE)
        if probe is None:
            reference = weakref.ref(breaker)
            probe = Breaker(self._breakers, breaker.name, lambda: _state(reference()), attributes.get(PROJECT))
            attributes[PROBE] = probe
            _watched.add(breaker)
        return probe

    def call(self, original: Function) -> Function:
        """Wrap CircuitBreaker.call and call_async, which every guarded call goes through: the breaker is in use."""

        def call(breaker: Any, *args: Any, **kwargs: Any) -> Any:
            if PROBE not in vars(breaker):
                try:
                    self.probe(breaker)
                except Exception:
                    faults.ignore("meeting a circuit breaker")
            return original(breaker, *args, **kwargs)

        return call

    def change(self, original: Function) -> Function:
        """Wrap CircuitBreaker.open, half_open and close."""

        def change(breaker: Any, *args: Any, **kwargs: Any) -> Any:
            # the breaker's own lock, which the original takes again: nobody changes the state in between
            with getattr(breaker, "_lock", None) or nullcontext():
                before, failures = self._before(breaker)
                result = original(breaker, *args, **kwargs)
                self._changed(breaker, before, failures)
            return result

        return change

    def _before(self, breaker: Any) -> tuple[str | None, int | None]:
        """Read the state and the failures that a change is about to reset."""
        try:
            self.probe(breaker)
            storage = breaker._state_storage
            return breaker._state.name, storage.counter if isinstance(storage, CircuitMemoryStorage) else None
        except Exception:
            faults.ignore("reading a circuit breaker")
            return None, None

    def _changed(self, breaker: Any, before: str | None, failures: int | None) -> None:
        try:
            state = breaker._state.name
            if state != before:
                self.probe(breaker).moved(STATES[state], error_threshold=breaker.fail_max, volume=failures)
        except Exception:
            faults.ignore("measuring a circuit breaker")

    def before_call(self, original: Function) -> Function:
        """Wrap CircuitOpenState.before_call: a call is refused, or it is the first one after the time-out."""

        def before_call(state: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(state, *args, **kwargs)
            except CircuitBreakerError:
                self._failed(state)
                raise

        return before_call

    def _failed(self, state: Any) -> None:
        """Account for a refusal; a trial call that failed was none, and has left this open state for a new one."""
        try:
            breaker = state._breaker
            if breaker._state is state:
                self.probe(breaker).refused()
        except Exception:
            faults.ignore("measuring a refused call")


def _state(breaker: Any) -> State:
    """Read what a breaker was last seen to do; one that goes away meanwhile refuses nobody."""
    return "closed" if breaker is None else STATES[breaker._state.name]


def patches(probes: Probes) -> tuple[Patch, ...]:
    """Return the table of pybreaker's patches."""
    run = _Wrappers(probes.breakers)
    return (
        Patch("pybreaker", "CircuitBreaker.call", run.call),
        Patch("pybreaker", "CircuitBreaker.call_async", run.call),
        Patch("pybreaker", "CircuitBreaker.open", run.change),
        Patch("pybreaker", "CircuitBreaker.half_open", run.change),
        Patch("pybreaker", "CircuitBreaker.close", run.change),
        Patch("pybreaker", "CircuitOpenState.before_call", run.before_call),
    )
