"""The whole way, seen at work: load, service, collector, stores, report. `python -m examples.demo`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import httpx

from examples import report, tenants
from examples.load import Load, Servers, UnexpectedError
from examples.readback import Reading, Stores
from examples.service import ROOT, RUN, Observer, WebService
from examples.stack import keeper
from examples.stack.clickhouse import ClickHouse
from examples.stack.postgres import Postgres
from examples.stack.process import StartError
from examples.stack.prometheus import Prometheus
from examples.stack.stack import PREFIX, Stack, needed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from examples.report import Paint
    from examples.stack.stack import Endpoints
    from examples.tenants import Tenant

INTERRUPTED: Final = 130
CONNECTIONS: Final = 200
REQUEST_TIMEOUT: Final = 60.0

EPILOG: Final = """\
what you see:
  1. PostgreSQL, the ClickHouse engine, Prometheus and the collector start on loopback (examples/stack).
  2. A small service (examples/app.py) starts under `opentelemetry-instrument`. Its code knows nothing of OpenTelemetry;
     examples/tenants.yaml says which database belongs to which tenant, and on which plan that tenant is. Beside it
     start a control plane (examples/controlplane.py), which changes plans and tiers, and `otel-dynabase observe`.
  3. The load (examples/load.py) drives 14 tenants. Some have trouble, arranged so that it is known to the last request
     how many had to wait, were turned away, or woke a sleeping server.
  4. All three are stopped, and the report is read back from Prometheus and ClickHouse alone. Every figure is compared
     with what the load caused.

exit status: 0 if the stores say exactly what was caused, 1 with a list of differences if not, 130 after Ctrl-C.

