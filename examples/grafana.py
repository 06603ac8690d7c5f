"""What Grafana does with a dashboard's file before anything is drawn: it fills in variables and macros, and asks.

As Grafana 12 does it: variables (several values are a regular expression to Prometheus, and quoted to ClickHouse);
`$__interval`, `$__rate_interval` and `$__range`; grafana-clickhouse-datasource's macros (its pkg/macros/macros.go). Not
done: transformations and drawing, which need a browser.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from examples.stack.clickhouse import ClickHouseError
from examples.stack.prometheus import PrometheusError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from examples.stack.clickhouse import ClickHouse
    from examples.stack.prometheus import Prometheus

SCRAPE: Final = 10
"""Seconds: `timeInterval` of the Prometheus in collector/grafana/provisioning."""
VARIABLE: Final = re.compile(r"\$(?:(?P<bare>[A-Za-z]\w*)|\{(?P<name>[A-Za-z]\w*)(?::(?P<form>\w+))?\})")
MACRO: Final = re.compile(r"\$__(?P<name>timeFilter|timeInterval)\((?P<column>\w+)\)")
REGEX: Final = re.compile(r"[\\^$*+?.()|\[\]{}]")

Values = dict[str, list[str]]
"""A variable's chosen values."""


@dataclass(frozen=True, slots=True)
class Range:
    """The range that is looked at, in whole Unix seconds, and the seconds between two values."""

    start: int
    end: int
    step: int = SCRAPE

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.end - self.start

    @property
    def texts(self) -> dict[str, str]:
        """What Grafana's own variables say."""
        rate = max(self.step + SCRAPE, 4 * SCRAPE)
        return {
            "$__rate_interval": f"{rate}s",
            "$__interval_s": str(self.step),
            "$__interval": f"{self.step}s",
            "$__range": f"{self.seconds}s",
            "$__fromTime": f"toDateTime({self.start})",
            "$__toTime": f"toDateTime({self.end})",
        }


@dataclass(frozen=True, slots=True)
class Question:
    """One query of a panel's, an annotation's or a variable's, as it is sent."""

    dashboard: str
    panel: str
    text: str
    store: str
    instant: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, in rows or series; what was read for it, in rows or samples; how many series that touched."""

    rows: int = 0
    read: int = 0
    series: int = 0
    error: str = ""


class Dashboard:
    """A dashboard's file, and what it asks."""

    def __init__(self, file: Path) -> None:
        self._json: dict[str, Any] = json.loads(file.read_text())
        self.uid: str = self._json["uid"]

    @property
    def panels(self) -> list[dict[str, Any]]:
        """Its panels, as they are in the file."""
        panels: list[dict[str, Any]] = self._json["panels"]
        return panels

    def values(self, given: Values) -> Values:
        """Return what each variable is when the dashboard is opened; `given` are those of its address."""
        found: Values = {}
        for variable in self._json["templating"]["list"]:
            if variable["type"] == "custom":
                found[variable["name"]] = variable["query"].split(",")
            elif variable["type"] == "textbox":
                found[variable["name"]] = [variable["query"]]
        return found | given

    def questions(self, values: Values, over: Range) -> Iterator[Question]:
        """Return all that it asks: for its variables, annotations and panels."""
        for variable in self._json["templating"]["list"]:
            if variable["type"] == "query":
                yield self._question(f"variable {variable['name']}", variable["query"], values, over)
        for annotation in self._json["annotations"]["list"]:
            yield self._question(f"annotation {annotation['name']}", annotation["target"], values, over)
        for panel in self.panels:
            repeated = panel.get("repeat")
            for value in values[repeated] if repeated else [""]:
                chosen = values | ({repeated: [value]} if repeated else {})
                for target in panel["targets"]:
                    yield self._question(panel["title"], target, chosen, over)

    def _question(self, what: str, query: Mapping[str, Any], values: Values, over: Range) -> Question:
        if "rawSql" in query:
            return Question(self.uid, what, sql(query["rawSql"], values, over), "ClickHouse", instant=True)
        text = promql(query["expr"], values, over)
        return Question(self.uid, what, text, "Prometheus", instant=query.get("instant", False))


def promql(text: str, values: Values, over: Range) -> str:
    """Return an expression as Grafana sends it."""
    return _variables(_own(text, over), values, _regex)


def sql(text: str, values: Values, over: Range) -> str:
    """Return a query as Grafana and its plugin send it."""

    def macro(found: re.Match[str]) -> str:
        column = found["column"]
        if found["name"] == "timeInterval":
            return f"toStartOfInterval(toDateTime({column}), INTERVAL {over.step} second)"
        return f"{column} >= toDateTime({over.start}) AND {column} <= toDateTime({over.end})"

    return _own(MACRO.sub(macro, _variables(text, values, ",".join)), over)


def _own(text: str, over: Range) -> str:
    for name, value in over.texts.items():
        text = text.replace(name, value)
    return text


def _variables(text: str, values: Values, plain: Callable[[list[str]], str]) -> str:
    def filled(found: re.Match[str]) -> str:
        name = found["bare"] or found["name"]
        if name not in values:
            return found[0]
        if found["form"] == "singlequote":
            return ",".join("'" + value.replace("'", "\\'") + "'" for value in values[name])
        return plain(values[name])

    return VARIABLE.sub(filled, text)


def _regex(values: list[str]) -> str:
    if len(values) == 1:
        return values[0]
    escaped = (REGEX.sub(lambda special: "\\\\" + special[0], value) for value in values)
    return f"({'|'.join(escaped)})"


class Asker:
    """Asks the stores what a dashboard asks, and counts what it touches."""

    def __init__(self, prometheus: Prometheus, clickhouse: ClickHouse, over: Range) -> None:
        self._prometheus = prometheus
        self._clickhouse = clickhouse
        self._over = over

    def ask(self, question: Question) -> Answer:
        """Send one question; an error is part of the answer."""
        try:
            return self._select(question) if question.store == "ClickHouse" else self._evaluate(question)
        except (PrometheusError, ClickHouseError) as error:
            return Answer(error=f"{error}\n{question.text}")

    def all(self, dashboard: Dashboard, given: Values) -> Iterator[tuple[Question, Answer]]:
        """Send all that a dashboard asks; `given` are the variables of its address."""
        for question in dashboard.questions(dashboard.values(given), self._over):
            yield question, self.ask(question)

    def _select(self, question: Question) -> Answer:
        body = json.loads(self._clickhouse.execute(question.text, parameters={"default_format": "JSON"}))
        # where rows are names of something that is not there, or numbers of nothing, nothing was found
        rows = [row for row in body["data"] if any(value not in {None, "", 0, "0"} for value in row.values())]
        return Answer(len(rows), body["statistics"]["rows_read"])

    def _evaluate(self, question: Question) -> Answer:
        over = self._over
        if question.instant:
            result = self._prometheus.measured(question.text, start=over.end, end=over.end)
        else:
            start, end = (second // over.step * over.step for second in (over.start, over.end))
            result = self._prometheus.measured(question.text, start=start, end=end, step=over.step)
        return Answer(len(result.series), result.samples, result.touched)
