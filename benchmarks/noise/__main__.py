"""Fewer than five notifications of an ordinary day ask for action besides its incidents, and each incident is told.

python -m benchmarks.noise [--rules FILE …] [--hours H] [--seed N] [--default-budgets] [--json]

2,000 simulated tenants live through the day that benchmarks/noise/day.yaml describes, with six incidents in it. Only
they are simulated: what the collector would send of them goes into Prometheus' own storage, Prometheus' own rule engine
evaluates the shipped rules at their own intervals, and what it sends goes through Alertmanager's own code with the
shipped configuration, under a clock that jumps (testing/synctest); at its end a recorder stands in for PagerDuty and
Slack. A notification is noise if anything new in it is explained by no incident: told within it, or within the time
that the alert looks back after it, by one of the alerts that day.yaml lists for it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.conclusion import conclude
from benchmarks.noise.gathered import HERE, day, gathered
from benchmarks.noise.verdict import ACTIONABLE, incidents, judge, notifications
from examples.stack.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.noise.verdict import Verdict

GO: Final = (sys.executable, "-m", "examples.stack", "go")
ALERTMANAGER: Final = ROOT / "collector" / "alertmanager" / "alertmanager.yml"


def shipped() -> list[str]:
    """Return the rule files, named as seen from the root: a group's time within its interval depends on the name."""
    return sorted(str(file.relative_to(ROOT)) for file in (ROOT / "collector" / "prometheus").glob("*.yml"))


def live(work: Path, given: dict[str, Any], rules: Sequence[str]) -> Path:
    """Run the day; return the file of what Prometheus sent to Alertmanager."""
    program, facts, sent = work / "day", work / "day.json", work / "sent.jsonl"
    facts.write_text(json.dumps(gathered(given, list(rules))))
    subprocess.run([*GO, "build", "-C", HERE / "day", "-o", program, "."], check=True, cwd=ROOT)  # noqa: S603  # our own
    with sent.open("w") as out:
        subprocess.run([program, "-input", facts], check=True, cwd=ROOT, stdout=out)  # noqa: S603  # our own
    return sent


def replay(work: Path, sent: Path) -> Path:
    """Run Alertmanager over what Prometheus sent; return the file of its notifications."""
    notified = work / "notified.jsonl"
    test = [*GO, "test", "-C", str(HERE / "notifications"), "-run", "TestReplay", "-count=1", ".", "-args"]
    files = ["-configuration", str(ALERTMANAGER), "-sent", str(sent), "-notified", str(notified)]
    subprocess.run([*test, *files], check=True, cwd=ROOT, stdout=sys.stderr)  # noqa: S603  # our own
    return notified


def show(verdict: Verdict) -> None:
    """Print what was told, in order, and how late each incident was."""
    print(f"{'told at':9} {'severity':9} {'plan':11} {'alert':36} {'of':16} about")
    for notification, alert, cause in verdict.rows:
        of = " ".join(text for text in (alert.label("slo"), alert.label("window"), alert.label("hop")) if text)
        noise = "noise" if alert.severity in ACTIONABLE else "information"
        about = cause.name if cause else f"{noise}: {alert.description}"
        print(f"{notification.at:%H:%M:%S}  {alert.severity:9} {alert.plan:11} {alert.name:36} {of:16} {about}")
    print(f"\n{'incident':52} {'began':8} told after")
    for incident in verdict.injected:
        late = f"{verdict.late[incident.name]:.0f} s" if incident.name in verdict.late else "never"
        print(f"{incident.name:52} {incident.begins:%H:%M:%S} {late:>10}")


def main() -> int:
    """Run, and print the tables and one line of JSON; return 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rules", nargs="+", default=shipped(), metavar="FILE", help="other rules than the shipped ones"
    )
    parser.add_argument("--hours", type=float, help="of the day (default: all)")
    parser.add_argument("--seed", type=int, help="of the day (default: day.yaml's)")
    parser.add_argument(
        "--default-budgets", action="store_true", help="as many tenants with names as the collector has"
    )
    parser.add_argument("--json", action="store_true", help="print nothing but the line of JSON")
    arguments = parser.parse_args()
    given = day()
    given |= {name: value for name in ("hours", "seed") if (value := getattr(arguments, name)) is not None}
    if arguments.default_budgets:
        del given["budgets"]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        notified = replay(work, live(work, given, arguments.rules))
        verdict = judge(incidents(given), notifications(notified))
    if not arguments.json:
        show(verdict)
    about = {
        "tenants": sum(plan["tenants"] for plan in given["plans"].values()),
        "hours": given["hours"],
        "seed": given["seed"],
        "took_s": round(time.monotonic() - began),
    }
    return conclude(verdict.figures() | about, verdict.mistakes())


if __name__ == "__main__":
    sys.exit(main())
