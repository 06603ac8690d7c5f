"""What all parts of the stack have in common: life and death of one server, ours or somebody else's."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from examples.stack.process import StartError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from examples.stack.process import ChildProcess


class Part(ABC):
    """One server of the stack.

    Without a `child` it is a server that exists already: it is checked but never started, stopped or hurt.
    """

    def __init__(self, name: str, child: ChildProcess | None, *, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        self.name = name
        self.child = child
        self._stop_signal = stop_signal

    @abstractmethod
    def is_ready(self) -> bool:
        """Say whether the server takes requests now."""

    @abstractmethod
    def _launch(self, child: ChildProcess) -> None:
        """Start the program; return when it is ready."""

    @property
    def pid(self) -> int | None:
        """The process id while our own server runs."""
        return self.child.pid if self.child is not None else None

    @property
    def running(self) -> bool:
        """Whether our own server's process exists (a paused one does), or somebody else's server answers."""
        return self.child.running if self.child is not None else self.is_ready()

    def start(self) -> None:
        """Start the server unless it runs, on the same port as before, and return when it takes requests.

        Raises StartError with the end of the server's log.
        """
        if self.child is None:
            if not self.is_ready():
                raise StartError(f"{self.name}: the existing server given for it does not answer")
        elif not self.child.running:
            self._launch(self.child)

    def stop(self) -> None:
        """Shut down in good order; does nothing to a server that is not ours."""
        if self.child is not None:
            self.child.stop(self._stop_signal)

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the server and its children by SIGKILL, as a crash would."""
        self._ours().kill()

    def pause(self) -> None:
        """Freeze the server: connections stay open, nothing answers."""
        self._ours().pause()

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._ours().resume()

    def _ours(self) -> ChildProcess:
        if self.child is None:
            raise RuntimeError(f"{self.name} was not started by this stack: it is not ours to harm")
        return self.child

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
