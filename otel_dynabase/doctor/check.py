"""One hop, one check, one line: what is right, what is wrong and what to do, or why it cannot be said."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Verdict = Literal["ok", "wrong", "unknown"]


class Wrong(Exception):  # noqa: N818  # it is no error of this program
    """Something is wrong; `advice` says what to do."""

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.advice = advice


class Unknown(Exception):  # noqa: N818  # nor is this
    """It cannot be said, for a reason that is somebody's choice or another line's fault."""


@dataclass(frozen=True, slots=True)
class Check:
    """`look` returns what is right, or raises Wrong or Unknown; it gets `patience` seconds."""

    part: str
    name: str
    look: Callable[[], str]
    patience: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a check, and how many seconds it took."""

    part: str
    name: str
    verdict: Verdict
    what: str
    advice: str
    seconds: float


def examine(checks: Iterable[Check], clock: Callable[[], float] = time.monotonic) -> Iterator[Finding]:
    """Make one check after the other; each ends when its patience does, whatever it waits for."""
    for check in checks:
        began = clock()
        verdict, what, advice = _looked(check)
        yield Finding(check.part, check.name, verdict, what, advice, clock() - began)


def _looked(check: Check) -> tuple[Verdict, str, str]:
    answers: queue.SimpleQueue[tuple[Verdict, str, str]] = queue.SimpleQueue()
    # a thread, since neither a name server nor a driver can be relied on to give up; it does not hold up the end
    threading.Thread(target=lambda: answers.put(_verdict(check.look)), daemon=True).start()
    try:
        return answers.get(timeout=check.patience)
    except queue.Empty:
        return (
            "wrong",
            f"no answer within {check.patience:g} s",
            "is something between here and there that drops packets?",
        )


def _verdict(look: Callable[[], str]) -> tuple[Verdict, str, str]:
    try:
        return "ok", look(), ""
    except Wrong as wrong:
        return "wrong", str(wrong), wrong.advice
    except Unknown as unknown:
        return "unknown", str(unknown), ""
    except Exception as error:
        return (
            "wrong",
            f"{type(error).__name__}: {error}",
            "this is a fault of otel-dynabase doctor itself: please report it",
        )
