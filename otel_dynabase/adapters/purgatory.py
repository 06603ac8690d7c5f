"""purgatory: what its circuit breakers do, told to the probes.

A circuit lives in a unit of work under its name. Its context is one object for ever where that is in memory, and a new
one for each call where it is a server's; hence a circuit is known by both. What another process did to a shared one is
seen when its context is loaded, and shown, not counted: that process counts it.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from purgatory.domain.model import OpenedState
from purgatory.service._async.circuitbreaker import AsyncCircuitBreaker
from purgatory.service._sync.circuitbreaker import SyncCircuitBreaker

from otel_dynabase import faults
from otel_dynabase.adapters.patches import Patch
from otel_dynabase.probes.breaker import Breaker

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from otel_dynabase.probes import Probes
    from otel_dynabase.probes.breaker import Breakers, State

    Function = Callable[..., Any]

__all__ = ["TOUCHPOINTS", "bind", "patches", "release"]

TOUCHPOINTS = (
    "purgatory.domain.model:Context.handle_new_request",
    "purgatory.domain.model:Context.set_state",
    "purgatory.domain.model:OpenedState",
    "purgatory.service._async.circuitbreaker:AsyncCircuitBreaker.__init__",
    "purgatory.service._sync.circuitbreaker:SyncCircuitBreaker.__init__",
)
"""The parts of purgatory below what it exports that this package relies on."""

CIRCUIT = "_otel_dynabase_circuit"
"""Attribute of a context."""
KEPT = 1000
"""Circuits of a unit of work that are remembered; of one with more, which only a server can have, the eldest go."""

STATES: dict[str, State] = {"closed": "closed", "half-opened": "half_open", "opened": "open"}

_projects: MutableMapping[Any, dict[str, str]] = weakref.WeakKeyDictionary()
"""Whose each circuit is, by unit of work and name."""
_watched: weakref.WeakSet[_Circuit] = weakref.WeakSet()


class _Circuit:
    """A circuit, and the context in which it was last seen."""

    __slots__ = ("__weakref__", "context", "probe")

    def __init__(self, breakers: Breakers, context: Any, project: str | None) -> None:
        self.context = context
        self.probe = Breaker(breakers, context.name, self._state, project)
        _watched.add(self)

    def _state(self) -> State:
        return STATES[self.context.state]


def bind(breaker: Any, project_id: str) -> bool:
    """Say whose circuit a breaker is of; False if it is none of purgatory's."""
    if not isinstance(breaker, AsyncCircuitBreaker | SyncCircuitBreaker):
        return False
    _projects.setdefault(breaker.uow, {})[breaker.context.name] = project_id
    circuit: _Circuit | None = vars(breaker.context).get(CIRCUIT)
    if circuit is not None:
        circuit.probe.bind(project_id)
    return True


def release() -> None:
    """Take back what was put on contexts that are still in use."""
    for circuit in list(_watched):
        vars(circuit.context).pop(CIRCUIT, None)
        _watched.discard(circuit)


class _Wrappers:
    """Wrappers of what breakers and their contexts do."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers
        self._circuits: MutableMapping[Any, dict[str, _Circuit]] = weakref.WeakKeyDictionary()
        """By unit of work and name."""

    def made(self, original: Function) -> Function:
        """Wrap the making of a breaker, one for each call: the circuit is in use."""

        def __init__(breaker: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # replaces that method
            original(breaker, *args, **kwargs)
            if CIRCUIT not in vars(breaker.context):
                try:
                    self._meet(breaker.uow, breaker.context)
                except Exception:
                    faults.ignore("meeting a circuit breaker")

        return __init__

    def _meet(self, uow: Any, context: Any) -> None:
        """Find out which circuit a new context is of."""
        circuits = self._circuits.setdefault(uow, {})
        circuit = circuits.pop(context.name, None)
        if circuit is None:
            circuit = _Circuit(self._breakers, context, _projects.get(uow, {}).get(context.name))
        circuit.context = context
        circuits[context.name] = circuit
        if len(circuits) > KEPT:
            del circuits[next(iter(circuits))]
        setattr(context, CIRCUIT, circuit)

    def _probe(self, context: Any) -> Breaker:
        """Return a context's probe; one that was made before instrumenting is met here."""
        circuit: _Circuit | None = vars(context).get(CIRCUIT)
        if circuit is None:
            circuit = _Circuit(self._breakers, context, None)
            setattr(context, CIRCUIT, circuit)
        return circuit.probe

    def set_state(self, original: Function) -> Function:
        """Wrap Context.set_state, by which a circuit changes its state."""

        def set_state(context: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                before, failures = context.state, context.failure_count
            except Exception:
                before = failures = None
                faults.ignore("reading a circuit breaker")
            result = original(context, *args, **kwargs)
            try:
                if context.state != before:
                    self._probe(context).moved(
                        STATES[context.state], error_threshold=context.threshold, volume=failures
                    )
            except Exception:
                faults.ignore("measuring a circuit breaker")
            return result

        return set_state

    def handle_new_request(self, original: Function) -> Function:
        """Wrap Context.handle_new_request, which an open circuit refuses by raising its state."""

        def handle_new_request(context: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(context, *args, **kwargs)
            except OpenedState:
                try:
                    self._probe(context).refused()
                except Exception:
                    faults.ignore("measuring a refused call")
                raise

        return handle_new_request


def patches(probes: Probes) -> tuple[Patch, ...]:
    """Return the table of purgatory's patches."""
    run = _Wrappers(probes.breakers)
    return (
        Patch("purgatory.service._async.circuitbreaker", "AsyncCircuitBreaker.__init__", run.made),
        Patch("purgatory.service._sync.circuitbreaker", "SyncCircuitBreaker.__init__", run.made),
        Patch("purgatory.domain.model", "Context.set_state", run.set_state),
        Patch("purgatory.domain.model", "Context.handle_new_request", run.handle_new_request),
    )
