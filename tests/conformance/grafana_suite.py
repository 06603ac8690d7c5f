"""Grafana's own code on the dashboards: they are of its types, and its transformations make of answers what is drawn.

`python -m tests.conformance.grafana_suite`, which needs node and npm. There is no Grafana server to be had; its
libraries are, and what it does in the browser before it draws is in them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from examples.stack.build import cache
from otel_dynabase.render import DASHBOARDS, dashboard

GRAFANA = "12.4.0"
PACKAGES = (
    *(f"@grafana/data@{GRAFANA}", f"@grafana/schema@{GRAFANA}"),
    *("jsdom@24.1.3", "react@18.3.1", "react-dom@18.3.1", "rxjs@7.8.2", "typescript@5.9.3"),
)
TYPESCRIPT = (
    *("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022"),
    *("--module", "esnext", "--moduleResolution", "bundler"),
)
ENUMERATIONS = {
    '"mode": "absolute"': '"mode": ThresholdsMode.Absolute',
    '"type": "value"': '"type": MappingType.ValueToText',
}
"""What is a plain text in the files, and a name in Grafana's types."""
UNTYPED = re.compile(r'^ +"(auto|auto_count|auto_min|definition)": .*\n', re.MULTILINE)
"""What Grafana keeps in its files, and has no types for."""
OF_SOURCES = ("textFormat", "titleFormat")
"""What an annotation has for its data source."""
HEAD = (
    "import {{ Dashboard, MappingType, ThresholdsMode }} from '@grafana/schema';\nexport const board: Dashboard = {};\n"
)


def column(name: str, kind: str, *values: Any, shown: str = "") -> dict[str, Any]:
    """Return a column of an answer; `shown` is the legend's name for it."""
    return {"name": name, "type": kind, "values": values, "config": {"displayNameFromDS": shown} if shown else {}}


def answer(*columns: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as a data source hands it on."""
    return {"fields": columns}


def now(*values: float, shown: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns of an answer of Prometheus' about one moment."""
    return column("Time", "time", *(1 for _ in values)), column("Value", "number", *values, shown=shown)


def by_bucket(label: str) -> dict[str, Any]:
    """Return an answer about buckets of two groups, of which one lacks a bucket."""
    labels = column("bucket", "string", "≤ 1", "≤ 1", "> 1"), column(label, "string", "one", "other", "one")
    return answer(*now(0.25, 1, 0.75), *labels)


QUANTILES = tuple(column(name, "number", at, 2 * at) for at, name in enumerate(("p5", "p25", "p50", "p75", "p95"), 1))
DRAWN = {
    ("dynabase-tenant-patterns", 1): (
        [by_bucket("tier")],
        {"bucket\\tier": ["≤ 1", "> 1"], "one": [0.25, 0.75], "other": [1, 0]},
    ),
    ("dynabase-tenant-patterns", 2): (
        [answer(*now(3, 9), column("hours", "string", "24", "7"), column("position", "string", "2", "1"))],
        {"Time": [1, 1], "Value": [3, 9], "hours": [24, 7], "position": [2, 1]},
    ),
    ("dynabase-tenant-patterns", 3): (
        [by_bucket("tier")],
        {"bucket\\tier": ["≤ 1", "> 1"], "one": [0.25, 0.75], "other": [1, 0]},
    ),
    ("dynabase-tenant-patterns", 4): (
        [
            answer(column("tier", "string", "WARM", "HOT"), *QUANTILES),
            answer(*now(7, 8), column("tier", "string", "HOT", "COLD")),
        ],
        {
            "tier": ["WARM", "HOT", "COLD"],
            **{name: [at, 2 * at, None] for at, name in enumerate(("p5", "p25", "p50", "p75", "p95"), 1)},
            "still there, median": [None, 7, 8],
        },
    ),
    ("dynabase-tenant-patterns", 6): (
        [answer(*now(3, shown="<1h")), answer(*now(4, shown="1-4h")), answer(*now(1, shown=">24h"))],
        {"Field": ["<1h", "1-4h", ">24h"], "Last *": [3, 4, 1]},
    ),
    ("dynabase-tier-economics", 5): (
        [answer(column("converted", "number", 2)), answer(*now(40, shown="free"))],
        {"Time": [1], "conversion": [0.05]},
    ),
    ("dynabase-slo-tracking", 4): (
        [by_bucket("plan")],
        {"bucket\\plan": ["≤ 1", "> 1"], "one": [0.25, 0.75], "other": [1, 0]},
    ),
}
"""Every panel with transformations: what comes from the stores, and what must be there to be drawn."""


def main() -> int:
    """Check both; return the exit status."""
    if shutil.which("npm") is None:
        print("npm and node are needed for Grafana's own code", file=sys.stderr)
        return 1
    folder = cache() / f"grafana-{GRAFANA}"
    folder.mkdir(parents=True, exist_ok=True)
    install = ("npm", "install", "--silent", "--no-audit", "--no-fund", "--save-exact", *PACKAGES)
    subprocess.run(install, cwd=folder, check=True)
    wrong = [*types(folder), *transformations(folder)]
    print("\n".join(wrong) or f"{len(DASHBOARDS)} dashboards are of Grafana's types, {len(DRAWN)} panels transformed")
    return 1 if wrong else 0


def types(folder: Path) -> list[str]:
    """Return what the compiler says against the files."""
    for uid in DASHBOARDS:
        board = json.loads(dashboard(uid))
        for annotation in board["annotations"]["list"]:
            annotation["target"] = {"refId": annotation["target"]["refId"]}  # the rest is the data source's, too
            for name in OF_SOURCES:
                annotation.pop(name, None)
        text = UNTYPED.sub("", json.dumps(board, indent=2))
        for plain, named in ENUMERATIONS.items():
            text = text.replace(plain, named)
        (folder / f"{uid}.ts").write_text(HEAD.format(text))
    command = ["npx", "tsc", *TYPESCRIPT, *(f"{uid}.ts" for uid in DASHBOARDS)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.splitlines()


def transformations(folder: Path) -> list[str]:
    """Return the panels of which something else comes than must be drawn."""
    boards = {uid: {panel["id"]: panel for panel in json.loads(dashboard(uid))["panels"]} for uid in DASHBOARDS}
    transformed = {(uid, at) for uid in DASHBOARDS for at, panel in boards[uid].items() if panel["transformations"]}
    wrong = [f"{uid} {at}: nothing is known of what it draws" for uid, at in transformed - set(DRAWN)]
    asked = {
        f"{uid} {at}": {"transformations": boards[uid][at]["transformations"], "frames": frames}
        for (uid, at), (frames, _) in DRAWN.items()
    }
    program = shutil.copy(Path(__file__).with_name("grafana_transform.cjs"), folder)
    done = subprocess.run(
        ["node", program], cwd=folder, input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    answers = json.loads(done.stdout)
    for (uid, at), (_, expected) in DRAWN.items():
        drawn = [dict(frame) for frame in answers[f"{uid} {at}"]]
        if drawn != [expected]:
            wrong.append(f"{uid} {at}: drawn is {drawn}, and should be {[expected]}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
