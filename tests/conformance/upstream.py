"""A library's own tests, out of the source distribution of the version that is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Kept = Callable[[Path], Path | None]


class UnobtainableError(Exception):
    """The tests cannot be had; the message says why."""


def tests(library: str, kept: Kept, modules: Sequence[str]) -> Path:
    """Return the folder of the installed library's tests; they are downloaded once. Raises UnobtainableError.

    `kept` says where a file of the archive goes, None for what is left out; `modules` must be there.
    """
    try:
        installed = version(library)
    except PackageNotFoundError:
        raise UnobtainableError(f"{library} is not installed: pip install {library}") from None
    folder = _cache() / f"{library}-{installed}-tests"
    if not folder.is_dir():
        _cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_cache()) as work:
            archive = _download(library, installed, Path(work))
            unpacked = _unpack(archive, Path(work) / "tests", kept)
            missing = [name for name in modules if not (unpacked / name).exists()]
            if missing:
                raise UnobtainableError(f"{archive.name} has no {missing[0]}")
            unpacked.rename(folder)
    return folder


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "otel-dynabase"


def _download(library: str, installed: str, work: Path) -> Path:
    """Have pip fetch the source distribution: it knows the index, the proxy and the credentials of this machine."""
    wanted = ["--no-binary", library, "--no-deps", f"{library}=={installed}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(work), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(work.glob("*.tar.gz"))
    if done.returncode != 0 or len(archives) != 1:
        reason = done.stderr.strip() or "pip downloaded no archive"
        raise UnobtainableError(f"pip cannot download the source distribution of {library} {installed}:\n{reason}")
    return archives[0]


def _unpack(archive: Path, folder: Path, kept: Kept) -> Path:
    """Unpack the tests only: the library under test is the installed one."""
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            place = kept(Path(member.name))
            if place is not None:
                member.name = str(place)
                tar.extract(member, folder, filter="data")
    return folder
