"""The settings of `otel-dynabase observe`: a second table beside `config.SETTINGS`, read in the same way."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_dynabase.catalog.plans import PLANS
from otel_dynabase.config import LOCATION, PATH, TEXT, Dsn, Kind, Setting, read, seconds, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

TELLS: Final = ("tier_transitions", "plan_changes", "scale_to_zero")
"""What the platform may report itself instead."""
DIRECTORY: Final = "directory"
"""Instead of an address: the server that the directory is asked from."""
SHIPPED: Final = "shipped"
"""Instead of a query: the one that fits `changes.sql`."""
IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}(\.[a-z_][a-z0-9_]{0,62})?")


def _place(value: object) -> object:
    """Tell a file from a server from the directory's own server."""
    return DIRECTORY if TEXT.parse(value) == DIRECTORY else LOCATION.parse(value)


def _table(value: object) -> str:
    name = str(TEXT.parse(value))
    if IDENTIFIER.fullmatch(name) is None:
        raise ValueError("no such name")
    return name


def _tells(value: object) -> frozenset[str]:
    names = frozenset(name.strip().lower() for name in str(TEXT.parse(value)).split(","))
    if names == {"none"}:
        return frozenset()
    if not names <= set(TELLS):
        raise ValueError("not told")
    return names


def _prices(value: object) -> dict[str, float]:
    prices = {}
    for pair in str(TEXT.parse(value)).split(","):
        plan, _, price = pair.partition("=")
        prices[plan.strip().lower()] = float(price)
    if not set(prices) <= set(PLANS) or not all(0 <= price < float("inf") for price in prices.values()):
        raise ValueError("not a plan's price")
    return prices


def _address(value: object) -> tuple[str, int] | None:
    text = str(TEXT.parse(value))
    if text.lower() == "off":
        return None
    host, _, port = text.rpartition(":")
    if not host or not 0 <= int(port) < 1 << 16:
        raise ValueError("not an address")
    return host.strip("[]"), int(port)


def _servers(value: object) -> tuple[Dsn, ...]:
    places = [LOCATION.parse(text) for text in str(TEXT.parse(value)).split()]
    servers = tuple(place for place in places if isinstance(place, Dsn))
    if len(servers) != len(places):
        raise ValueError("not a server")
    return servers


def _template(value: object) -> Dsn:
    (server,) = _servers(value)
    if "{project_id}" not in server.text and "{database}" not in server.text:
        raise ValueError("the same for every project")
    return server


PLACE: Final = Kind("the path of a file, postgresql://…, or `directory`: the directory's own server", _place)
TABLE: Final = Kind("a table's name in lower case, with its schema if need be", _table)
TOLD: Final = Kind("none, or one or more of " + ", ".join(TELLS) + ", separated by commas", _tells)
PRICES: Final = Kind("plan=units, separated by commas", _prices)
ADDRESS: Final = Kind("host:port, or off", _address)
SERVERS: Final = Kind("one or more postgresql://…, separated by spaces", _servers)
TEMPLATE: Final = Kind("postgresql://… with {project_id} or {database} in it", _template)

PRICE_TABLE: Final = {"free": 0.0, "starter": 1.0, "pro": 4.0, "enterprise": 20.0}
HEALTH: Final = ("127.0.0.1", 13134)

OBSERVER_SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("observe_interval", seconds(0.1, 3600), 10.0, "Time between two rounds."),
    Setting(
        "observe_state",
        PLACE,
        None,
        "Where the totals, what was seen last and the events on their way are kept. Without it, a file: "
        "`$STATE_DIRECTORY/observe.json`, or `otel-dynabase/observe.json` in `$XDG_STATE_HOME` or `~/.local/state`.",
        secret=True,
    ),
    Setting("observe_state_dsn_file", PATH, None, "A file with the address of the state's server (a secret)."),
    Setting("observe_state_table", TABLE, "otel_dynabase_observer", "The state's table, which is made if missing."),
    Setting(
        "observe_tells",
        TOLD,
        frozenset(TELLS),
        "What the observer tells of when the directory changes: leave out what your platform reports itself.",
    ),
    Setting(
        "observe_changes_query",
        TEXT,
        None,
        "Asks the directory's server for a log of changes, so that none is missed however short: `shipped` is the "
        "query for `changes.sql`.",
    ),
    Setting("observe_prices", PRICES, PRICE_TABLE, "What a tenant counts in `revenue_units_by_tier`: not money."),
    Setting("observe_health", ADDRESS, HEALTH, "Where to answer GET /health."),
    Setting(
        "observe_servers",
        SERVERS,
        None,
        "PostgreSQL servers that projects share: one question to each answers for all of its databases.",
        secret=True,
    ),
    Setting("observe_servers_file", PATH, None, "A file with more of them, one a line (secrets)."),
    Setting(
        "observe_template",
        TEMPLATE,
        None,
        "The address of each project that is on none of them; best with a maintenance database as its path. A project "
        "whose tier is COLD or unknown is not connected to.",
        secret=True,
    ),
    Setting("observe_template_file", PATH, None, "A file with that address (a secret)."),
    Setting("observe_usage_interval", seconds(1, 3600), 30.0, "Time between two looks at a project's database."),
    Setting("observe_timeout", seconds(0.1, 60), 5.0, "Longest time that one server may take to answer."),
    Setting("observe_concurrency", whole(1, 1000), 32, "Servers asked at one time."),
    Setting("observe_size_interval", seconds(1, 86_400), 900.0, "Time between two looks at a database's size."),
    Setting(
        "observe_buffers_interval",
        seconds(0, 86_400),
        600.0,
        "Time between two looks into a server's shared buffers (pg_buffercache), which are expensive; 0: never.",
    ),
    Setting("observe_quiet_gap", seconds(1, 86_400), 900.0, "Time without activity that ends a period of activity."),
    Setting(
        "observe_limits", PATH, None, "A YAML or JSON file: plan, then resource, then its limit, where not the default."
    ),
    Setting("observe_ceiling_after", seconds(0, 86_400), 300.0, "Time at a plan's limit that makes a ceiling hit."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverConfig:
    """The settings of the observer: the rows of OBSERVER_SETTINGS, by name, typed. Durations in seconds."""

    observe_interval: float
    observe_state: object = field(repr=False)
    """A Path, a Dsn, DIRECTORY or None."""
    observe_state_dsn_file: Path | None
    observe_state_table: str
    observe_tells: frozenset[str]
    observe_changes_query: str | None
    observe_prices: dict[str, float]
    observe_health: tuple[str, int] | None
    observe_servers: tuple[Dsn, ...] | None = field(repr=False)
    observe_servers_file: Path | None
    observe_template: Dsn | None = field(repr=False)
    observe_template_file: Path | None
    observe_usage_interval: float
    observe_timeout: float
    observe_concurrency: int
    observe_size_interval: float
    observe_buffers_interval: float
    observe_quiet_gap: float
    observe_limits: Path | None
    observe_ceiling_after: float

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, /, **overrides: object) -> ObserverConfig:
        """Read the settings, as `Config.load` does."""
        return cls(**read(OBSERVER_SETTINGS, os.environ if environ is None else environ, overrides))


def state_file(environ: Mapping[str, str]) -> Path:
    """Return where the state is kept unless somebody says otherwise: systemd's directory, or the XDG one."""
    if directory := environ.get("STATE_DIRECTORY"):
        return Path(directory.split(":")[0], "observe.json")
    home = Path(environ.get("XDG_STATE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".local/state") / "otel-dynabase" / "observe.json"
