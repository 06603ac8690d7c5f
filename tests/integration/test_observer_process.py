"""`otel-dynabase observe` as a process: alone, twice, without its lock, with what is broken, told to end."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from examples.stack.process import free_port
from otel_dynabase.observer.sdk import TOUCHPOINTS
from otel_dynabase.observer.state.database import APPLICATION_NAME

ROOT = Path(__file__).resolve().parents[2]
TENANTS = {"a": {"plan": "pro", "tier": "WARM"}, "b": {"plan": "free", "tier": "COLD"}}


def eventually(look, within=15.0):
    """Look until it is so."""
    end = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return seen


class Process:
    """An observer whose telemetry goes to the console: one file for what it exports, one for what it says."""

    def __init__(self, folder, *arguments, **env):
        self.exported, self.log = folder / f"{time.monotonic_ns()}.out", folder / f"{time.monotonic_ns()}.log"
        self.port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {
            "PYTHONPATH": str(ROOT),
            "OTEL_METRICS_EXPORTER": "console",
            "OTEL_LOGS_EXPORTER": "console",
            "OTEL_METRIC_EXPORT_INTERVAL": "100",
            "OTEL_BLRP_SCHEDULE_DELAY": "100",
            "OTEL_DYNABASE_DIRECTORY": str(folder / "tenants.json"),
            "OTEL_DYNABASE_OBSERVE_STATE": str(folder / "state.json"),
            "OTEL_DYNABASE_OBSERVE_INTERVAL": "0.1",
            "OTEL_DYNABASE_OBSERVE_HEALTH": f"127.0.0.1:{self.port}",
            "OTEL_DYNABASE_SHUTDOWN_TIMEOUT": "1",
            **env,
        }
        with self.exported.open("w") as out, self.log.open("w") as err:
            command = [sys.executable, "-m", "otel_dynabase.cli", "observe", *arguments]
            self.popen = subprocess.Popen(command, env=environment, stdout=out, stderr=err, cwd=ROOT)

    def health(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return {}

    def becomes(self, role):
        eventually(lambda: (self.health().get("status"), self.health().get("role")) == ("ok", role))

    def said(self):
        return self.log.read_text()

    def collections(self):
        """Count the collections that showed the directory's tenants."""
        return self.exported.read_text().count('"name": "tenants.by_tier"')

    def instances(self):
        lines = [line for line in self.exported.read_text().splitlines() if '"service.instance.id"' in line]
        return {line.split('"')[3] for line in lines}

    def end(self, number=signal.SIGTERM):
        self.popen.send_signal(number)
        assert self.popen.wait(20) == 0, self.said()
        assert "Traceback" not in self.said()
        return self.said()

    def close(self):
        self.popen.kill()
        self.popen.wait()


@pytest.fixture
def observe(tmp_path):
    made = []

    def start(*arguments, **env):
        made.append(Process(tmp_path, *arguments, **env))
        return made[-1]

    put(tmp_path)
    yield start
    for process in made:
        process.close()


def put(folder, **changed):
    """Write the directory."""
    tenants = {name: fields | changed.get(name, {}) for name, fields in TENANTS.items()}
    new = folder / "tenants.new"
    new.write_text(json.dumps({"tenants": tenants}))
    new.replace(folder / "tenants.json")


def test_private_parts_are_there():
    for touchpoint in TOUCHPOINTS:
        module, _, name = touchpoint.partition(":")
        assert hasattr(sys.modules[module], name)


