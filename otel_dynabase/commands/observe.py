"""`otel-dynabase observe`: watch the directory and PostgreSQL, once for the whole platform."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.commands import flags
from otel_dynabase.config import LOCATION, SETTINGS, Config, Setting
from otel_dynabase.directory import UnusableError
from otel_dynabase.instrumentor import sdk_disabled
from otel_dynabase.observer import sdk
from otel_dynabase.observer.progress import Progress, speak
from otel_dynabase.observer.run import UNUSABLE, Observer
from otel_dynabase.observer.settings import OBSERVER_SETTINGS, PLACE, ObserverConfig
from otel_dynabase.observer.state.configured import NoStateError, state_of

if TYPE_CHECKING:
    from argparse import Namespace

logger = logging.getLogger("otel_dynabase")

SHARED: Final = ("directory", "directory_dsn_file", "directory_query", "max_tenants", "event_queue", "shutdown_timeout")
"""The settings of `config.SETTINGS` that the observer heeds."""
OBSERVE: Final = """\
Watch the tenant directory and PostgreSQL's statistics, and export what they say as metrics and events, once for the
whole platform: tiers, plans, their changes, resources, activity, use against the plan's limits.

Run one for each platform. A second one stands by, and takes over when the first ends. Killed at any moment, the next
goes on where it was: nothing is counted twice, no change is told twice or not at all.
"""
EXAMPLES: Final = """\
examples:
  OTEL_DYNABASE_DIRECTORY=tenants.yaml otel-dynabase observe
      Watch a file; the state is kept in ~/.local/state/otel-dynabase/observe.json.

  OTEL_DYNABASE_DIRECTORY=postgresql://observer@control/platform otel-dynabase observe --state directory
      Ask the control plane's database, and keep the state there too: the observer may run on any machine.

  otel-dynabase observe --directory tenants.yaml --once --json
      One round, as JSON: from a timer, or to see what there is.

Where to export to, under which name, and how often are OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_SERVICE_NAME, OTEL_METRIC_EXPORT_INTERVAL, ... Addresses with passwords come from the environment or from files,
never from arguments, which everybody on the machine can read.

exit codes: 0 told to end (with --once: everything worked), 1 something did not work in the round of --once,
2 settings or state cannot be used, 3 --once while another observer is active, 75 start it again
"""


def register(commands: Any) -> None:
    """Add the command to those that there are."""
    observe = flags.command(
        commands, "observe", "watch the directory and PostgreSQL, once for the whole platform", OBSERVE, EXAMPLES
    )
    observe.add_argument("--once", action="store_true", help="do one round, export it, and end")
    observe.add_argument("--json", action="store_true", help="write one JSON object a round to standard output")
    for settings, title in ((SETTINGS, "directory and events"), (OBSERVER_SETTINGS, "observer")):
        group = observe.add_argument_group(title)
        for setting in settings:
            if is_flag(setting):
                flags.add(group, setting, setting.name.removeprefix("observe_"))
    observe.set_defaults(command=_observe)


def is_flag(setting: Setting) -> bool:
    """Say whether a setting may be an argument: not one that can be nothing but a secret."""
    ours = setting.name in SHARED or setting in OBSERVER_SETTINGS
    return ours and (not setting.secret or setting.kind in {LOCATION, PLACE})


def _observe(given: Namespace) -> int:
    speak()
    named = {name: value for name, value in vars(given).items() if value is not None}
    config = Config.load(None, **{name: named[name] for name in SHARED if name in named})
    known = {setting.name for setting in OBSERVER_SETTINGS}
    settings = ObserverConfig.load(None, **{name: value for name, value in named.items() if name in known})
    if config.directory is None and config.directory_dsn_file is None:
        return _unusable("There is no tenant directory: set OTEL_DYNABASE_DIRECTORY, or see --help.")
    if sdk.is_configured():
        return _unusable("Run it without opentelemetry-instrument: it configures OpenTelemetry itself.")
    if not config.enabled or sdk_disabled():
        logger.warning("OTEL_DYNABASE_ENABLED or OTEL_SDK_DISABLED switches this off: there is nothing to do.")
        return 0
    try:
        state = state_of(config, settings, os.environ)
    except NoStateError as error:
        return _unusable(f"OTEL_DYNABASE_OBSERVE_STATE: {error}.")
    try:
        observer = Observer(config, settings, state, once=given.once, told=Progress(as_json=given.json).told)
    except (OSError, UnusableError) as error:
        return _unusable(f"OTEL_DYNABASE_OBSERVE_LIMITS={settings.observe_limits}: {error}.")
    return asyncio.run(observer.run())


def _unusable(why: str) -> int:
    logger.error("%s", why)
    return UNUSABLE
