"""The state in a file beside the process."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_dynabase.observer.state import LostError, NotSavedError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

LOOK: Final = 1.0
"""Seconds between two looks at whether the lock's file is still the one that is locked."""
LOST: Final = "its lock file was deleted or replaced"


class FileState:
    """A JSON file, replaced by renaming, and a lock on a second file beside it: the kernel frees it with the process.

    The lock excludes processes that share a file system; for several machines use the database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.name = str(path)
        self._lock_path = self.path.with_name(self.path.name + ".lock")
        self._lock: int | None = None

    async def acquire(self) -> bool:
        """Take the lock."""
        try:
            return await asyncio.to_thread(self._acquire)
        except OSError as error:
            raise UnreachableError(f"{error.strerror or error} ({error.filename or self._lock_path})") from None

    def _acquire(self) -> bool:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            raise
        self._lock = descriptor
        return self._is_ours()  # or else somebody has replaced the file between opening and locking

    def _is_ours(self) -> bool:
        if self._lock is None:
            return False
        with suppress(OSError):
            return os.path.samestat(os.fstat(self._lock), self._lock_path.stat())
        return False

    async def load(self) -> str | None:
        """Read the file."""
        try:
            return await asyncio.to_thread(self.path.read_text, "utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UnreachableError(str(error)) from None

    async def save(self, document: str) -> None:
        """Write a new file, wait for the disk, and put it in the old one's place."""
        if not self._is_ours():
            raise LostError(LOST)
        try:
            await asyncio.to_thread(self._save, document)
        except OSError as error:
            raise NotSavedError(error.strerror or str(error)) from None

    def _save(self, document: str) -> None:
        new = self.path.with_name(self.path.name + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        if not self._is_ours():  # it took a while, and nobody may be waiting for it any more
            raise OSError(errno.ENOLCK, LOST)
        new.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the renaming itself
        finally:
            os.close(directory)

    async def lost(self) -> str:
        """Look at the lock's file now and then."""
        while self._is_ours():  # noqa: ASYNC110  # nobody would set an event: it happens in the file system
            await asyncio.sleep(LOOK)
        return LOST

    async def release(self) -> None:
        """Close the lock's file, which stays where it is: deleting it would let two processes lock two files."""
        descriptor, self._lock = self._lock, None
        if descriptor is not None:
            os.close(descriptor)
