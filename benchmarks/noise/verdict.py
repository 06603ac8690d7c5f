"""Who was told what, and whether it was about an incident."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ACTIONABLE: Final = ("critical", "warning")
FEWER_THAN: Final = 5
"""Actionable notifications a day, besides those of incidents (the ticket's Part 7)."""
AFTERMATH: Final = timedelta(minutes=30)
"""How long after its end an incident may still trip an alert, unless the alert says over which window it looks back."""
UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Incident:
    """What was injected, and the alerts that tell of it: those that are there for it, and what may follow of it."""

    name: str
    plans: tuple[str, ...]
    begins: datetime
    ends: datetime
    told_by: tuple[str, ...]
    follows: tuple[str, ...]

    def explains(self, alert: Alert) -> bool:
        """Say whether an alert is about it."""
        return (
            alert.name in {*self.told_by, *self.follows}
            and alert.plan in {*self.plans, "all"}
            and self.begins <= alert.since <= self.ends + alert.looks_back
        )


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a notification."""

    labels: tuple[tuple[str, str], ...]
    since: datetime
    firing: bool
    description: str = field(compare=False, default="")

    @property
    def name(self) -> str:
        """What the rule calls it."""
        return self.label("alertname")

    @property
    def plan(self) -> str:
        """Whose it is."""
        return self.label("plan")

    @property
    def severity(self) -> str:
        """Whom it is told."""
        return self.label("severity")

    @property
    def looks_back(self) -> timedelta:
        """How long what it is about may be over."""
        window = self.label("window")
        return timedelta(**{UNITS[window[-1]]: int(window[:-1])}) if window else AFTERMATH

    def label(self, name: str) -> str:
        """Return a label; "" where there is none."""
        return dict(self.labels).get(name, "")


@dataclass(frozen=True, slots=True)
class Notification:
    """One page or message, and what is news in it: alerts that its readers did not know of yet.

    A repetition has its alerts as news again; one that says that something is over, none.
    """

    at: datetime
    news: tuple[Alert, ...]

    @property
    def severity(self) -> str:
        """The routes keep severities apart."""
        return self.news[0].severity


def incidents(day: dict[str, Any]) -> list[Incident]:
    """Return the incidents of day.yaml."""
    found = []
    for given in day["incidents"]:
        begins = datetime.combine(day["start"].date(), time.fromisoformat(given["at"]), day["start"].tzinfo)
        ends = begins + timedelta(seconds=given["lasts"])
        told_by, follows = tuple(given["told_by"]), tuple(given["follows"])
        found.append(Incident(given["name"], tuple(given["plans"]), begins, ends, told_by, follows))
    return [incident for incident in found if incident.ends <= day["start"] + timedelta(hours=day["hours"])]


def notifications(file: Path) -> Iterator[Notification]:
    """Yield the notifications that ask their readers for attention, from what the replay has written."""
    told: set[tuple[str, Alert]] = set()
    for line in file.read_text().splitlines():
        read = json.loads(line)
        alerts = [_alert(given) for given in read["alerts"]]
        firing = [alert for alert in alerts if alert.firing]
        news = [alert for alert in firing if (read["receiver"], alert) not in told]
        told |= {(read["receiver"], alert) for alert in firing}
        if not news and len(firing) == len(alerts):
            news = firing
        if news:
            yield Notification(_moment(read["at"]), tuple(news))


def _alert(given: dict[str, Any]) -> Alert:
    labels = tuple(sorted(given["labels"].items()))
    return Alert(labels, _moment(given["starts_at"]), given["firing"], given["description"])


def _moment(text: str) -> datetime:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6] or 0:0<6}+00:00")  # Go writes nanoseconds


@dataclass
class Verdict:
    """The day's notifications, each with its news and the incidents that explain them; None: noise."""

    injected: list[Incident]
    rows: list[tuple[Notification, Alert, Incident | None]] = field(default_factory=list)
    noise: Counter[str] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    late: dict[str, float] = field(default_factory=dict)
    """Seconds from an incident's beginning to the first notification of an alert that is there for it."""

    def hear(self, notification: Notification) -> None:
        """Judge one notification: it is noise if any of its news is."""
        causes = [self._cause(alert) for alert in notification.news]
        self.rows += [(notification, alert, cause) for alert, cause in zip(notification.news, causes, strict=True)]
        (self.noise if None in causes else self.explained)[notification.severity] += 1
        for alert, cause in zip(notification.news, causes, strict=True):
            if cause and alert.severity in ACTIONABLE and alert.name in cause.told_by:
                self.late.setdefault(cause.name, round((notification.at - cause.begins).total_seconds(), 1))

    def _cause(self, alert: Alert) -> Incident | None:
        return next((incident for incident in self.injected if incident.explains(alert)), None)

    def figures(self) -> dict[str, Any]:
        """Return what is promised, how many alerts were read in all, and notifications by severity."""
        return {
            "actionable": sum(self.noise[severity] for severity in ACTIONABLE),
            "incidents_injected": len(self.injected),
            "incidents_notified": len(self.late),
            "alerts": len(self.rows),
            "noise": dict(self.noise),
            "of_incidents": dict(self.explained),
            "late_s": self.late,
        }

    def mistakes(self) -> Iterator[str]:
        """Say which promise is broken."""
        actionable = self.figures()["actionable"]
        if actionable >= FEWER_THAN:
            yield f"{actionable} notifications asked for action without an incident, where fewer than {FEWER_THAN} may"
        for incident in self.injected:
            if incident.name not in self.late:
                yield f"nobody was told: {incident.name}"


def judge(injected: list[Incident], told: Iterable[Notification]) -> Verdict:
    """Return the verdict on a day."""
    verdict = Verdict(injected)
    for notification in sorted(told, key=lambda notification: notification.at):
        verdict.hear(notification)
    return verdict
