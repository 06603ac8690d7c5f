"""The faults: how each begins and ends, which alert must tell of it, and what was told when."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.detection.site import Service
from otel_dynabase.catalog.plans import PLANS
from otel_dynabase.render.rules import ALERTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

SLOW: Final = 1.5
"""Times the plan's objective that a slow statement takes."""
CYCLE: Final = 10.0
"""Seconds between two exports, two flushes of the collector and two evaluations, whose phases are anything."""
GIVEN_UP: Final = 240.0
"""Seconds after which an alert is not waited for any more."""
WINDOW: Final = re.compile(r"\[(\d+)([smhd])\]")
UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
CALM: Final = 900.0
"""Seconds that the alerts of the last fault may go on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. `alerts` are the names of those that may tell, the first of which to do so counts.

    Where it `stops` all statements, every window has a gap afterwards. Unless it is `promised`, its time is shown, but
    is no promise.
    """

    name: str
    begin: Callable[[Service], object]
    end: Callable[[Service], object]
    alerts: tuple[str, ...]
    plans: tuple[str, ...] = PLANS
    stops: bool = True
    promised: bool = True

    def told_by(self, service: Service) -> list[str]:
        """Return the names of the alerts for this plan."""
        return [alert.format(service.plan.name.title()) for alert in self.alerts]


def _slow(share: float) -> Callable[[Service], object]:
    return lambda service: service.slow_down(service.plan.query_p95 * SLOW, share)


def _fast(service: Service) -> None:
    service.slow_down(0, 0)


AVAILABILITY: Final = "{}TierAvailabilitySLOBreach"
LATENCY: Final = "{}TierQueryLatencySLOBreach"
FAULTS: Final = (
    # the first of its chain's life: an outage that ends is a cold start too
    Fault("cold_start", Service.wake, lambda _: None, ("EnterpriseColdStart",), ("enterprise",), stops=False),
    Fault("latency", _slow(1.0), _fast, (LATENCY,), stops=False),
    Fault("outage", lambda of: of.server.kill(), lambda of: of.server.start(), (AVAILABILITY,)),
    Fault("half_slow", _slow(0.5), _fast, (LATENCY,), stops=False, promised=False),
    Fault(
        "hang",
        lambda of: of.server.pause(),
        lambda of: of.server.resume(),
        (AVAILABILITY, "TelemetrySilent"),
        promised=False,
    ),
    Fault("silence", Service.kill, Service.start, ("TelemetrySilent",)),
)


@dataclass(frozen=True, slots=True)
class Detection:
    """One run of one fault: which alert told of it, after how many seconds; None: nobody was told."""

    plan: str
    fault: str
    promised: bool
    alert: str
    seconds: float | None


def long_window(alert: str, plan: str) -> float:
    """Return the longest window, in seconds, of an alert's expressions for a plan."""
    rules = [rule.expression for rule in ALERTS if rule.name == alert and plan in rule.plans]
    return max(int(number) * UNITS[unit] for rule in rules for number, unit in WINDOW.findall(rule))


def calm(service: Service, fault: Fault, over: Event) -> None:
    """Wait until none of the alerts that are to tell of a fault fires: one that does is not told anew."""
    plan, deadline = service.plan.name, time.monotonic() + CALM
    while not over.is_set() and (left := firing(service) & set(fault.told_by(service))):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{plan}: {', '.join(left)} still fires {CALM:.0f} s after the last fault")
        over.wait(1)


def firing(service: Service) -> set[str]:
    """Return the names of all alerts that fire for this plan."""
    labels = [alert["labels"] for alert in service.stack.alertmanager.alerts()]
    return {of["alertname"] for of in labels if of["plan"] == service.plan.name}


def suffer(service: Service, fault: Fault, over: Event) -> Detection:
    """Let the fault begin at a random moment, wait until somebody is told, and end it."""
    over.wait(random.uniform(0, CYCLE))  # noqa: S311  # only spreads the phases
    began = time.time()
    fault.begin(service)
    try:
        while not over.wait(0.2) and time.time() < began + GIVEN_UP:
            if (told := told_since(service, fault, began)) is not None:
                return told
        return Detection(service.plan.name, fault.name, fault.promised, fault.told_by(service)[0], None)
    finally:
        fault.end(service)


def told_since(service: Service, fault: Fault, began: float) -> Detection | None:
    """Return the first notification of the fault since it began, if there is one."""
    receiver = service.stack.alertmanager.notifications
    for notification in [] if receiver is None else receiver.received:
        for alert in fault.told_by(service):
            if notification.time >= began and notification.tells(alert, service.plan.name):
                seconds = notification.time - began
                return Detection(service.plan.name, fault.name, fault.promised, alert, round(seconds, 1))
    return None
