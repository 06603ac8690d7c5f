"""Every setting of the product: one table, from which come the configuration, its warnings and its documentation."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

logger = logging.getLogger("otel_dynabase")

PREFIX: Final = "OTEL_DYNABASE_"
SHOWN: Final = 60
"""Characters of a refused value that a warning repeats."""

CREDENTIALS: Final = re.compile(r":(?![\\/]).*@|\bpassword\s*=", re.IGNORECASE)
"""What a mistyped DSN contains and a path does not: the name of a missing file is logged, a password must not be."""

FAMILIES: Final = ("dynabase", "semconv")
BOOLEANS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


@dataclass(frozen=True, slots=True)
class Dsn:
    """Where a PostgreSQL server is and how to log in: a secret, so it is not shown when printed."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value may be: in words, and as a function that returns it typed or raises."""

    allowed: str
    parse: Callable[[object], object]


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("no text")
    return value.strip()


def _boolean(value: object) -> bool:
    return value if isinstance(value, bool) else BOOLEANS[_text(value).lower()]


def _path(value: object) -> Path:
    return value if isinstance(value, Path) else Path(_text(value))


def _location(value: object) -> object:
    """Tell a file from a server from somebody's own object."""
    if not isinstance(value, str):
        if isinstance(value, (Path, Dsn)) or callable(value) or callable(getattr(value, "load", None)):
            return value
        raise TypeError("neither a place nor a source")
    text = _text(value)
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() in {"postgresql", "postgres"}:
        return Dsn(text)
    if separator or CREDENTIALS.search(text):
        raise ValueError("another kind of place")
    return Path(text)


def _pattern(value: object) -> re.Pattern[str]:
    pattern = value if isinstance(value, re.Pattern) else re.compile(_text(value))
    if "project_id" not in pattern.groupindex or not isinstance(pattern.pattern, str):
        raise ValueError("no such group")
    return pattern


def _families(value: object) -> frozenset[str]:
    names = _text(value).split(",") if isinstance(value, str) else list(value)  # type: ignore[call-overload]
    chosen = frozenset(name.strip().lower() for name in names)
    if not chosen or not chosen <= set(FAMILIES):
        raise ValueError("not a family")
    return chosen


def _one_of(names: tuple[str, ...]) -> Callable[[object], str]:
    def parse(value: object) -> str:
        return names[names.index(_text(value).lower())]

    return parse


def _between(low: float, high: float, number: float) -> None:
    if not low <= number <= high:  # written so that NaN is refused too
        raise ValueError("out of range")


def whole(low: int, high: int) -> Kind:
    """Describe a whole number within bounds, both included."""

    def parse(value: object) -> int:
        number = int(_text(value)) if isinstance(value, str) else value
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError("not a whole number")
        _between(low, high, number)
        return number

    return Kind(f"a whole number from {low} to {high}", parse)


def seconds(low: float, high: float) -> Kind:
    """Describe a duration in seconds within bounds, both included."""

    def parse(value: object) -> float:
        number = float(_text(value)) if isinstance(value, str) else value
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            raise TypeError("not a number")
        _between(low, high, number)
        return float(number)

    return Kind(f"seconds from {low:g} to {high:g}", parse)


