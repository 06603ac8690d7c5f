"""`otel-dynabase observe` over 2,000 projects: how long a look takes, in how much memory, over how many connections.

python -m benchmarks.observe [--projects N] [--databases N] [--seconds N]

The command itself runs, against real servers. An address for each project: 2,000 names lead through one door to a few
real databases; the door rewrites the database's name in the protocol's first message, and lets some answer late, some
never, some not at all. Once with those, and once without: a look at the others takes the same. One shared server: as
many real databases as asked for, in one server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.conclusion import conclude
from benchmarks.soak import collector
from examples.stack.postgres import Postgres
from examples.stack.process import free_port, is_free

if TYPE_CHECKING:
    from collections.abc import Iterator

REAL = 4
"""Real databases behind the door."""
INTERVAL = 10.0
"""Seconds between two rounds, the default; between two looks at one database it is three times that."""
LATE = 2.0
"""Seconds by which a slow database answers late."""
TROUBLES = {0: "slow", 1: "silent", 2: "closing"}
"""What is wrong with one project in EVERY each, by its number modulo EVERY."""
EVERY = 50
SAMPLE_EVERY = 0.25
"""Seconds between two looks at the observer's resident memory."""
PROTOCOL = 196_608
SSL_REQUEST = 80_877_103
TINY = "CREATE DATABASE tiny IS_TEMPLATE true"


# --- the door ---------------------------------------------------------------------------------------------------------


class Door:
    """Accepts PostgreSQL's protocol, and leads every database's name to one of a few real ones."""

    def __init__(self, server: int, log: Path, *, troubled: bool) -> None:
        self._server = server
        self._log = log.open("w")
        self._troubled = troubled
        self._present = 0

    async def serve(self, port: int) -> None:
        """Stand open until the process ends."""
        async with await asyncio.start_server(self._enter, "127.0.0.1", port, backlog=1024) as door:
            await door.serve_forever()

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._present += 1
        began, present, name = time.time(), self._present, ""
        try:
            name, first = await _startup(reader, writer)
            await self._lead(name, first, reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            self._present -= 1
            writer.close()
            if name:
                self._log.write(json.dumps([name, began, time.time(), present]) + "\n")
                self._log.flush()

    async def _lead(self, name: str, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trouble = trouble_of(name) if self._troubled else None
        if trouble == "closing":
            return
        if trouble == "silent":
            await reader.read()
            return
        if trouble == "slow":
            await asyncio.sleep(LATE)
        inner, outer = await asyncio.open_connection("127.0.0.1", self._server)
        outer.write(first)
        try:
            await asyncio.gather(_pass(reader, outer), _pass(inner, writer))
        finally:
            outer.close()


async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bytes]:
    """Read the first message; return the database's name, and the message with a real one's instead."""
    while True:
        length, code = struct.unpack("!II", await reader.readexactly(8))
        body = await reader.readexactly(length - 8)
        if code != SSL_REQUEST:
            break
        writer.write(b"N")
    assert code == PROTOCOL, code
    words = body.rstrip(b"\0").split(b"\0")
    parameters = dict(zip(words[::2], words[1::2], strict=True))
    name = parameters[b"database"].decode()
    parameters[b"database"] = f"real_{number_of(name) % REAL}".encode()
    body = b"".join(key + b"\0" + value + b"\0" for key, value in parameters.items()) + b"\0"
    return name, struct.pack("!II", len(body) + 8, PROTOCOL) + body


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


def number_of(project: str) -> int:
    """Return a project's number."""
    return int(project.removeprefix("project_"))


def trouble_of(project: str) -> str | None:
    """Return what is wrong with a project's database."""
    return TROUBLES.get(number_of(project) % EVERY)


def _stand(port: int, server: int, log: Path, troubled: bool) -> None:  # noqa: FBT001  # arguments of a process
    asyncio.run(Door(server, log, troubled=troubled).serve(port))


@contextmanager
def door(server: int, log: Path, *, troubled: bool) -> Iterator[int]:
    """Run the door in a process of its own; yield its port."""
    port = free_port()
    process = get_context("spawn").Process(target=_stand, args=(port, server, log, troubled), daemon=True)
    process.start()
    while is_free(port):
        time.sleep(0.05)
    try:
        yield port
    finally:
        process.terminate()
        process.join()


# --- the observer -----------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """What one run of the command showed."""

    rounds: list[dict[str, Any]] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)
    cpu: float = 0.0
    seconds: float = 0.0
    said: str = ""

    @property
    def asking(self) -> list[float]:
        """The seconds of the rounds in which databases were asked: the others take next to nothing."""
        took = [done["seconds"] for done in self.rounds]
        return [seconds for seconds in took if seconds > max(took) / 4]