def test_once_prints_a_round_and_goes_on_the_next_time(observe, tmp_path):
    rounds = []
    for changed in ({}, {"a": {"tier": "HOT"}}, {}, {}):
        put(tmp_path, **changed)
        process = observe("--once", "--json")
        assert process.popen.wait(20) == 0, process.said()
        rounds.append(json.loads(process.exported.read_text().splitlines()[0]))
        assert process.instances() == {json.loads((tmp_path / "state.json").read_text())["instance_id"]}
    assert [(done["tenants"], done["events"], done["failures"]) for done in rounds] == [
        (2, 0, {}), (2, 1, {}), (2, 1, {}), (2, 0, {})
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_to_and_says_what_happened(observe, tmp_path, number):
    process = observe()
    process.becomes("active")
    put(tmp_path, a={"tier": "COLD"})
    eventually(lambda: "scale_to_zero" in process.exported.read_text())
    log = process.end(number)
    first, second, *_ = [line[10:] for line in log.splitlines()]
    assert first.startswith("2 tenants, 0 events, ")
    assert second.startswith("2 tenants, 2 events, ")
    assert log.splitlines()[-1][10:].startswith("Ended")


def test_a_second_one_stands_by_and_takes_over_within_seconds(observe, tmp_path):
    first = observe()
    first.becomes("active")
    second = observe()
    second.becomes("standby")
    assert "Another observer is active" in second.said()
    time.sleep(0.5)
    assert second.exported.read_text() == ""
    third = observe("--once")
    assert third.popen.wait(20) == 3
    first.popen.kill()
    killed = time.monotonic()
    second.becomes("active")
    assert time.monotonic() - killed < 5
    eventually(second.collections)
    assert second.instances() == first.instances()
    second.end()


def test_what_is_broken_is_said_once_and_the_rest_goes_on(observe, tmp_path):
    process = observe()
    process.becomes("active")
    tmp_path.joinpath("tenants.json").write_text("nonsense")
    eventually(lambda: "directory" in process.health()["failing"])
    (tmp_path / "state.json.new").mkdir()  # the next state cannot be written
    put(tmp_path, a={"tier": "HOT"})
    eventually(lambda: not process.health()["saved"])
    eventually(lambda: "tier_transition" in process.exported.read_text())
    health = process.health()
    assert (health["status"], list(health["failing"])) == ("ok", ["state"])
    (tmp_path / "state.json.new").rmdir()
    eventually(lambda: process.health()["saved"])
    log = process.end()
    assert log.count("cannot be read") == log.count("tenants.json) works again") == 1
    assert log.count("state: Is a directory. Measuring goes on") == log.count("state: works again.") == 1
    assert "HOT" in (tmp_path / "state.json").read_text()


def test_a_state_that_cannot_be_used_is_left_alone(observe, tmp_path):
    (tmp_path / "state.json").write_text("not ours")
    process = observe()
    assert process.popen.wait(20) == 2
    assert "cannot be used: it is not a state of the observer's. Put it aside" in process.said()
    assert (tmp_path / "state.json").read_text() == "not ours"


def test_under_opentelemetry_instrument_it_says_that_it_needs_none(tmp_path):
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    done = subprocess.run(
        [instrument, sys.executable, "-m", "otel_dynabase.cli", "observe", "--directory", "x.yaml"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none",
             "OTEL_LOGS_EXPORTER": "none"},
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, "without opentelemetry-instrument" in done.stderr) == (2, True), done.stderr


def test_totals_are_cumulative_whatever_is_preferred_and_the_instance_is_the_states(observe, tmp_path):
    for pod in ("pod-1", "pod-2"):
        process = observe(
            "--once",
            OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="delta",
            OTEL_RESOURCE_ATTRIBUTES=f"service.instance.id={pod},team=a%2Cb",
        )
        assert process.popen.wait(20) == 0, process.said()
        assert "is ignored: only cumulative totals are exact" in process.said()
        assert process.instances() == {"pod-1"}
        assert '"team": "a,b"' in process.exported.read_text()


def test_what_the_readme_tells_to_type_works_and_says_what_it_shows(tmp_path):
    section = (ROOT / "README.md").read_text().partition("## Observe the platform")[2].partition("\n## ")[0]
    command, shown = re.search(r"```sh\npip [^\n]*\n(.*?)```\n\n(.*?)\n\n", section, re.DOTALL).groups()
    shim = tmp_path / "bin" / "otel-dynabase"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m otel_dynabase.cli "$@"\n')
    shim.chmod(0o755)
    (tmp_path / "tenants.yaml").write_text("tenants: [{ project_id: a, plan: pro, tier: HOT }]")
    environment = {
        "PATH": f"{shim.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_STATE_HOME": str(tmp_path),
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    script = "set -eu\n" + command.replace("\notel-dynabase", "\nexec otel-dynabase")
    running = subprocess.Popen(["bash", "-c", script], env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        said = running.stderr.readline()
        running.terminate()
        assert running.wait(20) == 0
    finally:
        running.kill()
        running.stderr.close()
    assert said.split()[1:6] == shown.split()[1:6] == ["1", "tenant,", "0", "events,", "0.0"]
    assert (tmp_path / "otel-dynabase" / "observe.json").exists()


# --- a state in the database ------------------------------------------------------------------------------------------


@pytest.fixture
def database(pg):
    name = f"observe_{time.monotonic_ns()}"
    pg.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
    pg.execute(
        "CREATE TABLE dynabase_tenants (project_id text, tenant_id text, plan text, tier text, database text);"
        "INSERT INTO dynabase_tenants VALUES ('a', NULL, 'pro', 'WARM')",
        name,
    )
    yield name
    pg.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_without_the_lock_nothing_is_published_and_with_it_all_goes_on(observe, pg, database):
    """The session is ended and somebody else takes the lock at once: a stand-by on a machine that cannot be seen."""
    process = observe(OTEL_DYNABASE_DIRECTORY=pg.server.dsn(database), OTEL_DYNABASE_OBSERVE_STATE="directory")
    process.becomes("active")
    eventually(process.collections)
    session = await pg.connect(dsn=pg.server.dsn(database))
    (key,) = [row[0] for row in await session.fetch(
        "SELECT classid::bigint << 32 | objid::bigint FROM pg_locks WHERE locktype = 'advisory'"
    )]  # fmt: skip
    await session.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", APPLICATION_NAME
    )
    await session.execute("SELECT pg_advisory_lock($1)", key)
    process.becomes("standby")
    seen = process.collections()
    saved = await session.fetchval("SELECT state FROM otel_dynabase_observer")
    await session.execute("UPDATE dynabase_tenants SET tier = 'HOT'")
    await asyncio.sleep(1)
    assert (process.collections(), process.popen.poll()) == (seen, None)
    assert await session.fetchval("SELECT state FROM otel_dynabase_observer") == saved
    await session.close()
    process.becomes("active")
    eventually(lambda: process.collections() > seen)
    eventually(lambda: "tier_transition" in process.exported.read_text())
    assert len(process.instances()) == 1
    log = process.end()
    assert log.count("The lock on table otel_dynabase_observer is lost: ") == 1


async def test_a_server_that_is_away_is_waited_for(observe, pg, database):
    pg.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    process = observe(OTEL_DYNABASE_DIRECTORY=pg.server.dsn(database), OTEL_DYNABASE_OBSERVE_STATE="directory")
    process.becomes("standby")
    assert process.said().count("Standing by until it can be asked.") == 1
    pg.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    process.becomes("active")
    process.end()
