"""What only the machine says of a server's backends: Linux's /proc, where the observer runs beside the server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PROC: Final = Path("/proc")
ANONYMOUS: Final = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


def is_here(pid: int, port: int | None) -> bool:
    """Say whether a backend runs on this machine, among the processes that can be seen.

    Its title names the connection's other end; `port` is the client's, as the server sees it, None on a Unix socket.
    Another server's process may have the same number, but not the same title.
    """
    try:
        title = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return title.startswith("postgres: ") and (f"({port})" if port is not None else "[local]") in title


def private_memory(pids: Iterable[int | str]) -> int:
    """Return the bytes that backends have allocated for themselves (work_mem, catalogue caches), nothing shared.

    One that has ended meanwhile has none.
    """
    return sum(map(_anonymous, pids))


def _anonymous(pid: int | str) -> int:
    try:
        found = ANONYMOUS.search((PROC / str(pid) / "status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
