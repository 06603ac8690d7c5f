"""Where the observer keeps what must survive it: one document, replaced as a whole, under one lock."""

from __future__ import annotations

from typing import Protocol


class State(Protocol):
    """A place for one document that one process at a time may write.

    `acquire` takes the lock, and nothing else is called without it. Whoever waits in `lost` learns that it is gone.
    """

    name: str
    """For messages: it shows no secret."""

    async def acquire(self) -> bool:
        """Take the lock; False while another process has it. Raises UnreachableError where that cannot be asked."""
        ...

    async def load(self) -> str | None:
        """Return the document, or None if there never was one. Raises UnreachableError or LostError."""
        ...

    async def save(self, document: str) -> None:
        """Replace the document, for good once this returns. Raises NotSavedError, or LostError."""
        ...

    async def lost(self) -> str:
        """Wait until the lock is lost; return why. As long as it is not, this does not return."""
        ...

    async def release(self) -> None:
        """Give the lock back, and let go of everything; never raises."""
        ...


class UnreachableError(Exception):
    """The state cannot be asked now; the message says why and shows no secret."""


class NotSavedError(Exception):
    """The document was not saved, and the lock is still held: try again with the next one."""


class LostError(Exception):
    """The lock is lost: another process may have it by now."""
