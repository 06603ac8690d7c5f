"""The account: seconds by plan and fault, and whether the promise is kept."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.detection.faults import Detection

PROMISED: Final = 60.0
"""Seconds from the start of a fault to somebody being told."""


def account(detections: Sequence[Detection]) -> dict[str, Any]:
    """Return the figures: `worst_s` over all `cases`, null where nobody was told; and what is `unpromised`."""
    cases = list(_cases([each for each in detections if each.promised]))
    worst = [each["worst_s"] for each in cases]
    return {
        "worst_s": None if not worst or None in worst else max(worst),
        "cases": cases,
        "unpromised": list(_cases([each for each in detections if not each.promised])),
    }


def _cases(detections: Sequence[Detection]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each plan and fault, in the order of their first runs."""
    for key in dict.fromkeys((each.plan, each.fault) for each in detections):
        yield case([each for each in detections if (each.plan, each.fault) == key])


def case(runs: Sequence[Detection]) -> dict[str, Any]:
    """Return the figures of all runs of one fault; the alert is the one that told first, most often."""
    seconds = [run.seconds for run in runs]
    told = sorted(each for each in seconds if each is not None)
    alerts = [run.alert for run in runs]
    return {
        "plan": runs[0].plan,
        "fault": runs[0].fault,
        "alert": max(alerts, key=alerts.count),
        "median_s": round(median(told), 1) if told else None,
        "worst_s": told[-1] if len(told) == len(seconds) else None,
        "runs_s": seconds,
    }


def mistakes(found: dict[str, Any]) -> Iterator[str]:
    """Say which promise is broken."""
    if not found["cases"]:
        yield "nothing has been shown"
    for each in found["cases"]:
        if each["worst_s"] is None:
            yield f"{each['plan']}, {each['fault']}: {each['runs_s'].count(None)} times {each['alert']} never came"
        elif each["worst_s"] > PROMISED:
            yield f"{each['plan']}, {each['fault']}: {each['worst_s']} s, more than {PROMISED:.0f}"


def table(found: dict[str, Any]) -> str:
    """Lay the figures out."""
    lines = [f"{'plan':12} {'fault':12} {'median, s':>9} {'worst, s':>9}   told by"]
    for each in found["cases"] + found["unpromised"]:
        figures = [f"{'never' if each[of] is None else each[of]:>9}" for of in ("median_s", "worst_s")]
        note = "" if each in found["cases"] else " (no promise)"
        lines.append(f"{each['plan']:12} {each['fault']:12} {' '.join(figures)}   {each['alert']}{note}")
    return "\n".join(lines)
