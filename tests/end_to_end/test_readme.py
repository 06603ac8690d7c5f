"""What the README tells a reader to type works, and prints what the README shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.running import ROOT

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy what git tracks, so that a stack of the reader's own in .stack is not touched."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name, follow_symlinks=False)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    return tmp_path


def test_the_tour_can_be_followed(checkout: Path):
    section = (checkout / "README.md").read_text().partition("## A tour of five minutes")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 6
    script = "set -eu\n" + "".join(blocks).replace("make down", ".venv/bin/python -m examples.stack down")
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    try:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    finally:
        down = [sys.executable, "-m", "examples.stack", "down"]
        subprocess.run(down, cwd=checkout, env=environment, check=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in (
        "✓ 54 figures compared",
        "max_concurrent enterprise proj_lotus 4",
        "max_pool_size free _other 6",
        "circuit open (proj_fjord; opens at 3; 3 calls judged)   trace ",
        "plan_change   free → starter, upgrade",
        "limit_hit         query_timeout, rejected \u00d71",
        "HOT → WARM, automatic_demotion: ",
        " requests in 5 s, threshold for hot 10   trace ",
        "ember.html: WARM since ",
        "mine\tpro\tmax_pool_size\tqueued\t8",
        "✓ collector: losses and queues  nothing lost",
    ):
        assert shown in done.stdout
