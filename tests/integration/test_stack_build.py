"""The cache of built programs: rebuilt when a pin changes, never otherwise, never half, never twice at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from examples.stack import browser, build
from examples.stack.process import StartError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "otel-dynabase"


def program(make, key="k"):
    return build.Program("tool", "building a tool", key, make)


def make_tool(directory, _progress):
    assert list(directory.iterdir()) == []
    (directory / "tool").write_text("#!/bin/sh\necho built\n")
    return directory / "tool"


def test_programs_are_kept_outside_the_checkout(cache):
    for built in build.programs():
        assert built.path.is_relative_to(cache)
        assert not built.path.is_relative_to(ROOT)


def test_without_a_setting_the_cache_is_in_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert build.cache() == tmp_path / ".cache" / "otel-dynabase"


def test_the_collectors_key_changes_with_its_manifest_and_with_nothing_else(monkeypatch, tmp_path):
    before = build.collector().key
    assert build.collector().key == before
    manifest = tmp_path / "builder.yaml"
    manifest.write_text("# another comment\n" + build.MANIFEST.read_text())
    monkeypatch.setattr(build, "MANIFEST", manifest)
    assert build.collector().key == before
    manifest.write_text(manifest.read_text().replace("otlpreceiver v0.161.0", "otlpreceiver v0.162.0"))
    assert build.collector().key != before


@pytest.fixture
def module(monkeypatch, tmp_path):
    """A module of ours that the manifest names, in a checkout of its own."""
    module = tmp_path / "collector" / "ours"
    for name in ("ours.go", "go.mod", "ours_test.go", "README.md", "inner/inner.go", "apart/go.mod", "apart/apart.go"):
        (module / name).parent.mkdir(parents=True, exist_ok=True)
        (module / name).write_text("as it was")
    manifest = tmp_path / "builder.yaml"
    ours = {"gomod": "example.org/ours v0.0.0", "path": "collector/ours"}
    manifest.write_text(json.dumps({"dist": {"name": "tool"}, "processors": [ours]}))
    monkeypatch.setattr(build, "MANIFEST", manifest)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    return module


@pytest.mark.parametrize("changed", ["ours.go", "go.mod", "inner/inner.go", "added.go"])
def test_the_collectors_key_changes_with_our_sources(module, changed):
    before = build.collector().key
    (module / changed).write_text("changed")
    assert build.collector().key != before


@pytest.mark.parametrize("changed", ["ours_test.go", "README.md", "apart/go.mod", "apart/apart.go"])
def test_the_collectors_key_does_not_change_with_what_it_is_not_built_from(module, changed):
    before = build.collector().key
    (module / changed).write_text("changed")
    assert build.collector().key == before


def test_the_builder_finds_our_modules_from_anywhere(module, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(build, "_go", lambda command, _progress: seen.append(Path(command[-1]).read_text()))
    build.collector().make(tmp_path, None)
    assert yaml.safe_load(seen[0])["processors"][0]["path"] == str(module)


@pytest.mark.skipif(build.find_go() is None, reason="would install Go")
def test_go_runs_for_somebody_who_watches(capfd):
    assert build.go(["version"]) == 0
    assert capfd.readouterr().out.startswith("go version")
    assert build.go(["no-such-command"]) == 2


def test_each_pin_has_a_part_in_the_key(monkeypatch):
    before = {built.key for built in build.programs()}
    assert len(before) == len(build.programs())
    for pin in ("BUILDER", "PROMETHEUS", "ALERTMANAGER"):
        monkeypatch.setattr(build, pin, getattr(build, pin) + "1")
    assert not before & {built.key for built in build.programs()}


def test_parts_of_a_key_do_not_run_into_each_other():
    assert build.key(b"ab", b"c") != build.key(b"a", b"bc")


def test_a_program_may_be_a_folder(capfd):
    def make(directory, _progress):
        (directory / "made" / "lib").mkdir(parents=True)
        (directory / "made" / "lib" / "large").write_bytes(bytes(2_000_000))
        return directory / "made"

    built = program(make).ensure()
    assert (built / "lib" / "large").is_file()
    assert f"2 MB at {built}" in capfd.readouterr().err
    assert program(lambda *_: pytest.fail("it is there")).ensure() == built


@pytest.mark.parametrize("pin", ["CHROMIUM", "FONTS", "AXE"])
def test_the_browsers_pins_have_a_part_in_its_keys(monkeypatch, pin):
    before = {browser.chromium().key, browser.axe().key}
    monkeypatch.setattr(browser, pin, getattr(browser, pin) + "1")
    assert len({browser.chromium().key, browser.axe().key} & before) == 1


def test_it_is_built_once_and_runs(capfd):
    built = program(make_tool).ensure()
    assert subprocess.run([built], capture_output=True, text=True, check=True).stdout == "built\n"
    told = capfd.readouterr().err
    assert "building a tool …" in told
    assert f"MB at {built}" in told

    def never(_directory, _progress):
        raise AssertionError

    assert program(never).ensure() == built
    assert capfd.readouterr().err == ""


def test_a_failed_build_leaves_nothing_and_is_tried_again(cache):
    def fail(directory, _progress):
        (directory / "tool").touch()
        raise StartError("no compiler")

    with pytest.raises(StartError, match="no compiler"):
        program(fail).ensure()
    assert list((cache / "bin").iterdir()) == []
    assert program(make_tool).ensure().exists()


def test_two_processes_build_once(tmp_path):
    script = textwrap.dedent(
        """
        import os, pathlib, sys, time
        from examples.stack import browser, build
        def make(directory, _progress):
            with open(sys.argv[1], "a") as log:
                log.write(f"{os.getpid()}\\n")
            time.sleep(0.5)
            (directory / "tool").touch()
            return directory / "tool"
        print(build.Program("tool", "building a tool", "k", make).ensure())
        """
    )
    log = tmp_path / "builds"
    command = [sys.executable, "-c", script, str(log)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {process.communicate()[0].strip() for process in both}
    assert len(paths) == 1
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("version", "good"), [("go1.26.8", True), ("go1.27.3", True), ("go1.26.6", False), ("", False)]
)
def test_an_old_go_is_not_used(monkeypatch, tmp_path, version, good):
    go = tmp_path / "go"
    go.write_text(f"#!/bin/sh\necho {version}\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert build.find_go() == (go if good else None)
