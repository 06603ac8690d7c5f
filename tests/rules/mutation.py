"""Change each number, comparison, window, selector, label and text of the rules, one at a time: some test must fail.

`python -m tests.rules.mutation` tries them all (some minutes); `--every 10` each tenth. A change that no promtool test
in this folder notices is listed, and the exit status is 1. A mutant is tried against the tests of its alert only, in a
rule file that holds nothing else, one test after the other until one fails.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from examples.stack import build
from otel_dynabase.render.rules import FILES, Alert, Recording

HERE = Path(__file__).parent
BATCH = 40
"""Mutants for one promtool: starting it costs more than a test."""
EQUIVALENT = {
    ("TelemetrySilent", "[1h:1m] → [1h:30s]"): "how often the last hour is looked at",
    ("TelemetrySilent", "[1h:1m] → [1h:120s]"): "how often the last hour is looked at",
    ("NoisyNeighbour", "1 → 2"): "topk(1, …): two cannot take more than half each",
}
"""Changes that nobody needs to notice, and why."""

# --- what is changed --------------------------------------------------------------------------------------------------

TOKEN = re.compile(
    r"""(?P<braces>\{[^}]*\})|(?P<window>\[[^\]]+\]|\boffset\ \w+)|(?P<by>\b(?:by|on|group_left)\ \([^)]*\))"""
    r"""|(?P<call>[a-z_]+(?=\ ?\(|\ by\b))"""
    r"""|(?P<set>\b(?:and|or|unless)\b)|(?P<name>[a-zA-Z_][\w:]*)"""
    r"""|(?P<number>\d+(?:\.\d+)?)|(?P<comparison>[=!<>]=|[<>])""",
    re.VERBOSE,
)
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
OPPOSITE = {">": "<", "<": ">", ">=": "<", "<=": ">", "==": "!=", "!=": "==", "and": "or", "or": "and", "unless": "and"}


def changed_expressions(expression):
    """Yield (what was changed, expression) for every change of an expression."""
    # sums by plan meet only their own: of several selectors of one plan, one may as well read all plans
    alone = len(re.findall("plan=", expression)) == 1
    for token in TOKEN.finditer(expression):
        for old, new in _changes(token.lastgroup, token[0], plan_matters=alone):
            yield (
                f"{old} → {new}",
                expression[: token.start()] + token[0].replace(old, new, 1) + expression[token.end() :],
            )


def _changes(kind, text, *, plan_matters):
    if kind == "number":
        yield from ((text, new) for new in _numbers(text))
    elif kind == "window":
        for duration in re.findall(r"\d+[smhd]", text):
            whole = text.partition(duration)
            yield from ((text, whole[0] + new + whole[2]) for new in _durations(duration))
    elif kind == "name":
        yield text, text + "_x"
    elif kind in {"comparison", "set"}:
        yield text, OPPOSITE[text]
    elif kind == "braces":
        yield from _matchers(text, plan_matters=plan_matters)


def _numbers(text):
    """Return numbers a tenth above and below, or one more and one less of a few."""
    number = float(text)
    near = (number - 1, number + 1) if number.is_integer() and number < 10 else (number * 0.9, number * 1.1)
    return [f"{one:g}" for one in near]


def _durations(text):
    number, unit = int(text[:-1]), text[-1]
    seconds = number * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[unit]
    return [f"{seconds // 2}s", f"{seconds * 2}s"]


def _matchers(braces, *, plan_matters):
    """Leave out each matcher, and each of its values; the only value becomes another."""
    for found in MATCHER.finditer(braces):
        name, operator, value = found.groups()
        rest = [one[0] for one in MATCHER.finditer(braces) if one[0] != found[0]]
        if rest and (name != "plan" or plan_matters):
            yield braces, "{" + ", ".join(rest) + "}"
        for other in _values(value):
            yield found[0], f'{name}{operator}"{other}"'


def _values(value):
    words = value.split("|") if "(" not in value else []
    if len(words) > 1:
        return ["|".join(word for word in words if word != left) for left in words]
    return [value[: word.start()] + word[0] + "x" + value[word.end() :] for word in re.finditer(r"[\w.]*\w", value)]


def mutants(rule):
    """Yield (what was changed, document) of a rule."""
    document = rule.document()
    yield from ((what, {**document, "expr": expr}) for what, expr in changed_expressions(document["expr"]))
    for key in ("for", "keep_firing_for"):
        for new in _durations(document[key]) if key in document else ():
            yield f"{key} {document[key]} → {new}", {**document, key: new}
    for part in ("labels", "annotations"):
        for name, value in document.get(part, {}).items():
            yield f"{name} {value[:40]} → …", {**document, part: {**document[part], name: f"{value}x"}}


# --- how it is tried --------------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """A rule, changed or not, beside what it needs, and the tests that are still to be made."""

    rule: str
    what: str
    documents: list
    tests: list = field(default_factory=list)

    def write(self, directory, number):
        """Write the rule file and the next test; return the test file."""
        evaluation, group = self.tests.pop(0)
        rules, test = directory / f"{number}.rules.yml", directory / f"{number}.test.yml"
        rules.write_text(
            json.dumps({"groups": [{"name": "one", "rules": self.documents}]})
        )  # YAML too, and soon written
        content = {"rule_files": [rules.name], "evaluation_interval": evaluation, "tests": [group]}
        test.write_text(json.dumps(content))
        return test


def trials():
    """Yield every rule as it is, then each change of it."""
    for name, module in FILES.items():
        rules = [rule for group in module.GROUPS for rule in group.rules]
        groups = list(tests_of(name.removesuffix(".yml")))
        for rule in rules:
            needed = _needed(rules, rule)
            chosen = list(_chosen(groups, rule))
            for what, document in (("", rule.document()), *mutants(rule)):
                documents = [document if one is rule else one.document() for one in needed]
                yield Trial(rule.name, what, documents, list(chosen))


def _needed(rules, rule):
    """Return a rule, those of its name, and what they read, in their order."""
    names = {rule.name}
    while more := {one.name for one in rules if _read(rules, names, one)} - names:
        names |= more
    return [one for one in rules if one.name in names]


def _read(rules, names, one):
    return isinstance(one, Recording) and any(one.name in other.expression for other in rules if other.name in names)


def tests_of(name):
    """Yield (evaluation interval, test group) of the test files of a rule file."""
    for file in sorted(HERE.glob(f"{name}*.yml")):
        content = yaml.safe_load(file.read_text())
        yield from ((content["evaluation_interval"], group) for group in content["tests"])


def _chosen(groups, rule):
    """Yield the groups that say something about a rule, without what they say about others; what fires first."""
    kind = "alert_rule_test" if isinstance(rule, Alert) else "promql_expr_test"
    said = []
    for evaluation, group in groups:
        cases = [case for case in group.get(kind, ()) if rule.name == case.get("alertname") or _asked(rule, case)]
        if cases:
            rest = {key: value for key, value in group.items() if key not in {"alert_rule_test", "promql_expr_test"}}
            said.append((evaluation, {**rest, kind: copy.deepcopy(cases)}))
    return sorted(said, key=lambda one: "fires" not in one[1]["name"])


def _asked(rule, case):
    return re.search(rf"(?<![\w:]){re.escape(rule.name)}(?![\w:])", case.get("expr", ""))


def survivors(every=1, offset=0):
    """Return (how many changes were tried, those that no test noticed); the rules as they are must pass."""
    everything = list(trials())
    originals = [trial for trial in everything if not trial.what]
    changed = [trial for trial in everything if trial.what][offset::every]
    number = len(changed)
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(os.cpu_count()) as pool:
        alive = changed
        untested = []
        while alive:
            batches = [alive[start : start + BATCH] for start in range(0, len(alive), BATCH)]
            passed = [trial for done in pool.map(lambda batch: _passing(batch, directory), batches) for trial in done]
            untested += [trial for trial in passed if not trial.tests]
            alive = [trial for trial in passed if trial.tests]
        for trial in originals if every == 1 else ():
            while trial.tests:
                assert _passing([trial], directory), f"{trial.rule} fails its own tests when it is alone"
    return number, [f"{one.rule}: {one.what}" for one in untested if (one.rule, one.what) not in EQUIVALENT]


def _passing(batch, directory):
    """Make one test of each trial; return those that passed."""
    with tempfile.TemporaryDirectory(dir=directory) as own:
        files = {str(trial.write(Path(own), number)): trial for number, trial in enumerate(batch)}
        promtool = build.prometheus("promtool").ensure()
        command = [promtool, "test", "rules", *files]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        said = done.stdout.split("Processing test file: ")[1:]
    failed = {one.split("\n", 1)[0].strip() for one in said if "FAILED" in one}
    return [trial for file, trial in files.items() if file not in failed]


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.rules.mutation", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="try only each n-th change")
    options = parser.parse_args()
    began = time.monotonic()
    number, left = survivors(options.every)
    print(f"{number} changes, {len(left)} unnoticed, {time.monotonic() - began:.0f} s", *left, sep="\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
