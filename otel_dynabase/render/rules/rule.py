"""What Prometheus' rules are made of, and how they are written as YAML."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_dynabase.catalog.plans import Severity

RUNBOOKS: Final = "https://docs.dynabase.com/runbooks"
DASHBOARDS: Final = "https://grafana.dynabase.com/d"
ALL: Final = "all"
"""The plan of an alert that is about the platform, not about one plan."""
HEAD: Final = (
    "# {}\n# Derived from the catalogue (otel_dynabase/render/rules): python -m otel_dynabase.render\ngroups:\n"
)
WIDTH: Final = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A series that Prometheus makes of others; `why` becomes a comment above it."""

    name: str
    expression: str
    labels: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        labels = {"labels": dict(self.labels)} if self.labels else {}
        return {"record": self.name, **labels, "expr": self.expression}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One question that a person can act on.

    `plans` are those that it is about, none for the platform's own troubles. Where there are several, the expression's
    series say which; so do they for `labels` of that kind. `pending` is how long the expression must hold (Prometheus'
    `for`), `lingering` how long the alert lives on after it (`keep_firing_for`). `runbook` and `dashboard` are the
    page's slug and the dashboard's uid.
    """

    name: str
    severity: Severity
    plans: tuple[str, ...] = ()
    slo: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    expression: str
    pending: str = ""
    lingering: str = ""
    summary: str
    description: str
    runbook: str
    dashboard: str = "dynabase-tier-health"
    why: str = ""

    @property
    def plan(self) -> str:
        """The value of its label `plan`: a plan, `all`, or empty where its series say which."""
        return self.plans[0] if len(self.plans) == 1 else "" if self.plans else ALL

    @property
    def dashboard_url(self) -> str:
        """Where its dashboard is, with the plan chosen; `$__all` is Grafana's name of every plan."""
        plan = {"": "{{ $labels.plan }}", ALL: "$__all"}.get(self.plan, self.plan)
        return f"{DASHBOARDS}/{self.dashboard}?var-plan={plan}"

    def document(self) -> dict[str, Any]:
        """Return it as Prometheus reads it."""
        times = {"for": self.pending, "keep_firing_for": self.lingering}
        labels = {"severity": self.severity, "plan": self.plan, "slo": self.slo, **self.labels}
        return {
            "alert": self.name,
            "expr": self.expression,
            **{key: value for key, value in times.items() if value},
            "labels": {key: value for key, value in labels.items() if value},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOKS}/{self.runbook}",
                "dashboard_url": self.dashboard_url,
            },
        }


Rule = Recording | Alert


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, every `interval`: never by a default that is not ours."""

    name: str
    interval: str
    rules: tuple[Rule, ...]


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are read."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def document(what: str, groups: Iterable[Group]) -> str:
    """Return a rule file whose first line says what is in it."""
    return HEAD.format(what) + "".join(_group(group) for group in groups)


def _group(group: Group) -> str:
    rules = "\n".join(_rule(rule) for rule in group.rules)
    return f"  - name: {group.name}\n    interval: {group.interval}\n    rules:\n{rules}"


def _rule(rule: Rule) -> str:
    text = yaml.dump([rule.document()], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    comment = "".join(f"# {line}\n" for line in textwrap.wrap(rule.why, WIDTH))
    return textwrap.indent(comment + text, " " * 6)