def observe(directory: Path, logs: str, seconds: float, **settings: str) -> Run:
    """Run the command for a while."""
    env = {
        **os.environ,
        "OTEL_SERVICE_NAME": "observer",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": logs.removesuffix("/v1/logs"),
        "OTEL_METRIC_EXPORT_INTERVAL": "10000",
        "OTEL_DYNABASE_DIRECTORY": str(directory / "tenants.json"),
        "OTEL_DYNABASE_MAX_TENANTS": "100000",
        "OTEL_DYNABASE_OBSERVE_INTERVAL": str(INTERVAL),
        "OTEL_DYNABASE_OBSERVE_USAGE_INTERVAL": str(3 * INTERVAL),
        "OTEL_DYNABASE_OBSERVE_STATE": str(directory / "state.json"),
        "OTEL_DYNABASE_OBSERVE_HEALTH": "off",
        **{f"OTEL_DYNABASE_OBSERVE_{name.upper()}": value for name, value in settings.items()},
    }
    run = Run()
    command = [sys.executable, "-m", "otel_dynabase.cli", "observe", "--json"]
    with (directory / "said").open("w") as said:
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=said, text=True)  # noqa: S603  # our own
    try:
        _watch(process, run, seconds)
    finally:
        process.terminate()
        process.wait(30)
    run.said = (directory / "said").read_text()
    return run


def _watch(process: subprocess.Popen[str], run: Run, seconds: float) -> None:
    assert process.stdout is not None
    reading = threading.Thread(target=_read, args=(process.stdout, run), daemon=True)
    reading.start()
    began, resident = time.monotonic(), psutil.Process(process.pid)
    while run.seconds < seconds and process.poll() is None:
        time.sleep(SAMPLE_EVERY)
        run.seconds = time.monotonic() - began
        run.rss.append(resident.memory_info().rss)
        run.cpu = sum(resident.cpu_times()[:2])
        if sys.stderr.isatty():
            print(
                f"\r  {run.seconds:3.0f} s, {len(run.rounds)} rounds, {run.rss[-1] >> 20} MB ", end="", file=sys.stderr
            )
    assert process.poll() is None, "the observer has ended"
    if sys.stderr.isatty():
        print(file=sys.stderr)


def _read(lines: Any, run: Run) -> None:
    for line in lines:
        with contextlib.suppress(ValueError):
            run.rounds.append(json.loads(line))


def tenants(names: list[str], directory: Path) -> None:
    """Write the directory."""
    directory.mkdir(exist_ok=True)
    rows = [{"project_id": name, "plan": "pro", "tier": "HOT"} for name in names]
    (directory / "tenants.json").write_text(json.dumps({"tenants": rows}))


# --- an address for each project --------------------------------------------------------------------------------------


def own_addresses(work: Path, logs: str, projects: int, seconds: float, *, troubled: bool) -> dict[str, Any]:
    """Observe projects with an address each, through the door."""
    work.mkdir()
    names = [f"project_{number}" for number in range(projects)]
    tenants(names, work)
    with Postgres(work / "postgres", max_connections=200) as server:
        for number in range(REAL):
            server.execute(f"CREATE DATABASE real_{number}")
        with door(server.port, work / "door", troubled=troubled) as port:
            template = server.dsn("TARGET").replace("TARGET", "{database}").replace(f":{server.port}/", f":{port}/")
            run = observe(work, logs, seconds, template=template)
    visits = [json.loads(line) for line in (work / "door").read_text().splitlines()]
    good = [name for name in names if not (troubled and trouble_of(name))]
    return _figures(run, projects) | _looks(visits, good)


def _looks(visits: list[list[Any]], good: list[str]) -> dict[str, Any]:
    """Read the door's book: when each project whose database is well was looked at."""
    ends: dict[str, list[float]] = {name: [] for name in good}
    took = []
    for name, began, ended, _ in visits:
        if name in ends:
            ends[name].append(ended)
            took.append(ended - began)
    gaps = [later - earlier for ended in ends.values() for earlier, later in pairwise(ended)]
    firsts = [ended[0] for ended in ends.values() if ended]
    return {
        "well": len(good),
        "well_looked_at": sum(bool(ended) for ended in ends.values()),
        "first_look_s": round(max(firsts) - min(began for _, began, _, _ in visits), 2),
        "look_ms": round(1000 * statistics.median(took), 1),
        "look_max_ms": round(1000 * max(took), 1),
        "longest_between_looks_s": round(max(gaps), 1),
        "max_connections": max(present for *_, present in visits),
        "visits": len(visits),
    }