BOOLEAN: Final = Kind("true, false, 1, 0, yes, no, on, off", _boolean)
TEXT: Final = Kind("any text", _text)
PATH: Final = Kind("the path of a file", _path)
LOCATION: Final = Kind("the path of a YAML or JSON file, or postgresql://…", _location)
PATTERN: Final = Kind("a regular expression with a group (?P<project_id>…)", _pattern)
COUNTERS_OF_STARTS: Final = ("app", "report")
COLD_STARTS: Final = Kind(" or ".join(COUNTERS_OF_STARTS), _one_of(COUNTERS_OF_STARTS))
METRIC_FAMILIES: Final = Kind("one or more of " + ", ".join(FAMILIES) + ", separated by commas", _families)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `name` is its keyword argument and the attribute of `Config`; `secret` values are never shown."""

    name: str
    kind: Kind
    default: object
    doc: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper()


QUERY: Final = "SELECT project_id, tenant_id, plan, tier, database FROM dynabase_tenants"

SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("enabled", BOOLEAN, True, "Measure at all."),
    Setting(
        "directory", LOCATION, None, "Which plan and tier each project has: a file, or a server to ask.", secret=True
    ),
    Setting("directory_dsn_file", PATH, None, "A file that contains the server's postgresql://… address (a secret)."),
    Setting("directory_query", TEXT, QUERY, "What to ask the server."),
    Setting("directory_interval", seconds(0.1, 86_400), 10.0, "Time between two looks at the directory."),
    Setting(
        "database_pattern",
        PATTERN,
        None,
        "Finds the project in the whole name of a pool's database. Without it a database belongs to the project whose "
        "directory entry names it, or whose project_id equals it.",
    ),
    Setting("trust_baggage", BOOLEAN, False, "Take the project_id from the baggage of incoming requests."),
    Setting(
        "cold_starts",
        COLD_STARTS,
        "app",
        "Who counts cold starts: `app`, what this process sees as a client; `report`, only what the platform reports.",
    ),
    Setting("metrics", METRIC_FAMILIES, frozenset(FAMILIES), "Which names the metrics have."),
    Setting(
        "max_tenants",
        whole(1, 1_000_000),
        1000,
        "Tenants with series of their own in this process; the rest share `_other`.",
    ),
    Setting(
        "event_queue", whole(1, 1_000_000), 16_384, "Events kept in memory until the exporter has acknowledged them."
    ),
    Setting(
        "event_window",
        seconds(0, 3600),
        1.0,
        "Repeated limit hits of one tenant within it become one event with a count.",
    ),
    Setting(
        "query_cost_sample",
        whole(0, 1_000_000),
        0,
        "Ask the planner what 1 in this many statements costs, over a connection of its own; 0: ask nothing.",
    ),
    Setting("shutdown_timeout", seconds(0, 3600), 5.0, "Longest time that the process's end waits for the exporter."),
    Setting(
        "flush_on_sigterm",
        BOOLEAN,
        False,
        "Send what is left when SIGTERM ends the process: for servers that then run no exit handlers (uvicorn).",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of this process: the rows of SETTINGS, by name, typed. Durations in seconds."""

    enabled: bool
    directory: object = field(repr=False)
    """A Path, a Dsn, None, or the application's own source: an object with `load()` or a function that returns rows."""
    directory_dsn_file: Path | None
    directory_query: str
    directory_interval: float
    database_pattern: re.Pattern[str] | None
    trust_baggage: bool
    cold_starts: str
    metrics: frozenset[str]
    max_tenants: int
    event_queue: int
    event_window: float
    query_cost_sample: int
    shutdown_timeout: float
    flush_on_sigterm: bool

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, /, **overrides: object) -> Config:
        """Read the settings: keyword arguments win over `environ` (this process's own if None), None is not given.

        Never raises: what cannot be used is warned of once, and the default takes its place.
        """
        known = {setting.name for setting in SETTINGS}
        if strange := sorted(overrides.keys() - known):
            logger.warning("No such setting: %s. There are: %s", ", ".join(strange), ", ".join(sorted(known)))
        variables = os.environ if environ is None else environ
        return cls(**read(SETTINGS, variables, overrides))


def read(settings: Iterable[Setting], environ: Mapping[str, str], overrides: Mapping[str, object]) -> dict[str, Any]:
    """Return the value of each setting by its name; what cannot be used is warned of, and its default taken."""
    return {setting.name: _value(setting, environ, overrides) for setting in settings}


def _value(setting: Setting, environ: Mapping[str, str], overrides: Mapping[str, object]) -> object:
    given, origin = overrides.get(setting.name), setting.name
    if given is None:
        given, origin = environ.get(setting.variable), setting.variable
        if given is None or not given.strip():  # OpenTelemetry: an empty variable is not set
            return setting.default
    try:
        return setting.kind.parse(given)
    except Exception:
        logger.warning(
            "%s=%s cannot be used; allowed: %s. Using the default instead: %s",
            origin if origin == setting.variable else f"{origin} ({setting.variable})",
            "(not shown)" if setting.secret else _excerpt(given),
            setting.kind.allowed,
            _shown(setting.default),
        )
        return setting.default


def _excerpt(value: object) -> str:
    """Show a value that may be anything, on one line and short."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # somebody's own __repr__
        text = type(value).__name__
    return repr(text[:SHOWN]) + ("…" if len(text) > SHOWN else "")


def _shown(default: object) -> str:
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, frozenset):
        return ",".join(sorted(default))
    if isinstance(default, dict):
        return ",".join(f"{name}={number:g}" for name, number in default.items())
    if isinstance(default, tuple):
        return ":".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def table(settings: Iterable[Setting] = SETTINGS) -> str:
    """Return settings as a Markdown table."""
    lines = ["| variable | default | allowed | meaning |", "|---|---|---|---|"]
    for setting in settings:
        default = _shown(setting.default)
        cells = (f"`{setting.variable}`", f"`{default}`" if default != "none" else default)
        lines.append("| " + " | ".join((*cells, setting.kind.allowed, setting.doc)) + " |")
    return "\n".join(lines) + "\n"
