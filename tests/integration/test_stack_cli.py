"""`python -m examples.stack`: up and down again, leaving nothing behind and nobody else hurt."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from examples.stack.keeper import State, identity

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "examples.stack"]


def run(*arguments, directory, **options):
    command = [*COMMAND, arguments[0], "--directory", str(directory), *arguments[1:]]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


def until(read, timeout=60.0):
    deadline = time.monotonic() + timeout
    while not (result := read()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return result


def servers_of(directory):
    """Return every live process that has this directory on its command line, by name."""
    found = {}
    for process in psutil.process_iter():
        try:
            if str(directory) in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = process.name()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture
def directory(tmp_path):
    yield tmp_path / "stack"
    run("down", directory=tmp_path / "stack")
    until(lambda: not servers_of(tmp_path / "stack"))


def test_up_and_down(directory):
    """The round trip of a demo, with a stranger that runs the same program beside it."""
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        first = run("up", "--json", directory=directory)
        assert first.returncode == 0, first.stderr
        endpoints = json.loads(first.stdout)
        assert httpx.get(endpoints["clickhouse"], params={"query": "SELECT count() FROM tier_events"}).text == "0\n"
        assert httpx.get(endpoints["collector_health"]).is_success
        assert httpx.get(endpoints["prometheus"] + "/-/ready").is_success
        assert httpx.get(endpoints["alertmanager"] + "/-/ready").is_success
        assert httpx.get(endpoints["notifications"]).is_success

        again = run("up", "--json", directory=directory)
        assert json.loads(again.stdout) == endpoints

        status = json.loads(run("status", "--json", directory=directory).stdout)
        assert status["endpoints"] == endpoints
        assert set(status["parts"].values()) == {"up"}

        assert run("down", directory=directory).stdout == "stopped\n"
        assert servers_of(directory) == {}
        assert stranger.poll() is None
        assert run("down", directory=directory).stdout == "nothing runs\n"
        assert run("status", directory=directory).returncode == 3

        after = run("up", "--env", directory=directory)
        assert f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoints['otlp_grpc']}\n" in after.stdout
    finally:
        stranger.kill()
        stranger.wait()


def test_down_does_not_touch_a_process_that_has_inherited_the_pid(directory):
    assert run("up", directory=directory).returncode == 0
    state = State.read(directory)
    os.kill(state.pid, signal.SIGKILL)
    until(lambda: not servers_of(directory))
    stranger = subprocess.Popen(["/bin/sleep", "600"])
    try:
        stale = json.loads(json.dumps({**json.loads(json_of(state)), "pid": stranger.pid}))
        State.file(directory).write_text(json.dumps(stale))
        assert run("down", directory=directory).stdout == "nothing runs\n"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def json_of(state):
    return json.dumps(
        {
            "pid": state.pid,
            "started": state.started,
            "endpoints": json.loads(state.endpoints.to_json()),
            "pids": state.pids,
        }
    )


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_up_leaves_nothing(directory, sig):
    command = [*COMMAND, "up", "--directory", str(directory)]
    heeded = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, preexec_fn=heeded, **pipes) as up:  # noqa: PLW1509  # one thread
        assert "PostgreSQL" in up.stdout.readline()
        up.send_signal(sig)
        up.communicate()
    until(lambda: not servers_of(directory))
    assert run("status", directory=directory).returncode == 3
    assert up.returncode == (130 if sig == signal.SIGINT else -signal.SIGKILL)


def test_an_existing_server_takes_a_parts_place_and_is_left_alone(directory, tmp_path):
    assert run("up", directory=directory).returncode == 0
    theirs = State.read(directory)
    second = tmp_path / "second"
    environ = {
        **os.environ,
        "OTEL_DYNABASE_STACK_POSTGRES": theirs.endpoints.postgres,
        "OTEL_DYNABASE_STACK_CLICKHOUSE": theirs.endpoints.clickhouse,
        "OTEL_DYNABASE_STACK_PROMETHEUS": theirs.endpoints.prometheus,
        "OTEL_DYNABASE_STACK_ALERTMANAGER": theirs.endpoints.alertmanager,
    }
    ours = run("up", "--json", directory=second, env=environ)
    try:
        assert ours.returncode == 0, ours.stderr
        assert json.loads(ours.stdout)["clickhouse"] == theirs.endpoints.clickhouse
        assert [name for name, pid in State.read(second).pids.items() if pid is not None] == ["collector"]
    finally:
        run("down", directory=second)
    assert all(psutil.pid_exists(pid) for pid in theirs.pids.values())


def test_a_part_that_cannot_start_is_named_with_its_reason(directory):
    environ = {**os.environ, "OTEL_DYNABASE_STACK_CLICKHOUSE": "http://127.0.0.1:1"}
    failed = run("up", directory=directory, env=environ)
    assert failed.returncode == 1
    assert "ClickHouse" in failed.stderr
    until(lambda: not servers_of(directory))


def test_help_teaches(tmp_path):
    told = subprocess.run([*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for word in ("up", "down", "status", "build", "examples:", "OTEL_DYNABASE_STACK_POSTGRES"):
        assert word in told
    assert "\x1b" not in told


def test_a_process_is_known_by_more_than_its_pid():
    assert identity(os.getpid()) == identity(os.getpid())
    assert identity(os.getpid()) != identity(os.getppid())
    assert identity(2**22 + 1) is None
