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
    """Return the figures: `worst_s` over everything that is promised, null where nobody was told."""
    keys = dict.fromkeys((each.plan, each.fault) for each in detections)
    cases = [case([each for each in detections if (each.plan, each.fault) == key]) for key in keys]
    worst = [each["worst_s"] for each in cases if each["promised"]]
    return {"worst_s": None if not worst or None in worst else max(worst), "cases": cases}


def case(runs: Sequence[Detection]) -> dict[str, Any]:
    """Return the figures of all runs of one fault; the alert is the one that told first, most often."""
    seconds = [run.seconds for run in runs]
    told = sorted(each for each in seconds if each is not None)
    alerts = [run.alert for run in runs]
    return {
        "plan": runs[0].plan,
        "fault": runs[0].fault,
        "alert": max(alerts, key=alerts.count),
        "promised": runs[0].promised,
        "median_s": round(median(told), 1) if told else None,
        "worst_s": told[-1] if len(told) == len(seconds) else None,
        "runs_s": seconds,
    }


def mistakes(found: dict[str, Any]) -> Iterator[str]:
    """Say which promise is broken."""
    promised = [each for each in found["cases"] if each["promised"]]
    if not promised:
        yield "nothing has been shown"
    for each in promised:
        if each["worst_s"] is None:
            yield f"{each['plan']}, {each['fault']}: {each['runs_s'].count(None)} times {each['alert']} never came"
        elif each["worst_s"] > PROMISED:
            yield f"{each['plan']}, {each['fault']}: {each['worst_s']} s, more than {PROMISED:.0f}"


def table(found: dict[str, Any]) -> str:
    """Lay the figures out."""
    lines = [f"{'plan':12} {'fault':12} {'median, s':>9} {'worst, s':>9}   told by"]
    for each in found["cases"]:
        figures = [f"{'never' if each[of] is None else each[of]:>9}" for of in ("median_s", "worst_s")]
        note = "" if each["promised"] else " (no promise)"
        lines.append(f"{each['plan']:12} {each['fault']:12} {' '.join(figures)}   {each['alert']}{note}")
    return "\n".join(lines)