examples:
  python -m examples.demo                     start everything, show the report, leave nothing behind
  python -m examples.demo --keep              … and leave the stack running, to look around in it
  python -m examples.demo --json > run.json   the figures for a program; the report goes to standard error
  python -m examples.demo --seconds 120       more everyday traffic around the same incidents
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # everything is stopped in good order then, too
    out = sys.stderr if options.json else sys.stdout
    paint = report.coloured if out.isatty() and "NO_COLOR" not in os.environ else report.plain
    demo = Demo(options, paint)
    try:
        with contextlib.redirect_stdout(out):
            run, reading = demo.run()
            verdict = report.judge(run, reading)
            print("\n" + report.render(run, reading, verdict, paint))
            demo.farewell()
    except (StartError, UnexpectedError) as error:
        print(paint(report.RED, "error: ") + str(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        left = "the stack goes on running if it was up" if options.keep else "nothing is left running"
        print(f"interrupted; {left}", file=sys.stderr)
        return INTERRUPTED
    if options.json:
        print(report.to_json(run, reading, verdict))
    return 0 if verdict.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo",
        description="otel-dynabase at work: tenants run into their limits, and the stores tell who, how often and why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=16.0, help="length of the everyday traffic (default: 16)")
    parser.add_argument("--seed", type=int, default=1, help="which everyday traffic (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on standard output")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="use the stack of `python -m examples.stack up`, started if need be, and leave it running",
    )
    parser.add_argument("--directory", type=Path, help="the stack's data and logs (default: temporary; --keep: .stack)")
    return parser


@dataclass(frozen=True, slots=True)
class Stage:
    """The stores while everything still runs, and a way to say something."""

    prometheus: Prometheus
    clickhouse: ClickHouse
    say: Callable[[str, str], None]


class Demo:
    """One run with its options; says on standard output how it is getting on.

    `settings` are further environment variables of its processes, to which `prepare(directory)` adds; `collector` and
    `configs` are as in `Stack`; `before_the_end` is called when the load is over.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        paint: Paint,
        *,
        settings: Mapping[str, str] | None = None,
        collector: Mapping[str, str] | None = None,
        configs: Sequence[Path] = (),
        prepare: Callable[[Path], Mapping[str, str]] = lambda _directory: {},
        before_the_end: Callable[[Stage], None] = lambda _stage: None,
    ) -> None:
        self._options = options
        self._paint = paint
        self._settings = dict(settings or {})
        self._collector = collector
        self._configs = configs
        self._prepare = prepare
        self._before_the_end = before_the_end
        self._began = time.monotonic()
        self._endpoints: Endpoints | None = None

    def run(self) -> tuple[report.Run, Reading]:
        """Start everything, run the load, stop the service, read the stores, stop everything.

        Raises StartError, and UnexpectedError when the service did not do what the load had arranged.
        """
        for program in needed(os.environ):
            program.ensure()
        with self._directory() as directory, self._stack(directory) as endpoints:
            people = tenants.read_tenants()
            self._settings |= self._prepare(directory)
            prometheus = Prometheus.existing(endpoints.prometheus)
            clickhouse = ClickHouse.existing(endpoints.clickhouse)
            with (
                Postgres(directory / "sleeper") as sleeper,
                self._databases(people, Postgres.existing(endpoints.postgres), sleeper) as dsns,
                self._observer(directory, endpoints, sleeper) as observer,
                self._platform(directory, endpoints) as platform,
                self._service(directory, endpoints, dsns) as service,
            ):
                run = self._drive(service, platform, people, endpoints, sleeper)
                self._before_the_end(Stage(prometheus, clickhouse, self._say))
            self._say("all three", "have ended; reading Prometheus and ClickHouse …")
            instances = (service.instance, platform.instance, observer.instance)
            return run, Stores(prometheus, clickhouse, RUN, instances).settle()

    # --- the processes ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _observer(self, directory: Path, endpoints: Endpoints, sleeper: Postgres) -> Iterator[Observer]:
        """Run the observer on a copy of the directory, which the control plane will change."""
        shutil.copy(tenants.DIRECTORY, directory / "tenants.yaml")
        (directory / "observe.json").unlink(missing_ok=True)  # another run's changes are none of ours
        environment = {
            "OTEL_DYNABASE_DIRECTORY": str(directory / "tenants.yaml"),
            "OTEL_DYNABASE_OBSERVE_STATE": str(directory / "observe.json"),
            "OTEL_DYNABASE_OBSERVE_SERVERS": f"{endpoints.postgres} {sleeper.dsn()}",
            "OTEL_DYNABASE_OBSERVE_INTERVAL": "1",
            "OTEL_DYNABASE_OBSERVE_USAGE_INTERVAL": "2",
            "OTEL_DYNABASE_OBSERVE_TELLS": "plan_changes,scale_to_zero",  # the platform tells of its tiers itself
            **self._settings,
        }
        with Observer("observer", directory, endpoints, environment) as observer:
            self._say("the observer", "is up: otel-dynabase observe")
            yield observer

    @contextlib.contextmanager
    def _platform(self, directory: Path, endpoints: Endpoints) -> Iterator[WebService]:
        shutil.rmtree(directory / "pages", ignore_errors=True)  # another run's cache would answer
        environment = {
            "DIRECTORY": str(directory / "tenants.yaml"),
            "PAGES": str(directory / "pages"),
            "OTEL_DYNABASE_DIRECTORY": str(directory / "tenants.yaml"),
            **self._settings,
        }
        name, application = "platform", "examples.controlplane:app"
        with WebService(name, application, directory, endpoints, environment) as platform:
            self._say("the platform", "is up: examples.controlplane, which reports what only it knows")
            yield platform

    @contextlib.contextmanager
    def _service(self, directory: Path, endpoints: Endpoints, dsns: Mapping[str, str]) -> Iterator[WebService]:
        databases = directory / "databases.json"
        tenants.write_secrets(databases, dsns)
        environment = {
            "TENANTS": str(tenants.DIRECTORY),
            "DATABASES": str(databases),
            "OTEL_DYNABASE_DIRECTORY": str(directory / "tenants.yaml"),
            **self._settings,
        }
        with WebService("orders", "examples.app:app", directory, endpoints, environment) as service:
            self._say("the service", "is up: examples.app under opentelemetry-instrument")
            yield service

    def farewell(self) -> None:
        """Say where everything is, if it was to be kept."""
        if self._options.keep and self._endpoints is not None:
            where = f" --directory {self._options.directory}" if self._options.directory else ""
            print(f"\nThe stack goes on running; `python -m examples.stack down{where}` stops it.")
            for name, address in asdict(self._endpoints).items():
                print(f"  {self._paint(report.BOLD, f'{name:<18}')}{address}")

    def _say(self, who: str, what: str) -> None:
        elapsed = self._paint(report.DIM, f"{time.monotonic() - self._began:5.1f} s")
        print(f"{elapsed}   {who:<13} {what}", flush=True)

    @contextlib.contextmanager
    def _directory(self) -> Iterator[Path]:
        given = self._options.directory or (ROOT / ".stack" if self._options.keep else None)
        if given is not None:
            given.mkdir(parents=True, exist_ok=True)
            yield given.absolute()
            return
        with tempfile.TemporaryDirectory(prefix="otel-dynabase-demo-") as temporary:
            yield Path(temporary)

    @contextlib.contextmanager
    def _stack(self, directory: Path) -> Iterator[Endpoints]:
        """Run the stack: in this process, which it dies with, or with a keeper of its own."""

        def ready(name: str, seconds: float) -> None:
            self._say(name, f"is up after {seconds:.1f} s")

        if self._options.keep:
            state = keeper.up(directory, ready, collector=self._collector, configs=self._configs)
            self._endpoints = state.endpoints
            yield self._endpoints
            return
        collector, configs = self._collector, self._configs
        with Stack(directory, authenticate=True, collector=collector, configs=configs, on_ready=ready) as stack:
            yield stack.endpoints

    @contextlib.contextmanager
    def _databases(self, people: Sequence[Tenant], shared: Postgres, sleeper: Postgres) -> Iterator[dict[str, str]]:
        """Create the tenants' databases; a server of the user's own is left as it was found."""
        dsns = tenants.create_databases(people, shared, sleeper)
        self._say("databases", f"are there, one for each of {len(people)} tenants")
        try:
            yield dsns
        finally:
            if PREFIX + "POSTGRES" in os.environ and not self._options.keep:
                tenants.drop_databases(people, shared)

    def _drive(
        self,
        service: WebService,
        platform: WebService,
        people: Sequence[Tenant],
        endpoints: Endpoints,
        sleeper: Postgres,
    ) -> report.Run:
        servers = Servers(
            sleep=lambda: asyncio.to_thread(sleeper.stop),
            wake=lambda: asyncio.to_thread(sleeper.start),
        )
        try:
            load, seconds = asyncio.run(self._load(service.url, platform.url, endpoints.postgres, servers, people))
        except UnexpectedError as error:
            raise UnexpectedError(f"{error}\n{service.log_tail()}") from error
        return report.Run(people, load.caused, load.requests, seconds, load.seed)

    async def _load(
        self, url: str, platform: str, watched: str, servers: Servers, people: Sequence[Tenant]
    ) -> tuple[Load, float]:
        """Run the load; return it with its account, and how long it took in seconds."""
        limits = httpx.Limits(max_connections=CONNECTIONS)
        async with (
            httpx.AsyncClient(base_url=url, limits=limits, timeout=REQUEST_TIMEOUT, trust_env=False) as http,
            httpx.AsyncClient(base_url=platform, timeout=REQUEST_TIMEOUT, trust_env=False) as control,
            asyncpg.create_pool(watched, min_size=1, max_size=2) as watch,
        ):
            seed, seconds = self._options.seed, self._options.seconds
            load = Load(http, control, watch, servers, seed=seed, seconds=seconds, say=self._say)
            began = time.monotonic()
            await load.run(people)
            return load, time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
