"""The process that keeps a detached stack: `up` starts it, `down` ends it, and all servers die with it.

Its state file says which process it is, by pid and start time: a pid alone may belong to somebody else by now.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn, cast

import psutil

from examples.stack.build import locked
from examples.stack.process import StartError, python_program
from examples.stack.stack import Endpoints, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

STOP_TIMEOUT: Final = 90.0
POLL: Final = 0.05
KEEP: Final = b"k"


def identity(pid: int) -> str | None:
    """Return what tells this process from every other that has had, or will have, its pid; None when there is none.

    On Linux it is the boot and the start in clock ticks since then: the wall clock may be set, these stay.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        try:
            return f"{pid}:{psutil.Process(pid).create_time():.2f}"
        except psutil.NoSuchProcess:
            return None
    state, *rest = stat.rpartition(")")[2].split()
    start_time = rest[18]  # field 22 of proc_pid_stat(5)
    return None if state in "ZX" else f"{pid}:{boot}:{start_time}"


@dataclass(frozen=True, slots=True)
class State:
    """A running stack: its keeper, where everything is, and each part's process (None: not started by us)."""

    pid: int
    started: str
    endpoints: Endpoints
    pids: dict[str, int | None]

    @staticmethod
    def file(directory: Path) -> Path:
        """Return where it is written."""
        return directory / "state.json"

    @classmethod
    def read(cls, directory: Path) -> State | None:
        """Return the state of the stack in this directory; None when none runs. A stale file is removed."""
        try:
            state = cls.from_json(json.loads(cls.file(directory).read_text()))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if identity(state.pid) == state.started:
            return state
        cls.file(directory).unlink(missing_ok=True)
        return None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> State:
        """Return the state out of its JSON form; raises KeyError or TypeError for anything else."""
        return cls(value["pid"], value["started"], Endpoints(**value["endpoints"]), value["pids"])

    def write(self, directory: Path) -> None:
        """Write the file as a whole; it holds a password, so it is readable by its owner only."""
        new = self.file(directory).with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(asdict(self), indent=2))
        new.replace(self.file(directory))


def keep(directory: Path, configs: Sequence[Path] = ()) -> None:
    """Be the keeper: start the stack, tell the parent on standard output, and hold on until SIGTERM.

    Standard input is a pipe from `up`. If it ends before `up` has said to keep the stack, `up` was interrupted or
    killed, and the stack goes too.
    """
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kept = threading.Event()
    threading.Thread(target=_watch_parent, args=(kept,), daemon=True).start()
    me = os.getpid()

    def ready(name: str, seconds: float) -> None:
        _tell({"ready": name, "seconds": seconds})

    with Stack(directory, authenticate=True, configs=configs, on_ready=ready) as stack:
        pids = {part.name: part.pid for part in stack.parts}
        State(me, identity(me) or "", stack.endpoints, pids).write(directory)
        try:
            _tell({"up": True})
            with contextlib.suppress(OSError):
                kept.wait()
            _detach_output()
            threading.Event().wait()
        finally:
            State.file(directory).unlink(missing_ok=True)


def _leave(_signal: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # stopping has begun: let it finish
    raise SystemExit(0)


def _watch_parent(kept: threading.Event) -> None:
    if sys.stdin.buffer.read(1) == KEEP:
        kept.set()
    else:
        os.kill(os.getpid(), signal.SIGTERM)


def _tell(news: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more: _watch_parent deals with it
        print(json.dumps(news), flush=True)


def _detach_output() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)


def up(
    directory: Path,
    on_ready: Callable[[str, float], None],
    *,
    collector: Mapping[str, str] | None = None,
    configs: Sequence[Path] = (),
) -> State:
    """Start a detached stack and return its state; return the running one's, as it is, if there is one.

    `collector` and `configs` are as in `Stack`. Raises StartError with the end of the keeper's log.
    """
    with locked(directory / "up.lock", "another process is starting or stopping this stack; waiting for it"):
        return State.read(directory) or _start(directory, on_ready, collector or {}, configs)


def _start(
    directory: Path, on_ready: Callable[[str, float], None], collector: Mapping[str, str], configs: Sequence[Path]
) -> State:
    log = directory / "stack.log"
    program, env = python_program("examples.stack")
    with log.open("w") as errors:
        keeper = subprocess.Popen(
            [*program, "keep", "--directory", str(directory), *(f"--config={file.absolute()}" for file in configs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**env, **collector},  # the collector inherits it
            start_new_session=True,
        )
    with keeper, contextlib.ExitStack() as interrupted:
        interrupted.callback(_end, keeper)
        state = _follow(cast("IO[bytes]", keeper.stdout), directory, on_ready)
        if state is None:
            raise StartError(f"The stack did not start.\n{log.read_text().strip()}")
        lifeline = cast("IO[bytes]", keeper.stdin)
        lifeline.write(KEEP)
        lifeline.flush()
        interrupted.pop_all()
        keeper.returncode = 0  # it lives on, and is no longer ours to wait for
    return state


def _follow(news: IO[bytes], directory: Path, on_ready: Callable[[str, float], None]) -> State | None:
    """Pass the keeper's news on; return the state once all is up, or None when the keeper has given up."""
    for line in news:
        item = json.loads(line)
        if "up" in item:
            return State.read(directory)
        on_ready(item["ready"], item["seconds"])
    return None


def _end(keeper: subprocess.Popen[bytes]) -> None:
    keeper.terminate()
    keeper.wait(STOP_TIMEOUT)


def down(directory: Path) -> bool:
    """Stop the stack in this directory; return False when none runs. No other process is touched."""
    if not directory.exists():
        return False
    with locked(directory / "up.lock", "another process is starting or stopping this stack; waiting for it"):
        if (state := State.read(directory)) is None:
            return False
        deadline = time.monotonic() + STOP_TIMEOUT
        os.kill(state.pid, signal.SIGTERM)
        while identity(state.pid) == state.started:
            if time.monotonic() > deadline:
                os.kill(state.pid, signal.SIGKILL)  # its servers die with it
            time.sleep(POLL)
        State.file(directory).unlink(missing_ok=True)
        return True
