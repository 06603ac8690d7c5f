"""Child processes of the stack: one process group and one log file each, and none outlives the process that owns it."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

READY_TIMEOUT = 120.0  # a binary's first start reads it from a cold disk
STOP_TIMEOUT = 30.0
POLL = 0.02
TICK = 0.2
LOG_TAIL_LINES = 15
ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = Path(__file__).with_name("launch.py")

# The kernel's parent-death signal is sent when the *thread* that forked ends: all children are forked by this one,
# which lives as long as the process.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stack-forker")


class StartError(RuntimeError):
    """A part of the stack did not become ready; the message ends with the last lines of its log."""


def python_program(module: str) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment that run a module of this project in another Python process.

    `-P` keeps the working directory off the module path; the project's root takes its place.
    """
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return [sys.executable, "-P", "-m", module], {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def is_free(port: int) -> bool:
    """Say whether nothing listens on this loopback TCP port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


PORTS: Final = "OTEL_DYNABASE_STACK_PORTS"
"""The environment variable that keeps test runs beside each other apart: `20000-26000`."""
_given: set[int] = set()


def free_port() -> int:
    """Return a loopback TCP port that nothing listens on, and that was not returned before.

    It lies below the range from which Linux takes the ports of outgoing connections, so that nobody occupies it while
    its server is down.
    """
    low, high = map(int, os.environ.get(PORTS, "20000-32000").split("-"))
    chooser = random.SystemRandom()
    while True:
        port = chooser.randrange(low, high)
        if port not in _given and is_free(port):
            _given.add(port)
            return port


def answers_ok(port: int, path: str) -> bool:
    """Say whether an HTTP server on this loopback port answers a GET with status 200 within a second."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class ChildProcess:
    """One program: started, watched and ended; may be started again after it ended.

    `death_signal` is what the program gets when its parent dies, by whatever means (Linux only). `user` is the account
    that it drops to, for a parent that is root; `dac_override` lets it pass directories that only root may enter.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        *,
        death_signal: signal.Signals = signal.SIGKILL,
        user: str = "",
        dac_override: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self.dac_override = dac_override
        self._death_signal = death_signal
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def running(self) -> bool:
        """Whether the process exists; a paused one does."""
        return self.pid is not None

    def start(
        self,
        command: Sequence[str | Path],
        ready: Callable[[], bool],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = READY_TIMEOUT,
    ) -> None:
        """Start the program and return when `ready()` is true.

        Raises StartError when the program ends before that, or is not ready after `timeout` seconds.
        """
        if self.running:
            raise RuntimeError(f"{self.name} is already running")
        self._process = self._spawn(command, env, cwd)
        try:
            self._wait(ready, timeout)
        except BaseException:  # Ctrl-C too must not leave a half-started program behind
            self.kill()
            raise

    def run(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = READY_TIMEOUT,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Run a program to its end, into the same log; call `tick` about five times a second meanwhile.

        Raises StartError unless it succeeds within `timeout` seconds.
        """
        self._process = process = self._spawn(command, env, None)
        deadline = time.monotonic() + timeout
        try:
            while process.poll() is None and time.monotonic() < deadline:
                tick()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(TICK)
        finally:
            timed_out = self.running
            self.kill()
        if timed_out or process.returncode != 0:
            how = f"took longer than {timeout:.0f} s" if timed_out else f"ended with status {process.returncode}"
            raise StartError(f"{self.name}: {command[0]} {how}.{self.log_tail()}")

    def _spawn(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None, cwd: Path | None
    ) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(self._death_signal))]
        argv = [*launcher, self._user, "1" if self.dac_override else "0", *map(str, command)]
        with self.log.open("ab") as output:
            return _forker.submit(
                subprocess.Popen,
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                process_group=0,
            ).result()

    def _wait(self, ready: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            if self._process is None or self._process.poll() is not None:
                code = self._process.returncode if self._process is not None else None
                raise StartError(f"{self.name} ended with status {code} while starting.{self.log_tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} was not ready after {timeout:.0f} s.{self.log_tail()}")
            time.sleep(POLL)

    def log_tail(self) -> str:
        """Return the last lines of the log, for an error message."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        except OSError as error:
            return f" Its log cannot be read: {error}"
        return "\n".join([f" The end of {self.log}:", *(f"    {line}" for line in lines)])

    def stop(self, sig: signal.Signals = signal.SIGTERM, timeout: float = STOP_TIMEOUT) -> None:
        """Ask the program to end and wait; after `timeout` seconds kill it. Does nothing when it does not run."""
        if self._process is None or not self.running:
            return
        self.resume()
        self._process.send_signal(sig)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the program and all it started by SIGKILL, as a crash would."""
        if self._process is None:
            return
        self._signal_tree(signal.SIGKILL)
        self._process.wait()

    def pause(self) -> None:
        """Stop the program and all it started in their tracks: connections stay open, nothing answers."""
        self._signal_tree(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused program go on."""
        self._signal_tree(signal.SIGCONT)

    def _signal_tree(self, sig: signal.Signals) -> None:
        """Signal the process first, so that it starts no more children, then its children.

        The process group is not enough: PostgreSQL's backends lead groups of their own.
        """
        if (pid := self.pid) is None:
            return
        try:
            process = psutil.Process(pid)
            # a dead parent's children cannot be found any more: it is killed last
            process.send_signal(signal.SIGSTOP if sig is signal.SIGKILL else sig)
            children = process.children(recursive=True)
        except psutil.NoSuchProcess:
            return
        for victim in [*children, process] if sig is signal.SIGKILL else children:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.send_signal(sig)
        if sig is signal.SIGKILL:
            _wait_dead(children)


def _wait_dead(processes: list[psutil.Process]) -> None:
    """Wait until none of them runs; a zombie, where nobody reaps orphans, is dead enough."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(POLL)