# --- one server for all -----------------------------------------------------------------------------------------------


def shared_server(work: Path, logs: str, databases: int, seconds: float) -> dict[str, Any]:
    """Observe projects that share a server, in real databases."""
    work.mkdir()
    names = [f"project_{number}" for number in range(databases)]
    tenants(names, work)
    with Postgres(work / "postgres", max_connections=50) as server:
        server.execute(TINY)
        for first in range(0, databases, 100):
            some = names[first : first + 100]
            server.execute("\n".join(f"CREATE DATABASE {name} TEMPLATE tiny STRATEGY file_copy;" for name in some))
            print(f"  {first + len(some)} databases", file=sys.stderr)
        server.execute("SELECT pg_stat_reset_shared('io')")
        before = int(server.execute("SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'"))
        run = observe(work, logs, seconds, servers=server.dsn())
        after = int(server.execute("SELECT sessions FROM pg_stat_database WHERE datname = 'postgres'"))
    return _figures(run, databases) | {"well": databases, "max_connections": 1, "visits": after - before - 1}


def _figures(run: Run, projects: int) -> dict[str, Any]:
    assert run.rounds, run.said
    assert run.rounds[-1]["tenants"] == projects, run.said
    return {
        "projects": projects,
        "rounds": len(run.rounds),
        "asking_rounds": len(run.asking),
        "round_s": round(statistics.median(run.asking), 2),
        "round_max_s": round(max(run.asking), 2),
        "rss_mb": round(statistics.median(run.rss[-len(run.rss) // 4 :]) / 2**20),
        "cpu_percent": round(100 * run.cpu / run.seconds, 1),
    }


ROWS = {
    "projects": "projects",
    "rounds": "rounds",
    "round_s": "a round with asking, s",
    "round_max_s": "the longest, s",
    "first_look_s": "until all that are well were looked at, s",
    "well": "databases that are well",
    "well_looked_at": "of these looked at",
    "look_ms": "one look at one of them, ms",
    "look_max_ms": "the longest, ms",
    "longest_between_looks_s": "longest between two looks at one of them, s",
    "max_connections": "most connections at once",
    "visits": "connections in all",
    "rss_mb": "resident, MB",
    "cpu_percent": "CPU of one core, %",
}


def table(columns: dict[str, dict[str, Any]]) -> str:
    """Lay the figures out side by side."""
    lines = [f"{'':46}" + "".join(f"{name:>24}" for name in columns)]
    for key, label in ROWS.items():
        lines.append(f"{label:46}" + "".join(f"{found.get(key, ''):>24}" for found in columns.values()))
    return "\n".join(lines)


def mistakes(well: dict[str, Any], troubled: dict[str, Any]) -> Iterator[str]:
    """Say what a slow or dead database did to others."""
    for found in (well, troubled):
        if found["well_looked_at"] != found["well"]:
            yield "a database that is well was never looked at"
    if troubled["longest_between_looks_s"] > well["longest_between_looks_s"] + INTERVAL:
        yield "a database that is well was looked at later because of others"


def main() -> int:
    """Run, and print the figures and one line of JSON; return 1 if the dead delay the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, default=2000, help="with an address each (default: %(default)s)")
    parser.add_argument("--databases", type=int, default=500, help="in the shared server (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=100, help="of each run (default: %(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, collector() as logs:
        work, columns = Path(name), {}
        work.chmod(0o755)
        for label, with_troubles in (("all well", False), ("some slow, some dead", True)):
            print(f"an address for each project, {label}", file=sys.stderr)
            folder = work / label.replace(", ", "-").replace(" ", "-")
            columns[label] = own_addresses(folder, logs, given.projects, given.seconds, troubled=with_troubles)
        print("one shared server", file=sys.stderr)
        columns["one shared server"] = shared_server(work / "shared", logs, given.databases, given.seconds)
    print(table(columns))
    well, troubled, shared = columns.values()
    return conclude({**troubled, "all_well": well, "shared_server": shared}, mistakes(well, troubled))


if __name__ == "__main__":
    sys.exit(main())
