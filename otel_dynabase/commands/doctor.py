"""`otel-dynabase doctor`: try each hop from the application to both stores, and say what is wrong."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from otel_dynabase.commands import flags
from otel_dynabase.commands.asking import add_clickhouse, config_of
from otel_dynabase.doctor import application
from otel_dynabase.doctor.check import examine
from otel_dynabase.doctor.clickhouse import ClickHouse
from otel_dynabase.doctor.collector import Collector
from otel_dynabase.doctor.marker import Marker
from otel_dynabase.doctor.prometheus import Prometheus
from otel_dynabase.doctor.settings import DOCTOR_SETTINGS, DoctorConfig
from otel_dynabase.output.answer import GREEN, RED, YELLOW
from otel_dynabase.output.harmless import cut, json_text, printable

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from otel_dynabase.doctor.check import Check, Finding

DESCRIPTION: Final = """\
Try each hop from an application to both stores, one line each: what is right, what is wrong and what to do about it.

Run it where an application runs, in its environment: it sends one event and one metric point as the application would,
and looks for both in ClickHouse and in Prometheus. Neither belongs to a tenant, and no figure of a tenant's sees them.
"""
EXAMPLES: Final = """\
examples:
  otel-dynabase doctor
      Everything.

  otel-dynabase doctor --only collector,ClickHouse,Prometheus
      From a machine that is no application's.

  OTEL_DYNABASE_PROMETHEUS_URL=off otel-dynabase doctor --json
      From where Prometheus cannot be asked; for a program.

Secrets come from the environment or from files, and are never shown: OTEL_EXPORTER_OTLP_HEADERS,
OTEL_DYNABASE_CLICKHOUSE_PASSWORD or OTEL_DYNABASE_CLICKHOUSE_PASSWORD_FILE.

exit codes: 0 nothing is wrong, 1 something is, 2 it was asked wrongly
"""
PARTS: Final = ("application", "collector", "ClickHouse", "Prometheus")
SIGNS: Final = {"ok": "✓", "wrong": "✗", "unknown": "–"}  # noqa: RUF001  # a dash is meant
STYLES: Final = {"ok": GREEN, "wrong": RED, "unknown": YELLOW}
WIDTH: Final = 28
SHOWN: Final = 400


def register(commands: Any) -> None:
    """Add the command to those that there are."""
    parser = flags.command(
        commands, "doctor", "try each hop to both stores, and say what is wrong", DESCRIPTION, EXAMPLES
    )
    parser.add_argument("--json", action="store_true", help="write one JSON document")
    parser.add_argument(
        "--only",
        type=parts_of,
        default=PARTS,
        metavar="PART",
        help=f"only these, separated by commas: {', '.join(PARTS)}",
    )
    group = parser.add_argument_group("where things are")
    for setting in DOCTOR_SETTINGS:
        flags.add(group, setting, setting.name.removeprefix("doctor_"))
    add_clickhouse(parser)
    parser.set_defaults(command=_doctor)


def parts_of(text: str) -> tuple[str, ...]:
    """Read names of parts, in any case."""
    known = {part.lower(): part for part in PARTS}
    try:
        return tuple(known[name.strip().lower()] for name in text.split(","))
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"{error.args[0]!r} is none of {', '.join(PARTS)}") from None


def _doctor(given: Namespace) -> int:
    for logger in ("clickhouse_connect", "opentelemetry"):  # what they log is said in a line of ours
        logging.getLogger(logger).addHandler(logging.NullHandler())
    found = []
    for finding in examine(checks(given)):
        found.append(finding)
        if not given.json:
            _say(finding)
    wrong = [finding for finding in found if finding.verdict == "wrong"]
    if given.json:
        document = {"ok": not wrong, "checks": [_plain(finding) for finding in found]}
        print(json_text(document, indent=2))  # noqa: T201  # a command
    return 1 if wrong else 0


def checks(given: Namespace) -> Iterator[Check]:
    """Return the checks, in the order of an event's way; the collector's losses come last, when the stores had time."""
    names = {setting.name for setting in DOCTOR_SETTINGS}
    config = DoctorConfig.load(None, **{name: value for name, value in vars(given).items() if name in names})
    marker = Marker()
    collector = Collector(config, os.environ, marker)
    if "application" in given.only:
        yield from application.checks(os.environ, config.doctor_timeout)
    if "collector" in given.only:
        yield from collector.checks()
    if "ClickHouse" in given.only:
        yield from ClickHouse(config_of(given), config.doctor_timeout, marker).checks()
    if "Prometheus" in given.only:
        yield from Prometheus(config, marker).checks()
    if "collector" in given.only:
        yield collector.last()


def _say(finding: Finding) -> None:
    """Write one line, and another with what to do."""
    sign = SIGNS[finding.verdict]
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        sign = f"\x1b[{STYLES[finding.verdict]}m{sign}\x1b[0m"
    name = f"{finding.part}: {finding.name}".ljust(WIDTH)
    said = cut(printable(finding.what), SHOWN)
    print(f"{sign} {name}  {said}  ({finding.seconds * 1000:,.0f} ms)", flush=True)  # noqa: T201  # a command
    if finding.advice:
        print(f"  {' ' * WIDTH}  → {printable(finding.advice)}", flush=True)  # noqa: T201


def _plain(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON has it; its duration in milliseconds."""
    told = asdict(finding)
    took = told.pop("seconds")
    return {**told, "advice": finding.advice or None, "took_ms": round(took * 1000, 3)}
