"""What `otel-dynabase migrate --cluster` renders, on one of two shards."""

import json
import subprocess
import sys
from pathlib import Path

from examples.stack.process import ROOT

PROJECTS, EACH = 20, 50


def test_a_shard_has_some_of_the_projects_and_of_each_everything(tmp_path):
    command = [sys.executable, str(Path(__file__).with_name("sharded.py")), str(tmp_path)]
    environ = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    here = {project: int(events) for project, events in said["here"]}
    assert 0 < len(here) < PROJECTS
    assert set(here.values()) == {EACH}
    assert int(said["rows"][0][0]) in (2 * EACH * len(here), 2 * EACH * len(here) - 1)  # every event came twice but one
    assert said["everywhere"] == said["counted"] == said["here"]
