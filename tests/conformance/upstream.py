"""asyncpg's own tests, out of the source distribution of the version that is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

MODULES = (
    "test_pool",
    "test_copy",
    "test_cursor",
    "test_prepare",
    "test_cancellation",
    "test_timeout",
    "test_adversity",
    "test_execute",
    "test_transaction",
    "test_listeners",
    "test_logging",
)
"""The modules about pools, connections and statements; the rest are about types, codecs, TLS and packaging."""


class UnobtainableError(Exception):
    """The tests cannot be had; the message says why."""


def tests() -> Path:
    """Return the folder of the installed asyncpg's tests; they are downloaded once. Raises UnobtainableError."""
    try:
        installed = version("asyncpg")
    except PackageNotFoundError:
        raise UnobtainableError("asyncpg is not installed: pip install asyncpg") from None
    folder = _cache() / f"asyncpg-{installed}-tests"
    if not folder.is_dir():
        _cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_cache()) as work:
            unpacked = _unpack(_download(installed, Path(work)), Path(work) / "tests")
            unpacked.rename(folder)
    return folder


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "otel-dynabase"


def _download(installed: str, work: Path) -> Path:
    """Have pip fetch the source distribution: it knows the index, the proxy and the credentials of this machine."""
    wanted = ["--no-binary", "asyncpg", "--no-deps", f"asyncpg=={installed}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(work), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(work.glob("asyncpg-*.tar.gz"))
    if done.returncode != 0 or len(archives) != 1:
        reason = done.stderr.strip() or "pip downloaded no archive"
        raise UnobtainableError(f"pip cannot download the source distribution of asyncpg {installed}:\n{reason}")
    return archives[0]


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpack the tests only: the driver under test is the installed one. They must not be a package called `tests`."""
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(member.name)
            if path.parts[1:2] == ("tests",) and path.name != "__init__.py" and len(path.parts) > 2:
                member.name = str(Path(*path.parts[2:]))
                tar.extract(member, folder, filter="data")
    missing = [name for name in MODULES if not (folder / f"{name}.py").is_file()]
    if missing:
        raise UnobtainableError(f"{archive.name} has no tests/{missing[0]}.py")
    return folder
