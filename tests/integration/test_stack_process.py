"""Children of the stack: ready or a clear error, and never an orphan."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from examples.stack.process import ChildProcess, StartError, answers_ok, free_port

ROOT = Path(__file__).resolve().parents[2]


def until(read, timeout=30.0):
    deadline = time.monotonic() + timeout
    while not (result := read()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return result


@pytest.fixture
def server(tmp_path):
    """Give an HTTP server as a child, its port, and what starts it."""
    port = free_port()
    child = ChildProcess("the server", tmp_path / "server.log")
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", tmp_path]
    yield child, port, lambda: child.start(command, lambda: answers_ok(port, "/"))
    child.kill()


def test_start_returns_when_it_is_ready_and_stop_when_it_is_gone(server):
    child, port, start = server
    start()
    pid = child.pid
    assert answers_ok(port, "/")
    assert os.getpgid(pid) == pid  # Ctrl-C in a terminal reaches the parent only
    child.stop()
    assert not child.running
    assert not psutil.pid_exists(pid)
    start()
    assert child.pid != pid


def test_a_paused_process_exists_but_does_not_answer(server):
    child, port, start = server
    start()
    child.pause()
    assert child.running
    assert not answers_ok(port, "/")
    child.resume()
    assert answers_ok(port, "/")


def test_a_paused_process_can_be_stopped(server):
    child, _, start = server
    start()
    child.pause()
    child.stop()
    assert not child.running


def test_a_program_that_fails_is_quoted(tmp_path):
    child = ChildProcess("the program", tmp_path / "log")
    with pytest.raises(StartError, match=r"the program ended with status 7[\s\S]*no such luck"):
        child.start(["/bin/sh", "-c", "echo no such luck; exit 7"], lambda: False)


def test_a_program_that_never_gets_ready_is_ended(tmp_path):
    child = ChildProcess("the program", tmp_path / "log")
    with pytest.raises(StartError, match="not ready after"):
        child.start(["/bin/sleep", "60"], lambda: False, timeout=0.1)
    assert not child.running


def test_kill_takes_grandchildren_in_other_process_groups_too(tmp_path):
    child = ChildProcess("the program", tmp_path / "log")
    child.start(["/bin/sh", "-c", "setsid sleep 60 & sleep 60"], lambda: True)
    children = until(lambda: [c for c in psutil.Process(child.pid).children(True) if c.name() == "sleep"][1:])
    child.kill()
    until(lambda: not any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in children))


def test_a_child_outlives_the_thread_that_started_it(server):
    """Linux sends the parent-death signal when the forking thread ends."""
    _, port, start = server
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert answers_ok(port, "/")


PARENT = """
import sys, time
from pathlib import Path
from examples.stack.postgres import Postgres
from examples.stack.clickhouse import ClickHouse
directory = Path(sys.argv[1])
parts = [Postgres(directory / "postgres"), ClickHouse(directory / "clickhouse")]
for part in parts:
    part.start()
print(*(part.pid for part in parts), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_servers_die_with_a_parent_that_is_killed(tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        processes = [process for pid in pids for process in family(pid)]
        assert len(processes) > len(pids)  # PostgreSQL's background processes
        parent.send_signal(signal.SIGKILL)
    until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes))


def family(pid):
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]
